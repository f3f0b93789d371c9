//! News that an account's state may have changed, for the requests that wait.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{Arc, atomic::Ordering},
};

use tokio::sync::Notify;

use crate::locks::{AtomicU64, Mutex, MutexGuard, lock};

#[cfg(all(test, shuttle))]
mod model;

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
    buckets: Box<[Bucket]>,
    listeners: Mutex<Listeners>,
}

#[derive(Default)]
struct Listeners {
    next_id: u64,
    callbacks: Vec<(u64, Callback)>,
}

type Callback = Arc<dyn Fn(Option<&str>) + Send + Sync>;

#[derive(Default)]
struct Bucket {
    version: AtomicU64,
    waiters: Notify,
}

impl Changes {
    /// Enough that of a hundred thousand waiting requests a dozen are woken for one change, and no
    /// more than a few hundred kilobytes.
    #[cfg(not(shuttle))]
    const BUCKETS: usize = 8192;
    /// In the model two accounts share a bucket every other time.
    #[cfg(shuttle)]
    const BUCKETS: usize = 2;

    /// A hub that nobody listens to yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Hub {
            hasher: RandomState::new(),
            announcements: AtomicU64::new(0),
            buckets: (0..Self::BUCKETS).map(|_| Bucket::default()).collect(),
            listeners: Mutex::default(),
        }))
    }

    /// The state of `user` may have changed.
    pub fn announce(&self, user: &str) {
        self.0.tell_listeners(Some(user));
        self.0.announcements.fetch_add(1, Ordering::SeqCst);
        self.0.buckets[self.0.bucket_of(user)].announce();
    }

    /// The state of any account may have changed, as after a time in which news were lost.
    pub fn announce_all(&self) {
        self.0.tell_listeners(None);
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

    /// Calls `listener` with every change, for as long as the returned [`ChangeListener`] lives:
    /// with the user's name, or with `None` where it may be anyone's.
    ///
    /// The call is made by [`announce`](Self::announce) itself, in its thread, and before any
    /// subscriber hears of the change. So this is the place for what has to be done by then: a
    /// cache drops its entry here, and a store that wraps another passes the news on to its own
    /// hub. When `announce` returns, all of that is done, through any number of wrappers.
    ///
    /// The listener must not block, and it must not own this hub, or neither would ever be freed.
    pub fn listen(
        &self,
        listener: impl Fn(Option<&str>) + Send + Sync + 'static,
    ) -> ChangeListener {
        let mut listeners = self.0.listeners();
        let id = listeners.next_id;
        listeners.next_id += 1;
        listeners.callbacks.push((id, Arc::new(listener)));
        ChangeListener {
            hub: Arc::clone(&self.0),
            id,
        }
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

    fn listeners(&self) -> MutexGuard<'_, Listeners> {
        lock(&self.listeners)
    }

    fn tell_listeners(&self, user: Option<&str>) {
        // Called without the lock, so that a listener may itself listen or stop listening.
        let callbacks = self.listeners().callbacks.clone();
        for (_, callback) in callbacks {
            callback(user);
        }
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

/// Keeps a listener of [`Changes::listen`] in place until it is dropped.
#[must_use = "a listener is called only while this lives"]
pub struct ChangeListener {
    hub: Arc<Hub>,
    id: u64,
}

impl Drop for ChangeListener {
    fn drop(&mut self) {
        let mut listeners = self.hub.listeners();
        let Some(place) = listeners
            .callbacks
            .iter()
            .position(|(id, _)| *id == self.id)
        else {
            return;
        };
        let callback = listeners.callbacks.swap_remove(place);
        // What the callback owns may listen to hubs itself.
        drop(listeners);
        drop(callback);
    }
}

impl fmt::Debug for ChangeListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChangeListener").finish_non_exhaustive()
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
    use std::{
        pin::pin,
        sync::{Arc, Mutex},
        task::Poll,
    };

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

    #[test]
    fn an_announcement_wakes_few_of_the_many_who_wait() {
        let changes = Changes::new();
        let user = |number: usize| format!("@{number}:localhost");
        let subscribe = |number| changes.subscribe(&user(number));
        let mut subscriptions: Vec<_> = (0..10_000).map(subscribe).collect();
        changes.announce(&user(17));
        let mut woken = Vec::new();
        for (number, subscription) in subscriptions.iter_mut().enumerate() {
            if futures_poll(&mut pin!(subscription.changed())).is_ready() {
                woken.push(number);
            }
        }
        assert!(woken.contains(&17), "{woken:?}");
        assert!(woken.len() < 20, "{woken:?}");
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

    #[test]
    fn rule_17_a_listener_is_called_before_announce_returns_and_until_it_is_dropped() {
        let changes = Changes::new();
        let outer = Changes::new();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let _inner = changes.listen({
            let outer = outer.clone();
            move |user| user.map_or_else(|| outer.announce_all(), |user| outer.announce(user))
        });
        let listener = outer.listen({
            let heard = Arc::clone(&heard);
            move |user| heard.lock().unwrap().push(user.map(str::to_owned))
        });
        let subscription = outer.subscribe("@alice:localhost");
        changes.announce("@alice:localhost");
        assert_eq!(
            *heard.lock().unwrap(),
            [Some("@alice:localhost".to_owned())]
        );
        assert!(futures_poll(&mut pin!({ subscription }.changed())).is_ready());
        changes.announce_all();
        assert_eq!(heard.lock().unwrap().last(), Some(&None));
        drop(listener);
        changes.announce_all();
        assert_eq!(heard.lock().unwrap().len(), 2);
    }

    fn futures_poll<F: Future>(future: &mut std::pin::Pin<&mut F>) -> Poll<F::Output> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        future.as_mut().poll(&mut context)
    }
}
