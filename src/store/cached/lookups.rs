//! How the cache asks the store: how many look-ups at once, for how long, and what a panic means.

use std::{
    future::Future,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::{CachedStoreError, settings::Settings, stats::Counters};
use crate::{panics::caught, store::StoreError};

/// Counts the look-ups under way.
#[derive(Default)]
pub(super) struct Lookups(AtomicUsize);

impl Lookups {
    /// Asks the store, if one more look-up may be under way.
    pub(super) async fn ask<F, T>(
        &self,
        settings: Settings,
        counters: &Counters,
        load: impl FnOnce() -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let Some(_place) = self.enter(settings.max_lookups) else {
            counters.overloads.count();
            return Err(CachedStoreError::overloaded(settings.max_lookups).into());
        };
        counters.loads.count();
        // A panic of the store is a failure like any other. If it unwound through the caller that asks,
        // the callers that wait for the same look-up would run into it one by one.
        let load = async {
            let answer = caught(async { load().await }).await;
            answer.unwrap_or_else(|_| Err(CachedStoreError::panicked().into()))
        };
        let answer = match settings.lookup_timeout {
            None => load.await,
            Some(limit) => tokio::time::timeout(limit, load)
                .await
                .unwrap_or_else(|_| Err(CachedStoreError::timed_out(limit).into())),
        };
        if answer.is_err() {
            counters.failures.count();
        }
        answer
    }

    fn enter(&self, limit: usize) -> Option<Place<'_>> {
        // Made before the comparison, because it gives the place back either way.
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
