//! All restricted accounts in memory. Stores that can list them hold this set, because they are few.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use crate::{
    account::{AccountState, UserId},
    changes::Changes,
};

/// Every restricted account's state, or nothing while the set may miss a change.
///
/// It answers as long as the announcements that keep it up to date are [believed](Changes::is_believed). An
/// account whose change was announced is unsettled, and is looked up in the database, until its new state is
/// known. So a change counts without waiting for a look-up.
///
/// Locked only for the time of one look-up or change. A whole new set is built outside and moved
/// in.
pub(super) struct RestrictedSet {
    changes: Changes,
    table: RwLock<Table>,
}

#[derive(Default)]
struct Table {
    /// `None` if a change of any account may be missing.
    accounts: Option<HashMap<UserId, AccountState>>,
    /// The accounts whose states are being looked up, with the number of the latest change.
    unsettled: HashMap<UserId, u64>,
    /// The states that were settled while the accounts are loaded. The load may have read older ones.
    settled_meanwhile: HashMap<UserId, AccountState>,
    is_loading: bool,
    /// A load that began before this number does not count.
    distrusted: u64,
    /// Counts changes and loads.
    last_number: u64,
}

/// A change of one account, which only its own look-up settles.
#[derive(Clone, Copy)]
pub(super) struct Ticket(u64);

/// A load, which settles the changes from before it began.
pub(super) struct Load(u64);

impl RestrictedSet {
    /// An empty set, which answers nothing before its first load.
    pub(super) fn new(changes: Changes) -> Self {
        Self {
            changes,
            table: RwLock::default(),
        }
    }

    /// The state of `user`, unless the set may miss a change. A user who is not in it is active.
    pub(super) fn peek(&self, user: &str) -> Option<AccountState> {
        if !self.changes.is_believed() {
            return None;
        }
        let table = self.read();
        let accounts = table.accounts.as_ref()?;
        if !table.unsettled.is_empty() && table.unsettled.contains_key(user) {
            return None;
        }
        Some(accounts.get(user).cloned().unwrap_or_default())
    }

    /// The state of `user` has changed. The set does not answer for this user until a look-up that begins after
    /// this settles the state.
    pub(super) fn unsettle(&self, user: &UserId) -> Ticket {
        let mut table = self.write();
        let number = table.next_number();
        table.unsettled.insert(user.clone(), number);
        Ticket(number)
    }

    /// Takes the state of one account, unless it has changed again since.
    pub(super) fn settle(&self, user: &UserId, ticket: Ticket, state: AccountState) {
        let mut table = self.write();
        if table.unsettled.get(user) != Some(&ticket.0) {
            return;
        }
        table.unsettled.remove(user);
        if table.is_loading {
            table.settled_meanwhile.insert(user.clone(), state.clone());
        }
        if let Some(accounts) = &mut table.accounts {
            put(accounts, user, state);
        }
    }

    /// Must be called before all accounts are read.
    pub(super) fn begin_load(&self) -> Load {
        let mut table = self.write();
        table.settled_meanwhile.clear();
        table.is_loading = true;
        Load(table.next_number())
    }

    /// Takes all accounts, unless the set was distrusted since the load began. States that were settled since
    /// then are newer.
    ///
    /// Returns the users whose states differ from before, or `None` if nothing was known before.
    pub(super) fn finish_load(
        &self,
        load: &Load,
        mut accounts: HashMap<UserId, AccountState>,
    ) -> Option<Vec<UserId>> {
        accounts.shrink_to_fit();
        let table = self.read();
        let changed = table.accounts.as_ref().map(|known| {
            let is_new = |user: &&UserId| known.get(*user) != accounts.get(*user);
            let gone = known.keys().filter(|user| !accounts.contains_key(*user));
            let changed = accounts.keys().filter(is_new).chain(gone);
            changed.cloned().collect()
        });
        drop(table);
        let mut table = self.write();
        for (user, state) in std::mem::take(&mut table.settled_meanwhile) {
            put(&mut accounts, &user, state);
        }
        table.is_loading = false;
        if load.0 < table.distrusted {
            return None;
        }
        table.unsettled.retain(|_, number| *number > load.0);
        let old = table.accounts.replace(accounts);
        drop(table);
        drop(old);
        changed
    }

    /// Answers nothing until the accounts have been loaded.
    pub(super) fn distrust(&self) {
        let mut table = self.write();
        table.distrusted = table.next_number();
        let old = table.accounts.take();
        drop(table);
        drop(old);
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}

fn put(accounts: &mut HashMap<UserId, AccountState>, user: &UserId, state: AccountState) {
    if state.is_active() {
        accounts.remove(user);
    } else if let Some(known) = accounts.get_mut(user) {
        *known = state;
    } else {
        accounts.insert(user.clone(), state);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashMap,
        time::{Duration, Instant},
    };

    use super::RestrictedSet;
    use crate::{
        account::{AccountState, RestrictionKind::*, UserId},
        changes::Changes,
    };

    fn set() -> (RestrictedSet, UserId) {
        let set = RestrictedSet::new(Changes::new());
        (set, UserId::from("@alice:x"))
    }

    fn locked(user: &UserId) -> HashMap<UserId, AccountState> {
        HashMap::from([(user.clone(), Locked.into())])
    }

    #[test]
    fn nothing_is_answered_while_a_change_may_be_missing() {
        let (set, alice) = set();
        let ticket = set.unsettle(&alice);
        set.settle(&alice, ticket, Locked.into());
        assert_eq!(set.peek(&alice), None);

        let load = set.begin_load();
        assert_eq!(set.finish_load(&load, HashMap::new()), None);
        assert_eq!(set.peek(&alice), Some(AccountState::ACTIVE));
        for state in [Locked.into(), Suspended.into(), AccountState::ACTIVE] {
            let ticket = set.unsettle(&alice);
            assert_eq!(set.peek(&alice), None, "it is asked for");
            assert!(set.peek("@bob:x").is_some(), "others are not");
            set.settle(&alice, ticket, state.clone());
            assert_eq!(set.peek(&alice), Some(state));
        }
        set.distrust();
        assert_eq!(set.peek(&alice), None);
    }

    #[test]
    fn of_two_look_ups_the_one_of_the_later_change_counts() {
        let (set, alice) = set();
        let load = set.begin_load();
        set.finish_load(&load, HashMap::new());
        let (first, second) = (set.unsettle(&alice), set.unsettle(&alice));
        set.settle(&alice, first, AccountState::ACTIVE);
        assert_eq!(set.peek(&alice), None);
        set.settle(&alice, second, Locked.into());
        set.settle(&alice, first, AccountState::ACTIVE);
        assert_eq!(set.peek(&alice), Some(Locked.into()));
    }

    #[test]
    fn what_changes_while_the_set_is_loaded_is_asked_for_and_stays() {
        let (set, alice) = set();
        let bob = UserId::from("@bob:x");
        let load = set.begin_load();
        set.finish_load(&load, HashMap::new());

        let load = set.begin_load();
        let _asked = set.unsettle(&alice);
        let ticket = set.unsettle(&bob);
        assert_eq!(set.peek(&alice), None);
        set.settle(&bob, ticket, Locked.into());
        // The load had read both before they were locked.
        set.finish_load(&load, HashMap::new());
        assert_eq!(set.peek(&alice), None, "nobody has settled it");
        assert_eq!(set.peek(&bob), Some(Locked.into()));

        let load = set.begin_load();
        set.finish_load(&load, locked(&alice));
        assert_eq!(set.peek(&alice), Some(Locked.into()), "a load settles it");
    }

    #[test]
    fn a_load_from_before_distrust_is_not_believed() {
        let (set, alice) = set();
        let load = set.begin_load();
        set.distrust();
        set.finish_load(&load, locked(&alice));
        assert_eq!(set.peek(&alice), None);
        let load = set.begin_load();
        set.finish_load(&load, locked(&alice));
        assert_eq!(set.peek(&alice), Some(Locked.into()));
    }

    #[test]
    fn a_load_says_whose_states_are_other_than_before() {
        let (set, alice) = set();
        let load = set.begin_load();
        set.finish_load(&load, locked(&alice));
        let load = set.begin_load();
        assert_eq!(set.finish_load(&load, locked(&alice)), Some(Vec::new()));
        let load = set.begin_load();
        let changed = set.finish_load(&load, locked(&"@bob:x".into())).unwrap();
        assert_eq!(changed.len(), 2, "{changed:?}");
    }

    #[test]
    fn rule_19_the_set_answers_nothing_when_the_last_proof_is_too_old() {
        let changes = Changes::needing_proof();
        let (set, alice) = (
            RestrictedSet::new(changes.clone()),
            UserId::from("@alice:x"),
        );
        let load = set.begin_load();
        set.finish_load(&load, HashMap::new());
        assert_eq!(set.peek(&alice), None);
        changes.believe_until(Instant::now() + Duration::from_secs(3600));
        assert_eq!(set.peek(&alice), Some(AccountState::ACTIVE));
        changes.believe_until(Instant::now());
        assert_eq!(set.peek(&alice), None);
    }
}
