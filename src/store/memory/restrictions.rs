//! Restrictions of the [`MemoryStore`], with who set them and when.

use std::convert::Infallible;

use super::MemoryStore;
use crate::{
    account::{AccountState, RestrictionKind, UserId},
    changes::Changes,
    store::{ChangeRecord, RestrictionRecord, RestrictionStore},
};

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
        self.set(user, record);
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
            let record = records.take(kind);
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
        Ok(self.records.get(user, kind))
    }

    async fn restricted(
        &self,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<(UserId, Vec<RestrictionRecord>)>, Infallible> {
        Ok(self.records.page(after, limit))
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
    async fn who_sets_a_restriction_is_kept_where_it_is_said() {
        let store = MemoryStore::new();
        let record = RestrictionRecord::new(Locked).with_set_by("@mod:localhost");
        store.restrict("@alice:localhost", record.clone());
        let user = UserId::from("@alice:localhost");
        assert_eq!(store.record(&user, Locked).await.unwrap(), Some(record));
    }

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

        // The lock is in both states, so who set it is still known.
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
