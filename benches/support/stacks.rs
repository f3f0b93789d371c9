//! What every column has in common: the service inside, and a layer that does nothing.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{Router, response::IntoResponse, routing::any};
use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use tower::Service;
use tower_layer::Layer;

use super::{
    accounts::pend,
    rows::{PATHS, WAITS},
};

const ANSWER: &[u8] = b"{}";

/// The service inside. Neither its call nor its future's poll is inlined, so that what surrounds
/// it is all that differs between columns.
#[derive(Clone, Copy)]
pub struct Leaf;

impl<B> Service<Request<B>> for Leaf {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = LeafFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    #[inline(never)]
    fn call(&mut self, request: Request<B>) -> LeafFuture {
        let waits = request.uri().query() == Some(WAITS);
        drop(request);
        LeafFuture {
            answer: ANSWER,
            waits,
        }
    }
}

pub struct LeafFuture {
    answer: &'static [u8],
    waits: bool,
}

impl Future for LeafFuture {
    type Output = Result<Response<Full<Bytes>>, Infallible>;

    #[inline(never)]
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        if std::mem::take(&mut self.waits) {
            return Poll::Pending;
        }
        Poll::Ready(Ok(Response::new(Bytes::from_static(self.answer).into())))
    }
}

/// The same in axum: one handler on every path that the rows ask for.
pub fn router() -> Router {
    PATHS.into_iter().fold(Router::new(), |router, path| {
        let answer = async |uri: Uri| {
            pend(uri.query() != Some(WAITS)).await;
            ANSWER.into_response()
        };
        router.route(path, any(answer))
    })
}

/// A layer that hands everything on.
#[derive(Clone, Copy)]
pub struct Identity;

impl<S> Layer<S> for Identity {
    type Service = Forward<S>;

    fn layer(&self, inner: S) -> Forward<S> {
        Forward(inner)
    }
}

#[derive(Clone)]
pub struct Forward<S>(S);

impl<R, S: Service<R>> Service<R> for Forward<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    #[inline]
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    #[inline]
    fn call(&mut self, request: R) -> S::Future {
        self.0.call(request)
    }
}
