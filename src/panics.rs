//! A store, an observer or a clock may panic. Such a panic is a failure like any other. It is caught where
//! that code is called.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

/// It panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panicked;

/// What `answer` returns, unless it panics.
#[inline]
pub(crate) fn unless_it_panics<T>(answer: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(answer)).map_err(|_| Panicked)
}

/// What `answer` comes to, unless it panics.
#[inline(always)]
pub(crate) fn caught<F: Future>(answer: F) -> Caught<F> {
    Caught { answer }
}

pin_project! {
    /// A type and not an `async` function, whose state would hold the answer's twice. A future
    /// that has panicked must not be polled again.
    pub(crate) struct Caught<F> {
        #[pin]
        answer: F,
    }
}

impl<F: Future> Future for Caught<F> {
    type Output = Result<F::Output, Panicked>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = self.project().answer;
        match unless_it_panics(|| answer.poll(context)) {
            Ok(poll) => poll.map(Ok),
            Err(panicked) => Poll::Ready(Err(panicked)),
        }
    }
}
