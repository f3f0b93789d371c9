//! How the limits of a cache are set.

use std::time::Duration;

use super::{CachedStore, settings::Settings};

/// Settings. Make them at the start: an entry keeps the times with which it was written.
impl<S> CachedStore<S> {
    /// How many tokens and how many accounts are remembered, by default 100,000 of each. Unknown tokens have a
    /// sixteenth as many places in addition, and at least 64.
    ///
    /// The tables consist of parts of equal size. So the last few per cent may stay unused, and a capacity of
    /// a few dozen is only approximate.
    #[must_use]
    pub fn with_capacity(self, accounts: usize) -> Self {
        self.with(|settings| settings.capacity = accounts)
    }

    /// How long a state is believed, counted from the beginning of its look-up; 60 seconds by default. It
    /// bounds how late a lock takes effect if nobody announces it.
    ///
    /// An entry expires up to a tenth earlier, and never later, so that entries that were written together do
    /// not expire together. The other times below do so as well.
    #[must_use]
    pub fn with_ttl(self, ttl: Duration) -> Self {
        self.with(|settings| settings.ttl = ttl)
    }

    /// How long a token's owner is believed; an hour by default. If a token is revoked meanwhile, the inner
    /// service refuses it.
    #[must_use]
    pub fn with_owner_ttl(self, ttl: Duration) -> Self {
        self.with(|settings| settings.owner_ttl = ttl)
    }

    /// How long a token is believed to be unknown; 5 seconds by default.
    ///
    /// A token that was tried before it was issued passes unchecked for that long, unless
    /// [`invalidate_credential`](Self::invalidate_credential) is called when it is issued. Nobody can guess a
    /// token that does not exist yet, so this matters only for tokens that a server restores.
    #[must_use]
    pub fn with_unknown_ttl(self, ttl: Duration) -> Self {
        self.with(|settings| settings.unknown_ttl = ttl)
    }

    /// How long the same question gets the same failure, before the store is asked again; 250
    /// milliseconds by default.
    #[must_use]
    pub fn with_failure_ttl(self, ttl: Duration) -> Self {
        self.with(|settings| settings.failure_ttl = ttl)
    }

    /// How many look-ups may be under way at once, for different tokens or accounts; 1024 by
    /// default. One more fails at once instead of waiting, with an error that
    /// [is overloaded](crate::CachedStoreError::is_overloaded).
    ///
    /// As many look-ups of [many accounts](crate::AccountStateStore::states) may be under way in addition.
    /// They serve waiting requests, and take no place from new requests.
    #[must_use]
    pub fn with_max_lookups(self, lookups: usize) -> Self {
        self.with(|settings| settings.max_lookups = lookups)
    }

    /// How long a look-up may take before it fails and is dropped. By default there is no limit here, but the
    /// [layer has one](crate::AccountStatusLayer::with_store_timeout).
    ///
    /// The layer's limit ends one request's wait. This limit ends the look-up for all requests that wait for
    /// it, and they share the failure. It needs tokio's timer.
    #[must_use]
    pub fn with_lookup_timeout(self, limit: Duration) -> Self {
        self.with(|settings| settings.lookup_timeout = Some(limit))
    }

    /// Answers with the last known state while the store fails, for up to `grace` beyond the time
    /// to live. Off by default.
    ///
    /// **With it, a lock that nobody announced can be late by `ttl` and `grace` together.** In
    /// return, people whose state was known do not get a 503 while the database is away. Only failed look-ups
    /// are answered so, and those that were [too many](Self::with_max_lookups). An invalidated state is
    /// never brought back. If a store hangs instead of failing, this helps only with a
    /// [time limit](Self::with_lookup_timeout) below the layer's.
    #[must_use]
    pub fn with_last_known_state_while_store_fails(self, grace: Duration) -> Self {
        self.with(|settings| settings.grace = grace)
    }

    fn with(self, change: impl FnOnce(&mut Settings)) -> Self {
        self.tables().configure(change);
        self
    }
}
