//! The SQLite store for code that is not async.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::{future::poll_fn, path::PathBuf, pin::pin, sync::mpsc, task::Poll, time::Duration};

use tempfile::TempDir;
use tokio::sync::Semaphore;
use tower_account_status::{
    AccountState, Restriction,
    RestrictionKind::*,
    RestrictionRecord, RestrictionStore as _,
    store::{AuditLog as _, AuditQuery, ChangeRecord, Channel, SqliteOptions, SqliteStore},
};

const ALICE: &str = "@alice:example.org";

/// Far more than the store promises: a machine may be busy.
const SOON: Duration = Duration::from_secs(60);

fn file() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("restrictions.db");
    (folder, path)
}

/// Fails where it never ends.
fn within_limit(run: impl FnOnce() + Send + 'static) {
    let (done, wait) = mpsc::channel();
    std::thread::spawn(move || {
        run();
        done.send(()).unwrap();
    });
    wait.recv_timeout(SOON).expect("it ended, without a panic");
}

#[test]
fn without_a_runtime_everything_is_done_when_it_returns() {
    let (_folder, path) = file();
    let store = SqliteStore::blocking_open(&path).unwrap();
    let lock = Restriction::new(Locked).with_reason("Spam");
    store.blocking_restrict(ALICE, lock.clone()).unwrap();
    store
        .blocking_set(ALICE, Deactivated, true, Channel::SERVER)
        .unwrap();
    // Another process would find it.
    let again = SqliteOptions::new()
        .with_restricted_set_in_memory()
        // What is in memory is believed for as long as the test may take.
        .with_poll_interval(Duration::MAX);
    let again = again.blocking_open(&path).unwrap();
    let state = again.blocking_state(ALICE).unwrap();
    assert_eq!(state.restriction(Locked), Some(&lock));
    assert!(state.restriction(Deactivated).is_some());
    assert_eq!(again.peek_state_of(ALICE), Some(state));
    store
        .blocking_set(ALICE, Deactivated, false, Channel::SERVER)
        .unwrap();
    store
        .blocking_set(ALICE, Deactivated, false, Channel::SERVER)
        .unwrap();
    assert!(store.blocking_lift(ALICE, Locked, Channel::SERVER).unwrap());
    assert!(!store.blocking_lift(ALICE, Locked, Channel::SERVER).unwrap());
    assert_eq!(store.blocking_state(ALICE).unwrap(), AccountState::ACTIVE);
}

#[test]
fn the_log_says_who_made_each_change() {
    let (_folder, path) = file();
    let store = SqliteStore::blocking_open(path).unwrap();
    let change = |note: &str| {
        ChangeRecord::through(Channel::COMMAND_LINE)
            .with_actor("@mod:example.org")
            .with_note(note)
    };
    store
        .blocking_set(ALICE, Deactivated, true, change("gone"))
        .unwrap();
    store
        .blocking_set(ALICE, Deactivated, false, change("back"))
        .unwrap();
    let record = RestrictionRecord::new(Locked).with_change(change("locked"));
    store.blocking_restrict(ALICE, record).unwrap();
    store.blocking_lift(ALICE, Locked, change("freed")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.build().unwrap();
    let entries = runtime.block_on(store.audit(&AuditQuery::new())).unwrap();
    let notes: Vec<_> = entries.iter().rev().map(|it| it.change().note()).collect();
    let expected = ["gone", "back", "locked", "freed"].map(Some);
    assert_eq!(notes, expected);
    for entry in entries {
        assert_eq!(entry.change().actor().unwrap(), "@mod:example.org");
        assert_eq!(*entry.change().channel(), Channel::COMMAND_LINE);
    }
}

#[test]
fn rule_17_who_waits_is_told() {
    within_limit(|| {
        let (_folder, path) = file();
        let store = SqliteStore::blocking_open(path).unwrap();
        let mut news = store.restriction_changes().unwrap().subscribe(ALICE);
        let waits = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.build().unwrap();
            runtime.block_on(async move { news.changed().await });
        });
        store
            .blocking_set(ALICE, Deactivated, true, Channel::SERVER)
            .unwrap();
        waits.join().unwrap();
    });
}

/// A task that has used up its turn finds every channel of tokio's pending until it yields.
#[test]
fn rule_20_a_task_that_has_used_up_its_turn_does_not_wait_for_itself() {
    within_limit(|| {
        let (_folder, path) = file();
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.build().unwrap();
        runtime.block_on(async {
            let task = tokio::spawn(async move {
                let store = SqliteStore::blocking_open(path).unwrap();
                let semaphore = Semaphore::new(1);
                poll_fn(|context| {
                    while pin!(semaphore.acquire()).poll(context).is_ready() {}
                    store
                        .blocking_set(ALICE, Locked, true, Channel::SERVER)
                        .unwrap();
                    Poll::Ready(store.blocking_state(ALICE).unwrap())
                })
                .await
            });
            assert_eq!(task.await.unwrap(), Locked.into());
        });
    });
}

#[test]
fn rule_21_what_failed_was_not_done() {
    let (folder, path) = file();
    let store = SqliteStore::blocking_open(&path).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = store
        .blocking_set(ALICE, Deactivated, true, Channel::SERVER)
        .unwrap_err();
    assert!(error.to_string().contains("another process"), "{error}");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(store.blocking_state(ALICE).unwrap(), AccountState::ACTIVE);
    let nowhere = folder.path().join("no folder").join("restrictions.db");
    let error = SqliteStore::blocking_open(nowhere).unwrap_err();
    assert!(error.to_string().contains("no folder"), "{error}");
}
