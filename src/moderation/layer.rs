//! The layer and its settings.

use std::{
    fmt,
    marker::PhantomData,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{Extensions, Uri};
use tower_layer::Layer;

use super::{
    AccountDirectory, AccountModeration, AccountModerationCapability,
    shared::{Settings, Shared},
};
use crate::{
    body::{KeptBodies, WrappedBodies},
    store::RestrictionStore,
};

/// Answers the endpoints by which administrators lock and suspend accounts, and hands every other
/// request to the inner service as it came.
///
/// The [directory](AccountDirectory) is the server's: who asks, who is an administrator, which
/// users there are. The [store](RestrictionStore) is the one that
/// [`AccountStatusLayer`](crate::AccountStatusLayer) reads from.
///
/// # Its place
///
/// **Inside `AccountStatusLayer`**, so that a locked administrator is refused here as everywhere
/// else. This layer asks whether the requester is an administrator, and not whether they are
/// locked.
///
/// ```
/// use std::sync::Arc;
/// use axum::Router;
/// use tower::Layer;
/// use tower_account_status::{
///     AccountDirectory, AccountModerationLayer, AccountStateStore, AccountStatusLayer,
///     Authentication, Combined, MemoryStore, UserId, store::Answer,
/// };
/// # use std::convert::Infallible;
///
/// /// The server's own tables.
/// struct Homeserver { /* … */ }
///
/// # impl Homeserver {
/// #     fn owner(&self, token: &str) -> Option<UserId> {
/// #         match token { "a" => Some("@admin:example.org".into()), "u" => Some("@user:example.org".into()), _ => None }
/// #     }
/// # }
/// impl AccountDirectory for Homeserver {
///     type Error = Infallible;
///
///     async fn authenticate(&self, token: &str) -> Result<Authentication, Infallible> {
///         Ok(self.owner(token).into())
///     }
///     async fn is_administrator(&self, user: &UserId) -> Result<bool, Infallible> {
///         Ok(*user == "@admin:example.org")
///     }
///     fn is_local(&self, user: &UserId) -> bool {
///         user.server_name() == Some("example.org")
///     }
///     async fn exists(&self, user: &UserId) -> Result<bool, Infallible> {
/// #       return Ok(*user == "@user:example.org");
///         // …
///     }
/// }
///
/// impl AccountStateStore for Homeserver {
///     async fn access_token(&self, token: &str) -> Answer {
///         Ok(self.owner(token))
///     }
///     // …
/// #   tower_account_status::without! {
/// #       application_service, login_name, third_party, login_token, refresh_token, state, changes
/// #   }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let homeserver = Arc::new(Homeserver { /* … */ });
/// let restrictions = Arc::new(MemoryStore::new());
///
/// let moderation = AccountModerationLayer::new(Arc::clone(&homeserver), Arc::clone(&restrictions));
/// let status = AccountStatusLayer::new(Combined::new(homeserver, restrictions));
/// let router = Router::new(); // your routes
/// let app = status.layer(moderation.layer(router)); // or: router.layer(moderation).layer(status)
///
/// # use http::{Request, StatusCode};
/// # use tower::ServiceExt;
/// # let request = |method: &str, path: &str, token: &str, body: &'static str| Request::builder()
/// #     .method(method).uri(path).header("authorization", format!("Bearer {token}"))
/// #     .body(axum::body::Body::from(body)).unwrap();
/// let lock = request("PUT", "/_matrix/client/v1/admin/lock/@user:example.org", "a", r#"{"locked":true}"#);
/// assert_eq!(app.clone().oneshot(lock).await.unwrap().status(), StatusCode::OK);
/// let sync = request("GET", "/_matrix/client/v3/sync", "u", "");
/// assert_eq!(app.oneshot(sync).await.unwrap().status(), StatusCode::UNAUTHORIZED);
/// # }
/// ```
///
/// # What is checked, in this order
///
/// 1. The method: GET, HEAD (which is answered like GET) and PUT; OPTIONS is answered with the
///    CORS headers and nothing is looked up; anything else is 405 `M_UNRECOGNIZED`.
/// 2. The requester is authenticated: 401 `M_MISSING_TOKEN` or `M_UNKNOWN_TOKEN`. Tokens of
///    several users in one request are 400 `M_INVALID_PARAM`.
/// 3. They are an administrator: 403 `M_FORBIDDEN`. Nothing has been looked up about the target
///    up to here, so that nobody else learns which users there are.
/// 4. The target is not another administrator, nor, for PUT, the requester: 403 `M_FORBIDDEN`.
/// 5. The target is a user of this server: 400 `M_INVALID_PARAM`.
/// 6. It exists and is not deactivated: 404 `M_NOT_FOUND`.
/// 7. The body of a PUT: 413 `M_TOO_LARGE`, 400 `M_NOT_JSON`, `M_BAD_JSON` or `M_MISSING_PARAM`.
///
/// A failure of the directory or the store on the way is 503 `M_UNKNOWN`, with `Retry-After`.
///
/// # What a PUT does
///
/// It sets or lifts that one restriction and nothing else: no token is deleted, nobody is logged
/// out, and whoever is both locked and suspended stays suspended when unlocked. The requester and
/// the time go on [record](crate::RestrictionRecord). An account that is in the wanted state
/// already stays so: the restriction keeps its reason and its end, and the record names whoever
/// asked last. A restriction whose end has passed counts as none.
///
/// Only these paths are answered, byte for byte up to the user id, which is percent-decoded once;
/// any other spelling is the inner service's. Settings that are changed on a clone of the layer
/// are the clone's own. A tokio runtime with its timer enabled is needed.
#[must_use = "a layer does nothing until it wraps a service"]
pub struct AccountModerationLayer<D, R, Req = KeptBodies, Res = KeptBodies> {
    shared: Arc<Shared<D, R>>,
    bodies: PhantomData<fn() -> (Req, Res)>,
}

impl<D: AccountDirectory, R: RestrictionStore> AccountModerationLayer<D, R> {
    /// A layer that asks `directory` who may, and changes `restrictions`, with every setting at
    /// its default.
    pub fn new(directory: D, restrictions: R) -> Self {
        Self::from_shared(Arc::new(Shared {
            directory: Arc::new(directory),
            restrictions: Arc::new(restrictions),
            settings: Settings::default(),
        }))
    }
}

impl<D, R, Req, Res> AccountModerationLayer<D, R, Req, Res> {
    fn from_shared(shared: Arc<Shared<D, R>>) -> Self {
        Self {
            shared,
            bodies: PhantomData,
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut Arc::make_mut(&mut self.shared).settings);
        self
    }

    /// What to say in the server's own answer to `GET /_matrix/client/v3/capabilities` when an
    /// administrator asks. No response of the server is rewritten.
    #[must_use]
    pub fn capability(&self) -> AccountModerationCapability {
        AccountModerationCapability::FULL
    }
}

/// # Bodies
///
/// The same choice as for [`AccountStatusLayer`](crate::AccountStatusLayer), and for the same
/// services.
impl<D, R, Req, Res> AccountModerationLayer<D, R, Req, Res> {
    /// Wraps request and response bodies, for services whose bodies cannot be made from bytes:
    /// hyper's `Incoming`, `BoxBody`, those of other layers. Both bodies have to be
    /// `http_body::Body<Data = Bytes>`.
    pub fn with_wrapped_bodies(self) -> AccountModerationLayer<D, R, WrappedBodies, WrappedBodies> {
        AccountModerationLayer::from_shared(self.shared)
    }

    /// Wraps request bodies only.
    pub fn with_wrapped_request_body(self) -> AccountModerationLayer<D, R, WrappedBodies, Res> {
        AccountModerationLayer::from_shared(self.shared)
    }

    /// Wraps response bodies only.
    pub fn with_wrapped_response_body(self) -> AccountModerationLayer<D, R, Req, WrappedBodies> {
        AccountModerationLayer::from_shared(self.shared)
    }

    /// How many bytes the body of a PUT may have. Default: 65,536.
    pub fn with_body_limit(self, bytes: usize) -> Self {
        self.with(|settings| settings.body_limit = bytes)
    }

    /// How long the body of a PUT may take to arrive. Default: 30 seconds. A slower one is
    /// answered 408.
    pub fn with_body_timeout(self, timeout: Duration) -> Self {
        self.with(|settings| settings.body_timeout = timeout)
    }
}

/// # The path
///
/// Needed only inside a nested router, which takes its own prefix off, or below a prefix of the
/// whole server. See the settings of the same names of
/// [`AccountStatusLayer`](crate::AccountStatusLayer).
impl<D, R, Req, Res> AccountModerationLayer<D, R, Req, Res> {
    /// Says where the URI is that the client asked for: in the extensions of the request, as
    /// axum's `OriginalUri`. Where it finds nothing the request's own URI counts.
    pub fn with_original_uri<F>(self, original_uri: F) -> Self
    where
        F: for<'a> Fn(&'a Extensions) -> Option<&'a Uri> + Send + Sync + 'static,
    {
        self.with(|settings| settings.path.original_uri = Some(Arc::new(original_uri)))
    }

    /// Says which prefix a router around this layer has taken off, such as `/_matrix/client/v1`.
    pub fn with_nested_at(self, mount: impl Into<Box<str>>) -> Self {
        self.with(|settings| settings.path.nested_at = Some(mount.into()))
    }

    /// Says below which prefix the server lives, where nobody has taken it off. Paths that do not
    /// begin with it count as they are.
    pub fn with_path_prefix(self, prefix: impl Into<Box<str>>) -> Self {
        self.with(|settings| settings.path.prefix = Some(prefix.into()))
    }
}

/// # The directory, the store, and the answers
impl<D, R, Req, Res> AccountModerationLayer<D, R, Req, Res> {
    /// How long the directory and the store together may take for all checks of one request, and
    /// the store again for the change. Default: 5 seconds. Past that they have failed, and
    /// whether the change was made is open.
    pub fn with_store_timeout(self, timeout: Duration) -> Self {
        self.with(|settings| settings.store_timeout = timeout)
    }

    /// The clock that says whether a restriction's end has come and when one was set, for tests.
    /// Default: [`SystemTime::now`].
    pub fn with_clock(self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.with(|settings| settings.clock = Some(Arc::new(now)))
    }

    /// Leaves the CORS headers off the layer's own answers, for servers whose CORS layer lets
    /// only some origins in. That layer then belongs outside this one, where it answers
    /// preflights.
    pub fn without_cors_headers(self) -> Self {
        self.with(|settings| settings.cors_headers = false)
    }
}

impl<Inner, D, R, Req, Res> Layer<Inner> for AccountModerationLayer<D, R, Req, Res> {
    type Service = AccountModeration<Inner, D, R, Req, Res>;

    fn layer(&self, inner: Inner) -> Self::Service {
        AccountModeration::new(inner, Arc::clone(&self.shared))
    }
}

impl<D, R, Req, Res> Clone for AccountModerationLayer<D, R, Req, Res> {
    fn clone(&self) -> Self {
        Self::from_shared(Arc::clone(&self.shared))
    }
}

impl<D, R, Req, Res> fmt::Debug for AccountModerationLayer<D, R, Req, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountModerationLayer")
            .field("settings", &self.shared.settings)
            .finish_non_exhaustive()
    }
}
