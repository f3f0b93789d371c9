//! Where the layer learns whose a credential is and what that account may do.
#![cfg_attr(
    all(feature = "cache", feature = "postgres", feature = "sqlite"),
    doc = "",
    doc = include_str!("../../docs/stores.md")
)]

#[cfg(feature = "cache")]
mod cached;
mod combined;
mod erased;
mod forward;
mod memory;
#[cfg(feature = "postgres")]
#[cfg_attr(docsrs, doc(cfg(feature = "postgres")))]
pub mod postgres;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod restricted_set;
mod restrictions;
#[cfg(feature = "sqlite")]
#[cfg_attr(docsrs, doc(cfg(feature = "sqlite")))]
pub mod sqlite;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod stored;

use std::{error::Error, future::Future};

#[cfg(feature = "cache")]
#[cfg_attr(docsrs, doc(cfg(feature = "cache")))]
pub use cached::{CacheHandle, CacheStats, CachedStore, CachedStoreError};
pub use combined::{AtOnce, ByToken, Combined, CredentialOwner, PeekOwner};
pub use erased::DynAccountStateStore;
pub use memory::MemoryStore;
#[cfg(feature = "postgres")]
pub use postgres::PostgresStore;
pub use restrictions::{RestrictionRecord, RestrictionStore};
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;

use crate::{
    account::{Account, AccountState, UserId},
    changes::Changes,
    credential::{Credential, Secret},
};

/// Answers the two questions of the [layer](crate::AccountStatusLayer): whose is this credential,
/// and in which state is this account.
///
/// Implement it on what your server already has; both methods are plain `async fn`s.
///
/// ```
/// use tower_account_status::{AccountState, AccountStateStore, Credential, RestrictionKind, UserId};
/// # use std::convert::Infallible;
/// # struct Database;
/// # impl Database {
/// #     async fn owner_of_token(&self, _: &str) -> Result<Option<String>, Infallible> { Ok(None) }
/// #     async fn is_locked(&self, _: &str) -> Result<bool, Infallible> { Ok(false) }
/// # }
/// struct Homeserver { database: Database }
///
/// impl AccountStateStore for Homeserver {
///     type Error = Infallible; // your database's error
///
///     async fn account(&self, credential: Credential<'_>) -> Result<Option<UserId>, Self::Error> {
///         let Credential::AccessToken(access) = credential else { return Ok(None) };
///         let Some(token) = access.token().expose_str() else { return Ok(None) };
///         Ok(self.database.owner_of_token(token).await?.map(UserId::from))
///     }
///
///     async fn state(&self, user: &UserId) -> Result<AccountState, Self::Error> {
///         Ok(match self.database.is_locked(user).await? {
///             true => RestrictionKind::Locked.into(),
///             false => AccountState::ACTIVE,
///         })
///     }
/// }
/// ```
///
/// # Four mistakes that the natural mapping makes
///
/// 1. **A look-up consumes nothing.** A login token is peeked at, not used up; a refresh token is
///    not rotated. The layer asks *before* the handler, which does that work itself.
/// 2. **An access token that has expired but is still known belongs to its account.** Answer with
///    the owner. A locked account then gets `M_USER_LOCKED`, where `M_UNKNOWN_TOKEN` would make
///    its client refresh, and sign out, keys and all, when that is refused. The expired token of
///    an unrestricted account goes on to the inner service, which says what it always said.
/// 3. **Deactivated comes from a flag of its own**, never from a missing password: the users of
///    application services, and the system's own, have none either. And a user without a row is
///    [active](AccountState::ACTIVE), not an error.
/// 4. **A server that deactivates an account goes on deleting its tokens.** The layer stands
///    behind that for the moment in which a token is still known, and on `/login`; it does not
///    replace it.
///
/// # Failing
///
/// An `Err`, a panic, or a future that outlasts the
/// [time limit](crate::AccountStatusLayer::with_store_timeout) is answered with 503, or as
/// [the setting](crate::StoreFailure) says, and never with a 401. The future is dropped when the
/// time limit passes or the client goes away, at any await point; what it had borrowed from a pool
/// must find its way back then.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say whose a credential is and in which state an account is",
    label = "needs an `AccountStateStore`",
    note = "implement `AccountStateStore` for your server's state: two `async fn`s, `account` and `state`",
    note = "to try the layer out, or in tests, use `MemoryStore`"
)]
pub trait AccountStateStore: Send + Sync + 'static {
    /// Why a question could not be answered. It is shown to operators and never to clients; it
    /// must not hold a credential.
    type Error: Into<Box<dyn Error + Send + Sync>> + Send;

    /// Whose `credential` is: `None` if it is nobody's, and then the inner service answers.
    ///
    /// A kind of credential that the server does not know, or will know only in a later version
    /// of this crate, is nobody's.
    fn account(
        &self,
        credential: Credential<'_>,
    ) -> impl Future<Output = Result<Option<UserId>, Self::Error>> + Send;

    /// In which state the account of `user` is. A user who is not known is
    /// [active](AccountState::ACTIVE).
    fn state(
        &self,
        user: &UserId,
    ) -> impl Future<Output = Result<AccountState, Self::Error>> + Send;

    /// Both questions in one: override it where one query answers both.
    fn account_and_state(
        &self,
        credential: Credential<'_>,
    ) -> impl Future<Output = Result<Option<Account>, Self::Error>> + Send {
        async move {
            let Some(user) = self.account(credential).await? else {
                return Ok(None);
            };
            let state = self.state(&user).await?;
            Ok(Some(Account { user, state }))
        }
    }

    /// Both questions, answered at once or not at all.
    ///
    /// Called on every request that carries a credential, and where it answers, nothing is
    /// awaited and nothing allocated. It must not block: answer from memory, or with what takes
    /// microseconds. The default always says [`Peek::Ask`].
    fn peek(&self, credential: Credential<'_>) -> Peek {
        let _ = credential;
        Peek::Ask
    }

    /// The second question alone, answered at once or, with `None`, not at all. The default never
    /// answers.
    fn peek_state(&self, user: &UserId) -> Option<AccountState> {
        let _ = user;
        None
    }

    /// Whether [`peek`](Self::peek) would answer with an account that has no restriction.
    ///
    /// A shortcut for the one question that every healthy request asks, for stores that can
    /// answer it without making a [`UserId`]. It has to agree with `peek`.
    #[inline]
    fn is_active(&self, credential: Credential<'_>) -> bool {
        matches!(self.peek(credential), Peek::Account(account) if account.state.is_active())
    }

    /// Who has sent an event, by its room and its id: asked when a suspended account redacts, for
    /// its own events it may. `None`, the default, is that nobody knows, and then
    /// [a setting](crate::SuspensionPolicy::with_unattributed_redactions) decides.
    fn event_sender(
        &self,
        room: &str,
        event: &str,
    ) -> impl Future<Output = Result<Option<UserId>, Self::Error>> + Send {
        let _ = (room, event);
        async { Ok(None) }
    }

    /// Whether `token` is an application service's, so that a `user_id` parameter beside it means
    /// something.
    ///
    /// Asked by a cache in front of this store, and only about a request that carries such a
    /// parameter. Where the answer is no, the cache leaves the [asserted user] out: it is no part
    /// of what it keeps, so that nobody fills it by making names up, and it does not reach
    /// [`account`](Self::account). So a store that heeds the asserted user has to answer this
    /// too. It must not block, which it need not: a server has the registrations of its
    /// application services in memory. The default says that no token is.
    ///
    /// [asserted user]: crate::AccessToken::asserted_user
    fn is_application_service(&self, token: Secret<'_>) -> bool {
        let _ = token;
        false
    }

    /// Where this store announces that an account's state has changed, if it does.
    ///
    /// The layer listens there to end long polls. Without one it makes a [`Changes`] of its own,
    /// to which the server announces (see [`AccountStatusLayer::changes`]).
    ///
    /// A change may be announced only when every answer that the store gives from then on shows
    /// it: a cache drops its entry first, and then announces.
    ///
    /// [`AccountStatusLayer::changes`]: crate::AccountStatusLayer::changes
    fn changes(&self) -> Option<Changes> {
        None
    }
}

/// What a store can say at once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Peek {
    /// Nothing: the store has to be asked, and awaited.
    Ask,
    /// The credential is nobody's.
    Nobody,
    /// The credential is this account's, which is in this state.
    Account(Account),
}
