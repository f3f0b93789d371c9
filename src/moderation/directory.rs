//! What only the server knows: who asks, who is an administrator, and which users there are.

use std::{future::Future, sync::Arc};

use crate::{account::UserId, store::StoreError};

/// Answers the questions of the [moderation layer](crate::AccountModerationLayer) about the
/// server's users.
///
/// ```
/// use tower_account_status::{AccountDirectory, Authentication, UserId};
/// # use std::convert::Infallible;
/// # struct Database;
/// # struct Row { user: String, has_expired: bool }
/// # impl Database {
/// #     async fn session(&self, _: &str) -> Result<Option<Row>, Infallible> { Ok(None) }
/// #     async fn is_admin(&self, _: &str) -> Result<bool, Infallible> { Ok(false) }
/// #     async fn has_active_user(&self, _: &str) -> Result<bool, Infallible> { Ok(false) }
/// # }
/// struct Homeserver { database: Database }
///
/// impl AccountDirectory for Homeserver {
///     type Error = Infallible; // your database's error
///
///     async fn authenticate(&self, token: &str) -> Result<Authentication, Infallible> {
///         Ok(match self.database.session(token).await? {
///             None => Authentication::Unknown,
///             Some(session) if session.has_expired => Authentication::Expired,
///             Some(session) => Authentication::User(session.user.into()),
///         })
///     }
///
///     async fn is_administrator(&self, user: &UserId) -> Result<bool, Infallible> {
///         self.database.is_admin(user).await
///     }
///
///     fn is_local(&self, user: &UserId) -> bool {
///         user.server_name() == Some("example.org")
///     }
///
///     async fn exists(&self, user: &UserId) -> Result<bool, Infallible> {
///         self.database.has_active_user(user).await
///     }
/// }
/// ```
///
/// # How it differs from [`AccountStateStore`](crate::AccountStateStore)
///
/// That trait asks whose restrictions count, and wants an expired token to belong to its account
/// still. Here somebody is given an administrator's powers: [`authenticate`](Self::authenticate)
/// has to be as strict as the server's own handlers are. It must not be answered from a cache
/// that a revoked token can outlive.
///
/// # When the directory fails
///
/// An `Err`, a panic, or a future that outlasts the
/// [time limit](crate::AccountModerationLayer::with_store_timeout) is answered with 503, never
/// with a 401.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say who is an administrator and which users exist",
    label = "needs an `AccountDirectory`",
    note = "implement `AccountDirectory` for your server's state"
)]
pub trait AccountDirectory: Send + Sync + 'static {
    /// Why a question could not be answered. It is shown to operators and never to clients; it
    /// must not hold a credential.
    type Error: Into<StoreError> + Send;

    /// Whose request it is that carries this token, which is text.
    ///
    /// The token alone counts: a `user_id` parameter never makes an administrator of the
    /// application service that writes it there. Its token is that of its own account, or
    /// [unknown](Authentication::Unknown) here.
    fn authenticate(
        &self,
        token: &str,
    ) -> impl Future<Output = Result<Authentication, Self::Error>> + Send;

    /// Whether `user` is a server administrator, whatever that means on this server. A user of
    /// another server, and one who is not known, is none.
    ///
    /// Asked about the requester first, and about the target only if the requester is one.
    fn is_administrator(
        &self,
        user: &UserId,
    ) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// Whether `user` would be an account of this server, if there were one of that name. What is
    /// no user id at all is not.
    fn is_local(&self, user: &UserId) -> bool;

    /// Whether there is an account of that name which has not been deactivated. Asked only on
    /// behalf of an administrator, and only about local users.
    ///
    /// A deactivation that is in the [`RestrictionStore`](crate::RestrictionStore) counts
    /// without being told here.
    fn exists(&self, user: &UserId) -> impl Future<Output = Result<bool, Self::Error>> + Send;
}

/// What an access token proves.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Authentication {
    /// The request is this user's.
    User(UserId),
    /// Nothing: the server does not know the token. 401 `M_UNKNOWN_TOKEN`, on which the client
    /// forgets the session.
    Unknown,
    /// Nothing any more, but the session goes on: 401 `M_UNKNOWN_TOKEN` with `soft_logout: true`,
    /// on which the client uses its refresh token or logs in again, and keeps its keys.
    Expired,
}

/// A token without an owner is [unknown](Authentication::Unknown).
impl From<Option<UserId>> for Authentication {
    fn from(user: Option<UserId>) -> Self {
        user.map_or(Self::Unknown, Self::User)
    }
}

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<D: AccountDirectory + ?Sized> AccountDirectory for $pointer {
            type Error = D::Error;

            fn authenticate(
                &self,
                token: &str,
            ) -> impl Future<Output = Result<Authentication, Self::Error>> + Send {
                D::authenticate(self, token)
            }

            fn is_administrator(
                &self,
                user: &UserId,
            ) -> impl Future<Output = Result<bool, Self::Error>> + Send {
                D::is_administrator(self, user)
            }

            fn is_local(&self, user: &UserId) -> bool {
                D::is_local(self, user)
            }

            fn exists(
                &self,
                user: &UserId,
            ) -> impl Future<Output = Result<bool, Self::Error>> + Send {
                D::exists(self, user)
            }
        }
    )*};
}

forward!(Arc<D>, Box<D>, &'static D);
