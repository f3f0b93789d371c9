//! The same judge for a server's own code.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Weak},
};

use bytes::Bytes;
use http::Method;

use crate::{
    account::{AccountState, UserId},
    action::Action,
    denial::{Denial, DenialCause},
    request::act::{Act, Event},
    shared::Shared,
    store::AccountStateStore,
};

/// The endpoint of refreshes, under one of its prefixes.
const REFRESH: &str = "/_matrix/client/v3/refresh";

/// Checks an account in a server's own code with the layer's rules and settings. Use it in login
/// handlers, single sign-on callbacks, OAuth token endpoints, websockets and administrators' tools.
///
/// ```
/// use tower_account_status::{AccountGuard, Denial, UserId};
///
/// async fn log_in(guard: &AccountGuard, user: &UserId) -> Result<(), Denial> {
///     // … the password is right, and no device has been made yet:
///     guard.check(user).await?;
///     Ok(())
/// }
/// ```
///
/// # Obtaining a guard, and how long it works
///
/// A guard from [`AccountStatusLayer::guard`] may be kept in the server's state, even in the
/// state that is itself the store: it does not keep the layer alive. It works as long as the
/// layer, or a service that the layer made, lives. After that it refuses everything with
/// [`DenialCause::LayerGone`].
///
/// If a check is left to the handler ([`NamedAccountCheck::ByHandler`]), a guard is in the request's
/// extensions. It works as long as it lives.
///
/// A clone is the same guard.
///
/// # Settings of the layer
///
/// - With [`with_report_only`] no check fails. The observer hears of what would be refused.
/// - With [`StoreFailure::LetEveryoneThrough`] no check fails because of the store.
/// - The observer hears of what is refused or would be refused, and of what passes unchecked. It
///   does not hear of what passes, because the layer reports the request itself.
///
/// # Sessions of user-interactive authentication
///
/// Some servers keep the first body of such a session and take from it what a later body leaves
/// out. The layer sees each body as it was sent. It refuses `POST /login` and `POST /refresh` with
/// an `auth`, because neither has one in the specification. On endpoints that have an `auth`, a
/// handler that merges bodies has to check the merged body:
///
/// - [`check`](Self::check) the account for which it acts, unless that is the owner of the request's access
///   token, before it makes a device, changes a password or deactivates;
/// - [`check_action`](Self::check_action) the action of the merged body, if a suspended account may do one
///   thing by that endpoint and not another.
///
/// The same holds for a handler that accepts a session as proof of an earlier step, such as an
/// e-mail, because then no body names the account.
///
/// [`AccountStatusLayer::guard`]: crate::AccountStatusLayer::guard
/// [`NamedAccountCheck::ByHandler`]: crate::NamedAccountCheck::ByHandler
/// [`with_report_only`]: crate::AccountStatusLayer::with_report_only
/// [`StoreFailure::LetEveryoneThrough`]: crate::StoreFailure::LetEveryoneThrough
#[derive(Clone)]
pub struct AccountGuard(Held);

#[derive(Clone)]
enum Held {
    Weak(Weak<dyn Checks>),
    Strong {
        checks: Arc<dyn Checks>,
        /// Whether the request is a refresh.
        is_refresh: bool,
    },
}

impl AccountGuard {
    /// A guard that the server may keep. It is weak, because a store that holds a strong one would never be
    /// freed.
    pub(crate) fn weak<S: AccountStateStore>(shared: &Arc<Shared<S>>) -> Self {
        let weak = Arc::downgrade(shared);
        Self(Held::Weak(weak))
    }

    /// A guard for one request, which may outlive the service that it was sent to.
    pub(crate) fn strong<S: AccountStateStore>(shared: Arc<Shared<S>>, is_refresh: bool) -> Self {
        Self(Held::Strong {
            checks: shared,
            is_refresh,
        })
    }

    /// Whether `user` may log in and use the server: not while locked or deactivated.
    ///
    /// The handler of `POST /refresh` asks [`check_refresh`](Self::check_refresh) instead. A guard from the
    /// extensions of such a request asks that by itself.
    ///
    /// # Errors
    ///
    /// A denial that turns into the response of the layer. It has the reason and the end if the store knows
    /// them, so ask only after the person has proved who they are. Unless
    /// [the settings](#settings-of-the-layer) say otherwise, also if the store fails or does not answer
    /// within the layer's time limit.
    pub async fn check(&self, user: &UserId) -> Result<(), Denial> {
        match self.0 {
            Held::Strong {
                is_refresh: true, ..
            } => self.check_refresh(user).await,
            _ => self.check_action(user, Action::LogIn).await,
        }
    }

    /// Whether `user`, the owner of a refresh token, may have a new access token. For the handler of
    /// `POST /refresh`, before it uses up the refresh token.
    ///
    /// Clients such as matrix-js-sdk sign out and delete their keys when a Matrix error answers a refresh. So a
    /// store that fails lets it pass, as in the layer, because the new token is checked when it is used. A
    /// denial for another reason than a restriction turns into plain text.
    ///
    /// # Errors
    ///
    /// A denial, if `user` is locked or deactivated, or if the layer is gone.
    pub async fn check_refresh(&self, user: &UserId) -> Result<(), Denial> {
        let act = Act::Request {
            method: &Method::POST,
            path: REFRESH,
        };
        let checks = self.checks().map_err(Denial::of_refresh)?;
        checks.check(user, act, Bytes::new()).await
    }

    /// Whether `user` may do something. A locked or deactivated user may only log out. A suspended user may
    /// do what the [policy](crate::SuspensionPolicy) permits.
    ///
    /// Use it for an action that the request's head and body do not show, such as the redaction of an event
    /// that turns out to be somebody else's ([`Action::RedactEvent`]).
    ///
    /// # Errors
    ///
    /// As for [`check`](Self::check).
    pub async fn check_action(&self, user: &UserId, action: Action) -> Result<(), Denial> {
        let act = Act::Action(action);
        self.checks()?.check(user, act, Bytes::new()).await
    }

    /// Whether `user` may send an event to `room`: a state event if there is a `state_key`, else a message
    /// event.
    ///
    /// The answer is the one to the request `PUT /_matrix/client/v3/rooms/{room}/send/…` or `…/state/…`:
    /// rooms for appeals, memberships and redactions count as there. Use it in code that sends events
    /// without such a request: a websocket, a scheduler, a bridge. `content` is the JSON of the event's
    /// content. In a redaction's content, `redacts` has the event's id.
    ///
    /// # Errors
    ///
    /// As for [`check`](Self::check).
    pub async fn check_event(
        &self,
        user: &UserId,
        room_id: &str,
        event_type: &str,
        state_key: Option<&str>,
        content: &[u8],
    ) -> Result<(), Denial> {
        let act = Act::Event(Event {
            room_id,
            event_type,
            state_key,
            content,
        });
        self.checks()?.check(user, act, Bytes::new()).await
    }

    /// Whether the layer would let a request of `user` pass. `path` is the path as the client would send it,
    /// without the query. The body is read only if a suspension depends on it.
    ///
    /// A request that passes the layer in every state passes here, too.
    ///
    /// # Errors
    ///
    /// As for [`check`](Self::check).
    pub async fn check_request(
        &self,
        user: &UserId,
        method: &Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Result<(), Denial> {
        let act = Act::Request { method, path };
        self.checks()?.check(user, act, body.into()).await
    }

    /// The state of `user`, within the layer's time limit.
    ///
    /// # Errors
    ///
    /// A denial with [`DenialCause::StoreFailed`] if the store fails, panics or takes too long,
    /// whatever the settings say.
    pub async fn state(&self, user: &UserId) -> Result<AccountState, Denial> {
        self.checks()?.state(user).await
    }

    fn checks(&self) -> Result<Arc<dyn Checks>, Denial> {
        let checks = match &self.0 {
            Held::Weak(checks) => checks.upgrade(),
            Held::Strong { checks, .. } => Some(Arc::clone(checks)),
        };
        checks.ok_or_else(|| {
            #[cfg(feature = "tracing")]
            tracing::error!(
                "a guard was asked after its layer and all of the layer's services were dropped"
            );
            Denial::from_cause(DenialCause::LayerGone)
        })
    }
}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, Denial>> + Send + 'a>>;

/// The layer's state without the store's type: a guard is named in the server's own state, and
/// a store that holds a closure has no name.
trait Checks: Send + Sync {
    fn check<'a>(&'a self, user: &'a UserId, act: Act<'a>, body: Bytes) -> BoxFuture<'a, ()>;
    fn state<'a>(&'a self, user: &'a UserId) -> BoxFuture<'a, AccountState>;
    fn debug(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

impl<S: AccountStateStore> Checks for Shared<S> {
    fn check<'a>(&'a self, user: &'a UserId, act: Act<'a>, body: Bytes) -> BoxFuture<'a, ()> {
        Box::pin(self.check_own(user, act, body))
    }

    fn state<'a>(&'a self, user: &'a UserId) -> BoxFuture<'a, AccountState> {
        Box::pin(self.state_or_denial(user))
    }

    fn debug(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.settings, f)
    }
}

impl fmt::Debug for AccountGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Settings<'a>(&'a dyn Checks);
        impl fmt::Debug for Settings<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.debug(f)
            }
        }
        let checks = match &self.0 {
            Held::Weak(checks) => checks.upgrade(),
            Held::Strong { checks, .. } => Some(Arc::clone(checks)),
        };
        let mut tuple = f.debug_tuple("AccountGuard");
        match &checks {
            Some(checks) => tuple.field(&Settings(&**checks)).finish(),
            None => tuple.field(&"its layer was dropped").finish(),
        }
    }
}
