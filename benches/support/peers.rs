//! The same check on the same data without this crate: by hand, or with existing tools.

use std::{
    future::{Future, Ready, poll_fn, ready},
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{Arc, LazyLock},
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use axum::{extract::State, middleware::Next};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use http_body::Body;
use http_body_util::{BodyExt, Collected};
use pin_project_lite::pin_project;
use tower::Service;
use tower_account_status::{AccountStateStore, store::StoreError};
use tower_http::auth::AsyncAuthorizeRequest;
use tower_layer::Layer;

use super::accounts::{AwaitedStore, BareTable, Standing, pend};

#[inline]
fn standing(table: &BareTable, headers: &HeaderMap) -> Option<Standing> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    match scheme.eq_ignore_ascii_case(b"Bearer ") {
        true => table.by_token(token),
        false => None,
    }
}

/// What is refused, if anything: header, hash, table, and the path only for restricted accounts.
#[inline]
fn check(
    table: &BareTable,
    headers: &HeaderMap,
    method: &Method,
    uri: &Uri,
) -> Result<(), Standing> {
    match standing(table, headers) {
        None | Some(Standing::Active) => Ok(()),
        Some(restricted) => judge(restricted, method, uri),
    }
}

#[cold]
fn judge(restricted: Standing, method: &Method, uri: &Uri) -> Result<(), Standing> {
    let passes = match restricted {
        // Only as much of the suspension rules as the rows need.
        Standing::Suspended => method == Method::GET,
        _ => method == Method::POST && uri.path() == "/_matrix/client/v3/logout",
    };
    match passes {
        true => Ok(()),
        false => Err(restricted),
    }
}

fn status_and_body(standing: Standing) -> (StatusCode, &'static [u8]) {
    match standing {
        Standing::Deactivated => (
            StatusCode::FORBIDDEN,
            &br#"{"errcode":"M_USER_DEACTIVATED","error":"This account has been deactivated"}"#[..],
        ),
        Standing::Suspended => (
            StatusCode::FORBIDDEN,
            &br#"{"errcode":"M_USER_SUSPENDED","error":"Not possible while this account is suspended"}"#[..],
        ),
        _ => (
            StatusCode::UNAUTHORIZED,
            &br#"{"errcode":"M_USER_LOCKED","error":"This account has been locked","soft_logout":true}"#[..],
        ),
    }
}

fn refusal<B: From<Bytes>>(standing: Standing) -> Response<B> {
    let (status, body) = status_and_body(standing);
    let mut response = Response::new(Bytes::from_static(body).into());
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// This layer's answer, made by hand: six headers, and the reason for the log.
fn whole_refusal<B: From<Bytes>>(standing: Standing) -> Response<B> {
    static HEADERS: LazyLock<HeaderMap> = LazyLock::new(|| {
        [
            ("content-type", "application/json"),
            ("content-length", "83"),
            ("cache-control", "no-store"),
            ("access-control-allow-origin", "*"),
            (
                "access-control-allow-methods",
                "GET, POST, PUT, DELETE, OPTIONS",
            ),
            (
                "access-control-allow-headers",
                "X-Requested-With, Content-Type, Authorization",
            ),
        ]
        .into_iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
        .collect()
    });
    static USER: LazyLock<Arc<str>> = LazyLock::new(|| "@alice:example.org".into());
    let (status, body) = status_and_body(standing);
    let mut response = Response::new(Bytes::from_static(body).into());
    *response.status_mut() = status;
    *response.headers_mut() = HEADERS.clone();
    response.extensions_mut().insert(Reason {
        user: Arc::clone(&USER),
        standing,
        at: None,
    });
    response
}

#[derive(Clone)]
#[expect(dead_code, reason = "nobody logs it here")]
struct Reason {
    user: Arc<str>,
    standing: Standing,
    at: Option<SystemTime>,
}

/// The limit: the check written into a service by hand. It does none of what the layer does
/// beyond these rows: no query, no second header, no store that could change or panic.
///
/// It refuses with the answer that this layer gives if `answers_wholly`, or else with a single
/// header.
#[derive(Clone)]
pub struct BareCheck {
    pub table: Arc<BareTable>,
    pub answers_wholly: bool,
}

impl<S> Layer<S> for BareCheck {
    type Service = BareChecked<S>;

    fn layer(&self, inner: S) -> BareChecked<S> {
        BareChecked {
            inner,
            check: self.clone(),
        }
    }
}

#[derive(Clone)]
pub struct BareChecked<S> {
    inner: S,
    check: BareCheck,
}

pin_project! {
    #[project = BareProjection]
    pub enum BareFuture<F> {
        Pass { #[pin] inner: F },
        Refuse { standing: Standing, wholly: bool },
    }
}

impl<S, B, ResB> Service<Request<B>> for BareChecked<S>
where
    S: Service<Request<B>, Response = Response<ResB>>,
    ResB: From<Bytes>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BareFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (headers, method, uri) = (request.headers(), request.method(), request.uri());
        match check(&self.check.table, headers, method, uri) {
            Ok(()) => BareFuture::Pass {
                inner: self.inner.call(request),
            },
            Err(standing) => BareFuture::Refuse {
                standing,
                wholly: self.check.answers_wholly,
            },
        }
    }
}

impl<F, ResB, E> Future for BareFuture<F>
where
    F: Future<Output = Result<Response<ResB>, E>>,
    ResB: From<Bytes>,
{
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        match self.project() {
            BareProjection::Pass { inner } => inner.poll(context),
            BareProjection::Refuse { standing, wholly } => Poll::Ready(Ok(match wholly {
                true => whole_refusal(*standing),
                false => refusal(*standing),
            })),
        }
    }
}

/// The same for tower-http's `AsyncRequireAuthorizationLayer`, answering at once: its best case,
/// a future without a box.
pub struct AtHand<ResB>(pub Arc<BareTable>, pub PhantomData<fn() -> ResB>);

impl<ResB> Clone for AtHand<ResB> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0), PhantomData)
    }
}

impl<B, ResB: From<Bytes>> AsyncAuthorizeRequest<B> for AtHand<ResB> {
    type RequestBody = B;
    type ResponseBody = ResB;
    type Future = Ready<Result<Request<B>, Response<ResB>>>;

    fn authorize(&mut self, request: Request<B>) -> Self::Future {
        let (headers, method, uri) = (request.headers(), request.method(), request.uri());
        ready(match check(&self.0, headers, method, uri) {
            Ok(()) => Ok(request),
            Err(standing) => Err(refusal(standing)),
        })
    }
}

/// The same if something has to be awaited: the table, or the body of a login.
pub struct Awaited<ResB> {
    pub table: Arc<BareTable>,
    pub at_first: bool,
    pub bodies: PhantomData<fn() -> ResB>,
}

impl<ResB> Clone for Awaited<ResB> {
    fn clone(&self) -> Self {
        Self {
            table: Arc::clone(&self.table),
            at_first: self.at_first,
            bodies: PhantomData,
        }
    }
}

impl<B, ResB> AsyncAuthorizeRequest<B> for Awaited<ResB>
where
    B: Body<Data = Bytes> + From<Bytes> + Send + 'static,
    ResB: From<Bytes> + 'static,
{
    type RequestBody = B;
    type ResponseBody = ResB;
    type Future = Pin<Box<dyn Future<Output = Result<Request<B>, Response<ResB>>> + Send>>;

    fn authorize(&mut self, request: Request<B>) -> Self::Future {
        let (table, at_first) = (Arc::clone(&self.table), self.at_first);
        Box::pin(async move {
            check_awaited(&table, at_first, request)
                .await
                .map_err(refusal)
        })
    }
}

async fn check_awaited<B: Body<Data = Bytes> + From<Bytes>>(
    table: &BareTable,
    at_first: bool,
    request: Request<B>,
) -> Result<Request<B>, Standing> {
    let (parts, body) = request.into_parts();
    if parts.uri.path() == "/_matrix/client/v3/login" {
        let data = body.collect().await.map(Collected::to_bytes);
        let data = data.unwrap_or_default();
        let json: serde_json::Value = serde_json::from_slice(&data).unwrap_or_default();
        let user = json["identifier"]["user"].as_str().unwrap_or_default();
        return match table.by_user(user) {
            None | Some(Standing::Active) => Ok(Request::from_parts(parts, data.into())),
            Some(standing) => Err(standing),
        };
    }
    pend(at_first).await;
    check(table, &parts.headers, &parts.method, &parts.uri)?;
    Ok(Request::from_parts(parts, body))
}

/// The same for `axum::middleware::from_fn_with_state`.
pub async fn at_hand(
    State(table): State<Arc<BareTable>>,
    request: axum::extract::Request,
    next: Next,
) -> axum::response::Response {
    match check(&table, request.headers(), request.method(), request.uri()) {
        Ok(()) => next.run(request).await,
        Err(standing) => refusal(standing),
    }
}

/// The same if something has to be awaited.
pub async fn awaited(
    State((table, at_first)): State<(Arc<BareTable>, bool)>,
    request: axum::extract::Request,
    next: Next,
) -> axum::response::Response {
    match check_awaited(&table, at_first, request).await {
        Ok(request) => next.run(request).await,
        Err(standing) => refusal(standing),
    }
}

/// The look-up that this layer makes, in the same store, with a time limit, and a panic caught.
pub struct Careful<ResB> {
    store: Arc<AwaitedStore>,
    bodies: PhantomData<fn() -> ResB>,
}

impl<ResB> Careful<ResB> {
    pub fn new(store: AwaitedStore) -> Self {
        Self {
            store: Arc::new(store),
            bodies: PhantomData,
        }
    }
}

impl<ResB> Clone for Careful<ResB> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            bodies: PhantomData,
        }
    }
}

impl<B, ResB> AsyncAuthorizeRequest<B> for Careful<ResB>
where
    B: Send + 'static,
    ResB: From<Bytes> + 'static,
{
    type RequestBody = B;
    type ResponseBody = ResB;
    type Future = Pin<Box<dyn Future<Output = Result<Request<B>, Response<ResB>>> + Send>>;

    fn authorize(&mut self, request: Request<B>) -> Self::Future {
        let store = Arc::clone(&self.store);
        Box::pin(async move {
            let header = request.headers().get(AUTHORIZATION);
            let token = header.and_then(|header| header.to_str().ok()?.strip_prefix("Bearer "));
            let Some(token) = token else {
                return Ok(request);
            };
            let asked = async {
                let mut look_up = pin!(store.access_token_and_state(token));
                poll_fn(|context| {
                    let poll = AssertUnwindSafe(|| look_up.as_mut().poll(context));
                    catch_unwind(poll)
                        .unwrap_or_else(|_| Poll::Ready(Err(StoreError::msg("the store panicked"))))
                })
                .await
            };
            match tokio::time::timeout(Duration::from_secs(5), asked).await {
                Ok(Ok(Some(account))) if !account.state().is_active() => {
                    Err(refusal(Standing::Locked))
                }
                Ok(Ok(_)) => Ok(request),
                Ok(Err(_)) | Err(_) => {
                    let mut response = Response::new(Bytes::new().into());
                    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                    Err(response)
                }
            }
        })
    }
}
