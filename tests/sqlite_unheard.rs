//! A `SqliteStore` that does not hear of other processes' changes says why in the process' own log: once
//! for each cause, and not at each look at the file.

#![allow(clippy::unwrap_used)] // a test fails by panicking
#![cfg(unix)] // elsewhere an open file cannot be replaced

#[path = "support/warnings.rs"]
mod warnings;

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use tower_account_status::{
    RestrictionKind::Locked,
    RestrictionStore as _, UserId,
    store::{SqliteOptions, SqliteStore},
};
use warnings::{listen, warnings};

const POLL: Duration = Duration::from_millis(5);

async fn told_once(cause: &str) {
    let since = Instant::now();
    while warnings(cause).is_empty() {
        assert!(
            since.elapsed() < Duration::from_secs(20),
            "nothing of {cause}"
        );
        tokio::time::sleep(POLL).await;
    }
    // Many looks later.
    tokio::time::sleep(POLL * 100).await;
    let said = warnings(cause);
    assert_eq!(said.len(), 1, "{said:?}");
    let expected = "changes of restrictions by other processes are not heard of";
    assert!(said[0].contains(expected), "{said:?}");
}

async fn open(path: &Path) -> SqliteStore {
    SqliteOptions::new()
        .with_restricted_set_in_memory()
        .with_poll_interval(POLL)
        .open(path)
        .await
        .unwrap()
}

#[tokio::test]
async fn rule_19_what_keeps_the_store_from_hearing_of_changes_is_told_once_a_cause() {
    listen();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("restrictions.db");
    let store = open(&path).await;
    let user = UserId::from("@alice:x");
    store.set_restriction(&user, Locked.into()).await.unwrap();
    assert!(warnings("not heard of").is_empty());

    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute_batch(
        "PRAGMA ignore_check_constraints = ON;
         INSERT INTO restrictions (user_id, kind, set_at) VALUES ('@bob:x', 'banned', 0)",
    )
    .unwrap();
    told_once("unknown kind").await;
    raw.execute_batch("ALTER TABLE restrictions RENAME TO others")
        .unwrap();
    told_once("no such table: restrictions").await;
    raw.execute_batch(
        "ALTER TABLE others RENAME TO restrictions; DELETE FROM restrictions WHERE kind = 'banned'",
    )
    .unwrap();
    fs::rename(&path, folder.path().join("aside")).unwrap();
    told_once("no longer leads").await;
    assert!(store.peek_state_of(&user).is_none());
}
