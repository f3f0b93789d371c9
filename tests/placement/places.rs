//! The places around, in and below a router.

use std::net::SocketAddr;

use axum::{
    Router, ServiceExt,
    extract::{ConnectInfo, OriginalUri, Request},
    routing::{any, get, post},
};
use http::{Method, header::ORIGIN};
use tower::{Layer as _, ServiceBuilder};
use tower_account_status::RequestPath;
use tower_http::cors::CorsLayer;

use crate::{
    served::{LOCKED_BODY, Served, World, router, serve},
    support::{HANDLED, SYNC, alices, anonymous, locked, passed, verdict},
};

#[tokio::test]
async fn around_the_whole_router() {
    let world = World::new();
    let app = world.layer().layer(router());
    let served = Served::by(|listener| serve!(listener, app.into_make_service())).await;
    served.assert_enforced("around", &world).await;
    world.lock();
    let nowhere = served.ask(alices(Method::GET, "/nowhere")).await;
    assert_eq!(nowhere.verdict(), locked(), "a path without a route");
}

#[tokio::test]
async fn in_the_router() {
    let world = World::new();
    let served = Served::router(router().layer(world.layer())).await;
    served.assert_enforced("Router::layer", &world).await;
    world.lock();
    let nowhere = served.ask(alices(Method::GET, "/nowhere")).await;
    assert_eq!(nowhere.verdict(), locked(), "a path without a route");

    let world = World::new();
    let app = router().reset_fallback().route_layer(world.layer());
    let served = Served::router(app).await;
    served.assert_enforced("Router::route_layer", &world).await;
    world.lock();
    let nowhere = served.ask(alices(Method::GET, "/nowhere")).await;
    assert_eq!(
        nowhere.verdict(),
        verdict(404, ""),
        "route_layer covers routes only"
    );

    let world = World::new();
    let below = router().layer(world.layer());
    let above = Router::new().route("/above", get(|| async { HANDLED }));
    let served = Served::router(above.merge(below)).await;
    served.assert_enforced("merged", &world).await;
    world.lock();
    let above = served.ask(alices(Method::GET, "/above")).await;
    assert_eq!(
        above.verdict(),
        passed(),
        "a route that is added above the layer is not covered"
    );
}

fn client_api() -> Router {
    Router::new()
        .route("/sync", get(|| async { HANDLED }))
        .route("/login", post(|body: String| async { body }))
        .route("/logout", post(|| async { HANDLED }))
}

#[tokio::test]
async fn in_a_nested_router() {
    let world = World::new();
    let original =
        RequestPath::original_uri(|extensions| extensions.get::<OriginalUri>().map(|uri| &uri.0));
    for (place, path) in [
        ("OriginalUri", original),
        ("nested_at", RequestPath::nested_at("/_matrix/client/v3")),
    ] {
        let nested = client_api().layer(world.layer().with_request_path(path));
        let app = Router::new().nest("/_matrix/client/v3", nested);
        Served::router(app)
            .await
            .assert_enforced(place, &world)
            .await;
    }
    // Without the prefix it refuses some requests that should pass, and passes nothing more.
    let nested = client_api().layer(world.layer());
    let served = Served::router(Router::new().nest("/_matrix/client/v3", nested)).await;
    world.lock();
    assert_eq!(served.sync().await.verdict(), locked());
    let logout = served
        .ask(alices(Method::POST, "/_matrix/client/v3/logout"))
        .await;
    assert_eq!(logout.verdict(), locked());
}

#[tokio::test]
async fn below_a_prefix_that_nobody_strips() {
    let world = World::new();
    let below = world
        .layer()
        .with_request_path(RequestPath::below("/homeserver"));
    let prefixed = Router::new()
        .route(
            "/homeserver/_matrix/client/v3/logout",
            post(|| async { HANDLED }),
        )
        .fallback(any(|| async { HANDLED }));
    let served = Served::router(prefixed.layer(below)).await;
    world.lock();
    for (method, path, expected) in [
        (Method::GET, "/homeserver/_matrix/client/v3/sync", locked()),
        (
            Method::POST,
            "/homeserver/_matrix/client/v3/logout",
            passed(),
        ),
        (Method::POST, "/else/_matrix/client/v3/logout", locked()),
    ] {
        let answer = served.ask(alices(method, path)).await;
        assert_eq!(answer.verdict(), expected, "{path}");
    }
}

/// A router whose handler asks for the address of the client.
fn tells_address() -> Router {
    router().route(
        "/_matrix/client/v3/account/whoami",
        get(
            |ConnectInfo(address): ConnectInfo<SocketAddr>| async move { address.ip().to_string() },
        ),
    )
}

async fn address(served: &Served) -> (u16, String) {
    let whoami = alices(Method::GET, "/_matrix/client/v3/account/whoami");
    let answer = served.ask(whoami).await;
    (answer.status.as_u16(), answer.text().to_owned())
}

#[tokio::test]
async fn connect_info_around_the_whole_router() {
    let world = World::new();
    let told = (200, "127.0.0.1".to_owned());

    // axum's own extension trait, with the type of the request spelled out.
    let app = world.layer().layer(tells_address());
    let app = ServiceExt::<Request>::into_make_service_with_connect_info::<SocketAddr>(app);
    let served = Served::by(|listener| serve!(listener, app)).await;
    served.assert_enforced("ServiceExt", &world).await;
    assert_eq!(address(&served).await, told);

    // A fallback service, which takes any stack.
    let stack = ServiceBuilder::new()
        .layer(world.layer())
        .service(tells_address());
    let app = Router::new().fallback_service(stack);
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let served = Served::by(|listener| serve!(listener, app)).await;
    served.assert_enforced("fallback service", &world).await;
    assert_eq!(address(&served).await, told);

    // In the router nothing is different from a router without the layer.
    let app = tells_address().layer(world.layer());
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let served = Served::by(|listener| serve!(listener, app)).await;
    assert_eq!(address(&served).await, told);

    // `into_make_service` alone does not pass on the address: the handler's extractor answers 500.
    let app = world.layer().layer(tells_address()).into_make_service();
    let served = Served::by(|listener| serve!(listener, app)).await;
    let (status, text) = address(&served).await;
    assert!(
        status == 500 && text.contains("ConnectInfo"),
        "{status} {text}"
    );
    world.lock();
    let refused = served
        .ask(alices(Method::GET, "/_matrix/client/v3/account/whoami"))
        .await;
    assert_eq!(refused.verdict(), locked());
}

#[tokio::test]
async fn under_a_cors_layer_with_a_list_of_origins() {
    let world = World::new();
    let origin = "https://app.example.org";
    let cors = CorsLayer::new()
        .allow_origin([origin.parse().unwrap()])
        .allow_headers([http::header::AUTHORIZATION]);
    let app = router()
        .layer(world.layer().without_cors_headers())
        .layer(cors);
    let served = Served::router(app).await;
    world.lock();
    for (from, allowed) in [(origin, vec![origin]), ("https://evil.example.org", vec![])] {
        let mut request = alices(Method::GET, SYNC);
        request.headers_mut().insert(ORIGIN, from.parse().unwrap());
        let refused = served.ask(request).await;
        assert_eq!(refused.text(), LOCKED_BODY);
        let all = refused.headers.get_all("access-control-allow-origin");
        assert_eq!(all.iter().collect::<Vec<_>>(), allowed, "{from}");
    }
    let mut preflight = anonymous(Method::OPTIONS, SYNC, "");
    for (name, value) in [
        ("origin", origin),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "authorization"),
    ] {
        preflight.headers_mut().insert(name, value.parse().unwrap());
    }
    let preflight = served.ask(preflight).await;
    assert_eq!(
        preflight.header("access-control-allow-origin"),
        Some(origin)
    );
}

/// An OAuth client must never be answered with a Matrix error.
#[tokio::test]
async fn beside_oauth_endpoints() {
    let world = World::new();
    let oauth = Router::new().route("/oauth2/token", post(|| async { HANDLED }));
    let layer = world.layer().add_excluded_prefix("/oauth2");
    let served = Served::router(router().merge(oauth).layer(layer)).await;
    world.lock();
    let token = served.ask(alices(Method::POST, "/oauth2/token")).await;
    assert_eq!(token.verdict(), passed());
    assert_eq!(served.sync().await.verdict(), locked());
}
