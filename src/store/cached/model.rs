//! The invariant of revocation under a model checker, which runs the cache's own code, and
//! quick_cache's, in many interleavings of their locks and counters.
//!
//! [`crate::model`] says how to run it.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
};

use shuttle::{
    future::{block_on, yield_now},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use super::CachedStore;
use crate::{
    account::{Account, AccountState, RestrictionKind, UserId},
    credential::Credential,
    model::{self, SCHEDULES, join},
    store::{AccountStateStore, Answer, Peek, StoreError},
};

const ALICE: &str = "@alice:localhost";

/// One account with any number of tokens, whose every answer takes a while after it was read.
#[derive(Default)]
struct Server {
    locked: AtomicBool,
    loads: AtomicUsize,
}

impl Server {
    async fn read(&self) -> AccountState {
        let locked = self.locked.load(Ordering::SeqCst);
        yield_now().await;
        self.loads.fetch_add(1, Ordering::SeqCst);
        match locked {
            true => RestrictionKind::Locked.into(),
            false => AccountState::ACTIVE,
        }
    }
}

impl AccountStateStore for Server {
    async fn access_token(&self, _: &str) -> Answer {
        yield_now().await;
        Ok(Some(ALICE.into()))
    }

    crate::without! {
        application_service, login_name, third_party, login_token, refresh_token, event_sender, changes
    }

    async fn state(&self, _: &str) -> Result<AccountState, StoreError> {
        Ok(self.read().await)
    }

    /// As a database does it: all of them as of one moment.
    async fn states(&self, users: &[UserId]) -> Vec<Result<AccountState, StoreError>> {
        let state = self.read().await;
        users.iter().map(|_| Ok(state.clone())).collect()
    }

    /// As a server does it that answers both with one query.
    async fn access_token_and_state(&self, _: &str) -> Result<Option<Account>, StoreError> {
        Ok(Some(Account::new(ALICE.into(), self.read().await)))
    }
}

type Cache = Arc<CachedStore<Server>>;

fn ask(cache: &Cache, token: &str) -> AccountState {
    if let Peek::Account(account) = cache.peek(Credential::AccessToken(token.into())) {
        return account.state;
    }
    let answer = block_on(cache.access_token_and_state(token));
    answer.unwrap().expect("the token is Alice's").state
}

fn asks(cache: &Cache, tokens: &'static [&'static str]) -> thread::JoinHandle<()> {
    let cache = Arc::clone(cache);
    thread::spawn(move || tokens.iter().for_each(|token| drop(ask(&cache, token))))
}

fn ask_for_many(cache: &Cache) -> AccountState {
    let users = ["@bob:localhost", ALICE, ALICE].map(UserId::from);
    let mut states = block_on(cache.states(&users));
    assert_eq!(states.len(), users.len());
    states.remove(1).unwrap()
}

fn asks_for_many(cache: &Cache) -> thread::JoinHandle<()> {
    let cache = Arc::clone(cache);
    thread::spawn(move || drop(ask_for_many(&cache)))
}

/// Begins a look-up and goes away.
fn gives_up(cache: &Cache, token: &'static str) -> thread::JoinHandle<()> {
    let cache = Arc::clone(cache);
    thread::spawn(move || {
        let mut lookup = pin!(cache.access_token_and_state(token));
        let _ = lookup
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
    })
}

fn check(schedule: impl Fn(&Cache) + Send + Sync + 'static) {
    model::check(move || schedule(&Arc::new(CachedStore::new(Server::default()))));
}

/// Locks Alice, says so by `tell`, and asks.
fn lock_and_ask(cache: &Cache, tell: impl Fn(&Cache) + Send + 'static) -> thread::JoinHandle<()> {
    let cache = Arc::clone(cache);
    thread::spawn(move || {
        cache.get_ref().locked.store(true, Ordering::SeqCst);
        tell(&cache);
        for token in ["phone", "laptop"] {
            assert_locked(&ask(&cache, token));
        }
    })
}

fn assert_locked(state: &AccountState) {
    assert!(!state.is_active(), "the earlier state was seen");
}

#[test]
fn no_request_after_invalidate_sees_the_earlier_state() {
    check(|cache| {
        let tell = |cache: &Cache| cache.invalidate(ALICE);
        join([
            asks(cache, &["phone", "phone"]),
            asks(cache, &["laptop"]),
            lock_and_ask(cache, tell),
        ]);
        // And nothing that was under way has brought it back.
        assert_locked(&ask(cache, "phone"));
        assert_locked(&ask(cache, "laptop"));
    });
}

#[test]
fn no_request_after_invalidate_sees_the_earlier_state_of_a_known_owner() {
    check(|cache| {
        ask(cache, "phone");
        cache.invalidate(ALICE);
        let tell = |cache: &Cache| cache.invalidate(ALICE);
        join([
            asks(cache, &["phone"]),
            asks(cache, &["phone"]),
            lock_and_ask(cache, tell),
        ]);
        assert_locked(&ask(cache, "phone"));
    });
}

#[test]
fn no_request_after_invalidate_all_sees_anything_from_before() {
    check(|cache| {
        let tell = |cache: &Cache| cache.invalidate_all();
        join([
            asks(cache, &["phone", "laptop"]),
            asks(cache, &["phone"]),
            lock_and_ask(cache, tell),
        ]);
        assert_locked(&ask(cache, "phone"));
        assert_locked(&ask(cache, "laptop"));
    });
}

#[test]
fn no_request_after_invalidate_all_boards_what_began_before() {
    check(|cache| {
        let asks_state = |cache: &Cache| {
            let cache = Arc::clone(cache);
            thread::spawn(move || drop(block_on(cache.state(ALICE))))
        };
        let first = asks_state(cache);
        let second = asks_state(cache);
        cache.get_ref().locked.store(true, Ordering::SeqCst);
        cache.invalidate_all();
        assert_locked(&block_on(cache.state(ALICE)).unwrap());
        join([first, second]);
        assert_locked(&block_on(cache.state(ALICE)).unwrap());
    });
}

#[test]
fn no_request_after_an_invalidation_sees_the_earlier_state_that_many_were_asked_for_with() {
    let tells: [fn(&Cache); 2] = [
        |cache| cache.invalidate(ALICE),
        |cache| cache.invalidate_all(),
    ];
    for tell in tells {
        check(move |cache| {
            let one = asks(cache, &["phone"]);
            join([
                asks_for_many(cache),
                asks_for_many(cache),
                one,
                lock_and_ask(cache, tell),
            ]);
            assert_locked(&ask_for_many(cache));
            assert_locked(&ask(cache, "phone"));
        });
    }
}

#[test]
fn a_look_up_that_is_given_up_leaves_nobody_waiting_and_nothing_behind() {
    check(|cache| {
        let tell = |cache: &Cache| cache.invalidate(ALICE);
        join([
            gives_up(cache, "phone"),
            asks(cache, &["phone"]),
            lock_and_ask(cache, tell),
        ]);
        assert_locked(&ask(cache, "phone"));
    });
}

#[test]
fn one_look_up_at_a_time_for_each_token() {
    check(|cache| {
        join([
            asks(cache, &["phone"]),
            asks(cache, &["phone"]),
            asks(cache, &["phone"]),
        ]);
        let loads = cache.get_ref().loads.load(Ordering::SeqCst);
        assert_eq!(loads, 1, "look-ups in the store");
    });
}

/// Guards the checker itself: without the rule of the board, it finds the race.
#[test]
#[should_panic(expected = "the earlier state was kept")]
fn the_model_finds_the_race_where_a_load_is_kept_unconditionally() {
    shuttle::check_random(
        || {
            let server = Arc::new(Server::default());
            let kept = Arc::new(shuttle::sync::Mutex::new(None::<AccountState>));
            let load = thread::spawn({
                let (server, kept) = (Arc::clone(&server), Arc::clone(&kept));
                move || {
                    let state = block_on(server.read());
                    *kept.lock().unwrap() = Some(state);
                }
            });
            server.locked.store(true, Ordering::SeqCst);
            *kept.lock().unwrap() = None;
            load.join().unwrap();
            let kept = kept.lock().unwrap().take();
            let active = kept.is_some_and(|state| state.is_active());
            assert!(!active, "the earlier state was kept");
        },
        SCHEDULES,
    );
}
