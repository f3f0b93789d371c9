//! The response future is at most 64 bytes larger than the inner service's, if that is the largest
//! thing that it may hold; and it is never large itself. 56 of the bytes are what ends a long poll.
//! They are beside the inner future, so that a long poll that is answered at once allocates nothing.

use std::{
    convert::Infallible,
    future::{Future, ready},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::{Service, service_fn};
use tower_account_status::{AccountStatusLayer, MemoryStore};
use tower_layer::Layer;

type Body = Full<Bytes>;

/// A future of `N` bytes and more, as a handler's is.
struct Large<const N: usize>([u8; N]);

impl<const N: usize> Future for Large<N> {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(Response::new(Full::from(self.0.to_vec()))))
    }
}

/// The sizes of the inner service's future and of the layer's around it.
fn sizes<S, R>(service: S, layered: impl FnOnce(S) -> R) -> (usize, usize)
where
    S: Service<Request<Body>> + Clone,
    R: Service<Request<Body>>,
{
    let _ = layered(service);
    (size_of::<S::Future>(), size_of::<R::Future>())
}

fn kept<S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone>(
    service: S,
) -> (usize, usize) {
    sizes(service, |service| {
        AccountStatusLayer::new(MemoryStore::new()).layer(service)
    })
}

#[test]
fn a_large_inner_future_grows_by_64_bytes_at_most() {
    for (inner, outer) in [
        kept(service_fn(|_: Request<Body>| Large([0; 144]))),
        kept(service_fn(|_: Request<Body>| Large([0; 256]))),
        kept(service_fn(|_: Request<Body>| Large([0; 4096]))),
    ] {
        assert!(inner >= 144, "the inner future is {inner} bytes");
        assert!(outer <= inner + 64, "{outer} bytes around {inner}");
    }
}

#[test]
fn a_small_inner_future_costs_no_more_than_a_refusal_needs() {
    let (inner, outer) = kept(service_fn(|_: Request<Body>| {
        ready(Ok(Response::new(Body::default())))
    }));
    assert!(
        outer <= inner + 64 || outer <= 112,
        "{outer} around {inner}"
    );
    let (inner, outer) = kept(service_fn(|_: Request<Body>| Large([0; 1])));
    assert_eq!(inner, 1);
    assert!(outer <= 112, "{outer} bytes");
}

/// The future of axum's router, to which most users apply the layer.
#[test]
fn around_an_axum_router_the_future_grows_by_64_bytes_at_most() {
    let router: axum::Router = axum::Router::new();
    let layered = AccountStatusLayer::new(MemoryStore::new()).layer(router.clone());
    fn size<S: Service<axum::extract::Request>>(_: &S) -> usize {
        size_of::<S::Future>()
    }
    let (inner, outer) = (size(&router), size(&layered));
    assert!(outer <= inner + 64, "{outer} bytes around {inner}");
}
