//! Asking the store: how many at once, for how long, and what a panic means.

use std::{
    error::Error,
    future::Future,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::{CachedStoreError, settings::Settings, stats::Counters};
use crate::panics::caught;

/// Counts the look-ups under way.
#[derive(Default)]
pub(super) struct Lookups(AtomicUsize);

impl Lookups {
    /// Asks the store, if one more look-up may be under way.
    pub(super) async fn ask<F, T, E>(
        &self,
        settings: Settings,
        counters: &Counters,
        load: impl FnOnce() -> F,
    ) -> Result<T, CachedStoreError>
    where
        F: Future<Output = Result<T, E>>,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let Some(_place) = self.enter(settings.max_lookups) else {
            counters.overloads.count();
            return Err(CachedStoreError::overloaded(settings.max_lookups));
        };
        counters.loads.count();
        // A panic of the store is a failure like any other. Unwinding through whoever happens to
        // ask would leave those who wait with him to run into it one by one.
        let load = async {
            match caught(async { load().await }).await {
                Ok(answer) => answer.map_err(|error| CachedStoreError::store(error.into())),
                Err(_) => Err(CachedStoreError::panicked()),
            }
        };
        let answer = match settings.lookup_timeout {
            None => load.await,
            Some(limit) => tokio::time::timeout(limit, load)
                .await
                .unwrap_or_else(|_| Err(CachedStoreError::timed_out(limit))),
        };
        if answer.is_err() {
            counters.failures.count();
        }
        answer
    }

    fn enter(&self, limit: usize) -> Option<Place<'_>> {
        // Made before the comparison: it gives the place back either way.
        let place = Place(&self.0);
        (self.0.fetch_add(1, Ordering::Relaxed) < limit).then_some(place)
    }
}

struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
