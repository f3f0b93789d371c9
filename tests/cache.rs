//! What a cache remembers, for how long, and what it never does.
#![cfg(feature = "cache")]
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests may panic as tests may"
)]

mod cache_support;

use std::{sync::Arc, time::Duration};

use cache_support::{ALICE, BOB, Backend, ask, is_locked, state, token};
use tokio::time::advance;
use tower_account_status::{
    AccessToken, AccountStateStore, CachedStore, Credential, DynAccountStateStore, LoginToken,
    MemoryStore, Peek, RestrictionKind, store::account_of,
};

const SECOND: Duration = Duration::from_secs(1);

fn is_active<S: AccountStateStore>(store: &S, credential: Credential<'_>) -> bool {
    store.glance(credential).is_none()
}

#[tokio::test(start_paused = true)]
async fn both_questions_are_answered_from_memory_once_they_have_been_asked() {
    let backend = Backend::new();
    let cache = CachedStore::new(backend.clone());
    assert_eq!(cache.peek(token("alice")), Peek::Ask);
    assert!(!is_locked(&cache, "alice").await);
    assert_eq!(backend.loads_by_kind(), [0, 0, 1], "one query answers both");
    assert!(is_active(&cache, token("alice")));
    assert!(cache.peek_state(ALICE).is_some());
    let owner = cache.access_token("alice").await.unwrap();
    assert_eq!(owner.as_deref(), Some(ALICE));
    assert_eq!(backend.loads(), 1);
}

#[tokio::test(start_paused = true)]
async fn locking_a_person_with_nine_devices_drops_one_entry() {
    let backend = Backend::new();
    let cache = CachedStore::new(backend.clone());
    let devices: Vec<String> = (0..9).map(|device| format!("device{device}")).collect();
    for device in &devices {
        backend.insert(device, ALICE);
        state(&cache, device).await;
    }
    let before = backend.loads();
    backend.lock(ALICE);
    cache.invalidate(ALICE);
    for device in &devices {
        assert!(is_locked(&cache, device).await, "{device}");
        assert!(!is_active(&cache, token(device)), "{device}");
    }
    assert_eq!(backend.loads() - before, 1);
}

#[tokio::test(start_paused = true)]
async fn t17_a_state_expires_from_its_look_up_however_often_it_is_read() {
    let backend = Backend::new();
    let cache = CachedStore::new(backend.clone()).with_ttl(60 * SECOND);
    assert!(!is_locked(&cache, "alice").await);
    backend.lock(ALICE); // and nothing announces it
    for second in 1..54 {
        advance(SECOND).await;
        assert!(!is_locked(&cache, "alice").await, "after {second} s");
    }
    assert_eq!(backend.loads(), 1);
    advance(7 * SECOND).await;
    assert!(is_locked(&cache, "alice").await, "after a minute");
    assert_eq!(
        backend.loads_by_kind(),
        [0, 1, 1],
        "the owner is still known"
    );
}

#[tokio::test(start_paused = true)]
async fn entries_written_together_do_not_expire_together() {
    let backend = Backend::new();
    let cache = CachedStore::new(backend.clone()).with_ttl(100 * SECOND);
    let names: Vec<String> = (0..200).map(|number| format!("token{number}")).collect();
    for name in &names {
        backend.insert(name, &format!("@{name}:localhost"));
        state(&cache, name).await;
    }
    let remembered = || {
        names
            .iter()
            .filter(|name| is_active(&cache, token(name)))
            .count()
    };
    advance(Duration::from_millis(89_900)).await;
    assert_eq!(remembered(), 200);
    advance(5 * SECOND).await;
    let half = remembered();
    assert!((50..150).contains(&half), "{half} of 200 after 95 seconds");
    advance(Duration::from_millis(5_100)).await;
    assert_eq!(remembered(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_owner_is_asked_for_again_when_its_own_time_is_over() {
    let backend = Backend::new();
    let cache = CachedStore::new(backend.clone())
        .with_ttl(600 * SECOND)
        .with_owner_ttl(60 * SECOND);
    state(&cache, "alice").await;
    advance(60 * SECOND).await;
    backend.insert("alice", BOB);
    let account = ask(&cache, token("alice")).await.unwrap().unwrap();
    assert_eq!(*account.user(), BOB);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_nobodys_is_remembered_for_a_shorter_time() {
    let backend = Backend::new();
    let cache = CachedStore::new(backend.clone()).with_unknown_ttl(5 * SECOND);
    assert_eq!(ask(&cache, token("carol")).await.unwrap(), None);
    assert_eq!(cache.peek(token("carol")), Peek::Unknown);
    backend.insert("carol", ALICE);
    assert_eq!(ask(&cache, token("carol")).await.unwrap(), None);
    advance(5 * SECOND).await;
    assert!(ask(&cache, token("carol")).await.unwrap().is_some());
    assert_eq!(backend.loads(), 2);
}

#[tokio::test(start_paused = true)]
async fn rule_8_a_user_id_parameter_counts_beside_an_application_services_token_only() {
    let backend = Backend::new();
    backend.insert_service("bridge", "@bridge:localhost");
    backend.lock(BOB);
    let cache = CachedStore::new(backend.clone());

    let whose = async |token, asserted: Option<&str>| {
        let access = AccessToken::new(token);
        let access = match asserted {
            Some(user) => access.with_asserted_user(user),
            None => access,
        };
        let account = account_of(&cache, access).await.unwrap();
        account.unwrap().user().clone()
    };
    assert_eq!(whose("bridge", None).await, "@bridge:localhost");
    assert_eq!(whose("bridge", Some(BOB)).await, BOB);
    assert_eq!(whose("bridge", None).await, "@bridge:localhost");

    // Alice's own token stays Alice's, whatever is written beside it.
    let loads = backend.loads();
    let asked = backend.services_asked();
    for number in 0..100 {
        let name = format!("@{number}:localhost");
        assert_eq!(whose("alice", Some(&name)).await, ALICE);
        assert_eq!(whose("bridge", Some(&name)).await, *name);
    }
    assert_eq!(
        backend.loads() - loads,
        1 + 100,
        "Alice once, and the state of each ghost"
    );
    assert_eq!(
        backend.services_asked() - asked,
        1,
        "names that anyone can make up are no keys"
    );
}

/// A server may keep the token of a service's own account among its users' tokens. What the cache
/// knows of it as a user's must not let the ghosts pass.
#[tokio::test(start_paused = true)]
async fn rule_8_a_token_that_is_known_as_a_users_is_a_services_beside_an_assertion() {
    let backend = Backend::new();
    backend.insert("bridge", "@bridge:localhost");
    backend.insert_service("bridge", "@bridge:localhost");
    backend.lock(BOB);
    let cache = CachedStore::new(backend.clone());
    assert!(!is_locked(&cache, "bridge").await);
    let asserting = AccessToken::new("bridge").with_asserted_user(BOB);
    for _ in 0..2 {
        let account = account_of(&cache, asserting).await.unwrap().unwrap();
        assert_eq!(*account.user(), BOB);
        assert_eq!(*account.state(), RestrictionKind::Locked.into());
        assert!(!is_locked(&cache, "bridge").await);
    }
}

#[tokio::test(start_paused = true)]
async fn an_application_services_token_is_recognised_through_every_wrapper() {
    let memory = MemoryStore::new();
    memory.insert_application_service_token("bridge", "@bridge:localhost");
    memory.insert_access_token("alice", ALICE);
    let store = CachedStore::new(Arc::new(DynAccountStateStore::new(memory)));
    let whose = async |token| {
        let asserting = AccessToken::new(token).with_asserted_user(BOB);
        let account = account_of(&store, asserting).await.unwrap();
        account.unwrap().user().clone()
    };
    assert_eq!(whose("bridge").await, BOB);
    assert_eq!(whose("alice").await, ALICE);
}

#[tokio::test(start_paused = true)]
async fn what_is_seen_once_is_not_remembered_but_its_owners_state_is() {
    let backend = Backend::new();
    let cache = CachedStore::new(backend.clone());
    let once = [
        Credential::RefreshToken("alice".into()),
        Credential::LoginToken(LoginToken::new("alice", None)),
    ];
    for credential in once.into_iter().chain(once) {
        assert_eq!(cache.peek(credential), Peek::Ask);
        assert!(!is_active(&cache, credential));
        let account = ask(&cache, credential).await.unwrap().unwrap();
        assert_eq!(*account.user(), ALICE);
    }
    assert_eq!(backend.loads_by_kind(), [4, 1, 0]);
    let nobody = Credential::LoginName("alice");
    assert_eq!(ask(&cache, nobody).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn statistics_tell_what_was_saved() {
    let cache = CachedStore::new(Backend::new());
    for _ in 0..10 {
        let credential = token("alice");
        // As the layer does it.
        if !is_active(&cache, credential) && cache.peek(credential) == Peek::Ask {
            cache.access_token_and_state("alice").await.unwrap();
        }
    }
    cache.access_token_and_state("nobody").await.unwrap();
    assert_eq!(cache.peek(token("nobody")), Peek::Unknown);
    cache.state(BOB).await.unwrap();
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses), (10, 3), "{stats:?}");
    assert_eq!((stats.loads, stats.failures), (3, 0), "{stats:?}");
    assert_eq!(stats.entries, 4, "{stats:?}"); // one owner, one unknown token, two states
}

#[tokio::test(start_paused = true)]
async fn rule_15_no_token_is_in_any_debug_output() {
    let backend = Backend::new();
    backend.insert("syt_secret", ALICE);
    let cache = CachedStore::new(backend);
    state(&cache, "syt_secret").await;
    for output in [format!("{cache:?}"), format!("{:?}", cache.handle())] {
        assert!(!output.contains("secret"), "{output}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_state_is_kept_as_it_is() {
    let backend = Backend::new();
    let cache = CachedStore::new(backend.clone());
    for &kind in RestrictionKind::ALL {
        backend.set(ALICE, kind);
        cache.invalidate(ALICE);
        for _ in 0..2 {
            assert_eq!(state(&cache, "alice").await, kind.into());
        }
    }
}
