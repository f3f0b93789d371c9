//! The locks and counters that the cache's correctness rests on, so that the model checker can
//! put its own in their place.

#[cfg(not(shuttle))]
pub(super) use std::sync::{Mutex, MutexGuard, atomic::AtomicU64};

#[cfg(shuttle)]
pub(super) use shuttle::sync::{Mutex, MutexGuard, atomic::AtomicU64};

/// Locks, whatever a panic elsewhere has left behind: nothing here is ever half changed.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
