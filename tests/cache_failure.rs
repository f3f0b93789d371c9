//! What waiting requests get if the store fails, hangs or is overwhelmed (T13, T14, rule 12).
#![cfg(feature = "cache")]
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests may panic as tests may"
)]

mod cache_support;

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use cache_support::{ALICE, BOB, Backend, Mode, ask, is_locked, settle, spawn, state, token};
use tokio::time::advance;
use tower_account_status::{
    AccountState, AccountStateStore, CachedStore, CachedStoreError, Peek, store::StoreError,
};

const SECOND: Duration = Duration::from_secs(1);

fn of_the_cache(error: &StoreError) -> &CachedStoreError {
    error.downcast_ref().expect("a failure of the cache itself")
}

async fn failure(cache: &CachedStore<Backend>, name: &str) -> StoreError {
    ask(cache, token(name)).await.expect_err("the store fails")
}

#[tokio::test(start_paused = true)]
async fn t13_fifty_waiters_share_one_failure() {
    let backend = Backend::new();
    backend.set_mode(Mode::Hold);
    let cache = Arc::new(CachedStore::new(backend.clone()));
    let mut waiters = Vec::new();
    for _ in 0..50 {
        waiters.push(spawn(&cache, "alice").await);
    }
    backend.until_held(1).await;
    backend.release_as_failure(0);
    for waiter in waiters {
        let error = waiter.await.unwrap().expect_err("the store failed");
        let source = error.as_error().to_string();
        assert_eq!(source, "the database is away");
    }
    assert_eq!(backend.loads(), 1);
    assert_eq!((cache.stats().loads, cache.stats().failures), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn fifty_waiters_share_one_answer() {
    let backend = Backend::new();
    backend.set_mode(Mode::Hold);
    let cache = Arc::new(CachedStore::new(backend.clone()));
    let mut waiters = Vec::new();
    for _ in 0..50 {
        waiters.push(spawn(&cache, "alice").await);
    }
    backend.release_all();
    for waiter in waiters {
        assert_eq!(
            waiter.await.unwrap().unwrap().unwrap().into_parts().0,
            ALICE
        );
    }
    assert_eq!(backend.loads(), 1);
}

#[tokio::test(start_paused = true)]
async fn t13_a_failure_is_kept_for_a_fraction_of_a_second() {
    let backend = Backend::new();
    backend.set_mode(Mode::Fail);
    let cache = CachedStore::new(backend.clone()).with_failure_ttl(Duration::from_millis(250));
    for _ in 0..20 {
        failure(&cache, "alice").await;
        assert_eq!(
            cache.peek(token("alice")),
            Peek::Ask,
            "a failure is no answer"
        );
    }
    assert_eq!(backend.loads(), 1);
    backend.set_mode(Mode::Answer);
    failure(&cache, "alice").await;
    advance(Duration::from_millis(250)).await;
    assert!(!is_locked(&cache, "alice").await);
    assert_eq!(backend.loads(), 2);
    // Of a state alone, too; and to invalidate the account is to ask again.
    cache.invalidate(ALICE);
    backend.set_mode(Mode::Fail);
    failure(&cache, "alice").await;
    failure(&cache, "alice").await;
    assert_eq!(backend.loads(), 3);
    backend.set_mode(Mode::Answer);
    cache.invalidate(ALICE);
    assert!(!is_locked(&cache, "alice").await);
}

#[tokio::test(start_paused = true)]
async fn rule_12_a_panic_of_the_store_is_a_failure() {
    let backend = Backend::new();
    backend.set_mode(Mode::Panic);
    let cache = CachedStore::new(backend.clone());
    let error = failure(&cache, "alice").await;
    assert_eq!(error.to_string(), "the account store panicked");
    failure(&cache, "alice").await;
    assert_eq!(backend.loads(), 1);
    backend.set_mode(Mode::Answer);
    advance(SECOND).await;
    assert!(!is_locked(&cache, "alice").await);
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_takes_too_long_fails_for_everyone_who_waits() {
    let backend = Backend::new();
    backend.set_mode(Mode::Hang);
    let cache = Arc::new(CachedStore::new(backend.clone()).with_lookup_timeout(2 * SECOND));
    let waiters = [spawn(&cache, "alice").await, spawn(&cache, "alice").await];
    advance(2 * SECOND).await;
    for waiter in waiters {
        assert!(of_the_cache(&waiter.await.unwrap().unwrap_err()).is_timeout());
    }
    assert_eq!((backend.loads(), cache.stats().failures), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn t14_when_the_one_who_asks_goes_away_another_asks() {
    let backend = Backend::new();
    backend.set_mode(Mode::Hold);
    let cache = Arc::new(CachedStore::new(backend.clone()));
    let mut waiters = Vec::new();
    for _ in 0..51 {
        waiters.push(spawn(&cache, "alice").await);
    }
    let leader = waiters.remove(0);
    leader.abort();
    assert!(leader.await.unwrap_err().is_cancelled());
    backend.until_held(2).await; // the abandoned one and its successor
    waiters.push(spawn(&cache, "alice").await); // who joins the successor
    backend.release_all();
    for waiter in waiters {
        assert_eq!(
            waiter.await.unwrap().unwrap().unwrap().into_parts().0,
            ALICE
        );
    }
    assert_eq!(backend.loads(), 2);
}

#[tokio::test(start_paused = true)]
async fn t14_a_look_up_may_be_dropped_after_any_poll() {
    for polls in 0..4 {
        let backend = Backend::new();
        let cache = Arc::new(CachedStore::new(backend.clone()).with_max_lookups(1));
        let waiter = {
            let mut asked = Box::pin(ask(&cache, token("alice")));
            for _ in 0..polls {
                let mut context = Context::from_waker(Waker::noop());
                if asked.as_mut().poll(&mut context).is_ready() {
                    asked = Box::pin(ask(&cache, token("alice")));
                }
            }
            spawn(&cache, "alice").await
            // Dropped here, with another one on board.
        };
        assert!(
            waiter.await.unwrap().unwrap().is_some(),
            "after {polls} polls"
        );
        // With one place for look-ups, one that was not given back would show.
        cache.invalidate_all();
        assert!(!is_locked(&cache, "bob").await, "after {polls} polls");
        assert!(!is_locked(&cache, "alice").await, "after {polls} polls");
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_up_too_many_fails_at_once_and_is_not_remembered() {
    let backend = Backend::new();
    backend.set_mode(Mode::Hold);
    let cache = Arc::new(CachedStore::new(backend.clone()).with_max_lookups(1));
    let first = spawn(&cache, "alice").await;
    let same = spawn(&cache, "alice").await; // waits for the same one, which is no other look-up
    let error = failure(&cache, "bob").await;
    assert!(of_the_cache(&error).is_overloaded(), "{error:?}");
    backend.release_all();
    for waiter in [first, same] {
        assert_eq!(
            waiter.await.unwrap().unwrap().unwrap().into_parts().0,
            ALICE
        );
    }
    backend.set_mode(Mode::Answer);
    assert_eq!(
        ask(&cache, token("bob"))
            .await
            .unwrap()
            .unwrap()
            .into_parts()
            .0,
        BOB
    );
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.overloads, stats.failures), (2, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn without_a_grace_an_expired_state_is_never_used() {
    let backend = Backend::new();
    let cache = CachedStore::new(backend.clone()).with_ttl(60 * SECOND);
    state(&cache, "alice").await;
    backend.set_mode(Mode::Fail);
    advance(60 * SECOND).await;
    failure(&cache, "alice").await;
}

#[tokio::test(start_paused = true)]
async fn a_grace_answers_with_the_last_known_state_while_the_store_fails() {
    let backend = Backend::new();
    let cache = CachedStore::new(backend.clone())
        .with_ttl(60 * SECOND)
        .with_owner_ttl(60 * SECOND)
        .with_last_known_state_while_store_fails(300 * SECOND);
    backend.lock(BOB);
    state(&cache, "alice").await;
    state(&cache, "bob").await;
    advance(60 * SECOND).await;
    // While the store answers, nothing old is used.
    backend.lock(ALICE);
    assert!(is_locked(&cache, "alice").await);
    backend.set_mode(Mode::Fail);
    advance(150 * SECOND).await;
    assert!(is_locked(&cache, "alice").await);
    assert!(is_locked(&cache, "bob").await);
    assert!(cache.access_token("bob").await.unwrap().is_some());
    assert!(!cache.state(BOB).await.unwrap().is_active());
    assert!(cache.stats().last_known >= 4, "{:?}", cache.stats());
    failure(&cache, "carol").await; // who was never known
    advance(151 * SECOND).await;
    failure(&cache, "bob").await;
}

#[tokio::test(start_paused = true)]
async fn a_grace_brings_nothing_back_that_was_invalidated() {
    for everyone in [false, true] {
        let backend = Backend::new();
        let cache =
            CachedStore::new(backend.clone()).with_last_known_state_while_store_fails(300 * SECOND);
        state(&cache, "alice").await;
        backend.set_mode(Mode::Fail);
        match everyone {
            true => cache.invalidate_all(),
            false => cache.invalidate(ALICE),
        }
        failure(&cache, "alice").await;
        // And a token that the store no longer knows is not answered from earlier.
        let cache = CachedStore::new(backend.clone())
            .with_owner_ttl(SECOND)
            .with_unknown_ttl(SECOND)
            .with_last_known_state_while_store_fails(300 * SECOND);
        backend.set_mode(Mode::Answer);
        state(&cache, "alice").await;
        backend.remove("alice");
        advance(SECOND).await;
        assert_eq!(ask(&cache, token("alice")).await.unwrap(), None);
        backend.set_mode(Mode::Fail);
        advance(SECOND).await;
        failure(&cache, "alice").await;
        backend.insert("alice", ALICE);
    }
}

#[tokio::test(start_paused = true)]
async fn a_grace_is_for_an_overwhelmed_store_too() {
    let backend = Backend::new();
    let cache = Arc::new(
        CachedStore::new(backend.clone())
            .with_ttl(60 * SECOND)
            .with_max_lookups(1)
            .with_last_known_state_while_store_fails(300 * SECOND),
    );
    assert_eq!(state(&cache, "alice").await, AccountState::ACTIVE);
    advance(60 * SECOND).await;
    backend.set_mode(Mode::Hang);
    let hanging = spawn(&cache, "bob").await;
    assert!(!is_locked(&cache, "alice").await);
    hanging.abort();
    settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_is_never_polled_again_blocks_no_one_once_it_is_dropped() {
    let backend = Backend::new();
    backend.set_mode(Mode::Hold);
    let cache = Arc::new(CachedStore::new(backend.clone()));
    let waiter = {
        let mut stuck = pin!(ask(&cache, token("alice")));
        poll_fn(|context| {
            assert!(stuck.as_mut().poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
        let waiter = spawn(&cache, "alice").await;
        backend.release_all();
        settle().await;
        assert!(!waiter.is_finished());
        waiter
    };
    // `stuck` itself lives until its scope ends, which is above.
    backend.until_held(1).await;
    backend.release_all();
    assert!(waiter.await.unwrap().unwrap().is_some());
}
