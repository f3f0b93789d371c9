//! Clocks that jump.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, SystemTime},
};

use http::StatusCode;
use proptest::prelude::*;
use tower::ServiceExt as _;
use tower_account_status::forward;
use tower_account_status::{
    AccountStateStore, AccountStatusLayer, MemoryStore, Restriction, RestrictionKind::Locked,
};
use tower_layer::Layer as _;

use crate::faulty::{Counter, get, handler};

proptest! {
    /// Rule 2, under a clock that goes back and forth.
    #[test]
    fn rule_2_what_the_clock_says_at_the_moment_counts(
        steps in proptest::collection::vec(0_u64..200, 1..40),
        until in 1_u64..200,
        awaits in any::<bool>(),
    ) {
        struct Awaited(MemoryStore);
        impl AccountStateStore for Awaited {
            forward! { 0 => all except peek }
        }
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let store = MemoryStore::new();
        store.insert_access_token("t", "@a:x");
        store.restrict("@a:x", Restriction::new(Locked).with_until(at(until)));
        let store = match awaits {
            false => tower_account_status::DynAccountStateStore::new(store),
            true => tower_account_status::DynAccountStateStore::new(Awaited(store)),
        };
        let now = Arc::new(AtomicU64::new(0));
        let clock = Arc::clone(&now);
        let layer = AccountStatusLayer::new(store).with_clock(move || at(clock.load(SeqCst)));
        let service = layer.layer(handler(&Counter::default()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        for step in steps {
            now.store(step, SeqCst);
            let response = runtime.block_on(service.clone().oneshot(get("t", None)));
            let response = response.unwrap_or_else(|never| match never {});
            let expected = if step < until { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
            prop_assert_eq!(response.status(), expected, "at {} until {}", step, until);
            let wait = response.headers().get("retry-after").map(|value| value.to_str().expect("digits").to_owned());
            prop_assert_eq!(wait, (step < until).then(|| (until - step).to_string()));
        }
    }
}
