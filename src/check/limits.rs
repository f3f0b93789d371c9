//! A store that fails, hangs or panics gives no answer.

use std::{
    borrow::BorrowMut,
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::panics::{Caught, Panicked, caught};

/// Why it is not known whether an account may do this. Nearly always the store gave no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    Error(Box<dyn Error + Send + Sync>),
    Panicked,
    TimedOut,
    /// The clock of the settings panicked. It says whether a restriction has ended.
    ClockPanicked,
    /// The function that finds the original URI panicked.
    UriPanicked,
    /// A layer that only reports does not read a body that it may not be able to hand on.
    BodyUnread,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => error.fmt(f),
            Self::Panicked => f.write_str("the store panicked"),
            Self::TimedOut => f.write_str("the store did not answer within the time limit"),
            Self::ClockPanicked => f.write_str("the clock panicked"),
            Self::UriPanicked => f.write_str("the function that finds the original URI panicked"),
            Self::BodyUnread => f.write_str(
                "the body's length is not known beforehand, and report-only does not read such a body",
            ),
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

/// The time at which the store counts as failed. It is set at the first wait, so that no clock is read
/// if nothing waits.
pub(crate) struct Deadline {
    limit: Duration,
    end: Option<Instant>,
}

impl Deadline {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, end: None }
    }

    fn end(&mut self) -> Instant {
        let limit = self.limit;
        *self.end.get_or_insert_with(|| end(Instant::now(), limit))
    }
}

/// The time at which `limit` has passed since `start`; thirty years later if no clock goes that far.
fn end(start: Instant, limit: Duration) -> Instant {
    const THIRTY_YEARS: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
    start
        .checked_add(limit)
        .unwrap_or_else(|| start + THIRTY_YEARS)
}

/// The result of `answer` within `limit`.
#[inline(always)] // it would be moved once more
pub(crate) fn within_limits<F, T, E>(limit: Duration, answer: F) -> WithinLimits<F, Deadline>
where
    F: Future<Output = Result<T, E>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    WithinLimits::new(Deadline::new(limit), answer)
}

/// The result of `answer` before the deadline, which several answers share.
pub(crate) fn before<F, T, E>(deadline: &mut Deadline, answer: F) -> WithinLimits<F, &mut Deadline>
where
    F: Future<Output = Result<T, E>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    WithinLimits::new(deadline, answer)
}

pin_project! {
    /// A type, because an `async` function would hold the answer's state twice.
    pub(crate) struct WithinLimits<F, D> {
        #[pin]
        answer: Caught<F>,
        deadline: D,
        // Made if the answer is not ready at once.
        #[pin]
        timer: Option<Sleep>,
    }
}

impl<F: Future, D> WithinLimits<F, D> {
    #[inline(always)]
    fn new(deadline: D, answer: F) -> Self {
        Self {
            answer: caught(answer),
            deadline,
            timer: None,
        }
    }
}

impl<F, D, T, E> Future for WithinLimits<F, D>
where
    F: Future<Output = Result<T, E>>,
    D: BorrowMut<Deadline>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    type Output = Result<T, Failure>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        // Before the answer, because the answer may use up what tokio lets a task do at a time. Then the
        // timer would never be polled.
        let timer = this.timer.as_mut().as_pin_mut();
        let is_late = timer.is_some_and(|timer| timer.poll(context).is_ready());
        if let Poll::Ready(answer) = this.answer.poll(context) {
            return Poll::Ready(match answer {
                Ok(answer) => answer.map_err(|error| Failure::Error(error.into())),
                Err(Panicked) => Err(Failure::Panicked),
            });
        }
        if this.timer.is_none() {
            let end = this.deadline.borrow_mut().end();
            this.timer.set(Some(sleep_until(end)));
            let timer = this.timer.as_pin_mut().expect("it has just been set");
            return timer.poll(context).map(|()| Err(Failure::TimedOut));
        }
        match is_late {
            true => Poll::Ready(Err(Failure::TimedOut)),
            false => Poll::Pending,
        }
    }
}
