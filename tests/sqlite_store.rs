//! `SqliteStore`: one file, shared by the processes of a machine. `conformance.rs` has what every store
//! promises. Here is what only a file can get wrong.

#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use rusqlite::Connection;
use tempfile::TempDir;
use tokio::time::timeout;
use tower_account_status::store::{ChangeRecord, Channel};
use tower_account_status::{
    AccountState, Restriction,
    RestrictionKind::*,
    RestrictionRecord, RestrictionStore as _, UserId,
    store::{SqliteOptions, SqliteStore},
};

/// Far more than the store promises: a machine may be busy.
const SOON: Duration = Duration::from_secs(20);

struct File {
    _folder: TempDir,
    path: PathBuf,
}

fn file() -> File {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("restrictions.db");
    File {
        _folder: folder,
        path,
    }
}

fn alice() -> UserId {
    "@alice:example.org".into()
}

/// Waits until what is answered at once is `expected`. Each change of that is announced, except after a
/// stall: then the set is believed again with the next look at the file.
async fn until_peeked(store: &SqliteStore, user: &UserId, expected: &AccountState) {
    let mut news = store.restriction_changes().unwrap().subscribe(user);
    let seen = timeout(SOON, async {
        while store.peek_state_of(user).as_ref() != Some(expected) {
            let _ = timeout(Duration::from_millis(100), news.changed()).await;
        }
    });
    if seen.await.is_err() {
        panic!("{:?}, and not {expected:?}", store.peek_state_of(user));
    }
}

#[tokio::test]
async fn what_was_set_is_there_when_the_file_is_opened_again() {
    let file = file();
    let record = RestrictionRecord::new(Restriction::new(Locked).with_reason("Spam"))
        .with_set_by("@mod:example.org");
    let store = SqliteStore::open(&file.path).await.unwrap();
    store
        .set_restriction(&alice(), record.clone())
        .await
        .unwrap();
    let before = store.record(&alice(), Locked).await.unwrap();
    drop(store);

    let options = SqliteOptions::new().with_restricted_set_in_memory();
    let store = options.open(&file.path).await.unwrap();
    assert_eq!(store.record(&alice(), Locked).await.unwrap(), before);
    let state = AccountState::from(record.restriction().clone());
    until_peeked(&store, &alice(), &state).await;
    until_peeked(&store, &"@bob:x".into(), &AccountState::ACTIVE).await;
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_says_so() {
    let file = file();
    drop(SqliteStore::open(&file.path).await.unwrap());
    let raw = Connection::open(&file.path).unwrap();
    raw.pragma_update(None, "user_version", 7).unwrap();
    let error = SqliteStore::open(&file.path).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("schema is version 7"), "{text}");
    assert!(
        text.contains("newer version of tower-account-status"),
        "{text}"
    );
}

#[tokio::test]
async fn another_programs_database_is_refused_and_left_as_it_is() {
    let file = file();
    let raw = Connection::open(&file.path).unwrap();
    raw.execute_batch("CREATE TABLE users (name TEXT)").unwrap();
    let before = std::fs::read(&file.path).unwrap();
    let error = SqliteStore::open(&file.path).await.unwrap_err();
    assert!(error.to_string().contains("another program's"), "{error}");
    assert_eq!(std::fs::read(&file.path).unwrap(), before);

    std::fs::write(&file.path, vec![b'x'; 10_000]).unwrap();
    SqliteStore::open(&file.path).await.unwrap_err();
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_an_error() {
    let file = file();
    let missing = file.path.join("missing").join("restrictions.db");
    SqliteStore::open(missing).await.unwrap_err();
}

#[tokio::test]
async fn many_may_open_a_new_file_at_the_same_time() {
    // Each waits for the others for three seconds. Where the disk is so slow that fewer take longer,
    // nothing is wrong.
    for count in [8, 8, 4, 2] {
        let (file, since) = (file(), Instant::now());
        let mut opening = tokio::task::JoinSet::new();
        for _ in 0..count {
            opening.spawn(SqliteStore::open(file.path.clone()));
        }
        let stores: Vec<_> = opening.join_all().await;
        let failure = stores.into_iter().find_map(Result::err);
        let Some(failure) = failure else { return };
        let is_late = since.elapsed() >= Duration::from_secs(3);
        assert!(is_late, "{failure}");
    }
}

#[tokio::test]
async fn another_connections_changes_are_heard_and_come_into_memory() {
    let file = file();
    let options = SqliteOptions::new()
        .with_restricted_set_in_memory()
        .with_poll_interval(Duration::from_millis(20));
    let one = options.open(&file.path).await.unwrap();
    let other = SqliteStore::open(&file.path).await.unwrap();
    let mut news = one.restriction_changes().unwrap().subscribe(&alice());

    other
        .set_restriction(&alice(), Locked.into())
        .await
        .unwrap();
    assert_eq!(one.state_of(&alice()).await.unwrap(), Locked.into());
    let heard = timeout(SOON, news.changed()).await;
    heard.expect("the change is announced");
    until_peeked(&one, &alice(), &Locked.into()).await;

    other
        .lift_restriction(&alice(), Locked, &change())
        .await
        .unwrap();
    until_peeked(&one, &alice(), &AccountState::ACTIVE).await;
}

#[tokio::test]
async fn a_change_waits_for_another_writer_without_blocking_the_runtime_or_reads() {
    let file = file();
    let options = SqliteOptions::new()
        .with_restricted_set_in_memory()
        .with_poll_interval(Duration::from_millis(10));
    let store = options.open(&file.path).await.unwrap();
    let raw = Connection::open(&file.path).unwrap();
    // The change waits for three seconds, in which this commits twice: not at the disk's pace.
    raw.pragma_update(None, "synchronous", "OFF").unwrap();
    let set = "INSERT INTO restrictions (user_id, kind, set_at) VALUES";
    raw.execute_batch(&format!("BEGIN IMMEDIATE; {set} ('@bob:x', 'locked', 0)"))
        .unwrap();

    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.set_restriction(&alice(), Suspended.into()).await }
    });
    // The runtime has one thread: these answers come while the change waits.
    for _ in 0..20 {
        assert!(store.state_of("@bob:x").await.unwrap().is_active());
    }
    assert!(!waiting.is_finished());
    // One commit is heard although the next transaction follows at once and the change waits on.
    raw.execute_batch(&format!(
        "COMMIT; BEGIN IMMEDIATE; {set} ('@carl:x', 'locked', 0)"
    ))
    .unwrap();
    until_peeked(&store, &"@bob:x".into(), &Locked.into()).await;
    raw.execute_batch("COMMIT").unwrap();
    waiting.await.unwrap().unwrap();
    assert_ne!(store.peek_state_of(&alice()), Some(AccountState::ACTIVE));
    until_peeked(&store, &alice(), &Suspended.into()).await;
    until_peeked(&store, &"@carl:x".into(), &Locked.into()).await;
}

#[tokio::test]
async fn what_cannot_be_read_is_an_error_and_never_an_active_account() {
    let file = file();
    let options = SqliteOptions::new()
        .with_restricted_set_in_memory()
        .with_poll_interval(Duration::from_millis(10));
    let store = options.clone().open(&file.path).await.unwrap();
    let raw = Connection::open(&file.path).unwrap();
    raw.execute_batch(
        "PRAGMA ignore_check_constraints = ON;
         INSERT INTO restrictions (user_id, kind, set_at) VALUES ('@alice:example.org', 'muted', 0)",
    )
    .unwrap();
    let error = store.state_of(&alice()).await.unwrap_err();
    assert!(
        error.to_string().contains("unknown kind \"muted\""),
        "{error}"
    );
    options.open(&file.path).await.unwrap_err();
    let distrusted = timeout(SOON, async {
        while store.peek_state_of(&alice()).is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    distrusted
        .await
        .expect("the set in memory is no longer trusted");
    let bob = UserId::from("@bob:x");
    assert!(store.state_of(&bob).await.unwrap().is_active());
    store.set_restriction(&bob, Locked.into()).await.unwrap();
    assert_eq!(store.state_of(&bob).await.unwrap(), Locked.into());

    raw.execute_batch("DELETE FROM restrictions").unwrap();
    until_peeked(&store, &alice(), &AccountState::ACTIVE).await;
}

#[tokio::test]
async fn rule_14_a_dropped_change_blocks_no_one() {
    let file = file();
    let store = SqliteStore::open(&file.path).await.unwrap();
    for number in 0..100 {
        let user = UserId::from(format!("@{number}:x"));
        let change = store.set_restriction(&user, Locked.into());
        // Polled once, so that it is under way, and dropped then.
        drop(timeout(Duration::ZERO, change).await);
    }
    store
        .set_restriction(&alice(), Locked.into())
        .await
        .unwrap();
    assert_eq!(store.state_of(&alice()).await.unwrap(), Locked.into());
}

fn change() -> ChangeRecord {
    ChangeRecord::through(Channel::SERVER)
}

#[tokio::test]
async fn with_existing_tables_only_it_creates_nothing_and_says_what_is_missing() {
    let file = file();
    let cautious = SqliteOptions::new().with_existing_tables_only();
    let error = cautious.clone().open(&file.path).await.unwrap_err();
    assert!(
        error.to_string().contains("start the server first"),
        "{error}"
    );
    assert!(!file.path.exists());
    std::fs::write(&file.path, "").unwrap();
    let error = cautious.clone().open(&file.path).await.unwrap_err();
    assert!(
        error.to_string().contains("start the server first"),
        "{error}"
    );
    assert!(std::fs::read(&file.path).unwrap().is_empty());

    let server = SqliteStore::open(&file.path).await.unwrap();
    let command = cautious.clone().open(&file.path).await.unwrap();
    command
        .set_restriction(&alice(), Locked.into())
        .await
        .unwrap();
    assert_eq!(server.state_of(&alice()).await.unwrap(), Locked.into());
    // Nor does it by opening the file again.
    for suffix in ["", "-wal", "-shm"] {
        std::fs::remove_file(format!("{}{suffix}", file.path.display())).unwrap();
    }
    command.reopen().await.unwrap_err();
    assert!(!file.path.exists());
}
