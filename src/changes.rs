//! Announcements to waiting requests that an account's state may have changed.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Weak, atomic::Ordering},
    time::Instant,
};

use tokio::sync::Notify;

use crate::locks::{AtomicU64, Mutex, MutexGuard, lock};
#[cfg(not(shuttle))]
use crate::panics::unless_it_panics;

use self::proof::Proof;

#[cfg(all(test, shuttle))]
mod model;
mod proof;
#[cfg(test)]
mod tests;

/// Announces to the requests that wait that an account's state may have changed.
///
/// It is a hub with a fixed number of buckets over which accounts are spread. It keeps nothing for
/// each account, so anyone may announce anything. The price is that another account's change sometimes
/// wakes a subscriber, which then asks in vain. A clone is the same hub.
///
/// Announce a change only when every look-up that begins afterwards sees it.
///
/// # What is believed
///
/// State in memory that announcements update is right only as long as announcements arrive. A hub
/// whose announcements come from its own process ([`new`](Self::new)) needs no proof of that. A hub
/// that hears of changes from a network or another process
/// ([`needing_proof`](Self::needing_proof)) is [believed](Self::is_believed) only until the time that the
/// last proof of life has set. No task has to run for belief to end.
#[derive(Clone)]
pub struct Changes(Arc<Hub>);

/// The account whose state may have changed, as [`Changes::listen`] tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announcement<'a> {
    /// The account of this user.
    Account(&'a str),
    /// Any account, or all of them. Earlier announcements may be incomplete.
    AllAccounts,
}

struct Hub {
    hasher: RandomState,
    /// Counts all announcements, each before it shows in its bucket.
    announcements: AtomicU64,
    buckets: Box<[Bucket]>,
    listeners: Mutex<Listeners>,
    proof: Proof,
    /// Pass other hubs' announcements on to this one.
    sources: Vec<ChangeListener>,
}

#[derive(Default)]
struct Listeners {
    next_id: u64,
    callbacks: Vec<(u64, Callback)>,
}

type Callback = Arc<dyn Fn(Announcement<'_>) + Send + Sync>;

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

    /// A hub without listeners, whose announcements are made within this process.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Hub::new(Proof::NotNeeded)))
    }

    /// A hub whose announcements come from outside this process, such as over a network. It is
    /// believed from the first [`believe_until`](Self::believe_until) on.
    #[must_use]
    pub fn needing_proof() -> Self {
        Self(Arc::new(Hub::new(Proof::absent())))
    }

    /// A hub that announces what each of `sources` announces. A store that wraps others uses it. It is
    /// believed as long as all of them are.
    ///
    /// When a source's [`announce`](Self::announce) returns, this hub's listeners have been
    /// called. The sources do not keep this hub alive.
    #[must_use]
    pub fn relaying(sources: impl IntoIterator<Item = Self>) -> Self {
        Self(Arc::new_cyclic(|hub: &Weak<Hub>| {
            let relay = |source: Self| {
                let hub = Weak::clone(hub);
                source.listen(move |announcement| {
                    if let Some(hub) = hub.upgrade() {
                        hub.announce(announcement);
                    }
                })
            };
            Hub {
                sources: sources.into_iter().map(relay).collect(),
                ..Hub::new(Proof::NotNeeded)
            }
        }))
    }

    /// The state of `user` may have changed.
    pub fn announce(&self, user: &str) {
        self.0.announce(Announcement::Account(user));
    }

    /// The state of any account may have changed: announcements were lost, for example.
    pub fn announce_all(&self) {
        self.0.announce(Announcement::AllAccounts);
    }

    /// Says that announcements arrived a moment ago. State that rests on them is believed until `end`. It does
    /// nothing to a hub that needs no proof.
    ///
    /// Set `end` by the time at which the proof was *sent*, not by the time at which it arrived.
    pub fn believe_until(&self, end: Instant) {
        self.0.proof.extend(end);
    }

    /// Says that announcements may be lost from now on. It does nothing to a hub that needs no proof.
    pub fn distrust(&self) {
        self.0.proof.withdraw();
    }

    /// Whether state that rests on these announcements may be believed now. It reads the clock if the hub
    /// needs a proof, and does nothing else.
    #[inline]
    #[must_use]
    pub fn is_believed(&self) -> bool {
        self.0.is_believed()
    }

    /// The time until which [`is_believed`](Self::is_believed) is true, unless another proof comes. `None`
    /// means for ever.
    #[must_use]
    pub fn believed_until(&self) -> Option<Instant> {
        self.0.believed_until()
    }

    /// How many announcements there have been.
    ///
    /// A caller that reads it, looks a state up, subscribes, and finds the same number again has missed
    /// nothing and need not look the state up a second time.
    pub(crate) fn announcements(&self) -> u64 {
        self.0.announcements.load(Ordering::SeqCst)
    }

    /// Calls `listener` with every announcement, as long as the returned [`ChangeListener`] lives.
    ///
    /// [`announce`](Self::announce) itself makes the call, on its thread, before any subscriber hears of the
    /// change. Do here what must be done by then: a cache drops its entry. When `announce` returns, all of
    /// that is done, through any number of wrappers. A store that wraps others has
    /// [`relaying`](Self::relaying).
    ///
    /// The listener must not block. It must not own this hub, because then neither would ever be freed. If it
    /// panics, the panic is caught, and logged with the feature `tracing`. The other listeners and the
    /// subscribers still hear of the change.
    pub fn listen(
        &self,
        listener: impl Fn(Announcement<'_>) + Send + Sync + 'static,
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
    /// Subscribe first and then look the state up, so that no change in between is missed.
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
    fn new(proof: Proof) -> Self {
        Self {
            hasher: RandomState::new(),
            announcements: AtomicU64::new(0),
            buckets: (0..Changes::BUCKETS).map(|_| Bucket::default()).collect(),
            listeners: Mutex::default(),
            proof,
            sources: Vec::new(),
        }
    }

    #[inline]
    fn is_believed(&self) -> bool {
        self.proof.is_believed() && self.sources.iter().all(|source| source.hub.is_believed())
    }

    fn believed_until(&self) -> Option<Instant> {
        let of_sources = self.sources.iter();
        of_sources
            .filter_map(|source| source.hub.believed_until())
            .chain(self.proof.until())
            .min()
    }

    fn announce(&self, announcement: Announcement<'_>) {
        self.tell_listeners(announcement);
        self.announcements.fetch_add(1, Ordering::SeqCst);
        match announcement {
            Announcement::Account(user) => self.buckets[self.bucket_of(user)].announce(),
            Announcement::AllAccounts => self.buckets.iter().for_each(Bucket::announce),
        }
    }

    fn bucket_of(&self, user: &str) -> usize {
        let buckets = Changes::BUCKETS as u64;
        usize::try_from(self.hasher.hash_one(user) % buckets).unwrap_or_default()
    }

    fn listeners(&self) -> MutexGuard<'_, Listeners> {
        lock(&self.listeners)
    }

    fn tell_listeners(&self, announcement: Announcement<'_>) {
        // Called without the lock, so that a listener may itself listen or stop listening.
        let callbacks = self.listeners().callbacks.clone();
        for (_, callback) in callbacks {
            // The thread that announces is a store's own, and others wait for the announcement.
            let call = || callback(announcement);
            #[cfg(not(shuttle))]
            if unless_it_panics(call).is_err() {
                #[cfg(feature = "tracing")]
                tracing::error!("a listener of account changes panicked");
            }
            #[cfg(shuttle)] // the model checker looks for panics
            call();
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

/// Hears of the changes of one account. [`Changes::subscribe`] makes it.
pub struct Subscription {
    hub: Arc<Hub>,
    bucket: usize,
    seen: u64,
}

impl Subscription {
    /// Waits until the account's state may have changed since the last time this was ready, or
    /// since the subscription was made.
    ///
    /// Dropping the future loses no announcement.
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
