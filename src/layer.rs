//! The layer and its settings.

use std::{
    fmt,
    marker::PhantomData,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{Extensions, Method, Uri};
use tower_layer::Layer;

use crate::{
    body::{KeptBodies, WrappedBodies},
    changes::Changes,
    guard::AccountGuard,
    outcome::Outcome,
    service::AccountStatus,
    settings::{NamedAccountCheck, Settings, StoreFailure},
    shared::Shared,
    store::AccountStateStore,
    suspension::SuspensionPolicy,
};

/// Wraps any HTTP service so that restricted accounts are refused what they may not do.
///
/// ```
/// use axum::{Router, routing::get};
/// use tower_account_status::{AccountStatusLayer, MemoryStore};
///
/// let router = Router::new().route("/_matrix/client/v3/sync", get(|| async { "{}" }));
/// let app: Router = router.layer(AccountStatusLayer::new(MemoryStore::new()));
/// ```
///
/// Around the whole router it costs least, and sees every path as the client sent it:
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
/// All state is made by [`new`](Self::new); a clone, and every service that the layer makes,
/// shares it. Settings that are changed on a clone are the clone's own.
///
/// Awaiting the store and reading bodies need a tokio runtime with its timer enabled.
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
        change(&mut Arc::make_mut(&mut self.shared).settings);
        self
    }
}

/// # Bodies
impl<S, Req, Res> AccountStatusLayer<S, Req, Res> {
    /// Wraps request and response bodies, for services whose bodies cannot be made from bytes:
    /// hyper's `Incoming`, `BoxBody`, those of other layers.
    ///
    /// The inner service receives [`RequestBody`](crate::RequestBody), the client
    /// [`ResponseBody`](crate::ResponseBody). Both bodies have to be
    /// `http_body::Body<Data = Bytes>`.
    pub fn with_wrapped_bodies(self) -> AccountStatusLayer<S, WrappedBodies, WrappedBodies> {
        AccountStatusLayer::from_shared(self.shared)
    }

    /// Wraps request bodies only: over a service that answers with axum's body but reads any.
    pub fn with_wrapped_request_body(self) -> AccountStatusLayer<S, WrappedBodies, Res> {
        AccountStatusLayer::from_shared(self.shared)
    }

    /// Wraps response bodies only: over a layer that changes the response body, such as
    /// tower-http's timeouts and body limits, and a service that reads only axum's body.
    pub fn with_wrapped_response_body(self) -> AccountStatusLayer<S, Req, WrappedBodies> {
        AccountStatusLayer::from_shared(self.shared)
    }
}

/// # What passes
impl<S, Req, Res> AccountStatusLayer<S, Req, Res> {
    /// Lets an endpoint pass for everyone: exactly this method, and exactly this path, byte for
    /// byte, as the client sent it and without the query.
    pub fn with_exempt(self, method: Method, path: impl Into<Box<str>>) -> Self {
        self.with(|settings| settings.exempt.push((method, path.into())))
    }

    /// Lets `GET /_matrix/client/versions` pass for everyone.
    ///
    /// The specification has a locked account refused here too, which is the default. Some
    /// servers let it pass, for clients ask for it as they start and may remember the failure:
    /// matrix-js-sdk, started while its account is locked, does.
    pub fn with_exempt_versions(self) -> Self {
        self.with(|settings| settings.exempt_versions = true)
    }

    /// Lets everything below a path pass for everyone: other applications and OAuth endpoints,
    /// which must never answer with a Matrix error. (An OAuth client that is refused a refresh
    /// signs out.)
    ///
    /// `/.well-known/` is excluded already. The other Matrix APIs (`/_matrix/federation/` and so
    /// on) need not be: they carry no access token. A prefix ends where a segment ends: `/oauth2` excludes `/oauth2` and
    /// `/oauth2/token`, not `/oauth2x`. What some router might not take to be below it, because
    /// of a dot segment, an empty segment or a backslash, encoded or not, is not excluded.
    ///
    /// # Panics
    ///
    /// If `prefix` does not begin with a slash, or is nothing but one.
    #[track_caller]
    pub fn with_excluded_prefix(self, prefix: impl Into<Box<str>>) -> Self {
        let prefix = prefix.into();
        assert!(
            prefix.starts_with('/') && &*prefix != "/",
            "an excluded prefix begins with a slash and names something: {prefix:?}"
        );
        self.with(|settings| settings.excluded_prefixes.push(prefix))
    }

    /// Says where the path is that the client asked for, for a layer inside a nested router,
    /// which takes its own prefix off. Without it such a layer refuses logout too.
    ///
    /// ```
    /// use axum::extract::OriginalUri;
    /// use tower_account_status::{AccountStatusLayer, MemoryStore};
    ///
    /// let layer = AccountStatusLayer::new(MemoryStore::new())
    ///     .with_original_uri(|extensions| extensions.get::<OriginalUri>().map(|uri| &uri.0));
    /// ```
    ///
    /// Where it finds nothing the request's own URI counts.
    pub fn with_original_uri<F>(self, original_uri: F) -> Self
    where
        F: for<'a> Fn(&'a Extensions) -> Option<&'a Uri> + Send + Sync + 'static,
    {
        self.with(|settings| settings.path.original_uri = Some(Arc::new(original_uri)))
    }

    /// Says which prefix a router around this layer has taken off, such as
    /// `/_matrix/client/v3`: the other way to make a layer in a nested router let logout pass.
    pub fn with_nested_at(self, mount: impl Into<Box<str>>) -> Self {
        self.with(|settings| settings.path.nested_at = Some(mount.into()))
    }

    /// Says below which prefix the server lives, such as `/homeserver` in
    /// `/homeserver/_matrix/client/v3/logout`, where nobody has taken it off. Paths that do not
    /// begin with it count as they are.
    pub fn with_path_prefix(self, prefix: impl Into<Box<str>>) -> Self {
        self.with(|settings| settings.path.prefix = Some(prefix.into()))
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
    /// When the accounts that a `POST /login` names are checked. Default:
    /// [`BeforeHandler`](NamedAccountCheck::BeforeHandler).
    pub fn with_login_check(self, check: NamedAccountCheck) -> Self {
        self.with(|settings| settings.login_check = check)
    }

    /// When the owner of the refresh token of a `POST /refresh` is checked. Default:
    /// [`BeforeHandler`](NamedAccountCheck::BeforeHandler).
    pub fn with_refresh_check(self, check: NamedAccountCheck) -> Self {
        self.with(|settings| settings.refresh_check = check)
    }

    /// When the account is checked that the `auth` of a `POST /account/password` or
    /// `POST /account/deactivate` names, where no access token says whose the request is.
    /// Default: [`BeforeHandler`](NamedAccountCheck::BeforeHandler).
    ///
    /// Not covered: an `auth` that names nobody but a session, as when a password is reset by
    /// e-mail. Only the handler knows whose that is, and can ask the
    /// [guard](crate::AccountGuard).
    pub fn with_reauthentication_check(self, check: NamedAccountCheck) -> Self {
        self.with(|settings| settings.reauthentication_check = check)
    }

    /// How many bytes such a body may have. Default: 65,536. A larger one is answered 413
    /// `M_TOO_LARGE`.
    pub fn with_body_limit(self, bytes: usize) -> Self {
        self.with(|settings| settings.body_limit = bytes)
    }

    /// How long such a body may take to arrive. Default: 30 seconds. A slower one is answered
    /// 408.
    pub fn with_body_timeout(self, timeout: Duration) -> Self {
        self.with(|settings| settings.body_timeout = timeout)
    }
}

/// # The store
impl<S, Req, Res> AccountStatusLayer<S, Req, Res> {
    /// How long the store may take for all that one request asks of it. Default: 5 seconds. Past
    /// that it has failed.
    pub fn with_store_timeout(self, timeout: Duration) -> Self {
        self.with(|settings| settings.store_timeout = timeout)
    }

    /// What happens to requests while the store fails. Default: [`StoreFailure::Refuse`].
    pub fn with_store_failure(self, failure: StoreFailure) -> Self {
        self.with(|settings| settings.store_failure = failure)
    }

    /// The clock that says whether a restriction's end has come, for tests. Default:
    /// [`SystemTime::now`].
    pub fn with_clock(self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.with(|settings| settings.clock = Some(Arc::new(now)))
    }

    /// Where changes of accounts are announced: to be called by a server whose store does not
    /// announce them itself.
    #[must_use]
    pub fn changes(&self) -> Changes {
        self.shared.changes.clone()
    }
}

/// # Requests that wait
impl<S, Req, Res> AccountStatusLayer<S, Req, Res> {
    /// Leaves `GET /sync` and `GET /events` waiting when their account is locked or deactivated,
    /// until the inner service answers them. Default: they are ended with the denial at once.
    ///
    /// The news comes from the store ([`AccountStateStore::changes`]), or from the server
    /// ([`changes`](Self::changes)). No other request is ever cut short.
    pub fn without_ending_sync(self) -> Self {
        self.with(|settings| settings.ends_sync = false)
    }

    /// The same for `POST …/sync`, sliding sync
    /// ([MSC4186](https://github.com/matrix-org/matrix-spec-proposals/pull/4186)), under every
    /// version and unstable prefix.
    pub fn without_ending_sliding_sync(self) -> Self {
        self.with(|settings| settings.ends_sliding_sync = false)
    }
}

/// # What is answered and handed on
impl<S, Req, Res> AccountStatusLayer<S, Req, Res> {
    /// Leaves the CORS headers off the layer's own answers.
    ///
    /// They say what the specification recommends for every response: any origin. Under a CORS
    /// layer that lets only some origins in they would say too much where that layer does not
    /// overwrite them (tower-http's does).
    pub fn without_cors_headers(self) -> Self {
        self.with(|settings| settings.cors_headers = false)
    }

    /// Calls `hear` with what became of each request, for telemetry and audit logs.
    ///
    /// It is called on the task that serves the request, before the inner service or with the
    /// refusal, and should be quick. If it panics, so does the request's task.
    ///
    /// ```
    /// use tower_account_status::{AccountStatusLayer, Decision, MemoryStore};
    ///
    /// let layer = AccountStatusLayer::new(MemoryStore::new()).with_observer(|outcome| {
    ///     if outcome.decision() == Decision::Refused {
    ///         println!("refused {:?}: {:?}", outcome.account(), outcome.denial());
    ///     }
    /// });
    /// ```
    pub fn with_observer(self, hear: impl Fn(&Outcome<'_>) + Send + Sync + 'static) -> Self {
        self.with(|settings| {
            settings.observer = Some(Arc::new(hear));
            settings.always_examines = true;
        })
    }

    /// Refuses nothing: what would be refused is told to the [hook](Self::with_observer) and the
    /// log as [`Decision::WouldRefuse`](crate::Decision::WouldRefuse), and passes. For a first
    /// roll-out on a large server.
    ///
    /// Waiting requests are not ended. A body that names accounts is looked at only where its
    /// length is known and within the limit; one that fails, or does not arrive in time, is
    /// answered all the same, for it cannot be handed on.
    pub fn with_report_only(self) -> Self {
        self.with(|settings| settings.report_only = true)
    }

    /// Puts the [`CheckedAccounts`](crate::CheckedAccounts) into the extensions of every request
    /// that passes with a credential, for logs and rate limits.
    pub fn with_checked_accounts(self) -> Self {
        self.with(|settings| {
            settings.hand_on_account = true;
            settings.always_examines = true;
        })
    }
}

impl<S: AccountStateStore, Req, Res> AccountStatusLayer<S, Req, Res> {
    /// The handle by which the server's own code asks the same question. It has the settings that
    /// the layer has now.
    #[must_use]
    pub fn guard(&self) -> AccountGuard<S> {
        AccountGuard::new(Arc::clone(&self.shared))
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
