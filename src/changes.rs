//! News that an account's state may have changed, for the requests that wait.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;

/// Says to whoever waits that an account's state may have changed.
///
/// A hub of a fixed number of buckets that accounts are spread over: nothing is kept per account,
/// so anyone may announce anything, and the price is that a subscriber is woken now and then for
/// somebody else's change and asks in vain. A clone is the same hub.
///
/// Announce a change only when every look-up that begins from then on sees it.
#[derive(Clone)]
pub struct Changes(Arc<Hub>);

struct Hub {
    hasher: RandomState,
    /// Counts all announcements, each before it shows in its bucket.
    announcements: AtomicU64,
    buckets: [Bucket; Changes::BUCKETS],
}

#[derive(Default)]
struct Bucket {
    version: AtomicU64,
    waiters: Notify,
}

impl Changes {
    const BUCKETS: usize = 1024;

    /// A hub that nobody listens to yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Hub {
            hasher: RandomState::new(),
            announcements: AtomicU64::new(0),
            buckets: std::array::from_fn(|_| Bucket::default()),
        }))
    }

    /// The state of `user` may have changed.
    pub fn announce(&self, user: &str) {
        self.0.announcements.fetch_add(1, Ordering::SeqCst);
        self.0.buckets[self.0.bucket_of(user)].announce();
    }

    /// The state of any account may have changed, as after a time in which news were lost.
    pub fn announce_all(&self) {
        self.0.announcements.fetch_add(1, Ordering::SeqCst);
        self.0.buckets.iter().for_each(Bucket::announce);
    }

    /// How many announcements there have been.
    ///
    /// Whoever reads it, looks a state up, subscribes, and finds the same number again, has
    /// missed nothing in between and need not look the state up a second time.
    #[must_use]
    pub fn announcements(&self) -> u64 {
        self.0.announcements.load(Ordering::SeqCst)
    }

    /// Listens for changes of `user` from now on.
    ///
    /// Subscribe first and look the state up then: a change in between is not missed.
    #[must_use]
    pub fn subscribe(&self, user: &str) -> Subscription {
        let bucket = self.0.bucket_of(user);
        Subscription {
            seen: self.0.buckets[bucket].version.load(Ordering::SeqCst),
            hub: Arc::clone(&self.0),
            bucket,
        }
    }
}

impl Hub {
    fn bucket_of(&self, user: &str) -> usize {
        let buckets = Changes::BUCKETS as u64;
        usize::try_from(self.hasher.hash_one(user) % buckets).unwrap_or_default()
    }
}

impl Bucket {
    fn announce(&self) {
        self.version.fetch_add(1, Ordering::SeqCst);
        self.waiters.notify_waiters();
    }
}

impl Default for Changes {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").finish_non_exhaustive()
    }
}

/// Hears of the changes of one account; made by [`Changes::subscribe`].
pub struct Subscription {
    hub: Arc<Hub>,
    bucket: usize,
    seen: u64,
}

impl Subscription {
    /// Waits until the account's state may have changed since the last time this was ready, or
    /// since the subscription was made.
    ///
    /// Dropping the future loses no news.
    pub async fn changed(&mut self) {
        let bucket = &self.hub.buckets[self.bucket];
        loop {
            // Made before the version is read: an announcement after that wakes it.
            let notified = bucket.waiters.notified();
            let version = bucket.version.load(Ordering::SeqCst);
            if version != self.seen {
                self.seen = version;
                return;
            }
            notified.await;
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, task::Poll};

    use super::Changes;

    #[tokio::test]
    async fn rule_17_a_change_between_subscribing_and_waiting_is_heard() {
        let changes = Changes::new();
        let mut subscription = changes.subscribe("@alice:localhost");
        changes.announce("@alice:localhost");
        subscription.changed().await;
    }

    #[tokio::test]
    async fn a_waiting_subscriber_is_woken_once_per_announcement() {
        let changes = Changes::new();
        let mut subscription = changes.subscribe("@alice:localhost");
        for _ in 0..3 {
            let mut changed = pin!(subscription.changed());
            assert!(futures_poll(&mut changed).is_pending());
            changes.announce_all();
            assert!(futures_poll(&mut changed).is_ready());
        }
    }

    #[tokio::test]
    async fn rule_14_a_dropped_wait_loses_no_news() {
        let changes = Changes::new();
        let mut subscription = changes.subscribe("@alice:localhost");
        {
            let mut changed = pin!(subscription.changed());
            assert!(futures_poll(&mut changed).is_pending());
            changes.announce("@alice:localhost");
        }
        subscription.changed().await;
    }

    fn futures_poll<F: Future>(future: &mut std::pin::Pin<&mut F>) -> Poll<F::Output> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        future.as_mut().poll(&mut context)
    }
}
