//! The layer among those of tower-http: which bodies have to be wrapped where, and CORS.

mod support;

use std::{pin::Pin, sync::Arc, time::Duration};

use axum::{Router, body::Body, routing::any};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use support::{
    ALICE, Answer, HANDLED, LOGIN, SYNC, alices, anonymous, call, layer, locked, passed, store,
    store_with,
};
use tower::{Service, ServiceBuilder};
use tower_account_status::{MemoryStore, RestrictionKind};
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::CompressionLayer,
    cors::{AllowOrigin, CorsLayer},
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

/// In which of its four modes the layer stands over and under a neighbour: kept, request body
/// wrapped, response body wrapped, both wrapped.
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

/// Nobody needs both where the stack has one neighbour; two can ask for it.
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

/// A browser's request.
fn from(origin: &'static str, mut request: Request<Body>) -> Request<Body> {
    let origin = HeaderValue::from_static(origin);
    request.headers_mut().insert("origin", origin);
    request
}

fn preflight(origin: &'static str) -> Request<Body> {
    let mut request = from(origin, Request::new(Body::empty()));
    *request.method_mut() = Method::OPTIONS;
    *request.uri_mut() = SYNC.parse().expect("a path");
    for (name, value) in [
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "authorization"),
    ] {
        request
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    request
}

fn assert_once(what: &str, answer: &Answer) {
    for name in answer.headers.keys() {
        let count = answer.headers.get_all(name).iter().count();
        assert!(
            count == 1 || name == "vary",
            "{what}: {name} is there {count} times"
        );
    }
}

#[tokio::test]
async fn rule_3_no_cors_header_is_there_twice_over_or_under_a_cors_layer() {
    let store = store_with(RestrictionKind::Locked);
    let ours = || layer(&store);
    for (what, cors) in [
        ("permissive", CorsLayer::permissive()),
        ("very permissive", CorsLayer::very_permissive()),
        (
            "any origin",
            CorsLayer::new().allow_origin(tower_http::cors::Any),
        ),
    ] {
        for (place, app) in [
            ("under", router().layer(ours()).layer(cors.clone())),
            ("over", router().layer(cors.clone()).layer(ours())),
            (
                "within",
                router().layer(ServiceBuilder::new().layer(cors.clone()).layer(ours())),
            ),
        ] {
            let [sync, _] = requests();
            let answer = call(app.clone(), from("https://app.example", sync)).await;
            assert_eq!(answer.verdict(), locked(), "{place} {what}");
            let origin = answer.header("access-control-allow-origin");
            assert!(
                matches!(origin, Some("*" | "https://app.example")),
                "{place} {what}: {origin:?}"
            );
            assert_once(place, &answer);
            let answer = call(app, preflight("https://app.example")).await;
            assert_eq!(answer.status, 200, "{place} {what}");
            assert!(
                answer.header("access-control-allow-origin").is_some(),
                "{place} {what}"
            );
            assert_once(place, &answer);
        }
    }
}

#[tokio::test]
async fn rule_3_under_a_list_of_origins_the_layers_own_headers_are_turned_off() {
    let store = store_with(RestrictionKind::Locked);
    let listed = HeaderValue::from_static("https://app.example");
    let cors = CorsLayer::new().allow_origin(AllowOrigin::list([listed]));
    let app = router()
        .layer(layer(&store).without_cors_headers())
        .layer(cors);
    for (origin, expected) in [
        ("https://app.example", Some("https://app.example")),
        ("https://evil.example", None),
    ] {
        let [sync, _] = requests();
        let answer = call(app.clone(), from(origin, sync)).await;
        assert_eq!(answer.verdict(), locked());
        assert_eq!(
            answer.header("access-control-allow-origin"),
            expected,
            "{origin}"
        );
        assert_once(origin, &answer);
    }
}
