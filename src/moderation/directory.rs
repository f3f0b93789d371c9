//! The questions that only the server can answer: who asks, who is an administrator, and which users exist.

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
/// That trait asks whose restrictions count, and an expired token still belongs to its account. This trait
/// gives somebody an administrator's powers, so [`authenticate`](Self::authenticate) must be as strict as
/// the server's own handlers. It must not answer from a cache in which a revoked token lives on.
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
    /// The error if a question cannot be answered. Operators see it, clients never do. It must not hold a
    /// credential.
    type Error: Into<StoreError> + Send;

    /// The user of a request with this token, which is text.
    ///
    /// The token alone counts. A `user_id` parameter never makes an application service an administrator. Its
    /// token belongs to its own account, or is [unknown](Authentication::Unknown) here.
    fn authenticate(
        &self,
        token: &str,
    ) -> impl Future<Output = Result<Authentication, Self::Error>> + Send;

    /// Whether `user` is an administrator of this server. A user of another server and an unknown user are not.
    ///
    /// The layer asks about the requester first. It asks about the target only if the requester is one.
    fn is_administrator(
        &self,
        user: &UserId,
    ) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// Whether `user` is a user id of this server, even if there is no such account. A text that is no user id
    /// is not.
    fn is_local(&self, user: &UserId) -> bool;

    /// Whether there is an account of that name that is not deactivated. The layer asks only on behalf of an
    /// administrator, and only about local users.
    ///
    /// A deactivation in the [`RestrictionStore`](crate::RestrictionStore) counts without an answer here.
    fn exists(&self, user: &UserId) -> impl Future<Output = Result<bool, Self::Error>> + Send;
}

/// The identity that an access token proves.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Authentication {
    /// The request comes from this user.
    User(UserId),
    /// None, because the server does not know the token: 401 `M_UNKNOWN_TOKEN`. The client then forgets the
    /// session.
    Unknown,
    /// None, because the token has expired, but the session goes on: 401 `M_UNKNOWN_TOKEN` with
    /// `soft_logout: true`. The client then uses its refresh token or logs in again, and keeps its keys.
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
