//! Whole stacks: one in a router, one around it, and the effect of a server's own stack on a refusal.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router, ServiceExt,
    body::Body,
    extract::Request,
    middleware::{Next, from_fn},
    response::Response,
};
use http::{HeaderName, HeaderValue, StatusCode};
use tower::ServiceBuilder;
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::CompressionLayer,
    cors::CorsLayer,
    limit::RequestBodyLimitLayer,
    map_response_body::MapResponseBodyLayer,
    set_header::SetResponseHeaderLayer,
    timeout::{RequestBodyTimeoutLayer, ResponseBodyTimeoutLayer, TimeoutLayer},
    trace::TraceLayer,
};

use crate::{
    served::{Served, World, router, serve},
    support::locked,
};

const LIMIT: Duration = Duration::from_secs(30);

async fn own_middleware(request: Request, next: Next) -> Response {
    next.run(request).await
}

/// All neighbours that change a body, on both sides of the layer.
macro_rules! stack {
    ($layer:expr) => {
        ServiceBuilder::new()
            .layer(TraceLayer::new_for_http())
            .layer(CorsLayer::permissive())
            .layer(CatchPanicLayer::new())
            .layer(RequestBodyLimitLayer::new(16 << 20))
            .layer($layer)
            .layer(RequestBodyTimeoutLayer::new(LIMIT))
            .layer(ResponseBodyTimeoutLayer::new(LIMIT))
            .layer(CompressionLayer::new())
            .layer(TimeoutLayer::with_status_code(
                StatusCode::GATEWAY_TIMEOUT,
                LIMIT,
            ))
    };
}

#[tokio::test]
async fn a_long_stack_in_a_router_and_around_one() {
    let world = World::new();
    for (place, app) in [
        (
            "in, wrapped",
            router().layer(stack!(world.layer().with_wrapped_bodies())),
        ),
        (
            "in, axum's",
            router().layer(stack!(world.layer().with_axum_bodies())),
        ),
        (
            "around, wrapped",
            Router::new()
                .fallback_service(stack!(world.layer().with_wrapped_bodies()).service(router())),
        ),
        (
            "around, axum's",
            Router::new()
                .fallback_service(stack!(world.layer().with_axum_bodies()).service(router())),
        ),
    ] {
        Served::router(app)
            .await
            .assert_enforced(place, &world)
            .await;
    }
}

/// `axum::serve` accepts a service that answers with axum's body: the layer is outermost, or a layer
/// converts the body to axum's.
#[tokio::test]
async fn a_stack_is_served_without_a_router_around_it() {
    let world = World::new();
    let outermost = ServiceBuilder::new()
        .layer(world.layer().with_axum_bodies())
        .layer(TraceLayer::new_for_http())
        .layer(RequestBodyLimitLayer::new(16 << 20))
        .service(router());
    let served = Served::by(|listener| serve!(listener, outermost.into_make_service())).await;
    served.assert_enforced("outermost", &world).await;

    let below = ServiceBuilder::new()
        .layer(MapResponseBodyLayer::new(Body::new))
        .layer(TraceLayer::new_for_http())
        .layer(world.layer())
        .service(router());
    let below = ServiceExt::<Request>::into_make_service(below);
    let served = Served::by(|listener| serve!(listener, below)).await;
    served.assert_enforced("below a trace", &world).await;
}

/// The compiler says only that `FromFn` is no service where this layer, below it, keeps bodies.
#[tokio::test]
async fn below_from_fn_and_over_a_neighbour_that_changes_bodies() {
    let world = World::new();
    macro_rules! below_from_fn {
        ($layer:expr) => {
            ServiceBuilder::new()
                .layer(from_fn(own_middleware))
                .layer($layer)
                .layer(TraceLayer::new_for_http())
                .layer(RequestBodyLimitLayer::new(16 << 20))
                .service(router())
        };
    }
    let wrapped = below_from_fn!(world.layer().with_wrapped_bodies());
    let axums = below_from_fn!(world.layer().with_axum_bodies());
    let fallback = Router::new().fallback_service(wrapped.clone());
    Served::router(fallback)
        .await
        .assert_enforced("a fallback service", &world)
        .await;
    let wrapped = ServiceExt::<Request>::into_make_service(wrapped);
    let served = Served::by(|listener| serve!(listener, wrapped)).await;
    served.assert_enforced("wrapped", &world).await;
    let axums = ServiceExt::<Request>::into_make_service(axums);
    let served = Served::by(|listener| serve!(listener, axums)).await;
    served.assert_enforced("axum's", &world).await;
}

/// `router.layer(status).layer(stack)`: no body has to be wrapped, and a refusal gets what the stack
/// gives every answer.
#[tokio::test]
async fn a_refusal_gets_the_headers_and_the_telemetry_of_the_servers_own_stack() {
    let world = World::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let metrics = Arc::clone(&seen);
    let stack = ServiceBuilder::new()
        .layer(from_fn(move |request: Request, next: Next| {
            let metrics = Arc::clone(&metrics);
            async move {
                let response = next.run(request).await;
                metrics.lock().unwrap().push(response.status().as_u16());
                response
            }
        }))
        .layer(TraceLayer::new_for_http())
        .layer(RequestBodyLimitLayer::new(16 << 20))
        .layer(CatchPanicLayer::new())
        .layer(SetResponseHeaderLayer::if_not_present(
            HeaderName::from_static("content-security-policy"),
            HeaderValue::from_static("sandbox"),
        ));
    let served = Served::router(router().layer(world.layer()).layer(stack)).await;
    served.assert_enforced("below the stack", &world).await;
    world.lock();
    seen.lock().unwrap().clear();
    let refused = served.sync().await;
    assert_eq!(refused.verdict(), locked());
    assert_eq!(refused.header("content-security-policy"), Some("sandbox"));
    assert_eq!(*seen.lock().unwrap(), [401]);
}

/// Around the whole router nothing inside it sees a refusal.
#[tokio::test]
async fn around_the_whole_router_a_refusal_has_nothing_of_the_routers_own_stack() {
    let world = World::new();
    let stack = SetResponseHeaderLayer::if_not_present(
        HeaderName::from_static("content-security-policy"),
        HeaderValue::from_static("sandbox"),
    );
    let app = ServiceBuilder::new()
        .layer(world.layer())
        .service(router().layer(stack));
    let served = Served::by(|listener| serve!(listener, app.into_make_service())).await;
    served.assert_enforced("around", &world).await;
    let passed = served.sync().await;
    assert_eq!(passed.header("content-security-policy"), Some("sandbox"));
    world.lock();
    assert_eq!(served.sync().await.header("content-security-policy"), None);
}

/// An administrator's server in one person: Alice.
#[cfg(feature = "moderation")]
struct Directory;

#[cfg(feature = "moderation")]
impl tower_account_status::AccountDirectory for Directory {
    type Error = std::convert::Infallible;

    async fn authenticate(
        &self,
        token: &str,
    ) -> Result<tower_account_status::Authentication, Self::Error> {
        let found = (token == crate::support::TOKEN).then(|| crate::support::ALICE.into());
        Ok(found.into())
    }

    async fn is_administrator(
        &self,
        user: &tower_account_status::UserId,
    ) -> Result<bool, Self::Error> {
        Ok(*user == *crate::support::ALICE)
    }

    fn is_local(&self, _: &tower_account_status::UserId) -> bool {
        true
    }

    async fn exists(&self, _: &tower_account_status::UserId) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

/// The administrators' layer has the same forms of bodies.
#[cfg(feature = "moderation")]
#[tokio::test]
async fn both_layers_in_one_stack_with_axums_bodies() {
    use crate::support::{BOB, BOBS_TOKEN, SYNC, anonymous, bear};

    let world = World::new();
    let moderation =
        tower_account_status::AccountModerationLayer::new(Directory, Arc::clone(&world.store));
    let stack = ServiceBuilder::new()
        .layer(from_fn(own_middleware))
        .layer(world.layer().with_axum_bodies())
        .layer(CatchPanicLayer::new())
        .layer(moderation.with_axum_bodies())
        .layer(RequestBodyLimitLayer::new(16 << 20))
        .layer(TraceLayer::new_for_http());
    let served = Served::router(Router::new().fallback_service(stack.service(router()))).await;
    served.assert_enforced("both layers", &world).await;
    let path = format!("/_matrix/client/v1/admin/lock/{BOB}");
    let mut lock = anonymous(http::Method::PUT, &path, r#"{"locked":true}"#);
    bear(&mut lock, crate::support::TOKEN);
    let answer = served.ask(lock).await;
    assert_eq!(
        (answer.status.as_u16(), answer.text()),
        (200, r#"{"locked":true}"#)
    );
    let mut sync = anonymous(http::Method::GET, SYNC, "");
    bear(&mut sync, BOBS_TOKEN);
    assert_eq!(served.ask(sync).await.verdict(), locked());
}
