//! A store that fails, hangs or panics is a store that gives no answer.

use std::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::time::{Instant, Timeout};

use crate::panics::{Caught, Panicked, caught};

/// Why the store gave no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    Error(Box<dyn Error + Send + Sync>),
    Panicked,
    TimedOut,
    /// The user's clock, which says whether a restriction's end has come.
    ClockPanicked,
    /// The user's function that finds the original URI.
    UriPanicked,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => error.fmt(f),
            Self::Panicked => f.write_str("the store panicked"),
            Self::TimedOut => f.write_str("the store did not answer within the time limit"),
            Self::ClockPanicked => f.write_str("the clock panicked"),
            Self::UriPanicked => f.write_str("the function that finds the original URI panicked"),
        }
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Error(error) => error.source(),
            _ => None,
        }
    }
}

/// What `answer` says within `limit`.
pub(crate) fn within_limits<F, T, E>(limit: Duration, answer: F) -> WithinLimits<F>
where
    F: Future<Output = Result<T, E>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    WithinLimits {
        answer: tokio::time::timeout(limit, caught(answer)),
    }
}

/// What `answer` says before `deadline`.
pub(crate) fn before<F, T, E>(deadline: Instant, answer: F) -> WithinLimits<F>
where
    F: Future<Output = Result<T, E>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    WithinLimits {
        answer: tokio::time::timeout_at(deadline, caught(answer)),
    }
}

/// When `limit` will have passed since `start`; where no clock goes that far, in thirty years.
pub(crate) fn deadline(start: Instant, limit: Duration) -> Instant {
    const THIRTY_YEARS: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
    start
        .checked_add(limit)
        .unwrap_or_else(|| start + THIRTY_YEARS)
}

pin_project! {
    /// A type and not an `async` function, whose state would hold the answer's twice.
    pub(crate) struct WithinLimits<F> {
        #[pin]
        answer: Timeout<Caught<F>>,
    }
}

impl<F, T, E> Future for WithinLimits<F>
where
    F: Future<Output = Result<T, E>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    type Output = Result<T, Failure>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = self.project().answer.poll(context);
        answer.map(|answer| match answer {
            Ok(Ok(answer)) => answer.map_err(|error| Failure::Error(error.into())),
            Ok(Err(Panicked)) => Err(Failure::Panicked),
            Err(_) => Err(Failure::TimedOut),
        })
    }
}
