//! The cache's time: nanoseconds of tokio's clock, which tests can pause.

use std::time::Duration;

use tokio::time::Instant;

/// A point in time, in nanoseconds since the cache was made. Half the size of an `Instant`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Moment(u64);

impl Moment {
    /// `span` later; a span that no clock can count is for ever.
    pub(super) fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(nanos(span)))
    }
}

#[derive(Debug)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn new() -> Self {
        Self(Instant::now())
    }

    #[inline]
    pub(super) fn now(&self) -> Moment {
        Moment(nanos(self.0.elapsed()))
    }
}

#[inline]
fn nanos(span: Duration) -> u64 {
    span.as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::from(span.subsec_nanos()))
}
