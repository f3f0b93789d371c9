//! The bodies that pass through the layer, kept as they are or wrapped.
//!
//! The layer makes two bodies itself: the response body of a refusal, and the request body of a login
//! that it has read and hands on. A body type that can be made from [`Bytes`], such as axum's and `Full`,
//! is kept, which costs nothing. Others are wrapped in the types below. Requests and responses are chosen
//! separately.

#[cfg(feature = "axum")]
mod axum_bodies;

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_service::Service;

#[cfg(feature = "axum")]
pub use axum_bodies::AxumBodies;

/// Body types are kept. They must be made from [`Bytes`]. This is the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeptBodies(());

/// Bodies are wrapped in [`RequestBody`] or [`ResponseBody`], and may be of any type.
#[derive(Clone, Copy, Debug, Default)]
pub struct WrappedBodies(());

mod sealed {
    pub trait Sealed: 'static {}
    impl Sealed for super::KeptBodies {}
    impl Sealed for super::WrappedBodies {}
}

/// How request bodies of the type `B` reach the inner service.
#[diagnostic::on_unimplemented(
    message = "the request body `{B}` cannot be made from bytes, so the layer cannot keep it",
    label = "this request body has to be wrapped",
    note = "add `.with_wrapped_bodies()` (or `.with_wrapped_request_body()`) to the layer; bodies then have to be `http_body::Body<Data = Bytes>`",
    note = "around an axum router, `.with_axum_bodies()` (feature `axum`) is right at every place; bodies then have to be `Send` as well, and their errors a `std::error::Error`"
)]
pub trait RequestBodies<B>: sealed::Sealed {
    /// The body that the inner service receives.
    type Body;

    /// The body as it came.
    #[doc(hidden)]
    fn keep(body: B) -> Self::Body;

    /// Calls the inner service with the request and its body as it came. If the body type is kept, nothing is
    /// copied. A `map` that does nothing would copy the head.
    #[doc(hidden)]
    #[inline]
    fn call<S: Service<Request<Self::Body>>>(service: &mut S, request: Request<B>) -> S::Future {
        service.call(request.map(Self::keep))
    }

    /// The request, its body as it came.
    #[doc(hidden)]
    #[inline]
    fn keep_request(request: Request<B>) -> Request<Self::Body> {
        request.map(Self::keep)
    }

    /// A body that has been read.
    #[doc(hidden)]
    fn replay(data: Bytes, trailers: Option<Box<HeaderMap>>) -> Self::Body;
}

#[diagnostic::do_not_recommend]
impl<B: From<Bytes>> RequestBodies<B> for KeptBodies {
    type Body = B;

    #[inline]
    fn keep(body: B) -> B {
        body
    }

    #[inline]
    fn call<S: Service<Request<B>>>(service: &mut S, request: Request<B>) -> S::Future {
        service.call(request)
    }

    #[inline]
    fn keep_request(request: Request<B>) -> Request<B> {
        request
    }

    /// A body that is made from bytes has no place for trailers.
    fn replay(data: Bytes, _trailers: Option<Box<HeaderMap>>) -> B {
        data.into()
    }
}

#[diagnostic::do_not_recommend]
impl<B: Body<Data = Bytes>> RequestBodies<B> for WrappedBodies {
    type Body = RequestBody<B>;

    #[inline]
    fn keep(body: B) -> RequestBody<B> {
        RequestBody {
            state: RequestState::Passed { body },
        }
    }

    fn replay(data: Bytes, trailers: Option<Box<HeaderMap>>) -> RequestBody<B> {
        RequestBody {
            state: RequestState::Replayed {
                replay: Replay { data, trailers },
            },
        }
    }
}

/// How response bodies of the type `B` reach the client.
#[diagnostic::on_unimplemented(
    message = "the response body `{B}` cannot be made from bytes, so the layer cannot keep it",
    label = "this response body has to be wrapped",
    note = "add `.with_wrapped_bodies()` (or `.with_wrapped_response_body()`) to the layer; bodies then have to be `http_body::Body<Data = Bytes>`",
    note = "around an axum router, `.with_axum_bodies()` (feature `axum`) is right at every place; bodies then have to be `Send` as well, and their errors a `std::error::Error`"
)]
pub trait ResponseBodies<B>: sealed::Sealed {
    /// The body that the client receives.
    type Body;

    /// The body of the inner service's response.
    #[doc(hidden)]
    fn keep(body: B) -> Self::Body;

    /// The inner service's response. `map` would copy the head even if the body type is kept.
    #[doc(hidden)]
    #[inline]
    fn keep_response<E>(
        response: Poll<Result<Response<B>, E>>,
    ) -> Poll<Result<Response<Self::Body>, E>> {
        response.map_ok(|response| response.map(Self::keep))
    }

    /// The body of a refusal.
    #[doc(hidden)]
    fn refuse(data: Bytes) -> Self::Body;
}

#[diagnostic::do_not_recommend]
impl<B: From<Bytes>> ResponseBodies<B> for KeptBodies {
    type Body = B;

    #[inline]
    fn keep(body: B) -> B {
        body
    }

    #[inline]
    fn keep_response<E>(response: Poll<Result<Response<B>, E>>) -> Poll<Result<Response<B>, E>> {
        response
    }

    fn refuse(data: Bytes) -> B {
        data.into()
    }
}

#[diagnostic::do_not_recommend]
impl<B: Body<Data = Bytes>> ResponseBodies<B> for WrappedBodies {
    type Body = ResponseBody<B>;

    #[inline]
    fn keep(body: B) -> ResponseBody<B> {
        ResponseBody {
            state: ResponseState::Passed { body },
        }
    }

    fn refuse(data: Bytes) -> ResponseBody<B> {
        ResponseBody {
            state: ResponseState::Refusal {
                replay: Replay {
                    data,
                    trailers: None,
                },
            },
        }
    }
}

/// Bytes that are at hand, and the trailers after them. The trailers are boxed, because hardly any body has
/// trailers and every body has room for them.
#[derive(Default)]
struct Replay {
    data: Bytes,
    trailers: Option<Box<HeaderMap>>,
}

impl Replay {
    fn next_frame(&mut self) -> Option<Frame<Bytes>> {
        if !self.data.is_empty() {
            return Some(Frame::data(std::mem::take(&mut self.data)));
        }
        self.trailers
            .take()
            .map(|trailers| Frame::trailers(*trailers))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_empty() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.data.len() as u64)
    }
}

macro_rules! wrapper {
    (
        $(#[$attribute:meta])* $name:ident, $state:ident, $state_projection:ident,
        $ours:ident, $ours_doc:literal
    ) => {
        pin_project! {
            $(#[$attribute])*
            pub struct $name<B> {
                #[pin]
                state: $state<B>,
            }
        }

        pin_project! {
            #[project = $state_projection]
            enum $state<B> {
                Passed { #[pin] body: B },
                $ours { replay: Replay },
            }
        }

        impl<B: Body<Data = Bytes>> Body for $name<B> {
            type Data = Bytes;
            type Error = B::Error;

            fn poll_frame(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
            ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
                match self.project().state.project() {
                    $state_projection::Passed { body } => body.poll_frame(context),
                    $state_projection::$ours { replay } => {
                        Poll::Ready(replay.next_frame().map(Ok))
                    }
                }
            }

            fn is_end_stream(&self) -> bool {
                match &self.state {
                    $state::Passed { body } => body.is_end_stream(),
                    $state::$ours { replay } => replay.is_end_stream(),
                }
            }

            fn size_hint(&self) -> SizeHint {
                match &self.state {
                    $state::Passed { body } => body.size_hint(),
                    $state::$ours { replay } => replay.size_hint(),
                }
            }
        }

        #[doc = $ours_doc]
        impl<B> Default for $name<B> {
            fn default() -> Self {
                Self { state: $state::$ours { replay: Replay::default() } }
            }
        }

        impl<B> fmt::Debug for $name<B> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    };
}

wrapper! {
    /// A request body on its way to the inner service: the client's own or, if the layer has read it, the same
    /// bytes and trailers again.
    ///
    /// Frames, trailers, size hints and the error type are those of `B`.
    RequestBody, RequestState, RequestProjection, Replayed, "An empty body."
}

wrapper! {
    /// A response body on its way to the client: the inner service's or a refusal's.
    ///
    /// Frames, trailers, size hints and the error type are those of `B`.
    ResponseBody, ResponseState, ResponseProjection, Refusal, "An empty body."
}
