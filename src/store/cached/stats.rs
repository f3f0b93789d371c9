//! What the cache has done so far.

use std::sync::atomic::{AtomicU64, Ordering};

use super::key::Key;

/// What a [`CachedStore`](crate::CachedStore) has done since it was made, and what it holds.
///
/// The numbers are read one after the other while requests go on, so they may disagree by a few.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Questions that were answered from memory.
    pub hits: u64,
    /// Questions that were not answered from memory. They waited for their own look-up or for one that was
    /// under way, or got a remembered failure. Credentials that are never remembered count only in `loads`.
    pub misses: u64,
    /// Look-ups in the store that were begun.
    pub loads: u64,
    /// Look-ups that failed: by an error, a panic, or the time limit.
    pub failures: u64,
    /// Look-ups that were not begun, because too many were under way.
    pub overloads: u64,
    /// Answers that were given from a last known state because the store failed.
    pub last_known: u64,
    /// Entries held at the moment, expired ones included: owners of tokens, tokens that are
    /// unknown, states, and failures.
    pub entries: usize,
}

/// The counters. Hits are counted on the path of every request, so they are spread out.
#[derive(Default)]
pub(super) struct Counters {
    hits: [Spread; 16],
    pub(super) misses: Counter,
    pub(super) loads: Counter,
    pub(super) failures: Counter,
    pub(super) overloads: Counter,
    pub(super) last_known: Counter,
}

#[derive(Default)]
pub(super) struct Counter(AtomicU64);

/// A cache line of its own, and of the pair that processors fetch together.
#[derive(Default)]
#[repr(align(128))]
struct Spread(Counter);

impl Counter {
    #[inline]
    pub(super) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    #[inline]
    pub(super) fn hit(&self, key: Key) {
        self.hits[(key.bits() % 16) as usize].0.count();
    }

    pub(super) fn read(&self, entries: usize) -> CacheStats {
        CacheStats {
            hits: self.hits.iter().map(|spread| spread.0.read()).sum(),
            misses: self.misses.read(),
            loads: self.loads.read(),
            failures: self.failures.read(),
            overloads: self.overloads.read(),
            last_known: self.last_known.read(),
            entries,
        }
    }
}
