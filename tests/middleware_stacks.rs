//! The layer beside those of tower-http: which bodies have to be wrapped.

mod support;

use std::{pin::Pin, sync::Arc, time::Duration};

use axum::{Router, body::Body, routing::any};
use http::{Method, Request, Response, StatusCode};
use support::{
    ALICE, Answer, HANDLED, LOGIN, SYNC, alices, anonymous, call, layer, locked, passed, store,
};
use tower::{Service, ServiceBuilder};
use tower_account_status::{MemoryStore, RestrictionKind};
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::CompressionLayer,
    cors::CorsLayer,
    decompression::RequestDecompressionLayer,
    limit::RequestBodyLimitLayer,
    map_request_body::MapRequestBodyLayer,
    map_response_body::MapResponseBodyLayer,
    normalize_path::NormalizePathLayer,
    request_id::{MakeRequestUuid, SetRequestIdLayer},
    sensitive_headers::SetSensitiveHeadersLayer,
    timeout::{RequestBodyTimeoutLayer, ResponseBodyTimeoutLayer, TimeoutLayer},
    trace::TraceLayer,
};

type BoxFuture<T> = Pin<Box<dyn Future<Output = T>>>;

/// A stack that may or may not be a service for axum's requests.
struct Stack<'a, T>(&'a T);

/// It is one.
trait Works {
    fn answer(&self, request: Request<Body>) -> Option<BoxFuture<Answer>>;
}

/// It is none. The compiler takes this one only where the other does not apply.
trait Fails {
    fn answer(&self, _: Request<Body>) -> Option<BoxFuture<Answer>> {
        None
    }
}

impl<T, ResB> Works for Stack<'_, T>
where
    T: Service<Request<Body>, Response = Response<ResB>, Error: std::fmt::Debug> + Clone + 'static,
    ResB: http_body::Body<Error: std::fmt::Debug> + 'static,
{
    fn answer(&self, request: Request<Body>) -> Option<BoxFuture<Answer>> {
        Some(Box::pin(call(self.0.clone(), request)))
    }
}

impl<T> Fails for &Stack<'_, T> {}

fn router() -> Router {
    Router::new().fallback(any(|| async { HANDLED }))
}

fn requests() -> [Request<Body>; 2] {
    let login = anonymous(Method::POST, LOGIN, r#"{"user":"alice"}"#);
    [
        alices(Method::GET, SYNC).map(Body::new),
        login.map(Body::new),
    ]
}

/// Whether the stack compiles; if it does, it has to enforce.
macro_rules! works {
    ($what:expr, $store:expr, $stack:expr) => {{
        let stack = $stack;
        let mut works = None;
        for request in requests() {
            let again = clone(&request);
            $store.lift(ALICE, RestrictionKind::Locked);
            let Some(answer) = (&Stack(&stack)).answer(request) else {
                works = Some(false);
                break;
            };
            assert_eq!(answer.await.verdict(), passed(), "{}", $what);
            $store.restrict(ALICE, RestrictionKind::Locked);
            let answer = (&Stack(&stack)).answer(again).expect("it did a moment ago");
            assert_eq!(answer.await.verdict(), locked(), "{}", $what);
            works = Some(true);
        }
        works == Some(true)
    }};
}

fn clone(request: &Request<Body>) -> Request<Body> {
    let mut clone = Request::new(match request.method() {
        &Method::POST => Body::from(r#"{"user":"alice"}"#),
        _ => Body::empty(),
    });
    *clone.method_mut() = request.method().clone();
    *clone.uri_mut() = request.uri().clone();
    *clone.headers_mut() = request.headers().clone();
    clone
}

/// Which of its four modes the layer needs over and under a neighbour: kept, request body wrapped,
/// response body wrapped, both wrapped.
macro_rules! modes {
    ($neighbour:expr) => {{
        let store: Arc<MemoryStore> = store();
        let what = stringify!($neighbour);
        let ours = layer(&store);
        let (kept, both) = (ours.clone(), ours.clone().with_wrapped_bodies());
        let requests = ours.clone().with_wrapped_request_body();
        let responses = ours.with_wrapped_response_body();
        macro_rules! over {
            ($mode:expr) => {
                works!(
                    what,
                    store,
                    ServiceBuilder::new()
                        .layer($mode.clone())
                        .layer($neighbour)
                        .service(router())
                )
            };
        }
        macro_rules! under {
            ($mode:expr) => {
                works!(
                    what,
                    store,
                    ServiceBuilder::new()
                        .layer($neighbour)
                        .layer($mode.clone())
                        .service(router())
                )
            };
        }
        [
            [over!(kept), over!(requests), over!(responses), over!(both)],
            [
                under!(kept),
                under!(requests),
                under!(responses),
                under!(both),
            ],
        ]
    }};
}

const EVERY_MODE: [bool; 4] = [true, true, true, true];
const REQUEST_WRAPPED: [bool; 4] = [false, true, false, true];
const RESPONSE_WRAPPED: [bool; 4] = [false, false, true, true];
const BOTH_WRAPPED: [bool; 4] = [false, false, false, true];

/// Over a router, which reads any body and answers with axum's. A layer that changes the response
/// body asks for a wrapped response over it, and one that changes the request body for a wrapped
/// request under it.
#[tokio::test]
async fn which_bodies_have_to_be_wrapped_among_the_layers_of_tower_http() {
    let limit = Duration::from_secs(30);
    let timeout = TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, limit);
    for (neighbour, [over, under], expected) in [
        ("timeout", modes!(timeout), [EVERY_MODE, EVERY_MODE]),
        (
            "request body timeout",
            modes!(RequestBodyTimeoutLayer::new(limit)),
            [EVERY_MODE, REQUEST_WRAPPED],
        ),
        (
            "response body timeout",
            modes!(ResponseBodyTimeoutLayer::new(limit)),
            [RESPONSE_WRAPPED, EVERY_MODE],
        ),
        (
            "request body limit",
            modes!(RequestBodyLimitLayer::new(65536)),
            [RESPONSE_WRAPPED, REQUEST_WRAPPED],
        ),
        (
            "catch panic",
            modes!(CatchPanicLayer::new()),
            [RESPONSE_WRAPPED, EVERY_MODE],
        ),
        (
            "trace",
            modes!(TraceLayer::new_for_http()),
            [RESPONSE_WRAPPED, EVERY_MODE],
        ),
        (
            "cors",
            modes!(CorsLayer::permissive()),
            [EVERY_MODE, EVERY_MODE],
        ),
        (
            "compression",
            modes!(CompressionLayer::new()),
            [RESPONSE_WRAPPED, EVERY_MODE],
        ),
        (
            "request decompression",
            modes!(RequestDecompressionLayer::new()),
            [RESPONSE_WRAPPED, REQUEST_WRAPPED],
        ),
        (
            "map request body",
            modes!(MapRequestBodyLayer::new(Body::new)),
            [EVERY_MODE, EVERY_MODE],
        ),
        (
            "map response body",
            modes!(MapResponseBodyLayer::new(Body::new)),
            [EVERY_MODE, EVERY_MODE],
        ),
        (
            "normalize path",
            modes!(NormalizePathLayer::trim_trailing_slash()),
            [EVERY_MODE, EVERY_MODE],
        ),
        (
            "request id",
            modes!(SetRequestIdLayer::x_request_id(MakeRequestUuid)),
            [EVERY_MODE, EVERY_MODE],
        ),
        (
            "sensitive headers",
            modes!(SetSensitiveHeadersLayer::new([http::header::AUTHORIZATION])),
            [EVERY_MODE, EVERY_MODE],
        ),
    ] {
        assert_eq!(over, expected[0], "over {neighbour}");
        assert_eq!(under, expected[1], "under {neighbour}");
    }
}

#[tokio::test]
async fn a_stack_of_all_of_them_in_a_router() {
    let store = store();
    let limit = Duration::from_secs(30);
    let app = router().layer(
        ServiceBuilder::new()
            .layer(TraceLayer::new_for_http())
            .layer(CorsLayer::permissive())
            .layer(CatchPanicLayer::new())
            .layer(RequestBodyLimitLayer::new(16 << 20))
            .layer(layer(&store).with_wrapped_bodies())
            .layer(RequestBodyTimeoutLayer::new(limit))
            .layer(ResponseBodyTimeoutLayer::new(limit)),
    );
    assert!(works!("all of them", store, app));
}

/// With one neighbour no stack needs both. With two it may.
#[tokio::test]
async fn between_a_body_limit_and_a_trace_both_bodies_are_wrapped() {
    let store = store();
    let ours = layer(&store);
    macro_rules! between {
        ($mode:expr) => {
            works!(
                "between",
                store,
                ServiceBuilder::new()
                    .layer(RequestBodyLimitLayer::new(65536))
                    .layer($mode)
                    .layer(TraceLayer::new_for_http())
                    .service(router())
            )
        };
    }
    let works = [
        between!(ours.clone()),
        between!(ours.clone().with_wrapped_request_body()),
        between!(ours.clone().with_wrapped_response_body()),
        between!(ours.clone().with_wrapped_bodies()),
    ];
    assert_eq!(works, BOTH_WRAPPED);
}
