//! Invalidations (T12, rule 17): no request that starts after one returned sees the earlier state,
//! and no look-up that was under way brings it back.
#![cfg(feature = "cache")]
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests may panic as tests may"
)]

mod cache_support;

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
};

use cache_support::{
    ALICE, BOB, Backend, Cache, Mode, ask, is_locked, settle, spawn, state, token,
};
use tower_account_status::{
    AccountStateStore, CachedStore, Changes, MemoryStore, Peek, RestrictionKind, Subscription,
};

fn gated() -> (Backend, Cache) {
    let backend = Backend::new();
    backend.set_mode(Mode::Hold);
    let cache = Arc::new(CachedStore::new(backend.clone()));
    (backend, cache)
}

/// Locks Alice while a look-up that has read that she is active is held, tells the cache by
/// `tell`, and asks again.
async fn lock_during_a_look_up(backend: &Backend, cache: &Cache, tell: impl FnOnce(&Cache)) {
    backend.set_mode(Mode::Hold);
    let before = spawn(cache, "alice").await;
    backend.until_held(1).await;
    backend.lock(ALICE);
    tell(cache);
    let after = spawn(cache, "alice").await;
    backend.until_held(2).await; // it has not joined the look-up from before
    backend.release(0);
    let earlier = before.await.unwrap().unwrap().unwrap();
    assert!(
        earlier.state().is_active(),
        "it began before, and was told so"
    );
    settle().await;
    assert_eq!(
        cache.peek(token("alice")),
        Peek::Ask,
        "and nothing is kept of it"
    );
    backend.release_all();
    settle().await;
    backend.release_all();
    assert!(!after.await.unwrap().unwrap().unwrap().state().is_active());
    backend.set_mode(Mode::Answer);
    assert!(is_locked(cache, "alice").await);
}

#[tokio::test]
async fn t12_invalidate_during_the_first_look_up_of_a_token() {
    // The look-up is by token: whose it is, and so what is to be invalidated, shows at its end.
    let (backend, cache) = gated();
    let before = spawn(&cache, "alice").await;
    backend.until_held(1).await;
    backend.lock(ALICE);
    cache.invalidate(ALICE);
    // Joins it for the owner, who has not changed, but not for the state.
    let after = spawn(&cache, "alice").await;
    assert_eq!(backend.held(), 1);
    backend.release(0);
    let earlier = before.await.unwrap().unwrap().unwrap();
    assert!(earlier.state().is_active(), "it began before");
    backend.until_held(1).await;
    assert_eq!(cache.peek(token("alice")), Peek::Ask);
    backend.release(0);
    assert!(!after.await.unwrap().unwrap().unwrap().state().is_active());
    assert_eq!(backend.loads_by_kind(), [0, 1, 1]);
    assert!(is_locked(&cache, "alice").await);
}

#[tokio::test]
async fn t12_invalidate_during_a_look_up_of_a_known_owner() {
    let backend = Backend::new();
    let cache = Arc::new(CachedStore::new(backend.clone()));
    state(&cache, "alice").await;
    cache.invalidate(ALICE);
    lock_during_a_look_up(&backend, &cache, |cache| cache.invalidate(ALICE)).await;
}

#[tokio::test]
async fn t12_invalidate_all_during_a_look_up() {
    let (backend, cache) = gated();
    lock_during_a_look_up(&backend, &cache, |cache| cache.invalidate_all()).await;
    // And of a known owner.
    backend.set(ALICE, tower_account_status::AccountState::ACTIVE);
    cache.invalidate(ALICE);
    lock_during_a_look_up(&backend, &cache, |cache| cache.invalidate_all()).await;
}

#[tokio::test]
async fn t12_invalidate_credential_during_a_look_up() {
    let (backend, cache) = gated();
    let before = spawn(&cache, "carol").await;
    backend.until_held(1).await;
    backend.insert("carol", BOB); // it has just been given out
    cache.invalidate_credential(token("carol"));
    let after = spawn(&cache, "carol").await;
    backend.until_held(2).await;
    backend.release(1);
    assert_eq!(after.await.unwrap().unwrap().unwrap().into_parts().0, BOB);
    backend.release(0);
    assert_eq!(before.await.unwrap().unwrap(), None);
    assert!(
        cache.glance(token("carol")).is_none(),
        "the late answer replaces nothing"
    );
}

#[tokio::test]
async fn invalidate_all_forgets_owners_and_unknown_tokens_too() {
    let backend = Backend::new();
    let cache = CachedStore::new(backend.clone());
    state(&cache, "alice").await;
    assert_eq!(ask(&cache, token("carol")).await.unwrap(), None);
    backend.insert("alice", BOB);
    backend.insert("carol", BOB);
    cache.handle().invalidate_all();
    for name in ["alice", "carol"] {
        assert_eq!(cache.peek(token(name)), Peek::Ask);
        assert_eq!(
            ask(&cache, token(name))
                .await
                .unwrap()
                .unwrap()
                .into_parts()
                .0,
            BOB
        );
    }
}

#[tokio::test]
async fn a_revoked_token_is_forgotten_and_the_account_is_not() {
    let backend = Backend::new();
    let cache = CachedStore::new(backend.clone());
    state(&cache, "alice").await;
    backend.remove("alice");
    cache.handle().invalidate_credential(token("alice"));
    assert_eq!(ask(&cache, token("alice")).await.unwrap(), None);
    assert!(cache.peek_state(ALICE).is_some());
}

#[tokio::test]
async fn rule_17_the_entry_is_gone_before_the_change_is_announced() {
    let backend = Backend::new();
    let cache = CachedStore::new(backend.clone());
    state(&cache, "alice").await;
    let changes = cache.changes().unwrap();
    let mut news = changes.subscribe(ALICE);
    backend.lock(ALICE);
    cache.invalidate(ALICE);
    assert!(is_ready(&mut news));
    assert_eq!(cache.peek(token("alice")), Peek::Ask);
}

#[tokio::test]
async fn rule_17_a_change_of_the_inner_store_reaches_the_cache_before_its_announce_returns() {
    let hub = Changes::new();
    let backend = Backend::announcing(hub.clone());
    // A cache over a cache over the store.
    let cache = CachedStore::new(CachedStore::new(backend.clone()));
    for everyone in [false, true] {
        backend.set(ALICE, tower_account_status::AccountState::ACTIVE);
        hub.announce(ALICE);
        cache.access_token_and_state("alice").await.unwrap();
        assert!(cache.glance(token("alice")).is_none());
        let mut news = cache.changes().unwrap().subscribe(ALICE);
        backend.lock(ALICE);
        match everyone {
            false => hub.announce(ALICE),
            true => hub.announce_all(),
        }
        assert!(is_ready(&mut news));
        assert_eq!(cache.peek(token("alice")), Peek::Ask);
        let account = cache
            .access_token_and_state("alice")
            .await
            .unwrap()
            .unwrap();
        assert!(!account.state().is_active());
    }
}

#[tokio::test]
async fn rule_17_to_announce_on_the_caches_hub_forgets_the_entry() {
    let memory = Arc::new(MemoryStore::new());
    memory.insert_access_token("alice", ALICE);
    let cache = CachedStore::new(Arc::clone(&memory));
    cache.access_token_and_state("alice").await.unwrap();
    assert!(cache.glance(token("alice")).is_none());
    cache.changes().unwrap().announce(ALICE);
    assert_eq!(cache.peek(token("alice")), Peek::Ask);
    // And the store that announces by itself.
    cache.access_token_and_state("alice").await.unwrap();
    memory.restrict(ALICE, RestrictionKind::Locked);
    assert_eq!(cache.peek(token("alice")), Peek::Ask);
}

#[tokio::test]
async fn a_cache_that_is_gone_is_not_kept_by_the_hub_it_listened_to() {
    let hub = Changes::new();
    let backend = Backend::announcing(hub.clone());
    let alive = Arc::new(());
    let watched = Arc::downgrade(&alive);
    let cache = CachedStore::new(backend);
    let listener = cache.changes().unwrap().listen({
        move |_| {
            let _ = &alive;
        }
    });
    let handle = cache.handle();
    drop(cache);
    handle.invalidate(ALICE); // harmless
    drop(listener);
    drop(handle);
    assert!(watched.upgrade().is_none());
    hub.announce(ALICE);
}

fn is_ready(news: &mut Subscription) -> bool {
    let changed = pin!(news.changed());
    changed
        .poll(&mut Context::from_waker(Waker::noop()))
        .is_ready()
}
