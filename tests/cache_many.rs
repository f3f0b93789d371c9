//! Rule 20 for the cache: what one look-up finds for many accounts is kept as if each had been looked
//! up, never brings back what was invalidated meanwhile, and delays no other.
#![cfg(feature = "cache")]
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests may panic as tests may"
)]

mod cache_support;

use std::{sync::Arc, time::Duration};

use cache_support::{ALICE, BOB, Backend, Cache, Mode, is_locked, settle, spawn, state, token};
use tokio::task::JoinHandle;
use tower_account_status::{
    AccountState, AccountStateStore, CachedStore, CachedStoreError, Peek, RestrictionKind::Locked,
    UserId, store::StoreError,
};

type States = Vec<Result<AccountState, StoreError>>;

fn cached(mode: Mode) -> (Backend, Cache) {
    let backend = Backend::new();
    backend.set_mode(mode);
    let cache = Arc::new(CachedStore::new(backend.clone()));
    (backend, cache)
}

fn users() -> [UserId; 3] {
    [ALICE, BOB, ALICE].map(UserId::from)
}

async fn ask_for_many(cache: &Cache) -> JoinHandle<States> {
    let cache = Arc::clone(cache);
    let asks = tokio::spawn(async move { cache.states(&users()).await });
    settle().await;
    asks
}

fn unwrapped(states: States) -> Vec<AccountState> {
    states.into_iter().map(Result::unwrap).collect()
}

#[tokio::test]
async fn rule_20_what_one_look_up_brings_for_many_is_kept() {
    let (backend, cache) = cached(Mode::Answer);
    backend.lock(ALICE);
    let states = unwrapped(cache.states(&users()).await);
    let locked = AccountState::from(Locked);
    assert_eq!(
        states,
        [locked.clone(), AccountState::ACTIVE, locked.clone()]
    );
    assert_eq!(cache.peek_state(ALICE), Some(locked));
    assert_eq!(cache.peek_state(BOB), Some(AccountState::ACTIVE));
    let asked = backend.asked_together();
    unwrapped(cache.states(&users()).await);
    cache.state(BOB).await.unwrap();
    assert_eq!((backend.asked_together(), backend.loads()), (asked, 0));
}

#[tokio::test]
async fn rule_20_only_what_is_not_remembered_is_asked_for() {
    let (backend, cache) = cached(Mode::Answer);
    cache.state(BOB).await.unwrap();
    cache.states(&[BOB.into(), ALICE.into()]).await;
    assert_eq!(backend.asked_together(), 1);
}

#[tokio::test]
async fn t12_what_is_invalidated_while_many_are_asked_for_is_not_kept() {
    let tells: [fn(&Cache); 2] = [
        |cache| cache.invalidate(ALICE),
        |cache| cache.invalidate_all(),
    ];
    for tell in tells {
        let (backend, cache) = cached(Mode::Hold);
        let before = ask_for_many(&cache).await;
        backend.until_held(1).await;
        backend.lock(ALICE);
        tell(&cache);
        backend.release(0);
        let before = unwrapped(before.await.unwrap());
        assert!(before[0].is_active(), "it began before, and was told so");
        assert_eq!(cache.peek_state(ALICE), None);
        backend.set_mode(Mode::Answer);
        assert!(!unwrapped(cache.states(&users()).await)[0].is_active());
        assert!(is_locked(&cache, "alice").await);
    }
}

#[tokio::test]
async fn rule_20_who_asks_for_one_does_not_wait_for_the_many() {
    let (backend, cache) = cached(Mode::Answer);
    state(&cache, "alice").await;
    cache.invalidate(ALICE);
    backend.set_mode(Mode::Hold);
    let many = ask_for_many(&cache).await;
    backend.until_held(1).await;
    let one = spawn(&cache, "alice").await;
    backend.until_held(2).await;
    backend.release(1);
    one.await.unwrap().unwrap();
    assert!(matches!(cache.peek(token("alice")), Peek::Account(_)));
    backend.release(0);
    unwrapped(many.await.unwrap());
}

#[tokio::test]
async fn rule_20_many_that_wait_take_no_place_from_requests_that_come() {
    let backend = Backend::new();
    backend.set_mode(Mode::Hold);
    let cache = Arc::new(CachedStore::new(backend.clone()).with_max_lookups(1));
    let many = ask_for_many(&cache).await;
    backend.until_held(1).await;
    let others = cache.states(&["@carol:localhost".into()]).await;
    let error = others[0].as_ref().unwrap_err();
    let error = error.downcast_ref::<CachedStoreError>().unwrap();
    assert!(error.is_overloaded(), "they are bounded themselves");
    let one = spawn(&cache, "alice").await;
    backend.until_held(2).await;
    backend.release_all();
    one.await.unwrap().unwrap();
    unwrapped(many.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn rule_20_a_look_up_of_many_that_fails_fails_nobody_else() {
    for mode in [Mode::Fail, Mode::Panic, Mode::Hang] {
        let backend = Backend::new();
        backend.set_mode(mode);
        let limit = Duration::from_secs(1);
        let cache = CachedStore::new(backend.clone()).with_lookup_timeout(limit);
        for state in cache.states(&users()).await {
            state.unwrap_err();
        }
        backend.set_mode(Mode::Answer);
        assert!(state(&cache, "alice").await.is_active(), "{mode:?}");
        unwrapped(cache.states(&users()).await);
    }
}

#[tokio::test]
async fn rule_14_who_asks_for_many_may_go_away() {
    let (backend, cache) = cached(Mode::Hold);
    let many = ask_for_many(&cache).await;
    backend.until_held(1).await;
    many.abort();
    settle().await;
    backend.set_mode(Mode::Answer);
    unwrapped(cache.states(&users()).await);
    assert!(state(&cache, "alice").await.is_active());
}
