//! The layer and its settings.

use std::{fmt, marker::PhantomData, sync::Arc};

use tower_layer::Layer;

use super::{Outcome, directory::AccountDirectory, service::AccountModeration, shared::Shared};
#[cfg(feature = "tracing")]
use crate::store::Failures;
use crate::{
    body::KeptBodies,
    common::{common_settings, wrapped_bodies},
    settings::Common,
    store::RestrictionStore,
};

/// Answers the endpoints by which administrators lock and suspend accounts, and hands every other
/// request to the inner service as it came.
///
/// The server provides the [directory](AccountDirectory), which knows who asks, who is an administrator and
/// which users exist. The [store](RestrictionStore) is the one from which
/// [`AccountStatusLayer`](crate::AccountStatusLayer) reads.
///
/// # Where to put it
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
/// #       application_service, login_name, third_party, login_token, refresh_token, event_sender, state, changes
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
/// out, and an account that is both locked and suspended stays suspended when unlocked. The
/// requester and the time are [recorded](crate::RestrictionRecord). If the account is already in
/// the wanted state, the restriction keeps its reason and its end, and the record names the last
/// requester. A restriction whose end has passed counts as none.
///
/// Only these paths are answered, compared byte by byte up to the user id, which is percent-decoded
/// once. Any other spelling goes on to the inner service. Settings that are changed on a clone of the layer
/// belong to that clone. The layer needs a tokio runtime with its timer enabled.
#[must_use = "a layer does nothing until it wraps a service"]
pub struct AccountModerationLayer<D, R, Req = KeptBodies, Res = KeptBodies> {
    shared: Arc<Shared<D, R>>,
    bodies: PhantomData<fn() -> (Req, Res)>,
}

impl<D: AccountDirectory, R: RestrictionStore> AccountModerationLayer<D, R> {
    /// A layer that asks `directory` and changes `restrictions`, with every setting at its default.
    pub fn new(directory: D, restrictions: R) -> Self {
        Self::from_shared(Arc::new(Shared {
            directory: Arc::new(directory),
            restrictions: Arc::new(restrictions),
            settings: Common::default(),
            observer: None,
            #[cfg(feature = "tracing")]
            failures: Arc::<Failures>::default(),
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

    fn with(mut self, change: impl FnOnce(&mut Common)) -> Self {
        change(&mut Arc::make_mut(&mut self.shared).settings);
        self
    }
}

/// # What is told
impl<D, R, Req, Res> AccountModerationLayer<D, R, Req, Res> {
    /// Calls `hear` with the outcome of every request to the endpoints but OPTIONS, before its answer: a change
    /// with who made it, a refusal, a failure with its causes.
    ///
    /// The request waits for it, so it should be quick. A panic in it harms no request. With the feature
    /// `tracing` each outcome is also an event: a change, and the refusal of an administrator's PUT, at
    /// `info`; a failure at `warn`; any other at `debug`.
    ///
    /// It does not hear of a request whose client goes away while the store makes the change. The store's
    /// [log](crate::store::AuditLog) has that change.
    ///
    /// ```
    /// # use tower_account_status::{AccountDirectory, AccountModerationLayer, MemoryStore};
    /// # fn example<D: AccountDirectory>(directory: D) {
    /// use tower_account_status::moderation::Decision;
    ///
    /// let layer = AccountModerationLayer::new(directory, MemoryStore::new()).with_observer(|outcome| {
    ///     if outcome.decision() == Decision::Changed {
    ///         println!("{:?} by {:?}: {:?}", outcome.user(), outcome.requester(), outcome.wanted());
    ///     }
    /// });
    /// # }
    /// ```
    pub fn with_observer(mut self, hear: impl Fn(&Outcome<'_>) + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.shared).observer = Some(Arc::new(hear));
        self
    }
}

wrapped_bodies!([D, R], AccountModerationLayer);

common_settings!(
    [D, R], AccountModerationLayer,
    body: "the body of a PUT",
    store: "How long the directory and the store together may take for all checks of one request, and the store again for the change. Default: 5 seconds. Past that they have failed, and whether the change was made is not known."
);

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
