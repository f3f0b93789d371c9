//! What a stranger can do to the cache, which is little (T15).
#![cfg(feature = "cache")]
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests may panic as tests may"
)]

mod cache_support;

use std::sync::Arc;

use cache_support::{Backend, Mode, ask, spawn, state, token};
use tower_account_status::{AccountStateStore, CachedStore};

#[tokio::test(start_paused = true)]
async fn t15_a_flood_of_made_up_tokens_pushes_no_one_out() {
    const FLOOD: usize = 100_000;
    let backend = Backend::new();
    let cache = CachedStore::new(backend.clone()).with_capacity(4_000);
    let people: Vec<String> = (0..1_000).map(|number| format!("person{number}")).collect();
    for name in &people {
        backend.insert(name, &format!("@{name}:localhost"));
        state(&cache, name).await;
    }
    let before = backend.loads();
    for number in 0..FLOOD {
        let made_up = format!("made up {number}");
        assert_eq!(ask(&cache, token(&made_up)).await.unwrap(), None);
    }
    let survivors = people
        .iter()
        .filter(|name| cache.glance(token(name)).is_none())
        .count();
    assert_eq!(survivors, people.len());
    assert_eq!(backend.loads() - before, FLOOD, "one look-up a token");
    let entries = cache.stats().entries;
    assert!(entries < 2_000 + 4_000 / 16 + 64, "{entries} entries");
}

#[tokio::test(start_paused = true)]
async fn t15_one_made_up_token_is_looked_up_once() {
    let backend = Backend::new();
    let cache = CachedStore::new(backend.clone());
    for _ in 0..1_000 {
        assert_eq!(ask(&cache, token("made up")).await.unwrap(), None);
    }
    assert_eq!(backend.loads(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_capacity_bounds_owners_and_states() {
    let backend = Backend::new();
    let cache = CachedStore::new(backend.clone()).with_capacity(1_000);
    for number in 0..20_000 {
        let name = format!("person{number}");
        backend.insert(&name, &format!("@{name}:localhost"));
        state(&cache, &name).await;
    }
    let entries = cache.stats().entries;
    assert!((1_500..=2_100).contains(&entries), "{entries} entries");
}

#[tokio::test(start_paused = true)]
async fn t15_a_failing_store_is_asked_no_more_often_than_there_are_requests() {
    let backend = Backend::new();
    backend.set_mode(Mode::Fail);
    let cache = CachedStore::new(backend.clone());
    for number in 0..10_000 {
        let made_up = format!("made up {number}");
        assert!(ask(&cache, token(&made_up)).await.is_err());
    }
    assert_eq!(backend.loads(), 10_000);
    let entries = cache.stats().entries;
    assert!(entries <= 1_100, "{entries} entries");
}

#[tokio::test(start_paused = true)]
async fn t15_look_ups_under_way_are_bounded_however_many_ask() {
    let backend = Backend::new();
    backend.set_mode(Mode::Hold);
    let cache = Arc::new(CachedStore::new(backend.clone()).with_max_lookups(8));
    let names: [&'static str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
    let mut waiters = Vec::new();
    for name in names {
        waiters.push(spawn(&cache, name).await);
    }
    assert_eq!(backend.held(), 8);
    backend.release_all();
    let mut overloaded = 0;
    for waiter in waiters {
        match waiter.await.unwrap() {
            Ok(account) => assert_eq!(account, None),
            Err(error) => {
                overloaded += usize::from(
                    error
                        .downcast_ref::<tower_account_status::CachedStoreError>()
                        .is_some_and(tower_account_status::CachedStoreError::is_overloaded),
                );
            }
        }
    }
    assert_eq!(overloaded, 4);
}
