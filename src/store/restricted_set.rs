//! All restricted accounts in memory, for stores that can list them: they are few.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock, RwLockWriteGuard},
};

use crate::account::{AccountState, UserId};

/// Every restricted account's state, or nothing while the set may miss a change.
///
/// Locked only for the time of one look-up or change. A whole new set is built outside and moved
/// in.
#[derive(Default)]
pub(super) struct RestrictedSet(RwLock<Option<HashMap<UserId, AccountState>>>);

impl RestrictedSet {
    /// The state of `user`, unless the set may miss a change. Who is not in it is active.
    pub(super) fn peek(&self, user: &str) -> Option<AccountState> {
        let accounts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Some(accounts.as_ref()?.get(user).cloned().unwrap_or_default())
    }

    /// Takes over the state of one account, if the set is trusted.
    pub(super) fn set(&self, user: &UserId, state: AccountState) {
        let mut accounts = self.write();
        let Some(accounts) = accounts.as_mut() else {
            return;
        };
        if state.is_active() {
            accounts.remove(user);
        } else if let Some(known) = accounts.get_mut(user) {
            *known = state;
        } else {
            accounts.insert(user.clone(), state);
        }
    }

    /// Takes over all accounts, and trusts them.
    pub(super) fn replace(&self, mut accounts: HashMap<UserId, AccountState>) {
        accounts.shrink_to_fit();
        let old = self.write().replace(accounts);
        drop(old);
    }

    /// Whether it answers.
    #[cfg(feature = "postgres")]
    pub(super) fn is_trusted(&self) -> bool {
        let accounts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        accounts.is_some()
    }

    /// Answers nothing until the accounts have been replaced.
    pub(super) fn distrust(&self) {
        let old = self.write().take();
        drop(old);
    }

    fn write(&self) -> RwLockWriteGuard<'_, Option<HashMap<UserId, AccountState>>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::RestrictedSet;
    use crate::account::{AccountState, RestrictionKind::*, UserId};

    #[test]
    fn nothing_is_answered_while_a_change_may_be_missing() {
        let (set, alice) = (RestrictedSet::default(), UserId::from("@alice:x"));
        set.set(&alice, Locked.into());
        assert_eq!(set.peek(&alice), None);

        set.replace(HashMap::new());
        assert_eq!(set.peek(&alice), Some(AccountState::ACTIVE));
        set.set(&alice, Locked.into());
        set.set(&alice, Suspended.into());
        assert_eq!(set.peek(&alice), Some(Suspended.into()));
        set.set(&alice, AccountState::ACTIVE);
        assert_eq!(set.peek(&alice), Some(AccountState::ACTIVE));

        set.distrust();
        assert_eq!(set.peek(&alice), None);
    }
}
