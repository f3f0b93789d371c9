//! Who restricted an account of the [`MemoryStore`], and when: beside the table that requests are
//! answered from, which needs neither.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use super::MemoryStore;
use crate::{
    account::{AccountState, RestrictionKind, UserId},
    changes::Changes,
    store::{ChangeRecord, RestrictionRecord, RestrictionStore},
};

/// The records of all restricted accounts, in the order of the user ids.
#[derive(Default)]
pub(super) struct Records(Mutex<BTreeMap<UserId, AccountRecords>>);

/// The records of one account, by kind.
#[derive(Default)]
pub(super) struct AccountRecords([Option<RestrictionRecord>; RestrictionKind::COUNT]);

impl Records {
    /// Changes the records of one account. The lock is held meanwhile, so that of two changes of
    /// an account's state the later one leaves the record.
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

    fn lock(&self) -> MutexGuard<'_, BTreeMap<UserId, AccountRecords>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AccountRecords {
    /// Makes the records those of `state`. A restriction that stands in both keeps its record.
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

    fn all(&self) -> Vec<RestrictionRecord> {
        self.0.iter().flatten().cloned().collect()
    }
}

impl RestrictionStore for MemoryStore {
    type Error = Infallible;

    async fn state_of(&self, user: &str) -> Result<AccountState, Infallible> {
        Ok(self.read().state_of(user))
    }

    async fn set_restriction(
        &self,
        user: &UserId,
        record: RestrictionRecord,
    ) -> Result<(), Infallible> {
        self.records.change(user, |records| {
            let restriction = record.restriction().clone();
            self.change_state(user, |state| state.with(restriction));
            let kind = record.kind();
            records.0[kind.index()] = Some(record);
        });
        self.changes.announce(user);
        Ok(())
    }

    /// Who lifts is not kept: there is no log here.
    async fn lift_restriction(
        &self,
        user: &UserId,
        kind: RestrictionKind,
        _: &ChangeRecord,
    ) -> Result<bool, Infallible> {
        let lifted = self.records.change(user, |records| {
            let record = records.0[kind.index()].take();
            if record.is_some() {
                self.change_state(user, |state| state.without(kind));
            }
            record.is_some()
        });
        if lifted {
            self.changes.announce(user);
        }
        Ok(lifted)
    }

    async fn record(
        &self,
        user: &UserId,
        kind: RestrictionKind,
    ) -> Result<Option<RestrictionRecord>, Infallible> {
        let accounts = self.records.lock();
        Ok(accounts
            .get(user)
            .and_then(|records| records.0[kind.index()].clone()))
    }

    async fn restricted(
        &self,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<(UserId, Vec<RestrictionRecord>)>, Infallible> {
        let behind = after.map_or(Bound::Unbounded, Bound::Excluded);
        let accounts = self.records.lock();
        Ok(accounts
            .range::<UserId, _>((behind, Bound::Unbounded))
            .take(limit)
            .map(|(user, records)| (user.clone(), records.all()))
            .collect())
    }

    fn peek_state_of(&self, user: &str) -> Option<AccountState> {
        Some(self.read().state_of(user))
    }

    fn restriction_changes(&self) -> Option<Changes> {
        Some(self.changes.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::{MemoryStore, RestrictionRecord, RestrictionStore};
    use crate::account::{AccountState, Restriction, RestrictionKind::*, UserId};

    #[tokio::test]
    async fn what_is_set_without_a_record_is_listed_too() {
        let store = MemoryStore::new();
        let user = UserId::from("@alice:localhost");
        store.restrict("@alice:localhost", Suspended);
        let record = RestrictionRecord::new(Locked).with_set_by("@mod:localhost");
        store.set_restriction(&user, record.clone()).await.unwrap();
        let listed = store.restricted(None, 10).await.unwrap();
        assert_eq!(listed.len(), 1);
        let kinds: Vec<_> = listed[0].1.iter().map(RestrictionRecord::kind).collect();
        assert_eq!(kinds, [Locked, Suspended]);

        // The lock stands in both states, so who set it is still known.
        store.set_state(
            "@alice:localhost",
            AccountState::from(Locked).with(Restriction::new(Deactivated)),
        );
        assert_eq!(store.record(&user, Locked).await.unwrap(), Some(record));
        assert_eq!(store.record(&user, Suspended).await.unwrap(), None);

        store.set_state("@alice:localhost", AccountState::ACTIVE);
        assert_eq!(store.restricted(None, 10).await.unwrap(), []);
    }
}
