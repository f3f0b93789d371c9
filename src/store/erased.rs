//! A store whose type is chosen at run time.

use std::{error::Error, fmt, future::Future, pin::Pin, sync::Arc};

use super::{AccountStateStore, Peek};
use crate::{
    account::{Account, AccountState, UserId},
    changes::Changes,
    credential::{Credential, Secret},
};

type BoxError = Box<dyn Error + Send + Sync>;
type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send + 'a>>;

/// Any [`AccountStateStore`], for servers that choose theirs at run time.
///
/// What is answered at once costs no more than with the store itself; an awaited question costs
/// one allocation more. A clone is the same store.
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
    type Error = BoxError;

    async fn account(&self, credential: Credential<'_>) -> Result<Option<UserId>, BoxError> {
        self.0.account_boxed(credential).await
    }

    async fn state(&self, user: &UserId) -> Result<AccountState, BoxError> {
        self.0.state_boxed(user).await
    }

    async fn account_and_state(
        &self,
        credential: Credential<'_>,
    ) -> Result<Option<Account>, BoxError> {
        self.0.account_and_state_boxed(credential).await
    }

    fn peek(&self, credential: Credential<'_>) -> Peek {
        self.0.peek_erased(credential)
    }

    fn peek_state(&self, user: &UserId) -> Option<AccountState> {
        self.0.peek_state_erased(user)
    }

    fn is_active(&self, credential: Credential<'_>) -> bool {
        self.0.is_active_erased(credential)
    }

    async fn event_sender(&self, room: &str, event: &str) -> Result<Option<UserId>, BoxError> {
        self.0.event_sender_boxed(room, event).await
    }

    fn is_application_service(&self, token: Secret<'_>) -> bool {
        self.0.is_application_service_erased(token)
    }

    fn changes(&self) -> Option<Changes> {
        self.0.changes_erased()
    }
}

/// The same trait with its futures boxed, so that it can be a trait object.
trait ErasedStore: Send + Sync {
    fn account_boxed<'a>(&'a self, credential: Credential<'a>) -> BoxFuture<'a, Option<UserId>>;
    fn state_boxed<'a>(&'a self, user: &'a UserId) -> BoxFuture<'a, AccountState>;
    fn account_and_state_boxed<'a>(
        &'a self,
        credential: Credential<'a>,
    ) -> BoxFuture<'a, Option<Account>>;
    fn event_sender_boxed<'a>(
        &'a self,
        room: &'a str,
        event: &'a str,
    ) -> BoxFuture<'a, Option<UserId>>;
    fn peek_erased(&self, credential: Credential<'_>) -> Peek;
    fn peek_state_erased(&self, user: &UserId) -> Option<AccountState>;
    fn is_active_erased(&self, credential: Credential<'_>) -> bool;
    fn is_application_service_erased(&self, token: Secret<'_>) -> bool;
    fn changes_erased(&self) -> Option<Changes>;
}

impl<S: AccountStateStore> ErasedStore for S {
    fn account_boxed<'a>(&'a self, credential: Credential<'a>) -> BoxFuture<'a, Option<UserId>> {
        Box::pin(async move { self.account(credential).await.map_err(Into::into) })
    }

    fn state_boxed<'a>(&'a self, user: &'a UserId) -> BoxFuture<'a, AccountState> {
        Box::pin(async move { self.state(user).await.map_err(Into::into) })
    }

    fn account_and_state_boxed<'a>(
        &'a self,
        credential: Credential<'a>,
    ) -> BoxFuture<'a, Option<Account>> {
        Box::pin(async move { self.account_and_state(credential).await.map_err(Into::into) })
    }

    fn event_sender_boxed<'a>(
        &'a self,
        room: &'a str,
        event: &'a str,
    ) -> BoxFuture<'a, Option<UserId>> {
        Box::pin(async move { self.event_sender(room, event).await.map_err(Into::into) })
    }

    fn peek_erased(&self, credential: Credential<'_>) -> Peek {
        self.peek(credential)
    }

    fn peek_state_erased(&self, user: &UserId) -> Option<AccountState> {
        self.peek_state(user)
    }

    fn is_active_erased(&self, credential: Credential<'_>) -> bool {
        self.is_active(credential)
    }

    fn is_application_service_erased(&self, token: Secret<'_>) -> bool {
        self.is_application_service(token)
    }

    fn changes_erased(&self) -> Option<Changes> {
        self.changes()
    }
}
