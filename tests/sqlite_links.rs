//! Rules 20 and 21 for a `SqliteStore` whose path is a link, or whose file has another name: SQLite keeps
//! its log beside the target, and one log for each name.

#![allow(clippy::unwrap_used)] // a test fails by panicking
#![cfg(unix)] // elsewhere an open file cannot be replaced

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use tower_account_status::{
    RestrictionKind::Locked,
    RestrictionStore as _, UserId,
    store::{SqliteOptions, SqliteStore, SqliteStoreError},
};

fn alice() -> UserId {
    "@alice:example.org".into()
}

async fn open(path: &Path) -> SqliteStore {
    SqliteOptions::new()
        .with_restricted_set_in_memory()
        .with_poll_interval(Duration::from_millis(10))
        .open(path)
        .await
        .unwrap()
}

/// The log and its index.
fn beside(path: &Path) -> [PathBuf; 2] {
    ["-wal", "-shm"].map(|suffix| PathBuf::from(format!("{}{suffix}", path.display())))
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waited = timeout(Duration::from_secs(20), async {
        while !is_so().await {
            sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("never: {what}"));
}

async fn lock(store: &SqliteStore) -> Result<(), SqliteStoreError> {
    store.set_restriction(&alice(), Locked.into()).await
}

/// Nothing is answered and nothing changed.
async fn fails(store: &SqliteStore) {
    until("it is noticed", async || {
        store.peek_state_of(&alice()).is_none()
    })
    .await;
    store.state_of(&alice()).await.unwrap_err();
    let error = lock(store).await.unwrap_err().to_string();
    assert!(error.contains("reopen"), "{error}");
}

async fn answers(store: &SqliteStore) {
    until("the set is trusted", async || {
        store.peek_state_of(&alice()) == Some(Locked.into())
    })
    .await;
    assert_eq!(store.state_of(&alice()).await.unwrap(), Locked.into());
}

/// A folder with a file in a folder of its own, which nobody has open, and in which Alice is locked.
async fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let real = folder.path().join("data").join("r.db");
    make(&real).await;
    (folder, real)
}

async fn make(path: &Path) {
    fs::create_dir(path.parent().unwrap()).unwrap();
    let store = open(path).await;
    lock(&store).await.unwrap();
    drop(store);
    until("it is closed", async || !beside(path)[0].exists()).await;
}

#[tokio::test]
async fn rule_21_the_log_is_watched_where_a_link_leads() {
    for is_folder in [false, true] {
        for which in [0, 1] {
            let (folder, real) = place().await;
            let link = folder.path().join("link");
            let path = match is_folder {
                true => {
                    symlink(real.parent().unwrap(), &link).unwrap();
                    link.join("r.db")
                }
                false => {
                    symlink(&real, &link).unwrap();
                    link
                }
            };
            let store = open(&path).await;
            answers(&store).await;
            fs::remove_file(&beside(&real)[which]).unwrap();
            fails(&store).await;
        }
    }
}

#[tokio::test]
async fn rule_21_the_log_is_watched_where_a_link_led_to_no_file_yet() {
    let folder = tempfile::tempdir().unwrap();
    let real = folder.path().join("data").join("r.db");
    fs::create_dir(real.parent().unwrap()).unwrap();
    let link = folder.path().join("link");
    symlink(&real, &link).unwrap();
    let store = open(&link).await;
    lock(&store).await.unwrap();
    answers(&store).await;
    fs::remove_file(&beside(&real)[0]).unwrap();
    fails(&store).await;
}

#[tokio::test]
async fn rule_20_a_link_that_comes_to_lead_elsewhere_is_noticed() {
    let (folder, real) = place().await;
    let link = folder.path().join("link");
    symlink(&real, &link).unwrap();
    let store = open(&link).await;
    answers(&store).await;
    let other = folder.path().join("other").join("r.db");
    make(&other).await;
    // The same file, beside which another log would be.
    let again = folder.path().join("again.db");
    fs::hard_link(&real, &again).unwrap();
    for elsewhere in [other, again, folder.path().join("missing")] {
        fs::remove_file(&link).unwrap();
        symlink(&elsewhere, &link).unwrap();
        fails(&store).await;
        fs::remove_file(&link).unwrap();
        symlink(&real, &link).unwrap();
        answers(&store).await;
    }
}

/// No process would see what another changes through the other name.
#[tokio::test]
async fn rule_20_a_file_with_a_second_hard_link_is_not_opened() {
    let (folder, real) = place().await;
    let other = folder.path().join("other.db");
    fs::hard_link(&real, &other).unwrap();
    for path in [&real, &other] {
        let error = SqliteStore::open(path).await.unwrap_err();
        assert!(error.to_string().contains("hard links"), "{error}");
    }
    fs::remove_file(&other).unwrap();
    answers(&open(&real).await).await;
}
