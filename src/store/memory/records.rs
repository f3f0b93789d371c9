//! Who restricted an account of the `MemoryStore`, and when. It is apart from the table that answers
//! requests, because requests need neither.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use crate::{
    account::{AccountState, RestrictionKind, UserId},
    store::RestrictionRecord,
};

/// The records of all restricted accounts, in the order of the user ids.
#[derive(Default)]
pub(super) struct Records(Mutex<BTreeMap<UserId, AccountRecords>>);

/// The records of one account, by kind.
#[derive(Default)]
pub(super) struct AccountRecords([Option<RestrictionRecord>; RestrictionKind::COUNT]);

impl Records {
    /// Changes the records of one account. The lock is held meanwhile, so that the later of two changes of an
    /// account's state leaves its record.
    pub(super) fn change<T>(
        &self,
        user: &UserId,
        change: impl FnOnce(&mut AccountRecords) -> T,
    ) -> T {
        let mut accounts = self.lock();
        let mut records = accounts.remove(user).unwrap_or_default();
        let changed = change(&mut records);
        if records.0.iter().any(Option::is_some) {
            accounts.insert(user.clone(), records);
        }
        changed
    }

    /// The record of one restriction.
    pub(super) fn get(&self, user: &UserId, kind: RestrictionKind) -> Option<RestrictionRecord> {
        self.lock().get(user)?.0[kind.index()].clone()
    }

    /// A page of all accounts that have records.
    pub(super) fn page(
        &self,
        after: Option<&UserId>,
        limit: usize,
    ) -> Vec<(UserId, Vec<RestrictionRecord>)> {
        let behind = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.lock()
            .range::<UserId, _>((behind, Bound::Unbounded))
            .take(limit)
            .map(|(user, records)| (user.clone(), records.all()))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<UserId, AccountRecords>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AccountRecords {
    /// Makes the records those of `state`. A restriction that is in both keeps its record.
    pub(super) fn follow(&mut self, state: &AccountState, now: SystemTime) {
        for &kind in RestrictionKind::ALL {
            let record = &mut self.0[kind.index()];
            let restriction = state.restriction(kind);
            if record.as_ref().map(RestrictionRecord::restriction) != restriction {
                *record = restriction
                    .cloned()
                    .map(|restriction| RestrictionRecord::new(restriction).with_set_at(now));
            }
        }
    }

    pub(super) fn set(&mut self, record: RestrictionRecord) {
        let kind = record.kind();
        self.0[kind.index()] = Some(record);
    }

    pub(super) fn take(&mut self, kind: RestrictionKind) -> Option<RestrictionRecord> {
        self.0[kind.index()].take()
    }

    fn all(&self) -> Vec<RestrictionRecord> {
        self.0.iter().flatten().cloned().collect()
    }
}
