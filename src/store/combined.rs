//! A server's own answers and a ready-made store's restrictions, combined into one
//! [`AccountStateStore`].

use std::fmt;

use super::{AccountStateStore, Peek, RestrictionStore, StoreError, ask};
use crate::{
    account::{Account, AccountState, UserId},
    changes::Changes,
    credential::Credential,
};

/// An [`AccountStateStore`] of two halves. The server knows the owners of credentials and its own
/// restrictions. `R` holds the restrictions for which the server has no columns.
///
/// The state is both together. Of two restrictions of the same kind
/// [the stricter one](AccountState::merged_with) counts. Each kind is stored separately. A server
/// that has no restrictions says so with [`without!`](crate::without).
///
/// ```
/// use std::sync::Arc;
/// use tower_account_status::{
///     AccountState, AccountStateStore, AccountStatusLayer, Combined, Flags, MemoryStore, UserId,
///     store::{Answer, StoreError}, without,
/// };
/// # use std::convert::Infallible;
/// # struct Database;
/// # impl Database {
/// #     async fn owner_of(&self, _: &str) -> Result<Option<String>, Infallible> { Ok(None) }
/// #     async fn is_deactivated(&self, _: &str) -> Result<bool, Infallible> { Ok(false) }
/// # }
///
/// /// A server with a deactivation of its own, and no locks.
/// struct Homeserver { database: Database }
///
/// impl AccountStateStore for Homeserver {
///     async fn access_token(&self, token: &str) -> Answer {
///         Ok(self.database.owner_of(token).await?.map(UserId::from))
///     }
///
///     async fn login_name(&self, name: &str) -> Answer {
///         Ok(Some(UserId::local(name, "example.org")))
///     }
///
///     async fn state(&self, user: &str) -> Result<AccountState, StoreError> {
///         let deactivated = self.database.is_deactivated(user).await?;
///         Ok(Flags { deactivated, locked: false, suspended: false }.into())
///     }
///
///     without! { application_service, third_party, login_token, refresh_token, event_sender, changes }
/// }
///
/// # let database = Database;
/// let restrictions = Arc::new(MemoryStore::new()); // or a `SqliteStore`, or a `PostgresStore`
/// let store = Combined::new(Homeserver { database }, Arc::clone(&restrictions));
/// let layer = AccountStatusLayer::new(store); // keep `restrictions`, to change them
/// ```
///
/// If both halves answer at once, so does the whole. It announces what either half announces.
#[derive(Clone)]
pub struct Combined<O, R> {
    own: O,
    restrictions: R,
    changes: Option<Changes>,
}

impl<O: AccountStateStore, R: RestrictionStore> Combined<O, R> {
    /// Puts the two halves together.
    #[must_use]
    pub fn new(own: O, restrictions: R) -> Self {
        let changes = of_both(own.changes(), restrictions.restriction_changes());
        Self {
            own,
            restrictions,
            changes,
        }
    }
}

impl<O, R> Combined<O, R> {
    /// The server's half.
    pub fn own(&self) -> &O {
        &self.own
    }

    /// The half that holds the restrictions.
    pub fn restrictions(&self) -> &R {
        &self.restrictions
    }
}

impl<O: AccountStateStore, R: RestrictionStore> Combined<O, R> {
    async fn restrictions_of(&self, user: &str) -> Result<AccountState, StoreError> {
        match self.restrictions.peek_state_of(user) {
            Some(state) => Ok(state),
            None => self.restrictions.state_of(user).await.map_err(Into::into),
        }
    }
}

impl<O: AccountStateStore, R: RestrictionStore> AccountStateStore for Combined<O, R> {
    crate::forward! { own => all except state, changes }

    async fn state(&self, user: &str) -> Result<AccountState, StoreError> {
        let own = ask::state(&self.own, user).await?;
        Ok(own.merged_with(&self.restrictions_of(user).await?))
    }

    async fn states(&self, users: &[UserId]) -> Vec<Result<AccountState, StoreError>> {
        let own = self.own.states(users).await;
        let peek = |user: &UserId| self.restrictions.peek_state_of(user);
        let mut peeked: Vec<Option<AccountState>> = users.iter().map(peek).collect();
        let unknown = users
            .iter()
            .zip(&peeked)
            .filter(|(_, peeked)| peeked.is_none());
        let unknown: Vec<UserId> = unknown.map(|(user, _)| user.clone()).collect();
        let mut asked = match unknown.is_empty() {
            true => Vec::new(),
            false => self.restrictions.states_of(&unknown).await,
        }
        .into_iter();
        let merge =
            |(own, peeked): (Result<AccountState, StoreError>, &mut Option<AccountState>)| {
                let restrictions = match peeked.take() {
                    Some(state) => Some(Ok(state)),
                    None => asked.next(),
                };
                // If one half answers for too few users, so does the whole.
                Some(restrictions?.and_then(|state| Ok(own?.merged_with(&state))))
            };
        own.into_iter().zip(&mut peeked).map_while(merge).collect()
    }

    async fn access_token_and_state(&self, token: &str) -> Result<Option<Account>, StoreError> {
        let Some(Account { user, state }) = self.own.access_token_and_state(token).await? else {
            return Ok(None);
        };
        match self.restrictions_of(&user).await {
            Ok(restrictions) => Ok(Some(Account::new(user, state.merged_with(&restrictions)))),
            Err(error) => Err(error.with_account(&user)),
        }
    }

    fn peek(&self, credential: Credential<'_>) -> Peek {
        let Account { user, state } = match self.own.peek(credential) {
            Peek::Account(account) => account,
            other => return other,
        };
        match self.restrictions.peek_state_of(&user) {
            Some(restrictions) => {
                Peek::Account(Account::new(user, state.merged_with(&restrictions)))
            }
            None => Peek::Ask,
        }
    }

    fn peek_state(&self, user: &str) -> Option<AccountState> {
        let own = self.own.peek_state(user)?;
        Some(own.merged_with(&self.restrictions.peek_state_of(user)?))
    }

    fn changes(&self) -> Option<Changes> {
        self.changes.clone()
    }
}

impl<O, R> fmt::Debug for Combined<O, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Combined").finish_non_exhaustive()
    }
}

/// The announcements of both halves, believed as long as both are.
fn of_both(own: Option<Changes>, other: Option<Changes>) -> Option<Changes> {
    match (own, other) {
        (Some(own), Some(other)) => Some(Changes::relaying([own, other])),
        (own, other) => own.or(other),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        sync::Arc,
        task::{Context, Waker},
    };

    use super::Combined;
    use crate::{
        account::{AccountState, Flags, RestrictionKind::*, UserId},
        changes::Changes,
        credential::Credential,
        store::{AccountStateStore, Answer, Peek, StoreError, memory::MemoryStore},
    };

    /// A server with a deactivation of its own, which answers from memory.
    struct Own(Changes);

    impl AccountStateStore for Own {
        const RESOLVES_AT_ONCE: bool = true;

        async fn access_token(&self, token: &str) -> Answer {
            Ok((token != "unknown").then(|| UserId::local(token, "x")))
        }

        async fn state(&self, user: &str) -> Result<AccountState, StoreError> {
            let deactivated = user == "@gone:x";
            Ok(AccountState::from(Flags {
                deactivated,
                locked: false,
                suspended: false,
            }))
        }

        async fn event_sender(&self, _: &str, event: &str) -> Answer {
            Ok(Some(UserId::local(event, "x")))
        }

        crate::without! {
            application_service, login_name, third_party, login_token, refresh_token
        }

        fn changes(&self) -> Option<Changes> {
            Some(self.0.clone())
        }
    }

    fn combined() -> (Combined<Own, Arc<MemoryStore>>, Arc<MemoryStore>) {
        let restrictions = Arc::new(MemoryStore::new());
        let store = Combined::new(Own(Changes::new()), Arc::clone(&restrictions));
        (store, restrictions)
    }

    #[tokio::test]
    async fn rule_4_the_servers_own_state_and_the_other_are_one() {
        let (store, restrictions) = combined();
        restrictions.restrict("@gone:x", Suspended);
        restrictions.restrict("@alice:x", Locked);
        let gone: AccountState = [Deactivated, Suspended].into_iter().collect();
        let credential = |token| Credential::AccessToken(<&str>::into(token));
        for (token, state) in [("gone", gone), ("alice", Locked.into())] {
            let account = store.access_token_and_state(token).await.unwrap();
            assert_eq!(account.as_ref().map(|account| &account.state), Some(&state));
            assert_eq!(store.peek(credential(token)), Peek::from(account));
            let user = UserId::local(token, "x");
            assert_eq!(store.state(&user).await.unwrap(), state);
            assert_eq!(store.peek_state(&user), Some(state));
        }
        assert_eq!(store.peek(credential("unknown")), Peek::Unknown);
        let sender = store.event_sender("!room:x", "alice").await.unwrap();
        assert_eq!(sender.unwrap(), "@alice:x");
    }

    #[test]
    fn rule_17_the_news_of_both_halves_are_announced() {
        let (store, restrictions) = combined();
        let changes = store.changes().expect("both halves announce");
        let mut context = Context::from_waker(Waker::noop());
        let tellers: [&dyn Fn(); 2] = [&|| store.own().0.announce("@alice:x"), &|| {
            restrictions.restrict("@alice:x", Locked);
        }];
        for tell in tellers {
            let mut subscription = changes.subscribe("@alice:x");
            tell();
            let mut changed = pin!(subscription.changed());
            assert!(changed.as_mut().poll(&mut context).is_ready());
        }
    }
}
