//! One look-up at a time for each key, and the fate of its answer if the key is invalidated meanwhile.
//!
//! The rule is one sentence: **an answer is kept only if its flight is still on the board when it
//! lands**. A caller that needs a key boards the flight that is on the board for it, or puts a new one
//! there. To invalidate a key is to take its flight off the board and its entry out of the table,
//! and to land is to take the flight off the board and put its entry into the table, both under
//! one lock. So after an invalidation has returned, nothing from before it is in the table, nothing
//! from before it can get there, and nobody can board what began before it. Those who were on
//! board already get the answer that they were waiting for: their requests began before.
//!
//! A caller that asks for many keys at once takes a seat on the flight of each before it asks, and lands
//! them with its answer. It waits for none of them. A caller that boards one meanwhile need not wait for
//! the many: it asks for its own key. The answer that lands first is kept.
//!
//! The lock is held for a few table operations and never across an await. A flight needs no one
//! in particular to stay alive: if the one that was asking the store goes away, the next one on board
//! asks, and when the last one leaves, the flight leaves the board.

use std::{collections::HashMap, future::Future, sync::Arc};

use tokio::sync::OnceCell;

use super::key::{Key, Prehashed};
use crate::locks::{Mutex, MutexGuard, lock};

/// The look-ups under way, by key.
pub(super) struct Flights<T>([Mutex<Board<T>>; SHARDS]);

const SHARDS: usize = 16; // and so in `shard`

type Board<T> = HashMap<Key, Boarded<T>, Prehashed>;

struct Boarded<T> {
    flight: Arc<Flight<T>>,
    passengers: usize,
}

struct Flight<T> {
    /// The epoch in which it took off; everything in it began no earlier.
    epoch: u64,
    outcome: OnceCell<T>,
}

impl<T: Clone> Flights<T> {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }

    /// What `cached` answers, or what the look-up that is under way does, or what `load` does.
    ///
    /// `epoch` and `cached` are called under the lock. `keep` is called under it with the answer
    /// and the flight's epoch, and only if the answer is to be kept.
    pub(super) async fn join<F: Future<Output = T>>(
        &self,
        key: Key,
        epoch: impl FnOnce() -> u64,
        cached: impl FnOnce(u64) -> Option<T>,
        load: impl FnOnce(u64) -> F,
        keep: impl FnOnce(&T, u64),
    ) -> T {
        let seat = match self.board(key, epoch, cached) {
            Ok(seat) => seat,
            Err(found) => return found,
        };
        let flight = &*seat.flight;
        // The cell sees to it that one caller at a time asks, and that another takes over from
        // one that is dropped.
        let outcome = flight.outcome.get_or_init(|| async {
            let outcome = load(flight.epoch).await;
            self.land(key, flight, || keep(&outcome, flight.epoch));
            outcome
        });
        outcome.await.clone()
    }

    /// A place on the flight of `key` for one that asks for many at once: it brings its own answer
    /// and waits for no one, or takes what `cached` answers.
    pub(super) fn seat(
        &self,
        key: Key,
        epoch: impl FnOnce() -> u64,
        cached: impl FnOnce(u64) -> Option<T>,
    ) -> Result<Seat<'_, T>, T> {
        self.board(key, epoch, cached)
    }

    /// Forgets `key`: `forget` drops what is kept of it, and no answer that is under way will be.
    pub(super) fn invalidate(&self, key: Key, forget: impl FnOnce()) {
        let mut board = self.shard(key);
        board.remove(&key);
        forget();
    }

    /// Does something that must not happen between an invalidation and its end.
    pub(super) fn exclusively<R>(&self, key: Key, act: impl FnOnce() -> R) -> R {
        let _board = self.shard(key);
        act()
    }

    fn board(
        &self,
        key: Key,
        epoch: impl FnOnce() -> u64,
        cached: impl FnOnce(u64) -> Option<T>,
    ) -> Result<Seat<'_, T>, T> {
        let mut board = self.shard(key);
        let epoch = epoch();
        if let Some(found) = cached(epoch) {
            return Err(found);
        }
        let new = || Boarded {
            flight: Arc::new(Flight {
                epoch,
                outcome: OnceCell::new(),
            }),
            passengers: 0,
        };
        let boarded = board.entry(key).or_insert_with(new);
        if boarded.flight.epoch != epoch {
            *boarded = new();
        }
        boarded.passengers += 1;
        Ok(Seat {
            flights: self,
            key,
            flight: Arc::clone(&boarded.flight),
        })
    }

    fn land(&self, key: Key, flight: &Flight<T>, keep: impl FnOnce()) {
        let mut board = self.shard(key);
        if is_on_board(&board, key, flight) {
            board.remove(&key);
            keep();
        }
    }
}

impl<T> Flights<T> {
    fn shard(&self, key: Key) -> MutexGuard<'_, Board<T>> {
        // The remainder of a division by 16 is an index.
        lock(&self.0[(key.bits() % 16) as usize])
    }
}

fn is_on_board<T>(board: &Board<T>, key: Key, flight: &Flight<T>) -> bool {
    board
        .get(&key)
        .is_some_and(|boarded| std::ptr::eq(&*boarded.flight, flight))
}

/// A place on a flight, given up when it is dropped.
pub(super) struct Seat<'a, T> {
    flights: &'a Flights<T>,
    key: Key,
    flight: Arc<Flight<T>>,
}

impl<T: Clone> Seat<'_, T> {
    /// Lands the flight with an answer whose look-up began after this seat was taken. `keep` is
    /// called as by [`Flights::join`].
    pub(super) fn land(self, outcome: &T, keep: impl FnOnce(&T, u64)) {
        let flight = &*self.flight;
        self.flights
            .land(self.key, flight, || keep(outcome, flight.epoch));
        // Others on board need not ask any more; one that asks already brings its own answer.
        let _ = flight.outcome.set(outcome.clone());
    }
}

impl<T> Drop for Seat<'_, T> {
    fn drop(&mut self) {
        if self.flight.outcome.initialized() {
            return;
        }
        let mut board = self.flights.shard(self.key);
        if !is_on_board(&board, self.key, &self.flight) {
            return;
        }
        if let Some(boarded) = board.get_mut(&self.key) {
            boarded.passengers -= 1;
            if boarded.passengers == 0 {
                board.remove(&self.key);
            }
        }
    }
}
