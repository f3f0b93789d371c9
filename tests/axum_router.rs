//! Every place of the layer in an axum router.

mod support;

use std::{pin::pin, sync::Arc, task::Poll};

use axum::{
    Router,
    body::Body,
    routing::{any, get, post},
};
use http::{Method, Request};
use support::{
    ALICE, HANDLED, LOGOUT, SYNC, TOKEN, alices, anonymous, call, layer, locked, passed, poll_once,
    store, store_with, verdict,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower::Layer;
use tower_account_status::{
    AccountStatusLayer, MemoryStore, NamedAccountCheck, NamedIn, RequestPath, RestrictionKind,
};

type Store = Arc<MemoryStore>;

async fn handle() -> &'static str {
    HANDLED
}

/// The client endpoints of the tests, without a layer.
fn routes() -> Router {
    Router::new()
        .route(SYNC, get(handle))
        .route(LOGOUT, post(handle))
}

fn request(method: Method, path: &str) -> Request<Body> {
    alices(method, path).map(Body::new)
}

async fn assert_enforced(place: &str, app: Router, store: &Store) {
    for (method, path, while_locked) in [
        (Method::GET, SYNC, locked()),
        (Method::HEAD, SYNC, verdict(401, "")),
        (Method::POST, LOGOUT, passed()),
    ] {
        store.lift(ALICE, RestrictionKind::Locked);
        let answer = call(app.clone(), request(method.clone(), path)).await;
        assert_eq!(answer.verdict(), passed(), "{place}: {method} {path}");
        store.restrict(ALICE, RestrictionKind::Locked);
        let answer = call(app.clone(), request(method.clone(), path)).await;
        assert_eq!(answer.verdict(), while_locked, "{place}: {method} {path}");
        let nobodys = anonymous(method, path, "").map(Body::new);
        assert_eq!(
            call(app.clone(), nobodys).await.verdict(),
            passed(),
            "{place}"
        );
    }
}

#[tokio::test]
async fn rule_6_it_enforces_wherever_it_stands() {
    let store = store();
    let layer = || layer(&store);
    let nested = Router::new()
        .route("/sync", get(handle))
        .route("/logout", post(handle))
        .layer(layer().with_request_path(RequestPath::nested_at("/_matrix/client/v3")));
    let by_method = Router::new()
        .route(SYNC, get(handle).layer(layer()))
        .route(LOGOUT, post(handle).layer(layer()));
    let by_fallback = Router::new().fallback_service(layer().layer(any(handle)));
    let stateful = Router::new()
        .route(
            SYNC,
            get(|state: axum::extract::State<&'static str>| async move { state.0 }),
        )
        .route(LOGOUT, post(handle))
        .layer(layer())
        .with_state(HANDLED);
    for (place, app) in [
        ("Router::layer", routes().layer(layer())),
        ("Router::route_layer", routes().route_layer(layer())),
        ("twice", routes().layer(layer()).layer(layer())),
        ("nested", Router::new().nest("/_matrix/client/v3", nested)),
        ("merged", Router::new().merge(routes().layer(layer()))),
        (
            "around a merge",
            Router::new().merge(routes()).layer(layer()),
        ),
        ("MethodRouter::layer", by_method),
        ("fallback service", by_fallback),
        (
            "fallback",
            Router::new().fallback(any(handle)).layer(layer()),
        ),
        ("with state", stateful),
        ("route service", {
            let service = layer().layer(routes());
            Router::new().fallback_service(service)
        }),
        (
            "wrapped bodies",
            routes().layer(layer().with_wrapped_bodies()),
        ),
        (
            "wrapped requests",
            routes().layer(layer().with_wrapped_request_body()),
        ),
        (
            "wrapped responses",
            routes().layer(layer().with_wrapped_response_body()),
        ),
    ] {
        assert_enforced(place, app, &store).await;
    }
}

/// The layer is not told where it is, and the version is a parameter.
#[tokio::test]
async fn rule_16_a_long_poll_in_a_nested_router_with_any_version_is_ended() {
    for path in ["/_matrix/client/foo/sync", "/_matrix/client/foo/events"] {
        let store = store();
        let nested = Router::new()
            .route("/{version}/sync", get(std::future::pending::<()>))
            .route("/{version}/events", get(std::future::pending::<()>))
            .layer(layer(&store));
        let app = Router::new().nest("/_matrix/client", nested);
        let mut waiting = pin!(call(app.clone(), request(Method::GET, path)));
        assert!(poll_once(waiting.as_mut()).is_pending());
        store.restrict(ALICE, RestrictionKind::Locked);
        let Poll::Ready(answer) = poll_once(waiting.as_mut()) else {
            panic!("{path} still waits");
        };
        assert_eq!(answer.verdict(), locked(), "{path}");
    }
}

#[tokio::test]
async fn what_a_place_does_not_cover() {
    let locked_out = store_with(RestrictionKind::Locked);
    let layer = || layer(&locked_out);
    let other = || Router::new().route("/other", get(handle));
    for (place, app, path, expected) in [
        (
            "around all, no route",
            routes().layer(layer()),
            "/nowhere",
            locked(),
        ),
        (
            "route_layer, no route",
            routes().route_layer(layer()),
            "/nowhere",
            verdict(404, ""),
        ),
        (
            "a route added later",
            routes().layer(layer()).merge(other()),
            "/other",
            passed(),
        ),
        (
            "a route added before",
            routes().merge(other()).layer(layer()),
            "/other",
            locked(),
        ),
    ] {
        let answer = call(app, request(Method::GET, path)).await;
        assert_eq!(answer.verdict(), expected, "{place}");
    }
}

#[tokio::test]
async fn rule_10_a_handler_finds_the_guard_among_its_extensions() {
    use axum::{Extension, response::IntoResponse};
    use tower_account_status::{AccountGuard, Denial};

    async fn log_in(
        Extension(guard): Extension<AccountGuard>,
        body: String,
    ) -> Result<&'static str, axum::response::Response> {
        assert!(body.contains("alice"), "{body}");
        let checked = guard.check(&ALICE.into()).await;
        checked.map_err(|denial: Denial| denial.into_response::<Body>().into_response())?;
        Ok(HANDLED)
    }
    let store = store_with(RestrictionKind::Locked);
    let app = Router::new().route(support::LOGIN, post(log_in)).layer(
        layer(&store).with_named_account_check(NamedIn::Login, NamedAccountCheck::ByHandler),
    );
    let login = || anonymous(Method::POST, support::LOGIN, r#"{"user":"alice"}"#).map(Body::new);
    assert_eq!(call(app.clone(), login()).await.verdict(), locked());
    store.lift(ALICE, RestrictionKind::Locked);
    assert_eq!(call(app, login()).await.verdict(), passed());
}

/// One request on a connection of its own, and the whole answer as text.
async fn over_tcp(address: std::net::SocketAddr, head: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let request = format!("{head}\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer
}

#[tokio::test]
async fn a_whole_router_is_served_over_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let store = store_with(RestrictionKind::Locked);
    let app = AccountStatusLayer::new(Arc::clone(&store)).layer(routes());
    let server = axum::serve(listener, app.into_make_service());
    let server = tokio::spawn(server.into_future());
    let authorization = format!("authorization: Bearer {TOKEN}");
    let sync = format!("GET {SYNC}?timeout=0 HTTP/1.1\r\n{authorization}");
    let refused = over_tcp(address, &sync).await;
    assert!(
        refused.starts_with("HTTP/1.1 401 Unauthorized\r\n"),
        "{refused}"
    );
    assert!(refused.contains("\r\ncontent-length: 85\r\n"), "{refused}");
    assert!(
        refused.contains("\r\ncontent-type: application/json\r\n"),
        "{refused}"
    );
    assert!(refused.ends_with(r#""soft_logout":true}"#), "{refused}");
    let head = over_tcp(address, &sync.replace("GET", "HEAD")).await;
    assert!(head.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{head}");
    assert!(head.contains("\r\ncontent-length: 85\r\n"), "{head}");
    assert!(head.ends_with("\r\n\r\n"), "{head}");
    let logout = format!("POST {LOGOUT} HTTP/1.1\r\n{authorization}");
    let logout = over_tcp(address, &logout).await;
    assert!(logout.starts_with("HTTP/1.1 200 OK\r\n"), "{logout}");
    let odd = format!("POST /_matrix/client/v3/./logout HTTP/1.1\r\n{authorization}");
    let odd = over_tcp(address, &odd).await;
    assert!(odd.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{odd}");
    let absolute = format!("GET http://localhost{SYNC} HTTP/1.1\r\n{authorization}");
    let absolute = over_tcp(address, &absolute).await;
    assert!(
        absolute.starts_with("HTTP/1.1 401 Unauthorized\r\n"),
        "{absolute}"
    );
    store.lift(ALICE, RestrictionKind::Locked);
    let passed = over_tcp(address, &sync).await;
    assert!(passed.starts_with("HTTP/1.1 200 OK\r\n"), "{passed}");
    assert!(passed.ends_with(HANDLED), "{passed}");
    server.abort();
}
