//! What the contract tests have in common: two accounts, a handler that remembers, answers that
//! can be compared.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod frames;
pub(crate) mod scripted;

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header::AUTHORIZATION};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceExt};
use tower_account_status::{
    AccountStateStore, AccountStatusLayer, Denial, MemoryStore, Restriction,
};

pub(crate) const ALICE: &str = "@alice:localhost";
pub(crate) const BOB: &str = "@bob:localhost";
pub(crate) const TOKEN: &str = "syt_alice_secret";
pub(crate) const BOBS_TOKEN: &str = "syt_bob_secret";

/// An endpoint that every restriction except a suspension refuses.
pub(crate) const SYNC: &str = "/_matrix/client/v3/sync";
pub(crate) const LOGIN: &str = "/_matrix/client/v3/login";
pub(crate) const LOGOUT: &str = "/_matrix/client/v3/logout";

/// What [`Handler`] answers.
pub(crate) const HANDLED: &str = r#"{"handled":true}"#;

/// Knows both accounts and their tokens; nobody is restricted.
pub(crate) fn store() -> Arc<MemoryStore> {
    let store = MemoryStore::new().with_server_name("localhost");
    store.insert_access_token(TOKEN, ALICE);
    store.insert_access_token(BOBS_TOKEN, BOB);
    Arc::new(store)
}

/// The same, with a restriction of Alice's account.
pub(crate) fn store_with(restriction: impl Into<Restriction>) -> Arc<MemoryStore> {
    let store = store();
    store.restrict(ALICE, restriction);
    store
}

pub(crate) fn layer<S: AccountStateStore>(store: &Arc<S>) -> AccountStatusLayer<Arc<S>> {
    AccountStatusLayer::new(Arc::clone(store))
}

/// A request with Alice's token in its header and an empty body.
pub(crate) fn alices(method: Method, uri: &str) -> Request<Full<Bytes>> {
    let mut request = anonymous(method, uri, "");
    bear(&mut request, TOKEN);
    request
}

/// A request without a token.
pub(crate) fn anonymous(method: Method, uri: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(uri);
    request
        .body(Full::new(body.into()))
        .unwrap_or_else(|error| panic!("{uri}: {error}"))
}

/// Adds another `Authorization` header.
pub(crate) fn bear<B>(request: &mut Request<B>, token: &str) {
    let value = format!("Bearer {token}").try_into().expect("a token");
    request.headers_mut().append(AUTHORIZATION, value);
}

/// A request as the handler saw it.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) request: Request<Bytes>,
    pub(crate) trailers: Option<HeaderMap>,
}

/// An inner service that reads every body, remembers every request and answers 200.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handler(Arc<Mutex<Vec<Seen>>>);

impl Handler {
    /// What has been seen since the last time.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The one request that reached the handler.
    pub(crate) fn only(&self) -> Seen {
        let mut seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen.remove(0)
    }
}

impl<B> Service<Request<B>> for Handler
where
    B: Body<Data: Send, Error: fmt::Debug> + Send + 'static,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let seen = Arc::clone(&self.0);
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.expect("a body that can be read");
            let trailers = body.trailers().cloned();
            let request = Request::from_parts(parts, body.to_bytes());
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.push(Seen { request, trailers });
            Ok(Response::new(Full::from(HANDLED)))
        })
    }
}

/// A response with its body read.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) denial: Option<Denial>,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) async fn read<B>(response: Response<B>) -> Self
    where
        B: Body<Error: fmt::Debug>,
    {
        let (mut parts, body) = response.into_parts();
        Self {
            status: parts.status,
            headers: parts.headers,
            denial: parts.extensions.remove(),
            body: body.collect().await.expect("a response body").to_bytes(),
        }
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body that is text")
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Status and error code; `(200, "")` from [`Handler`].
    pub(crate) fn verdict(&self) -> (u16, String) {
        let errcode = match self.body.is_empty() {
            true => String::new(),
            false => self.json()["errcode"].as_str().unwrap_or("").to_owned(),
        };
        (self.status.as_u16(), errcode)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let value = self.headers.get(name)?;
        Some(value.to_str().expect("a header that is text"))
    }

    /// All headers, sorted by name.
    pub(crate) fn headers(&self) -> Vec<(&str, &str)> {
        let text = |value: &'_ http::HeaderValue| value.to_str().is_ok();
        assert!(self.headers.values().all(text), "{self:?}");
        let mut headers: Vec<_> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap_or_default()))
            .collect();
        headers.sort_unstable();
        headers
    }
}

/// Verdicts to compare with.
pub(crate) fn verdict(status: u16, errcode: &str) -> (u16, String) {
    (status, errcode.to_owned())
}

pub(crate) fn passed() -> (u16, String) {
    verdict(200, "")
}

pub(crate) fn locked() -> (u16, String) {
    verdict(401, "M_USER_LOCKED")
}

pub(crate) fn unavailable() -> (u16, String) {
    verdict(503, "M_UNKNOWN")
}

/// Waits until the service is ready, calls it, and reads the answer.
pub(crate) async fn call<S, B, ResB>(service: S, request: Request<B>) -> Answer
where
    S: Service<Request<B>, Response = Response<ResB>, Error: fmt::Debug>,
    ResB: Body<Error: fmt::Debug>,
{
    let response = service.oneshot(request).await.expect("a response");
    Answer::read(response).await
}

/// Sends the request to a new [`Handler`] behind `layer`.
pub(crate) async fn ask<S: AccountStateStore>(
    layer: &AccountStatusLayer<S>,
    request: Request<Full<Bytes>>,
) -> Answer {
    call(layer.layer(Handler::default()), request).await
}

/// Polls once, with a waker that wakes nobody.
pub(crate) fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(std::task::Waker::noop()))
}

/// Waits until the service is ready, whose body type the compiler could not guess.
pub(crate) fn ready<S>(service: &mut S) -> tower::util::Ready<'_, S, Request<Full<Bytes>>>
where
    S: Service<Request<Full<Bytes>>>,
{
    service.ready()
}
