//! What the tests of one `PostgresStore` do over and over.

#![allow(dead_code, unreachable_pub)] // not every test needs everything
#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::{
    error::Error as _,
    time::{Duration, Instant},
};

use tokio::time::timeout;
use tower_account_status::{
    AccountState, RestrictionStore as _, UserId,
    store::{ChangeRecord, Channel, PostgresOptions, PostgresStore, PostgresStoreError},
};

/// Far more than the store promises: a machine may be busy.
pub const SOON: Duration = Duration::from_secs(30);

/// How much later than its bound something may happen on a busy machine.
pub const BUSY: Duration = Duration::from_secs(8);

/// What `docs/stores.md` states, with the settings of the test.
#[track_caller]
pub fn within(bound: Duration, since: Instant) {
    let elapsed = since.elapsed();
    assert!(
        elapsed < bound + BUSY,
        "{elapsed:?}, the bound is {bound:?}"
    );
}

pub fn alice() -> UserId {
    "@alice:example.org".into()
}

pub fn change() -> ChangeRecord {
    ChangeRecord::through(Channel::SERVER)
}

pub async fn with_set(url: &str) -> PostgresStore {
    let options = PostgresOptions::new(url).unwrap();
    options
        .with_restricted_set_in_memory()
        .connect()
        .await
        .unwrap()
}

/// Waits until what is answered at once is `expected`, which is announced each time it may be.
pub async fn until_peeked(store: &PostgresStore, user: &UserId, expected: &AccountState) {
    let mut news = store.restriction_changes().unwrap().subscribe(user);
    let seen = timeout(SOON, async {
        while store.peek_state_of(user).as_ref() != Some(expected) {
            news.changed().await;
        }
    });
    if seen.await.is_err() {
        panic!(
            "{user:?}: {:?}, and not {expected:?}",
            store.peek_state_of(user)
        );
    }
}

/// The error and what it stems from, in one line.
pub fn chain(error: &PostgresStoreError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
