//! The future of a response.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Response;
use pin_project_lite::pin_project;

use crate::body::ResponseBodies;

type Answer = Pin<Box<dyn Future<Output = Response<Bytes>> + Send>>;

pin_project! {
    /// The future that [`AccountModeration`](crate::AccountModeration) answers with.
    ///
    /// Dropped while a change is being made, it leaves open whether the change was made.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, Res> {
        #[pin]
        state: State<F>,
        bodies: PhantomData<fn() -> Res>,
    }
}

pin_project! {
    #[project = Projection]
    enum State<F> {
        /// The inner service answers.
        Pass { #[pin] inner: F },
        /// One of the endpoints.
        Answer { answer: Answer },
    }
}

impl<F, Res> ResponseFuture<F, Res> {
    #[inline]
    pub(super) fn pass(inner: F) -> Self {
        Self::new(State::Pass { inner })
    }

    pub(super) fn answer(answer: Answer) -> Self {
        Self::new(State::Answer { answer })
    }

    #[inline]
    fn new(state: State<F>) -> Self {
        Self {
            state,
            bodies: PhantomData,
        }
    }
}

impl<F, Res, ResB, E> Future for ResponseFuture<F, Res>
where
    F: Future<Output = Result<Response<ResB>, E>>,
    Res: ResponseBodies<ResB>,
{
    type Output = Result<Response<Res::Body>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            Projection::Pass { inner } => inner
                .poll(context)
                .map(|response| response.map(|response| response.map(Res::keep))),
            Projection::Answer { answer } => answer
                .as_mut()
                .poll(context)
                .map(|response| Ok(response.map(Res::refuse))),
        }
    }
}

impl<F, Res> fmt::Debug for ResponseFuture<F, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Pass { .. } => "Pass",
            State::Answer { .. } => "Answer",
        };
        f.debug_tuple("ResponseFuture").field(&state).finish()
    }
}
