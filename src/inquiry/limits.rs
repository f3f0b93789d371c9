//! A store that fails, hangs or panics is a store that gives no answer.

use std::{
    error::Error,
    fmt,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
    time::Duration,
};

/// Why the store gave no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    Error(Box<dyn Error + Send + Sync>),
    Panicked,
    TimedOut,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => error.fmt(f),
            Self::Panicked => f.write_str("the store panicked"),
            Self::TimedOut => f.write_str("the store did not answer in time"),
        }
    }
}

/// What `answer` says at once, unless it panics.
#[inline]
pub(crate) fn unless_it_panics<T>(answer: impl FnOnce() -> T) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(answer)).map_err(|_| Failure::Panicked)
}

/// What `answer` says within `limit`.
pub(crate) async fn within_limits<T, E>(
    limit: Duration,
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure>
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let mut answer = pin!(answer);
    let caught =
        poll_fn(
            |context| match catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(context))) {
                Ok(poll) => poll.map(|answer| answer.map_err(|error| Failure::Error(error.into()))),
                Err(_) => Poll::Ready(Err(Failure::Panicked)),
            },
        );
    match tokio::time::timeout(limit, caught).await {
        Ok(answer) => answer,
        Err(_) => Err(Failure::TimedOut),
    }
}
