//! How the limits of a cache are set.

use std::time::Duration;

use super::{CachedStore, settings::Settings};

/// Settings. All of them are for the start: what is remembered already keeps the times that it was
/// written with.
impl<S> CachedStore<S> {
    /// How many tokens, and how many accounts, are remembered; 100,000 of each by default. A
    /// sixteenth as many unknown tokens come on top, and at least 64.
    ///
    /// The tables are split in parts of equal size, so the last few per cent may stay unused, and
    /// a capacity of a few dozen is only kept to roughly.
    #[must_use]
    pub fn with_capacity(self, accounts: usize) -> Self {
        self.with(|settings| settings.capacity = accounts)
    }

    /// How long a state is believed, counted from when its look-up began; 60 seconds by default. It is
    /// the bound on how late a lock takes effect if nobody says that there is one.
    ///
    /// An entry expires up to a tenth earlier, and never later, so that those that were written
    /// together do not expire together. This goes for the other times below as well.
    #[must_use]
    pub fn with_ttl(self, ttl: Duration) -> Self {
        self.with(|settings| settings.ttl = ttl)
    }

    /// How long a token's owner is believed; an hour by default. A token that is revoked meanwhile
    /// is still the inner service's to refuse.
    #[must_use]
    pub fn with_owner_ttl(self, ttl: Duration) -> Self {
        self.with(|settings| settings.owner_ttl = ttl)
    }

    /// How long a token is believed to be unknown; 5 seconds by default.
    ///
    /// A token that was tried before it was given out passes unchecked for as long, unless
    /// [`invalidate_credential`](Self::invalidate_credential) is called when it is given out.
    /// Nobody can guess a token that does not exist yet, so this is about tokens that a server
    /// restores.
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
    /// default. One more fails at once, with an error that
    /// [is overloaded](crate::CachedStoreError::is_overloaded), rather than queue behind them.
    ///
    /// As many again may be under way that ask for [many accounts](crate::AccountStateStore::states)
    /// each, for requests that wait: they take no place from requests that come.
    #[must_use]
    pub fn with_max_lookups(self, lookups: usize) -> Self {
        self.with(|settings| settings.max_lookups = lookups)
    }

    /// How long one look-up may take before it counts as failed, and is dropped; by default there
    /// is no limit here, but the [layer has one](crate::AccountStatusLayer::with_store_timeout).
    ///
    /// The difference is whom the limit is for. The layer's ends one request's wait; this one ends
    /// the look-up for all who wait for it, and they share the failure. Needs tokio's timer.
    #[must_use]
    pub fn with_lookup_timeout(self, limit: Duration) -> Self {
        self.with(|settings| settings.lookup_timeout = Some(limit))
    }

    /// Answers with the last known state while the store fails, for up to `grace` beyond the time
    /// to live. Off by default.
    ///
    /// **With it, a lock that nobody announced can be late by `ttl` and `grace` together.** In
    /// return, people whose state was known do not get 503s while the database is away. It is for
    /// failed look-ups only, those refused as
    /// [too many](Self::with_max_lookups) included; what was invalidated is never brought back. A
    /// store that hangs, rather than fails, needs a [time limit](Self::with_lookup_timeout) below
    /// the layer's for this to be of use.
    #[must_use]
    pub fn with_last_known_state_while_store_fails(self, grace: Duration) -> Self {
        self.with(|settings| settings.grace = grace)
    }

    fn with(self, change: impl FnOnce(&mut Settings)) -> Self {
        self.tables().configure(change);
        self
    }
}
