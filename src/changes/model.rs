//! The promises of [`Changes`] under a model checker; [`crate::model`] says how to run it.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use shuttle::{
    future::block_on,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
};

use super::{ChangeListener, Changes, Subscription};
use crate::model::{SCHEDULES, check, join};

const ALICE: &str = "@alice:localhost";
const BOB: &str = "@bob:localhost";

/// What a store knows of Alice, and the hub that it announces on.
#[derive(Clone, Default)]
struct Store {
    state: Arc<AtomicUsize>,
    changes: Changes,
}

impl Store {
    fn state(&self) -> usize {
        self.state.load(SeqCst)
    }

    /// Changes Alice's state to 1, to 2, and so on up to `last`, each time saying so by `tell`.
    fn changes_to(&self, last: usize, tell: fn(&Changes)) -> thread::JoinHandle<()> {
        let store = self.clone();
        thread::spawn(move || {
            for state in 1..=last {
                store.state.store(state, SeqCst);
                tell(&store.changes);
            }
        })
    }

    /// Looks up and waits, again and again, until Alice's state is `last`.
    fn waits_for(&self, last: usize, mut subscription: Subscription) -> thread::JoinHandle<()> {
        let store = self.clone();
        thread::spawn(move || {
            while store.state() != last {
                block_on(subscription.changed());
            }
        })
    }

    /// Alice's state, and what will tell of the next one, by one look-up if that is enough: as the
    /// layer does it, which has begun its request when it looks up.
    fn look_up_and_subscribe(&self) -> (usize, Subscription) {
        let announcements = self.changes.announcements();
        let state = self.state();
        let subscription = self.changes.subscribe(ALICE);
        match self.changes.announcements() == announcements {
            true => (state, subscription),
            false => (self.state(), subscription),
        }
    }
}

const TELLING: [fn(&Changes); 2] = [announces_alice, Changes::announce_all];

fn announces_alice(changes: &Changes) {
    changes.announce(ALICE);
}

/// Somebody else's changes, which wake those who share Alice's bucket in vain.
fn noise(changes: &Changes) -> thread::JoinHandle<()> {
    let changes = changes.clone();
    thread::spawn(move || changes.announce(BOB))
}

/// Polls once, and goes away.
fn begins_to_wait(mut subscription: Subscription) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let _ = poll_once(subscription.changed());
    })
}

fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn rule_17_no_subscriber_misses_what_is_announced_after_it_subscribed() {
    for tell in TELLING {
        check(move || {
            let store = Store::default();
            let waiters = [(); 2].map(|()| store.waits_for(2, store.changes.subscribe(ALICE)));
            join([store.changes_to(2, tell), noise(&store.changes)]);
            join(waiters);
        });
    }
}

#[test]
fn rule_17_who_finds_the_same_number_of_announcements_has_missed_nothing() {
    for tell in TELLING {
        check(move || {
            let store = Store::default();
            let changer = store.changes_to(1, tell);
            let noise = noise(&store.changes);
            let (state, mut subscription) = store.look_up_and_subscribe();
            let mut is_known = state == 1;
            while !is_known {
                block_on(subscription.changed());
                is_known = store.state() == 1;
            }
            join([changer, noise]);
        });
    }
}

/// A hub that tells another, as a cache's and its store's do, and counts what it hears.
fn wrapped(inner: &Changes) -> (Changes, Arc<AtomicUsize>, ChangeListener) {
    let (outer, heard) = (
        Changes::relaying([inner.clone()]),
        Arc::new(AtomicUsize::new(0)),
    );
    let counts = outer.listen({
        let heard = Arc::clone(&heard);
        move |_| {
            heard.fetch_add(1, SeqCst);
        }
    });
    (outer, heard, counts)
}

#[test]
fn rule_17_listeners_are_told_before_subscribers_hear_and_before_announce_returns() {
    check(|| {
        let inner = Changes::new();
        let (outer, heard, _listeners) = wrapped(&inner);
        let subscribers = [inner.subscribe(ALICE), outer.subscribe(ALICE)];
        let waiters = subscribers.map(|mut subscription| {
            let heard = Arc::clone(&heard);
            thread::spawn(move || {
                block_on(subscription.changed());
                assert_ne!(heard.load(SeqCst), 0, "heard before the listener");
            })
        });
        let announcers = [(); 2].map(|()| {
            let (inner, heard) = (inner.clone(), Arc::clone(&heard));
            thread::spawn(move || {
                inner.announce(ALICE);
                assert_ne!(heard.load(SeqCst), 0, "returned before the listener");
            })
        });
        join(announcers);
        join(waiters);
        assert_eq!(heard.load(SeqCst), 2, "each announcement is told once");
    });
}

#[test]
fn listeners_come_and_go_in_the_middle_and_no_other_misses_anything() {
    check(|| {
        let changes = Changes::new();
        let (outer, heard, counts) = wrapped(&changes);
        // One that owns another hub's listener, which goes with it.
        let nested = outer.listen(|_| {});
        let goes = changes.listen(move |_| assert!(Arc::strong_count(&nested.hub) > 1));
        let goes = thread::spawn(move || drop(goes));
        let comes = thread::spawn({
            let changes = changes.clone();
            move || {
                let own = Arc::new(AtomicUsize::new(0));
                let _listener = changes.listen({
                    let own = Arc::clone(&own);
                    move |_| {
                        own.fetch_add(1, SeqCst);
                    }
                });
                changes.announce(BOB);
                assert_ne!(own.load(SeqCst), 0, "it listened before");
            }
        });
        changes.announce(ALICE);
        join([goes, comes]);
        assert_eq!(heard.load(SeqCst), 2, "what was announced");
        drop(counts);
        changes.announce_all();
        assert_eq!(heard.load(SeqCst), 2, "nobody listens any more");
        assert_eq!(Arc::strong_count(&heard), 1, "nothing is kept");
    });
}

#[test]
fn rule_14_who_leaves_while_it_waits_takes_no_news_from_others_or_from_itself() {
    check(|| {
        let store = Store::default();
        let leaves = begins_to_wait(store.changes.subscribe(ALICE));
        let waits = store.waits_for(1, store.changes.subscribe(ALICE));
        let returns = thread::spawn({
            let (store, mut subscription) = (store.clone(), store.changes.subscribe(ALICE));
            move || {
                // What the dropped wait has said is said; what it has not is heard by the next.
                match poll_once(subscription.changed()) {
                    Poll::Ready(()) => assert_eq!(store.state(), 1, "told too early"),
                    Poll::Pending => block_on(subscription.changed()),
                }
                assert_eq!(store.state(), 1, "told too early");
            }
        });
        join([store.changes_to(1, announces_alice), leaves, waits, returns]);
        assert_eq!(Arc::strong_count(&store.changes.0), 1, "nothing is kept");
    });
}

/// Guards the checker itself: with the number read after the look-up, it finds who waits forever.
#[test]
#[should_panic(expected = "deadlock")]
fn the_model_finds_the_gap_where_the_number_is_read_after_the_look_up() {
    shuttle::check_random(
        || {
            let store = Store::default();
            let changer = store.changes_to(1, announces_alice);
            let state = store.state();
            let announcements = store.changes.announcements();
            let mut subscription = store.changes.subscribe(ALICE);
            if state == 0 && store.changes.announcements() == announcements {
                block_on(subscription.changed());
            }
            join([changer]);
        },
        SCHEDULES,
    );
}
