//! What the tests of `PostgresStore` have in common.

#![allow(dead_code, unreachable_pub)] // not every test needs everything
#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::{
    error::Error as _,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use tokio::{
    runtime::{self, Runtime},
    time::timeout,
};
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

pub const HOUR: Duration = Duration::from_secs(3600);

/// With the restricted set in memory.
pub fn set_options(url: &str) -> PostgresOptions {
    PostgresOptions::new(url)
        .unwrap()
        .with_restricted_set_in_memory()
}

/// Connects with a limit that a busy machine may exceed now and then.
pub async fn connected(options: &PostgresOptions) -> PostgresStore {
    let connects = timeout(SOON, async {
        loop {
            match options.clone().connect().await {
                Ok(store) => return store,
                Err(error) => assert!(chain(&error).contains("took longer"), "{}", chain(&error)),
            }
        }
    });
    connects.await.expect("it connects")
}

pub async fn with_set(url: &str) -> PostgresStore {
    set_options(url).connect().await.unwrap()
}

/// Waits until nobody is told any longer that the account is active.
pub async fn until_not_active(store: &PostgresStore, user: &UserId) {
    let seen = timeout(SOON, async {
        while store.peek_state_of(user) == Some(AccountState::ACTIVE) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    seen.await
        .expect("a locked account is not told to be active for ever");
}

/// Locks Alice with the triggers disabled for the moment.
pub fn lock_silently() -> String {
    let table = "ALTER TABLE account_status.restrictions";
    format!(
        "BEGIN; {table} DISABLE TRIGGER notify_change; {LOCK_ALICE}; \
         {table} ENABLE ALWAYS TRIGGER notify_change; COMMIT"
    )
}

pub const LOCK_ALICE: &str = "INSERT INTO account_status.restrictions (user_id, kind) \
                              VALUES ('@alice:example.org', 'locked')";

/// A store, made ready by `ready`, whose runtime exists with all its tasks but does not run.
pub async fn on_a_runtime_that_stands_still<F>(
    options: PostgresOptions,
    ready: impl FnOnce(PostgresStore) -> F + Send + 'static,
) -> (PostgresStore, Runtime)
where
    F: Future<Output = PostgresStore>,
{
    let (give, take) = mpsc::channel();
    thread::spawn(move || {
        let mut runtime = runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        let store = runtime.block_on(async { ready(options.connect().await.unwrap()).await });
        give.send((store, runtime)).unwrap();
    });
    let taken = tokio::task::spawn_blocking(move || take.recv().unwrap());
    taken.await.unwrap()
}

/// A store whose runtime has been dropped.
pub async fn on_a_runtime_that_is_dropped(options: PostgresOptions) -> PostgresStore {
    let connects = thread::spawn(move || {
        let runtime = Runtime::new().unwrap();
        let store = runtime.block_on(options.connect()).unwrap();
        runtime.shutdown_timeout(SOON);
        store
    });
    let joined = tokio::task::spawn_blocking(|| connects.join().unwrap());
    joined.await.unwrap()
}

/// Waits until what is answered at once is `expected`. Each change of that is announced, unless a proof
/// makes what is known already believed.
pub async fn until_peeked(store: &PostgresStore, user: &UserId, expected: &AccountState) {
    let mut news = store.restriction_changes().unwrap().subscribe(user);
    let seen = timeout(SOON, async {
        while store.peek_state_of(user).as_ref() != Some(expected) {
            let _ = timeout(Duration::from_millis(100), news.changed()).await;
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
