//! Forwards requests to the homeserver, and its answers to the client. Bodies are streamed.

use std::{
    convert::Infallible,
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{
    Method, Request, Response, StatusCode, Uri,
    body::Body as HttpBody,
    header::{self, HeaderValue},
    http::{request::Parts, uri::Authority},
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tower::Service;
use tower_http::timeout::{TimeoutBody, TimeoutError};

use crate::{
    answer::{self, Body, BoxError, Problem},
    headers::{self, Peer},
    log,
    logouts::Logouts,
    upstream,
};

#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// The largest request body, in bytes.
    pub(crate) body: usize,
    /// How long a client may pause in one.
    pub(crate) body_timeout: Duration,
    /// How long the homeserver may take until it begins to answer.
    pub(crate) response_timeout: Duration,
}

/// The service that forwards to the homeserver. It answers every request, with a [`Problem`] if
/// the homeserver does not answer.
#[derive(Clone)]
pub(crate) struct Proxy(Arc<Shared>);

struct Shared {
    upstream: Authority,
    client: Client<HttpConnector, Body>,
    limits: Limits,
    logouts: Option<Logouts>,
}

impl Proxy {
    pub(crate) fn new(upstream: Authority, limits: Limits) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(upstream::POOL_IDLE)
            .pool_max_idle_per_host(256)
            .build(upstream::connector());
        Self(Arc::new(Shared {
            upstream,
            client,
            limits,
            logouts: None,
        }))
    }

    /// The same proxy, which also reports logouts.
    pub(crate) fn with_logouts(self, logouts: Logouts) -> Self {
        let shared = &*self.0;
        Self(Arc::new(Shared {
            upstream: shared.upstream.clone(),
            client: shared.client.clone(),
            limits: shared.limits,
            logouts: Some(logouts),
        }))
    }
}

impl<B> Service<Request<B>> for Proxy
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let shared = Arc::clone(&self.0);
        let target = request.uri().clone();
        Box::pin(async move {
            let response = shared.forward(request).await;
            Ok(response.unwrap_or_else(|problem| problem.response(target.path())))
        })
    }
}

impl Shared {
    async fn forward<B>(&self, request: Request<B>) -> Result<Response<Body>, Problem>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (mut head, body) = request.into_parts();
        let ending = match &self.logouts {
            Some(logouts) => logouts.begins(&head).await,
            None => None,
        };
        let peer = head.extensions.get::<Peer>().copied();
        headers::rebuild(&mut head, peer);
        announce_body(&mut head, &body);
        let body = match body.is_end_stream() {
            true => answer::full(Bytes::new()),
            false => {
                let body = body.map_err(|error| BrokenBody(error.into()));
                let limited = Limited::new(body, self.limits.body);
                TimeoutBody::new(self.limits.body_timeout, limited).boxed_unsync()
            }
        };
        // A new request, so that nothing else of the old one is forwarded: no version, no extension,
        // no authority.
        let mut request = Request::new(body);
        *request.method_mut() = head.method;
        *request.uri_mut() = self.target(&head.uri)?;
        *request.headers_mut() = head.headers;

        let answer = self.client.request(request);
        let response = match tokio::time::timeout(self.limits.response_timeout, answer).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(problem(&error)),
            Err(_) => return Err(Problem::GatewayTimeout),
        };
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            // The gateway removes `Upgrade`, so nobody asked for that.
            return Err(Problem::BadGateway);
        }
        if let (Some(logouts), Some(ending)) = (&self.logouts, &ending) {
            logouts.ends(ending, response.status());
        }
        let (mut head, body) = response.into_parts();
        headers::take_off_hop_by_hop(&mut head.headers);
        let body = body.map_err(BoxError::from).boxed_unsync();
        let mut response = Response::new(body);
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        Ok(response)
    }

    /// Path and query as the client wrote them, at the homeserver's address.
    fn target(&self, uri: &Uri) -> Result<Uri, Problem> {
        let no_path = Problem::BadRequest("The request target is not a path");
        let path = uri.path_and_query().ok_or(no_path)?;
        Uri::builder()
            .scheme("http")
            .authority(self.upstream.clone())
            .path_and_query(path.clone())
            .build()
            .map_err(|_| no_path)
    }
}

/// Sets the length of the body if it is known, because some homeservers need it, and the limiting
/// body around it does not tell. A body of unknown length is sent in chunks, whatever the method.
fn announce_body<B: HttpBody>(head: &mut Parts, body: &B) {
    let is_empty = body.is_end_stream();
    if is_empty && !matches!(head.method, Method::POST | Method::PUT | Method::PATCH) {
        return;
    }
    match body.size_hint().exact() {
        _ if is_empty => head.headers.insert(header::CONTENT_LENGTH, 0.into()),
        Some(length) => head.headers.insert(header::CONTENT_LENGTH, length.into()),
        None => {
            let chunked = HeaderValue::from_static("chunked");
            head.headers.insert(header::TRANSFER_ENCODING, chunked)
        }
    };
}

/// The client's body failed: its chunks are malformed, or it went away.
#[derive(Debug)]
struct BrokenBody(BoxError);

impl fmt::Display for BrokenBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the request body failed: {}", self.0)
    }
}

impl Error for BrokenBody {}

/// Whether the client or the homeserver caused the failure.
fn problem(error: &hyper_util::client::legacy::Error) -> Problem {
    let mut source = error.source();
    while let Some(error) = source {
        if error.is::<LengthLimitError>() {
            return Problem::TooLarge;
        }
        if error.is::<TimeoutError>() {
            return Problem::Slow;
        }
        if error.is::<BrokenBody>() {
            return Problem::BadRequest("The request body is malformed or broke off");
        }
        source = error.source();
    }
    log::failure(format_args!(
        "the homeserver does not answer: {}",
        answer::chain(error)
    ));
    Problem::BadGateway
}
