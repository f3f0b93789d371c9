//! The layer and its settings.

use std::{fmt, marker::PhantomData, sync::Arc};

use http::Method;
use tower_layer::Layer;

use crate::{
    body::KeptBodies,
    changes::Changes,
    common::{common_settings, wrapped_bodies},
    guard::AccountGuard,
    outcome::Outcome,
    request::{
        checked_path::{assert_path, check_excluded_prefix},
        long_poll::LongPoll,
    },
    service::AccountStatus,
    settings::{NamedAccountCheck, NamedIn, Settings, StoreFailure},
    shared::Shared,
    store::AccountStateStore,
    suspension::SuspensionPolicy,
};

/// Wraps an HTTP service and refuses what restricted accounts may not do.
///
#[cfg_attr(doc, doc = include_str!("guide/links.md"))]
#[cfg_attr(doc, doc = include_str!("../docs/rules.md"))]
///
/// # Deployment
///
/// The layer judges the request that reaches it. If something between the layer and the handlers
/// changes the method or the path, the handlers may serve a request that was not judged. Put
/// rewriting layers outside. A handler that can be reached past the layer is not protected. The
/// [security page](crate::guide::security) lists what the layer cannot see, and
/// [placement](crate::guide::placement) where to put it.
///
/// # Examples
///
/// ```
/// use axum::{Router, body::Body, routing::get};
/// use http::{Request, StatusCode};
/// use tower::ServiceExt;
/// use tower_account_status::{AccountStatusLayer, MemoryStore, RestrictionKind};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let store = MemoryStore::new();
/// store.insert_access_token("alices-token", "@alice:example.org");
/// store.insert_access_token("bobs-token", "@bob:example.org");
/// store.restrict("@alice:example.org", RestrictionKind::Locked);
///
/// let router = Router::new().route("/_matrix/client/v3/sync", get(|| async { "{}" }));
/// let app: Router = router.layer(AccountStatusLayer::new(store));
/// let sync = |token: &str| {
///     Request::get("/_matrix/client/v3/sync")
///         .header("authorization", format!("Bearer {token}"))
///         .body(Body::empty())
///         .unwrap()
/// };
///
/// // A locked account is refused.
/// let response = app.clone().oneshot(sync("alices-token")).await.unwrap();
/// assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
///
/// // Others pass. So do unknown tokens, which the server refuses itself.
/// let response = app.oneshot(sync("bobs-token")).await.unwrap();
/// assert_eq!(response.status(), StatusCode::OK);
/// # }
/// ```
///
/// Around the whole router it costs least and sees every path as the client sent it:
///
/// ```
/// # use axum::Router;
/// # use tower_account_status::{AccountStatusLayer, MemoryStore};
/// use tower::Layer;
///
/// # async fn serve(router: Router, listener: tokio::net::TcpListener) {
/// let app = AccountStatusLayer::new(MemoryStore::new()).layer(router);
/// axum::serve(listener, app.into_make_service()).await.unwrap();
/// # }
/// ```
///
/// [`new`](Self::new) makes all state. Clones of the layer and the services that it makes share it.
/// Settings that are changed on a clone belong to that clone.
///
/// To await the store and to read bodies, the layer needs a tokio runtime with its timer enabled.
#[must_use = "a layer does nothing until it wraps a service"]
pub struct AccountStatusLayer<S, Req = KeptBodies, Res = KeptBodies> {
    shared: Arc<Shared<S>>,
    bodies: PhantomData<fn() -> (Req, Res)>,
}

impl<S: AccountStateStore> AccountStatusLayer<S> {
    /// A layer that asks `store`, with every setting at its default.
    pub fn new(store: S) -> Self {
        Self::from_shared(Arc::new(Shared::new(store)))
    }
}

impl<S, Req, Res> AccountStatusLayer<S, Req, Res> {
    fn from_shared(shared: Arc<Shared<S>>) -> Self {
        Self {
            shared,
            bodies: PhantomData,
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        let settings = Shared::settings_mut(&mut self.shared);
        change(settings);
        settings.settle();
        self
    }
}

wrapped_bodies!([S], AccountStatusLayer);

/// # What passes
impl<S, Req, Res> AccountStatusLayer<S, Req, Res> {
    /// Lets an endpoint pass for everyone: exactly this method and exactly this path, compared byte
    /// by byte, as the client sent it and without the query. Adds to the exempt endpoints.
    ///
    /// # Panics
    ///
    /// If `path` does not begin with a slash, has a query or braces, or could not be in a URI: no request
    /// has such a path.
    #[track_caller]
    pub fn add_exempt(self, method: Method, path: impl Into<Box<str>>) -> Self {
        let path = path.into();
        assert_path("an exempt path", &path);
        self.with(|settings| settings.exemptions.endpoints.push((method, path)))
    }

    /// Lets `GET /_matrix/client/versions` pass for everyone.
    ///
    /// By default a locked account is refused here too, as the specification says. Some servers let
    /// it pass, because clients ask for it when they start and may remember the failure:
    /// matrix-js-sdk does, if it is started while its account is locked.
    pub fn with_exempt_versions(self) -> Self {
        self.with(|settings| settings.exemptions.versions = true)
    }

    /// Lets everything below a path pass for everyone. Use it for other applications and for OAuth
    /// endpoints, which must never answer with a Matrix error, because an OAuth client that is
    /// refused a refresh signs out. Adds to the excluded prefixes.
    ///
    /// `/.well-known/` is excluded from the start. The other Matrix APIs (`/_matrix/federation/` and
    /// so on) need no exclusion, because they carry no access token. A prefix ends where a segment
    /// ends: `/oauth2` excludes `/oauth2` and `/oauth2/token`, not `/oauth2x`. A path with a dot
    /// segment, an empty segment or a backslash, encoded or not, is not excluded, because some
    /// router might not take it to be below the prefix.
    ///
    /// # Panics
    ///
    /// If `prefix` does not begin with a slash, is nothing but one, has a query or braces, or could not
    /// be in a URI: no request has such a path. And if it has a dot segment, an empty segment or a
    /// backslash, encoded or not, because then everything might be below it.
    #[track_caller]
    pub fn add_excluded_prefix(self, prefix: impl Into<Box<str>>) -> Self {
        let prefix = prefix.into();
        if let Err(mistake) = check_excluded_prefix(&prefix) {
            panic!("{mistake}");
        }
        self.with(|settings| settings.exemptions.prefixes.push(prefix))
    }
}

/// # Suspension
impl<S, Req, Res> AccountStatusLayer<S, Req, Res> {
    /// What suspended accounts may do. Default: [`SuspensionPolicy::new`].
    pub fn with_suspension_policy(self, policy: SuspensionPolicy) -> Self {
        self.with(|settings| settings.suspension = policy)
    }
}

/// # Accounts that bodies name
impl<S, Req, Res> AccountStatusLayer<S, Req, Res> {
    /// When the accounts are checked that the body of one kind of request names. Default for each
    /// kind: [`BeforeHandler`](NamedAccountCheck::BeforeHandler).
    ///
    /// ```
    /// use tower_account_status::{AccountStatusLayer, MemoryStore, NamedAccountCheck, NamedIn};
    ///
    /// let layer = AccountStatusLayer::new(MemoryStore::new())
    ///     .with_named_account_check(NamedIn::Login, NamedAccountCheck::ByHandler);
    /// ```
    pub fn with_named_account_check(self, named_in: NamedIn, check: NamedAccountCheck) -> Self {
        self.with(|settings| settings.named_accounts.set(named_in, check))
    }
}

/// # The store
impl<S, Req, Res> AccountStatusLayer<S, Req, Res> {
    /// What happens to requests while the store fails. Default: [`StoreFailure::Refuse`].
    pub fn with_store_failure(self, failure: StoreFailure) -> Self {
        self.with(|settings| settings.store_failure = failure)
    }

    /// The hub where changes of accounts are announced. A server whose store does not announce them announces
    /// here.
    #[must_use]
    pub fn changes(&self) -> Changes {
        self.shared.changes.clone()
    }
}

/// # Waiting requests
impl<S, Req, Res> AccountStatusLayer<S, Req, Res> {
    /// Lets one kind of [long poll](LongPoll) wait for the inner service's answer although its
    /// account was restricted. Default: each kind is ended at once with the denial, exactly if
    /// the same request would be refused now.
    ///
    /// The change is announced by the store ([`AccountStateStore::changes`]), or by the server
    /// ([`changes`](Self::changes)). No other request is ever cut short.
    pub fn without_ending(self, long_poll: LongPoll) -> Self {
        self.with(|settings| settings.left_waiting.add(long_poll))
    }
}

/// # Observing, and passing on what was checked
impl<S, Req, Res> AccountStatusLayer<S, Req, Res> {
    /// Calls `hear` with the outcome of each request. Telemetry and audit logs use it.
    ///
    /// It is called on the task that serves the request, before the inner service is called or
    /// with the refusal, and should be quick. If it panics, the panic is caught and the request is
    /// served as usual.
    ///
    /// ```
    /// use tower_account_status::{AccountStatusLayer, Decision, MemoryStore};
    ///
    /// let layer = AccountStatusLayer::new(MemoryStore::new()).with_observer(|outcome| {
    ///     if outcome.decision() == Decision::Refused {
    ///         println!("refused {:?} at {}", outcome.account(), outcome.endpoint());
    ///     }
    /// });
    /// ```
    pub fn with_observer(self, hear: impl Fn(&Outcome<'_>) + Send + Sync + 'static) -> Self {
        self.with(|settings| settings.observer = Some(Arc::new(hear)))
    }

    /// Refuses nothing, and neither does the [guard](AccountGuard). A request that would be refused passes. The
    /// [observer](Self::with_observer) and the log hear of it as
    /// [`Decision::WouldRefuse`](crate::Decision::WouldRefuse). Use it for the first roll-out.
    ///
    /// Waiting requests are not ended. A body that decides is read only if its length is known beforehand and
    /// within the limit. One whose length is not known (chunked, or over HTTP/2 without `Content-Length`)
    /// is reported as [`Decision::PassedUnchecked`](crate::Decision::PassedUnchecked). A body that fails, or does not arrive in time, is still answered
    /// with an error, because it cannot be passed on.
    pub fn with_report_only(self) -> Self {
        self.with(|settings| settings.report_only = true)
    }

    /// Puts the [`CheckedAccounts`](crate::CheckedAccounts) into the extensions of every request
    /// that passes. Logs and rate limits can use them. They are empty if no account was checked.
    pub fn with_checked_accounts(self) -> Self {
        self.with(|settings| settings.hand_on_account = true)
    }
}

common_settings!(
    [S], AccountStatusLayer,
    body: "a body that names accounts, or that a suspension depends on,",
    store: "How long the store may take for all that one request asks of it. Default: 5 seconds. Past that it has failed."
);

impl<S: AccountStateStore, Req, Res> AccountStatusLayer<S, Req, Res> {
    /// The handle with which the server's own code asks the same judge. It has the layer's present settings,
    /// and works as long as this layer, a clone of it, or a service of either lives.
    #[must_use]
    pub fn guard(&self) -> AccountGuard {
        AccountGuard::weak(&self.shared)
    }
}

impl<Inner, S, Req, Res> Layer<Inner> for AccountStatusLayer<S, Req, Res> {
    type Service = AccountStatus<Inner, S, Req, Res>;

    fn layer(&self, inner: Inner) -> Self::Service {
        AccountStatus::new(inner, Arc::clone(&self.shared))
    }
}

impl<S, Req, Res> Clone for AccountStatusLayer<S, Req, Res> {
    fn clone(&self) -> Self {
        Self::from_shared(Arc::clone(&self.shared))
    }
}

impl<S, Req, Res> fmt::Debug for AccountStatusLayer<S, Req, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountStatusLayer")
            .field("settings", &self.shared.settings)
            .finish_non_exhaustive()
    }
}
