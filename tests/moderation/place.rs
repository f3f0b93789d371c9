//! The layer's place in a server: inside `AccountStatusLayer`, in nested routers, under a CORS
//! layer, around services that reserve something in becoming ready.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::poll_fn,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{OriginalUri, State},
    response::IntoResponse,
};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tower::{Layer as _, Service, ServiceBuilder, ServiceExt, limit::ConcurrencyLimitLayer};
use tower_account_status::{
    AccountModerationCapability, AccountStatusLayer, Combined, MemoryStore, RequestPath,
    RestrictionKind::{Locked, Suspended},
    RestrictionStore, UserId,
    moderation::Refusal,
};
use tower_account_status::{AccountStateStore, store::Answer, without};
use tower_http::{cors::CorsLayer, limit::RequestBodyLimitLayer, timeout::TimeoutLayer};

use crate::{
    records::{LOCK_ALICE, request},
    stacks::{INNER, oneshot, router},
    table::{check_cors, check_error},
    world::{ADMIN, ALICE, World, owner},
};

/// Far more than it takes: a machine may be busy.
const SOON: Duration = Duration::from_secs(20);

type Sessions = Arc<Mutex<HashMap<Vec<u8>, UserId>>>;

fn sessions() -> Sessions {
    let tokens = ["admin", "alice"].map(|token| (token.into(), owner(token).unwrap()));
    Arc::new(Mutex::new(HashMap::from(tokens)))
}

/// Whose tokens there are, in memory.
struct Own(Sessions);

impl AccountStateStore for Own {
    const RESOLVES_AT_ONCE: bool = true;

    async fn access_token(&self, token: &str) -> Answer {
        Ok(self.0.lock().unwrap().get(token.as_bytes()).cloned())
    }

    without! {
        application_service, login_name, third_party, login_token, refresh_token, event_sender, state, changes
    }
}

/// A server whose logout forgets the token, under both layers.
fn server<R: RestrictionStore>(world: &World<R>, sessions: &Sessions) -> Router {
    async fn logout(State(sessions): State<Sessions>, request: Request<Body>) -> impl IntoResponse {
        let authorization = request.headers()["authorization"].as_bytes();
        let token = authorization.strip_prefix(b"Bearer ").unwrap();
        sessions.lock().unwrap().remove(token);
        "{}"
    }
    let own = Own(Arc::clone(sessions));
    let restrictions = Arc::clone(&world.restrictions);
    let status = AccountStatusLayer::new(Combined::new(own, restrictions));
    Router::new()
        .route("/_matrix/client/v3/logout", axum::routing::post(logout))
        .with_state(Arc::clone(sessions))
        .fallback(|| async { INNER })
        .layer(world.layer())
        .layer(status)
}

async fn status(server: &Router, request: Request<Bytes>) -> StatusCode {
    oneshot(server.clone(), request).await.status()
}

fn sync() -> Request<Bytes> {
    request(Method::GET, "/_matrix/client/v3/sync", "alice", "")
}

pub(crate) async fn nobody_is_logged_out<R: RestrictionStore>(store: R) {
    let (world, sessions) = (World::new(store), sessions());
    let server = server(&world, &sessions);
    let put = |body| request(Method::PUT, LOCK_ALICE, "admin", body);
    assert_eq!(status(&server, sync()).await, StatusCode::OK);
    let locked = status(&server, put(r#"{"locked":true}"#)).await;
    assert_eq!(locked, StatusCode::OK);
    let refused = oneshot(server.clone(), sync()).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    check_error(&refused, "M_USER_LOCKED", Some(true)).unwrap();
    assert_eq!(sessions.lock().unwrap().len(), 2, "every token is kept");
    let unlocked = status(&server, put(r#"{"locked":false}"#)).await;
    assert_eq!(unlocked, StatusCode::OK);
    let again = status(&server, sync()).await;
    assert_eq!(again, StatusCode::OK, "as though nothing had happened");
    // The server does forget tokens where it is asked to.
    let logout = request(Method::POST, "/_matrix/client/v3/logout", "alice", "");
    assert_eq!(status(&server, logout).await, StatusCode::OK);
    assert_eq!(sessions.lock().unwrap().len(), 1);
}

pub(crate) async fn a_locked_administrator_is_locked<R: RestrictionStore>(store: R) {
    let (world, sessions) = (World::new(store), sessions());
    let server = server(&world, &sessions);
    world.restrict(ADMIN, Locked).await;
    world.restrict(ALICE, Locked).await;
    let own = "/_matrix/client/v1/admin/lock/@admin:example.org";
    for path in [own, LOCK_ALICE] {
        for (method, body) in [(Method::PUT, r#"{"locked":false}"#), (Method::GET, "")] {
            let response = oneshot(server.clone(), request(method, path, "admin", body)).await;
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path}");
            check_error(&response, "M_USER_LOCKED", Some(true)).unwrap();
        }
    }
    for user in [ADMIN, ALICE] {
        let state = world.state(user).await;
        assert!(state.restriction(Locked).is_some(), "{user} stays locked");
    }
}

fn world() -> World<MemoryStore> {
    World::new(MemoryStore::new())
}

fn get_lock(path: &str) -> Request<Bytes> {
    request(Method::GET, path, "admin", "")
}

#[tokio::test]
async fn rule_6_in_a_nested_router_the_layer_is_told_the_original_path() {
    let world = world();
    let mount = "/_matrix/client/v1";
    let told = [
        world
            .layer()
            .with_request_path(RequestPath::nested_at(mount)),
        world
            .layer()
            .with_request_path(RequestPath::original_uri(|extensions| {
                extensions.get::<OriginalUri>().map(|uri| &uri.0)
            })),
    ];
    for layer in told {
        let app = Router::new().nest(mount, router().layer(layer));
        let response = oneshot(app, get_lock(LOCK_ALICE)).await;
        assert_eq!(response.body(), r#"{"locked":false}"#);
    }
    let untold = Router::new().nest(mount, router().layer(world.layer()));
    assert_eq!(oneshot(untold, get_lock(LOCK_ALICE)).await.body(), INNER);
}

#[tokio::test]
async fn rule_6_below_a_prefix_of_the_whole_server() {
    let app = world()
        .layer()
        .with_request_path(RequestPath::below("/hs"))
        .layer(router());
    for path in [LOCK_ALICE.to_owned(), format!("/hs{LOCK_ALICE}")] {
        let response = oneshot(app.clone(), get_lock(&path)).await;
        assert_eq!(response.body(), r#"{"locked":false}"#, "{path}");
    }
    let other = oneshot(app, get_lock(&format!("/hsx{LOCK_ALICE}"))).await;
    assert_eq!(other.body(), INNER);
}

#[tokio::test]
async fn rule_3_without_cors_headers_a_cors_layer_outside_speaks() {
    let cors = CorsLayer::new()
        .allow_origin(
            "https://app.example.org"
                .parse::<http::HeaderValue>()
                .unwrap(),
        )
        .allow_methods([Method::GET, Method::PUT]);
    let app = router()
        .layer(world().layer().without_cors_headers())
        .layer(cors);
    let preflight = Request::builder()
        .method(Method::OPTIONS)
        .uri(LOCK_ALICE)
        .header("origin", "https://app.example.org")
        .header("access-control-request-method", "PUT")
        .body(Bytes::new())
        .unwrap();
    let origin_of = |response: &Response<Bytes>| {
        let origins = response.headers().get_all("access-control-allow-origin");
        let origins: Vec<_> = origins
            .iter()
            .map(|value| value.to_str().unwrap())
            .collect();
        origins.join(" and ")
    };
    let response = oneshot(app.clone(), preflight).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(origin_of(&response), "https://app.example.org");
    let mut refused = get_lock(LOCK_ALICE);
    refused.headers_mut().remove("authorization");
    let origin = "https://app.example.org".parse().unwrap();
    refused.headers_mut().insert("origin", origin);
    let response = oneshot(app, refused).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(origin_of(&response), "https://app.example.org");
}

#[tokio::test]
async fn rule_3_without_cors_headers_there_are_none() {
    let app = world().layer().without_cors_headers().layer(router());
    for method in [Method::OPTIONS, Method::GET, Method::DELETE] {
        let response = oneshot(app.clone(), request(method, LOCK_ALICE, "admin", "")).await;
        let cors = response.headers().keys().find(|name| {
            let name = name.as_str();
            name.starts_with("access-control")
        });
        assert_eq!(cors, None);
        check_cors(&response).expect_err("the check of the table would notice");
    }
}

#[tokio::test]
async fn rule_3_the_typed_reason_stands_in_the_extensions() {
    let app = world().layer().layer(router());
    let request = request(Method::GET, LOCK_ALICE, "alice", "");
    let response = oneshot(app, request).await;
    let refusal = response.extensions().get::<Refusal>();
    assert_eq!(refusal, Some(&Refusal::NotAdministrator));
}

async fn ready<S: Service<Request<Body>, Error = Infallible>>(service: &mut S) {
    let ready = poll_fn(|context| service.poll_ready(context));
    let ready = tokio::time::timeout(SOON, ready).await;
    ready.expect("the permit is free").unwrap();
}

#[tokio::test]
async fn rule_13_an_answer_gives_readiness_back() {
    let limited = ServiceBuilder::new()
        .layer(ConcurrencyLimitLayer::new(1))
        .service(router());
    let mut app = world().layer().layer(limited);
    let mut other = app.clone();
    ready(&mut app).await;
    let answer = app.call(get_lock(LOCK_ALICE).map(Body::from));
    // The answer is not awaited yet, and the permit is free all the same.
    ready(&mut other).await;
    assert_eq!(answer.await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn bodies_of_other_layers_inside_are_wrapped() {
    let world = world();
    let inner = ServiceBuilder::new()
        .layer(TimeoutLayer::with_status_code(
            StatusCode::GATEWAY_TIMEOUT,
            SOON,
        ))
        .layer(RequestBodyLimitLayer::new(1 << 20))
        .service(router());
    let app = world.layer().with_wrapped_response_body().layer(inner);
    for (path, body) in [(LOCK_ALICE, r#"{"locked":false}"#), ("/x", INNER)] {
        let request = get_lock(path).map(Body::from);
        let response = app.clone().oneshot(request).await.unwrap();
        let bytes = axum::body::to_bytes(Body::new(response.into_body()), 1 << 20).await;
        assert_eq!(bytes.unwrap(), body, "{path}");
    }
    let only_requests = world.layer().with_wrapped_request_body().layer(router());
    let request = get_lock(LOCK_ALICE).map(http_body_util::Full::new);
    let response = only_requests.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn rule_16_a_suspension_by_the_endpoint_is_announced() {
    let world = world();
    let changes = world
        .restrictions
        .restriction_changes()
        .expect("a memory store announces");
    let mut news = changes.subscribe(&UserId::from(ALICE));
    let path = "/_matrix/client/v1/admin/suspend/@alice:example.org";
    let put = request(Method::PUT, path, "admin", r#"{"suspended":true}"#);
    let response = oneshot(world.layer().layer(router()), put).await;
    assert_eq!(response.status(), StatusCode::OK);
    let heard = tokio::time::timeout(SOON, news.changed()).await;
    heard.expect("the change was announced");
    let state = world.state(ALICE).await;
    assert!(state.restriction(Suspended).is_some());
}

#[test]
fn msc4323_the_capability() {
    let capability = AccountModerationCapability::FULL;
    let value: Value = serde_json::to_value(capability).unwrap();
    assert_eq!(value, json!({ "suspend": true, "lock": true }));
    assert_eq!(AccountModerationCapability::NAME, "m.account_moderation");
    let unstable = AccountModerationCapability::UNSTABLE_NAME;
    assert_eq!(unstable, "uk.timedout.msc4323");
}

#[test]
fn rule_15_debug_shows_no_more_than_settings() {
    let layer = world().layer();
    let service = layer.layer(());
    for text in [format!("{layer:?}"), format!("{service:?}")] {
        assert!(text.contains("store_timeout"), "{text}");
        assert!(!text.contains("@alice"), "{text}");
    }
}
