//! Rules 19 to 21 for `SqliteStore`: the file that was opened stays the file that is used, and what
//! is in memory is believed only as long as the file is looked at.

#![allow(clippy::unwrap_used)] // a test fails by panicking
#![cfg(unix)] // elsewhere an open file cannot be replaced

use std::{
    fs,
    path::{Path, PathBuf},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use tower_account_status::{
    AccountState,
    RestrictionKind::{Locked, Suspended},
    RestrictionStore as _, UserId,
    store::{ChangeRecord, Channel, SqliteOptions, SqliteStore},
};

/// Far more than the store promises: a machine may be busy.
const SOON: Duration = Duration::from_secs(20);

const POLL: Duration = Duration::from_millis(10);

/// What `docs/stores.md` states, with the settings of the test, and room for a busy machine.
#[track_caller]
fn within(bound: Duration, since: Instant) {
    let elapsed = since.elapsed();
    let busy = Duration::from_secs(6);
    assert!(
        elapsed < bound + busy,
        "{elapsed:?}, the bound is {bound:?}"
    );
}

struct Place {
    folder: TempDir,
    path: PathBuf,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("restrictions.db");
    Place { folder, path }
}

fn alice() -> UserId {
    "@alice:example.org".into()
}

async fn open(path: &Path) -> SqliteStore {
    SqliteOptions::new()
        .with_restricted_set_in_memory()
        .with_poll_interval(POLL)
        .open(path)
        .await
        .unwrap()
}

fn change() -> ChangeRecord {
    ChangeRecord::through(Channel::SERVER)
}

/// The file and what is beside it.
fn all_of(path: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|suffix| PathBuf::from(format!("{}{suffix}", path.display())))
}

fn move_all(from: &Path, to: &Path) {
    for (from, to) in all_of(from).iter().zip(all_of(to)) {
        if from.exists() {
            fs::rename(from, to).unwrap();
        }
    }
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waited = timeout(SOON, async {
        while !is_so().await {
            sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Nothing is answered and nothing changed, and the error says what to do.
async fn fails(store: &SqliteStore) {
    let since = Instant::now();
    until("it is noticed", async || {
        store.peek_state_of(&alice()).is_none()
    })
    .await;
    within(POLL, since);
    for error in [
        store.state_of(&alice()).await.unwrap_err(),
        store
            .set_restriction(&alice(), Locked.into())
            .await
            .unwrap_err(),
        store
            .lift_restriction(&alice(), Locked, &change())
            .await
            .unwrap_err(),
        store.record(&alice(), Locked).await.map(drop).unwrap_err(),
        store.restricted(None, 10).await.map(drop).unwrap_err(),
    ] {
        assert!(error.to_string().contains("reopen"), "{error}");
    }
}

#[tokio::test]
async fn rule_21_a_file_that_is_deleted_is_noticed_and_used_again_when_it_is_back() {
    let place = place();
    let store = open(&place.path).await;
    store
        .set_restriction(&alice(), Locked.into())
        .await
        .unwrap();
    let aside = place.folder.path().join("aside");
    move_all(&place.path, &aside);
    fails(&store).await;
    move_all(&aside, &place.path);
    let back = async || store.peek_state_of(&alice()) == Some(Locked.into());
    until("the set is trusted again", back).await;
    store
        .lift_restriction(&alice(), Locked, &change())
        .await
        .unwrap();
    assert!(store.state_of(&alice()).await.unwrap().is_active());
}

#[tokio::test]
async fn rule_21_a_change_to_a_deleted_file_is_never_acknowledged() {
    let place = place();
    // The thread looks once a minute, so the change itself has to look.
    let options = SqliteOptions::new().with_poll_interval(Duration::MAX);
    let store = options.open(&place.path).await.unwrap();
    for file in all_of(&place.path) {
        fs::remove_file(file).unwrap();
    }
    store
        .set_restriction(&alice(), Locked.into())
        .await
        .unwrap_err();
    store.reopen().await.unwrap();
    store
        .set_restriction(&alice(), Locked.into())
        .await
        .unwrap();
    let other = SqliteStore::open(&place.path).await.unwrap();
    assert_eq!(other.state_of(&alice()).await.unwrap(), Locked.into());
}

#[tokio::test]
async fn rule_20_another_file_is_never_adopted_by_itself() {
    let place = place();
    let store = open(&place.path).await;
    store
        .set_restriction(&alice(), Locked.into())
        .await
        .unwrap();
    let other_path = place.folder.path().join("other");
    let other = SqliteStore::open(&other_path).await.unwrap();
    other
        .set_restriction(&alice(), Suspended.into())
        .await
        .unwrap();
    drop(other);
    until("the other file is closed", async || {
        !all_of(&other_path)[1].exists()
    })
    .await;
    fs::rename(&other_path, &place.path).unwrap();
    fails(&store).await;
    // Only when it is asked to.
    for file in &all_of(&place.path)[1..] {
        fs::remove_file(file).unwrap();
    }
    store.reopen().await.unwrap();
    for _ in 0..4 {
        assert_eq!(store.state_of(&alice()).await.unwrap(), Suspended.into());
    }
    until("the set is trusted", async || {
        store.peek_state_of(&alice()) == Some(Suspended.into())
    })
    .await;
}

#[tokio::test]
async fn rule_21_the_log_beside_the_file_is_watched_as_well() {
    for beside in [1, 2] {
        let place = place();
        let store = open(&place.path).await;
        store
            .set_restriction(&alice(), Locked.into())
            .await
            .unwrap();
        fs::remove_file(&all_of(&place.path)[beside]).unwrap();
        fails(&store).await;
    }
}

#[tokio::test]
async fn rule_20_reopening_what_cannot_be_opened_fails_and_so_does_the_store() {
    let place = place();
    let store = open(&place.path).await;
    for file in all_of(&place.path) {
        fs::remove_file(file).unwrap();
    }
    fs::write(&place.path, vec![b'x'; 10_000]).unwrap();
    store.reopen().await.unwrap_err();
    fails(&store).await;
    fs::remove_file(&place.path).unwrap();
    store.reopen().await.unwrap();
    assert!(store.state_of(&alice()).await.unwrap().is_active());
}

#[tokio::test]
async fn rule_19_a_callback_that_panics_does_not_end_the_thread() {
    let place = place();
    let store = open(&place.path).await;
    let _panics = store
        .restriction_changes()
        .unwrap()
        .listen(|_| panic!("a callback's own mistake"));
    let other = SqliteStore::open(&place.path).await.unwrap();
    for _ in 0..2 {
        store
            .set_restriction(&alice(), Locked.into())
            .await
            .unwrap();
        // If the change took longer than a second nothing is believed, but never the earlier state.
        assert_ne!(store.peek_state_of(&alice()), Some(AccountState::ACTIVE));
        until("its own change is known", async || {
            store.peek_state_of(&alice()) == Some(Locked.into())
        })
        .await;
        other
            .lift_restriction(&alice(), Locked, &change())
            .await
            .unwrap();
        let since = Instant::now();
        until("another's change is heard", async || {
            store.peek_state_of(&alice()) == Some(AccountState::ACTIVE)
        })
        .await;
        within(POLL, since);
    }
}

#[tokio::test]
async fn rule_19_the_set_is_not_believed_while_the_thread_stands_still() {
    let place = place();
    let store = open(&place.path).await;
    let other = SqliteStore::open(&place.path).await.unwrap();
    // The announcement is made by the thread that looks at the file, which this holds.
    let (go_on, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let is_held = Arc::<AtomicBool>::default();
    let holds = store.restriction_changes().unwrap().listen({
        let is_held = Arc::clone(&is_held);
        move |_| {
            is_held.store(true, SeqCst);
            let _ = held.lock().unwrap().recv();
        }
    });
    other
        .set_restriction(&"@bob:x".into(), Locked.into())
        .await
        .unwrap();
    until("the thread is held", async || is_held.load(SeqCst)).await;
    other
        .set_restriction(&alice(), Locked.into())
        .await
        .unwrap();
    let since = Instant::now();
    until("the set is not believed", async || {
        store.peek_state_of(&alice()).is_none()
    })
    .await;
    within(2 * POLL + Duration::from_secs(1), since);
    assert_eq!(store.state_of(&alice()).await.unwrap(), Locked.into());
    let carol = "@carol:x".into();
    let change = store.set_restriction(&carol, Locked.into());
    timeout(Duration::from_millis(200), change)
        .await
        .expect_err("it waits for the thread");
    drop(go_on);
    until("it is again", async || {
        store.peek_state_of(&alice()) == Some(Locked.into())
    })
    .await;
    // Behind it in the queue.
    store
        .set_restriction(&"@dave:x".into(), Locked.into())
        .await
        .unwrap();
    assert!(store.state_of(&carol).await.unwrap().is_active());
    drop(holds);
}

#[tokio::test]
async fn rule_21_a_change_that_nobody_waits_for_any_longer_is_not_made() {
    let place = place();
    let store = open(&place.path).await;
    let raw = rusqlite::Connection::open(&place.path).unwrap();
    raw.execute_batch("BEGIN IMMEDIATE").unwrap();
    let user = alice();
    let change = store.set_restriction(&user, Locked.into());
    timeout(Duration::from_millis(200), change)
        .await
        .unwrap_err();
    raw.execute_batch("COMMIT").unwrap();
    // Behind it in the queue.
    store
        .set_restriction(&"@bob:x".into(), Locked.into())
        .await
        .unwrap();
    assert!(store.state_of(&alice()).await.unwrap().is_active());
}

#[tokio::test]
async fn rule_21_a_change_that_another_writer_keeps_from_being_made_fails_and_is_not_made() {
    let place = place();
    let store = open(&place.path).await;
    let raw = rusqlite::Connection::open(&place.path).unwrap();
    raw.execute_batch("BEGIN IMMEDIATE").unwrap();
    let user = alice();
    let since = Instant::now();
    let change = timeout(SOON, store.set_restriction(&user, Locked.into()));
    let error = change.await.expect("it has a limit").unwrap_err();
    assert!(error.to_string().contains("another process"), "{error}");
    within(Duration::from_secs(3), since);
    assert!(store.state_of(&alice()).await.unwrap().is_active());
    raw.execute_batch("COMMIT").unwrap();
    store
        .set_restriction(&"@bob:x".into(), Locked.into())
        .await
        .unwrap();
    assert!(store.state_of(&alice()).await.unwrap().is_active());
}

/// Whether the change was made all the same, once the file is back.
async fn is_made(store: &SqliteStore, place: &Place, aside: &Path) -> bool {
    move_all(aside, &place.path);
    until("the file is back", async || {
        store.state_of(&alice()).await.is_ok()
    })
    .await;
    !store.state_of(&alice()).await.unwrap().is_active()
}

#[tokio::test]
async fn rule_21_a_change_that_waits_while_the_file_is_moved_away_is_not_made() {
    let place = place();
    let store = open(&place.path).await;
    let raw = rusqlite::Connection::open(&place.path).unwrap();
    raw.execute_batch("BEGIN IMMEDIATE").unwrap();
    let user = alice();
    let mut change = pin!(store.set_restriction(&user, Locked.into()));
    let early = timeout(Duration::from_millis(200), &mut change).await;
    early.expect_err("it waits for the other writer");
    let aside = place.folder.path().join("aside");
    move_all(&place.path, &aside);
    let since = Instant::now();
    let error = timeout(SOON, change).await.unwrap().unwrap_err();
    within(POLL, since);
    assert!(error.to_string().starts_with("the path"), "{error}");
    raw.execute_batch("ROLLBACK").unwrap();
    assert!(!is_made(&store, &place, &aside).await);
}

#[tokio::test]
async fn rule_21_a_change_is_not_known_where_the_file_is_moved_away_in_the_middle() {
    let place = place();
    let store = open(&place.path).await;
    let raw = rusqlite::Connection::open(&place.path).unwrap();
    raw.busy_timeout(Duration::ZERO).unwrap();
    let slow = "CREATE TABLE slow (n); CREATE TRIGGER slow AFTER INSERT ON restrictions BEGIN
        INSERT INTO slow WITH RECURSIVE n (n) AS
            (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1000000)
        SELECT count(*) FROM n; END";
    raw.execute_batch(slow).unwrap();
    let (theirs, user) = (store.clone(), alice());
    let change = tokio::spawn(async move { theirs.set_restriction(&user, Locked.into()).await });
    until("it writes", async || {
        raw.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_err()
    })
    .await;
    sleep(Duration::from_millis(100)).await;
    let aside = place.folder.path().join("aside");
    move_all(&place.path, &aside);
    let said = change.await.unwrap().unwrap_err().to_string();
    assert!(said.contains("reopen"), "{said}");
    let is_known = !said.starts_with("it is not known");
    let is_made = is_made(&store, &place, &aside).await;
    assert!(!(is_known && is_made), "{said}");
}

/// A constraint that is checked at the end is the one way in which a test can make a commit fail.
#[tokio::test]
async fn rule_21_a_change_is_not_known_where_its_commit_fails() {
    let place = place();
    let store = open(&place.path).await;
    let raw = rusqlite::Connection::open(&place.path).unwrap();
    let fails = "CREATE TABLE parent (id INTEGER PRIMARY KEY);
        CREATE TABLE child (id REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
        CREATE TRIGGER orphan AFTER INSERT ON restrictions BEGIN INSERT INTO child VALUES (1); END";
    raw.execute_batch(fails).unwrap();
    let change = store.set_restriction(&alice(), Locked.into()).await;
    let said = change.unwrap_err().to_string();
    assert!(said.starts_with("it is not known"), "{said}");
    raw.execute_batch("DROP TRIGGER orphan").unwrap();
    store
        .set_restriction(&alice(), Locked.into())
        .await
        .unwrap();
}
