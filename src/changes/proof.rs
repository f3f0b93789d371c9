//! How long announcements from outside this process are believed.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Times are counted from here, so that one fits into an atomic number.
static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The time until which announcements are believed to arrive.
///
/// Each reader compares it with the clock. So belief ends without a task that has to run.
#[derive(Debug)]
pub(super) enum Proof {
    /// Announcements never leave the process.
    NotNeeded,
    /// Nanoseconds since [`ORIGIN`]; 0 is never.
    Until(AtomicU64),
}

impl Proof {
    pub(super) fn absent() -> Self {
        // The first reading of the clock is not a request's.
        LazyLock::force(&ORIGIN);
        Self::Until(AtomicU64::new(0))
    }

    pub(super) fn extend(&self, until: Instant) {
        if let Self::Until(nanos) = self {
            nanos.store(to_nanos(until), Ordering::SeqCst);
        }
    }

    pub(super) fn withdraw(&self) {
        if let Self::Until(nanos) = self {
            nanos.store(0, Ordering::SeqCst);
        }
    }

    /// The end of belief, unless there is none.
    pub(super) fn until(&self) -> Option<Instant> {
        match self {
            Self::NotNeeded => None,
            Self::Until(nanos) => {
                let span = Duration::from_nanos(nanos.load(Ordering::SeqCst));
                Some(ORIGIN.checked_add(span).unwrap_or(*ORIGIN))
            }
        }
    }

    #[inline]
    pub(super) fn is_believed(&self) -> bool {
        match self {
            Self::NotNeeded => true,
            Self::Until(nanos) => to_nanos(Instant::now()) < nanos.load(Ordering::SeqCst),
        }
    }
}

#[inline]
fn to_nanos(time: Instant) -> u64 {
    let span = time.saturating_duration_since(*ORIGIN);
    span.as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::from(span.subsec_nanos()))
}
