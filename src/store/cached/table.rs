//! A bounded table whose entries expire. The time counts from a moment that the writer names, and never from
//! the last read.

use std::time::Duration;

use quick_cache::{
    UnitWeighter,
    sync::{Cache, DefaultLifecycle},
};

use super::{
    clock::Moment,
    key::{Key, Prehashed},
};

pub(super) struct Table<V>(Cache<Key, Entry<V>, UnitWeighter, Prehashed>);

#[derive(Clone)]
struct Entry<V> {
    value: V,
    epoch: u64,
    expires: Moment,
}

/// When, and in which epoch, a table is read or written.
#[derive(Clone, Copy)]
pub(super) struct Now {
    pub(super) time: Moment,
    pub(super) epoch: u64,
}

impl<V: Clone> Table<V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self(bounded(capacity))
    }

    pub(super) fn set_capacity(&self, capacity: usize) {
        self.0.set_capacity(weight(capacity));
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    #[inline]
    pub(super) fn get(&self, key: Key, now: Now) -> Option<V> {
        self.get_within(key, now, Duration::ZERO)
    }

    /// The value, even if it has expired, as long as that is less than `grace` ago. A value of an earlier epoch
    /// does not count.
    #[inline]
    pub(super) fn get_within(&self, key: Key, now: Now, grace: Duration) -> Option<V> {
        let entry = self.0.get(&key)?;
        let valid = entry.epoch == now.epoch && now.time < entry.expires.after(grace);
        valid.then_some(entry.value)
    }

    /// Keeps `value` for at most `ttl`, and for up to a tenth less: entries that were written
    /// together, as after a restart, do not expire together.
    pub(super) fn insert(&self, key: Key, value: V, now: Now, ttl: Duration) {
        // Between 0 and 65,535 parts of 655,360. The key is random.
        let jitter = (ttl / 655_360).saturating_mul((key.bits() & 0xffff) as u32);
        let entry = Entry {
            value,
            epoch: now.epoch,
            expires: now.time.after(ttl - jitter),
        };
        self.0.insert(key, entry);
    }

    pub(super) fn remove(&self, key: Key) {
        self.0.remove(&key);
    }

    /// Keeps only the values that `keeps` says.
    pub(super) fn retain(&self, keeps: impl Fn(&V) -> bool) {
        self.0.retain(|_, entry| keeps(&entry.value));
    }
}

/// A bounded table of values that follow from their keys, and so neither expire nor are invalidated.
pub(super) struct Interned<V>(Cache<Key, V, UnitWeighter, Prehashed>);

impl<V: Clone> Interned<V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self(bounded(capacity))
    }

    pub(super) fn set_capacity(&self, capacity: usize) {
        self.0.set_capacity(weight(capacity));
    }

    pub(super) fn get(&self, key: Key) -> Option<V> {
        self.0.get(&key)
    }

    /// Keeps `value`, unless the key has one.
    pub(super) fn insert(&self, key: Key, value: &V) {
        if !self.0.contains_key(&key) {
            self.0.insert(key, value.clone());
        }
    }
}

/// A cache of at most this many values, whose keys are hashes already.
fn bounded<V: Clone>(capacity: usize) -> Cache<Key, V, UnitWeighter, Prehashed> {
    Cache::with(
        capacity,
        weight(capacity),
        UnitWeighter,
        Prehashed,
        DefaultLifecycle::default(),
    )
}

fn weight(capacity: usize) -> u64 {
    capacity as u64
}
