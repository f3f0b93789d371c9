//! The limits of a cache, and their defaults.

use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) capacity: usize,
    pub(super) ttl: Duration,
    pub(super) owner_ttl: Duration,
    pub(super) unknown_ttl: Duration,
    pub(super) failure_ttl: Duration,
    pub(super) grace: Duration,
    pub(super) max_lookups: usize,
    pub(super) lookup_timeout: Option<Duration>,
}

impl Settings {
    /// The part of the capacity that unknown tokens get, beside it.
    const UNKNOWN_SHARE: usize = 16;
    const MIN_UNKNOWN: usize = 64;
    /// Failures are as many as the look-ups of a fraction of a second.
    pub(super) const FAILURES: usize = 1024;

    pub(super) fn unknown_capacity(&self) -> usize {
        (self.capacity / Self::UNKNOWN_SHARE).max(Self::MIN_UNKNOWN)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            capacity: 100_000,
            ttl: Duration::from_secs(60),
            owner_ttl: Duration::from_secs(3600),
            unknown_ttl: Duration::from_secs(5),
            failure_ttl: Duration::from_millis(250),
            grace: Duration::ZERO,
            max_lookups: 1024,
            lookup_timeout: None,
        }
    }
}
