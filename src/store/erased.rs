//! A store whose type is chosen at run time.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use super::{AccountStateStore, Answer, Peek, StoreError, account_state::owner};
use crate::{
    account::{Account, AccountState, UserId},
    changes::Changes,
    credential::{Credential, LoginToken, Logout, ThirdParty},
};

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;
type States<'a> = Pin<Box<dyn Future<Output = Vec<Result<AccountState, StoreError>>> + Send + 'a>>;

/// Any [`AccountStateStore`]. A server that chooses its store at run time uses it.
///
/// An answer at once costs no more than with the store itself. An awaited question costs one allocation
/// more. A clone is the same store.
///
/// ```
/// use tower_account_status::{DynAccountStateStore, MemoryStore};
///
/// let store = DynAccountStateStore::new(MemoryStore::new()); // or what the configuration says
/// ```
#[derive(Clone)]
pub struct DynAccountStateStore(Arc<dyn ErasedStore>);

impl DynAccountStateStore {
    /// Forgets the store's type.
    #[must_use]
    pub fn new(store: impl AccountStateStore) -> Self {
        Self(Arc::new(store))
    }
}

impl fmt::Debug for DynAccountStateStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynAccountStateStore")
            .finish_non_exhaustive()
    }
}

impl AccountStateStore for DynAccountStateStore {
    async fn access_token(&self, token: &str) -> Answer {
        let credential = Credential::AccessToken(token.into());
        self.0.owner_boxed(credential).await
    }

    async fn application_service(&self, token: &str) -> Answer {
        let credential = Credential::ApplicationService(token.into());
        self.0.owner_boxed(credential).await
    }

    async fn login_name(&self, name: &str) -> Answer {
        self.0.owner_boxed(Credential::LoginName(name)).await
    }

    async fn third_party(&self, id: ThirdParty<'_>) -> Answer {
        self.0.owner_boxed(Credential::ThirdParty(id)).await
    }

    async fn login_token(&self, token: &str, login_type: Option<&str>) -> Answer {
        let credential = Credential::LoginToken(LoginToken::new(token, login_type));
        self.0.owner_boxed(credential).await
    }

    async fn refresh_token(&self, token: &str) -> Answer {
        let credential = Credential::RefreshToken(token.into());
        self.0.owner_boxed(credential).await
    }

    async fn state(&self, user: &str) -> Result<AccountState, StoreError> {
        self.0.state_boxed(user).await
    }

    async fn states(&self, users: &[UserId]) -> Vec<Result<AccountState, StoreError>> {
        self.0.states_boxed(users).await
    }

    fn changes(&self) -> Option<Changes> {
        self.0.changes_erased()
    }

    async fn access_token_and_state(&self, token: &str) -> Result<Option<Account>, StoreError> {
        self.0.access_token_and_state_boxed(token).await
    }

    async fn event_sender(&self, room: &str, event: &str) -> Answer {
        self.0.event_sender_boxed(room, event).await
    }

    fn logged_out(&self, token: &str, logout: Logout) {
        self.0.logged_out_erased(token, logout);
    }

    fn peek(&self, credential: Credential<'_>) -> Peek {
        self.0.peek_erased(credential)
    }

    fn peek_state(&self, user: &str) -> Option<AccountState> {
        self.0.peek_state_erased(user)
    }

    fn glance(&self, credential: Credential<'_>) -> Option<Peek> {
        self.0.glance_erased(credential)
    }
}

/// The same trait with boxed futures, so that it can be a trait object.
trait ErasedStore: Send + Sync {
    fn owner_boxed<'a>(&'a self, credential: Credential<'a>) -> BoxFuture<'a, Option<UserId>>;
    fn state_boxed<'a>(&'a self, user: &'a str) -> BoxFuture<'a, AccountState>;
    fn states_boxed<'a>(&'a self, users: &'a [UserId]) -> States<'a>;
    fn access_token_and_state_boxed<'a>(&'a self, token: &'a str)
    -> BoxFuture<'a, Option<Account>>;
    fn event_sender_boxed<'a>(
        &'a self,
        room: &'a str,
        event: &'a str,
    ) -> BoxFuture<'a, Option<UserId>>;
    fn peek_erased(&self, credential: Credential<'_>) -> Peek;
    fn peek_state_erased(&self, user: &str) -> Option<AccountState>;
    fn glance_erased(&self, credential: Credential<'_>) -> Option<Peek>;
    fn changes_erased(&self) -> Option<Changes>;
    fn logged_out_erased(&self, token: &str, logout: Logout);
}

impl<S: AccountStateStore> ErasedStore for S {
    fn owner_boxed<'a>(&'a self, credential: Credential<'a>) -> BoxFuture<'a, Option<UserId>> {
        Box::pin(owner(self, credential))
    }

    fn state_boxed<'a>(&'a self, user: &'a str) -> BoxFuture<'a, AccountState> {
        Box::pin(self.state(user))
    }

    fn states_boxed<'a>(&'a self, users: &'a [UserId]) -> States<'a> {
        Box::pin(self.states(users))
    }

    fn access_token_and_state_boxed<'a>(
        &'a self,
        token: &'a str,
    ) -> BoxFuture<'a, Option<Account>> {
        Box::pin(self.access_token_and_state(token))
    }

    fn event_sender_boxed<'a>(
        &'a self,
        room: &'a str,
        event: &'a str,
    ) -> BoxFuture<'a, Option<UserId>> {
        Box::pin(self.event_sender(room, event))
    }

    fn peek_erased(&self, credential: Credential<'_>) -> Peek {
        self.peek(credential)
    }

    fn peek_state_erased(&self, user: &str) -> Option<AccountState> {
        self.peek_state(user)
    }

    fn glance_erased(&self, credential: Credential<'_>) -> Option<Peek> {
        self.glance(credential)
    }

    fn changes_erased(&self) -> Option<Changes> {
        self.changes()
    }

    fn logged_out_erased(&self, token: &str, logout: Logout) {
        self.logged_out(token, logout);
    }
}
