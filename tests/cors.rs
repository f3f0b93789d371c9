//! The layer over and under tower-http's CORS layer (rule 3): no header twice, preflights pass.

mod support;

use axum::{Router, body::Body, routing::any};
use http::{HeaderValue, Method, Request};
use support::{Answer, HANDLED, SYNC, alices, call, layer, locked, store_with};
use tower::ServiceBuilder;
use tower_account_status::RestrictionKind;
use tower_http::cors::{AllowOrigin, CorsLayer};

fn router() -> Router {
    Router::new().fallback(any(|| async { HANDLED }))
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
            let sync = alices(Method::GET, SYNC).map(Body::new);
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
        let sync = alices(Method::GET, SYNC).map(Body::new);
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
