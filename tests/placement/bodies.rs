//! The table of neighbours: the layer over and under each, around the whole router and in it.

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    extract::Request,
    middleware::{Next, from_fn},
    response::Response,
};
use http::{StatusCode, header::AUTHORIZATION};
use tower::{ServiceBuilder, limit::ConcurrencyLimitLayer};
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::CompressionLayer,
    cors::CorsLayer,
    decompression::RequestDecompressionLayer,
    limit::RequestBodyLimitLayer,
    map_request_body::MapRequestBodyLayer,
    map_response_body::MapResponseBodyLayer,
    normalize_path::NormalizePathLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    sensitive_headers::SetSensitiveHeadersLayer,
    timeout::{RequestBodyTimeoutLayer, ResponseBodyTimeoutLayer, TimeoutLayer},
    trace::TraceLayer,
};

use crate::served::{Served, World, router};

const LIMIT: Duration = Duration::from_secs(30);

async fn own_middleware(request: Request, next: Next) -> Response {
    next.run(request).await
}

/// Serves a stack around the whole router, as a fallback service, because `axum::serve` accepts only a
/// service that answers with axum's body.
macro_rules! around {
    ($name:literal, $world:expr, $($layer:expr),+) => {{
        let stack = ServiceBuilder::new()$(.layer($layer))+.service(router());
        let served = Served::router(Router::new().fallback_service(stack)).await;
        served.assert_enforced(concat!($name, ", around the router"), &$world).await;
    }};
}

macro_rules! inside {
    ($name:literal, $world:expr, $($layer:expr),+) => {{
        let routes = router().layer(ServiceBuilder::new()$(.layer($layer))+);
        let served = Served::router(routes).await;
        served.assert_enforced(concat!($name, ", in the router"), &$world).await;
    }};
}

macro_rules! form {
    (kept, $world:expr) => {
        $world.layer()
    };
    (wrapped_request, $world:expr) => {
        $world.layer().with_wrapped_request_body()
    };
    (wrapped_response, $world:expr) => {
        $world.layer().with_wrapped_response_body()
    };
}

/// One row of the table: the neighbour, and the form of bodies over it and under it.
macro_rules! row {
    ($name:literal, $neighbour:expr, over: $over:ident, under: $under:ident) => {{
        let world = World::new();
        around!($name, world, form!($over, world), $neighbour);
        around!($name, world, $neighbour, form!($under, world));
        inside!($name, world, form!($over, world), $neighbour);
        inside!($name, world, $neighbour, form!($under, world));
        // The form that is right everywhere.
        around!($name, world, world.layer().with_axum_bodies(), $neighbour);
        around!($name, world, $neighbour, world.layer().with_axum_bodies());
    }};
}

#[tokio::test]
async fn neighbours_that_change_no_body() {
    row!("timeout", TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, LIMIT), over: kept, under: kept);
    row!("normalize path", NormalizePathLayer::trim_trailing_slash(), over: kept, under: kept);
    row!("set request id", SetRequestIdLayer::x_request_id(MakeRequestUuid), over: kept, under: kept);
    row!("propagate request id", PropagateRequestIdLayer::x_request_id(), over: kept, under: kept);
    row!("sensitive headers", SetSensitiveHeadersLayer::new([AUTHORIZATION]), over: kept, under: kept);
    row!("from_fn", from_fn(own_middleware), over: kept, under: kept);
    row!("concurrency limit", ConcurrencyLimitLayer::new(64), over: kept, under: kept);
}

#[tokio::test]
async fn a_cors_layer_writes_its_headers_once() {
    row!("cors", CorsLayer::permissive(), over: kept, under: kept);
    row!("cors of any", CorsLayer::new().allow_origin(tower_http::cors::Any), over: kept, under: kept);
}

#[tokio::test]
async fn neighbours_that_change_the_request_body() {
    row!("request body timeout", RequestBodyTimeoutLayer::new(LIMIT), over: kept, under: wrapped_request);
    row!("map request body", MapRequestBodyLayer::new(Body::new), over: kept, under: kept);
}

#[tokio::test]
async fn neighbours_that_change_the_response_body() {
    row!("response body timeout", ResponseBodyTimeoutLayer::new(LIMIT), over: wrapped_response, under: kept);
    row!("catch panic", CatchPanicLayer::new(), over: wrapped_response, under: kept);
    row!("trace", TraceLayer::new_for_http(), over: wrapped_response, under: kept);
    row!("compression", CompressionLayer::new(), over: wrapped_response, under: kept);
    row!("map response body", MapResponseBodyLayer::new(Body::new), over: kept, under: kept);
}

#[tokio::test]
async fn neighbours_that_change_both() {
    row!("body limit", RequestBodyLimitLayer::new(65536), over: wrapped_response, under: wrapped_request);
    row!("request decompression", RequestDecompressionLayer::new(), over: wrapped_response, under: wrapped_request);
}
