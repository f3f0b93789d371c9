//! Rule 8 behind a cache: what the layer answers is the same with a cache in between and without
//! one, cold and warm, whatever the store says of application services.
#![cfg(feature = "cache")]
#![allow(clippy::unwrap_used)] // a test fails by panicking

mod cache_support;
mod support;

use std::sync::Arc;

use cache_support::{ALICE, BOB, Backend};
use http::Method;
use support::{anonymous, ask, bear};
use tower_account_status::CachedStore;

const QUERIES: [&str; 6] = [
    "",
    "?user_id=@alice:localhost",
    "?user_id=@bob:localhost",
    "?user_id=@ghost:localhost",
    "?user_id=",
    "?user_id=@bob:localhost&user_id=@alice:localhost",
];

/// A service's token may be known as an access token besides, or only among the registrations.
fn backends() -> Vec<Backend> {
    let mut backends = Vec::new();
    for locked in [ALICE, BOB, "@bridge:localhost"] {
        for [is_registered, is_token] in [[true, true], [true, false], [false, true]] {
            let backend = Backend::new();
            backend.lock(locked);
            if is_registered {
                backend.insert_service("bridge", "@bridge:localhost");
            }
            if is_token {
                backend.insert("bridge", "@bridge:localhost");
            }
            backends.push(backend);
        }
    }
    backends
}

#[tokio::test]
async fn rule_8_an_asserted_users_state_counts_behind_a_cache_as_without_one() {
    let mut refused = 0;
    for backend in backends() {
        let alone = support::layer(&Arc::new(backend.clone()));
        let cached = support::layer(&Arc::new(CachedStore::new(backend)));
        for token in ["bridge", "alice", "bob", "unknown"] {
            for query in QUERIES {
                let request = || {
                    let uri = format!("/_matrix/client/v3/account/whoami{query}");
                    let mut request = anonymous(Method::GET, &uri, "");
                    bear(&mut request, token);
                    request
                };
                let expected = ask(&alone, request()).await.verdict();
                for temperature in ["cold", "warm"] {
                    let answer = ask(&cached, request()).await.verdict();
                    assert_eq!(answer, expected, "{temperature}: {token} {query}");
                }
                refused += usize::from(expected.0 == 401);
            }
        }
    }
    assert!(refused > 20, "{refused}");
}
