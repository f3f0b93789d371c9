//! The servers around the layer.

use std::convert::Infallible;

use axum::{Router, body::Body, routing::get};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tower::{Layer as _, Service, ServiceExt};
use tower_account_status::{RequestBody, RestrictionStore};

use crate::world::Layer;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Stack {
    /// `router.layer(layer)`.
    LayerOfRouter,
    /// `layer.layer(router)`.
    AroundRouter,
    /// A service on hyper's own bodies, over a connection.
    Hyper,
}

/// What the inner service answers to everything.
pub(crate) const INNER: &str = "the inner service";

pub(crate) fn router() -> Router {
    Router::new()
        .route("/_matrix/client/v3/sync", get(|| async { INNER }))
        .fallback(|| async { INNER })
}

impl Stack {
    pub(crate) async fn send<R: RestrictionStore>(
        self,
        layer: &Layer<R>,
        request: Request<Bytes>,
    ) -> Response<Bytes> {
        match self {
            Self::LayerOfRouter => oneshot(router().layer(layer.clone()), request).await,
            Self::AroundRouter => oneshot(layer.layer(router()), request).await,
            Self::Hyper => {
                let inner = tower::service_fn(|_: Request<RequestBody<Incoming>>| async {
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(INNER))))
                });
                over_hyper(layer.clone().with_wrapped_bodies().layer(inner), request).await
            }
        }
    }
}

pub(crate) async fn oneshot<S>(service: S, request: Request<Bytes>) -> Response<Bytes>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let response = service.oneshot(request.map(Body::from)).await.unwrap();
    collected(response).await
}

async fn over_hyper<S, B>(service: S, request: Request<Bytes>) -> Response<Bytes>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let (client, server) = tokio::io::duplex(1 << 16);
    let serve = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(server), TowerToHyperService::new(service));
    let serve = tokio::spawn(serve);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(client))
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request.map(Full::new)).await.unwrap();
    let response = collected(response).await;
    drop(sender);
    connection.await.unwrap().unwrap();
    serve.await.unwrap().unwrap();
    response
}

async fn collected<B: http_body::Body<Error: std::fmt::Debug>>(
    response: Response<B>,
) -> Response<Bytes> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Response::from_parts(parts, body)
}
