//! An answer from memory costs no allocation. This test has a file of its own, because it counts the
//! allocations of the whole process.
#![cfg(feature = "cache")]
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests may panic as tests may"
)]

mod cache_support;

use allocation_counter::measure;
use cache_support::{ALICE, BOB, Backend, ask, token};
use tower_account_status::{AccountStateStore, CachedStore, Credential, Peek};

#[tokio::test]
async fn an_answer_from_memory_allocates_nothing() {
    let backend = Backend::new();
    backend.lock(BOB);
    backend.insert_service("bridge", ALICE);
    let cache = CachedStore::new(backend);
    let bridge = Credential::ApplicationService("bridge".into());
    for credential in [token("alice"), token("bob"), token("nobody"), bridge] {
        ask(&cache, credential).await.unwrap();
    }
    let counted = measure(|| {
        for _ in 0..100 {
            assert!(cache.glance(token("alice")).is_none());
            assert!(cache.glance(bridge).is_none());
            assert!(matches!(cache.peek(token("alice")), Peek::Account(_)));
            assert!(matches!(cache.peek(token("bob")), Peek::Account(_)));
            assert!(cache.peek(token("nobody")) == Peek::Unknown);
            assert!(cache.peek(token("stranger")) == Peek::Ask);
            assert!(cache.peek_state(ALICE).is_some());
        }
    });
    assert_eq!(counted.count_total, 0, "{counted:?}");
    assert!(measure(|| drop(Box::new(1))).count_total > 0, "it counts");
}
