//! Faults of a SQLite file: it is moved away, replaced and locked.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::sync::Mutex;
use tower_account_status::store::{SqliteOptions, SqliteStore};

use crate::load::World;

const POLL: Duration = Duration::from_millis(50);

pub(crate) struct File {
    folder: TempDir,
    /// Held while another file may be in its place, so that no change is made to that one.
    is_ours: Mutex<()>,
}

impl File {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            is_ours: Mutex::default(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("restrictions.db")
    }

    fn aside(&self) -> PathBuf {
        self.folder.path().join("aside")
    }

    /// One store that asks the file, and one with the restricted set in memory.
    pub(crate) async fn open(&self) -> [SqliteStore; 2] {
        let options = SqliteOptions::new().with_poll_interval(POLL);
        [
            options.clone().open(self.path()).await.unwrap(),
            options
                .with_restricted_set_in_memory()
                .open(self.path())
                .await
                .unwrap(),
        ]
    }

    async fn away(&self, length: Duration) {
        move_all(&self.path(), &self.aside());
        tokio::time::sleep(length).await;
        move_all(&self.aside(), &self.path());
    }

    /// Another's file, in which nobody is restricted, is there for a while.
    async fn another(&self, length: Duration) {
        let _is_ours = self.is_ours.lock().await;
        move_all(&self.path(), &self.aside());
        let other = SqliteStore::open(self.path()).await.unwrap();
        tokio::time::sleep(length).await;
        drop(other);
        let beside = [self.path(), beside(&self.path(), "-wal")];
        // Its thread may close it a moment later, and then the log is gone.
        for _ in 0..1000 {
            if !beside[1].exists() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        fs::remove_file(&beside[0]).unwrap();
        move_all(&self.aside(), &self.path());
    }

    /// Another process writes, and does not end.
    async fn locked(&self, length: Duration) {
        let raw = rusqlite::Connection::open(self.path()).unwrap();
        // Somebody may be writing.
        raw.busy_timeout(Duration::from_secs(10)).unwrap();
        raw.execute_batch("BEGIN IMMEDIATE").unwrap();
        tokio::time::sleep(length).await;
        raw.execute_batch("COMMIT").unwrap();
    }

    /// A copy replaces it for good, and `reopen` is called.
    async fn copy(&self, length: Duration, stores: &[SqliteStore]) {
        let _is_ours = self.is_ours.lock().await;
        let copy = self.folder.path().join("copy");
        let raw = rusqlite::Connection::open(self.path()).unwrap();
        raw.execute("VACUUM INTO ?1", [copy.to_str().unwrap()])
            .unwrap();
        drop(raw);
        move_all(&self.path(), &self.aside());
        fs::rename(copy, self.path()).unwrap();
        tokio::time::sleep(length).await;
        for store in stores {
            store.reopen().await.unwrap();
        }
        for file in all_of(&self.aside()) {
            drop(fs::remove_file(file));
        }
    }

    pub(crate) async fn fault(&self, kind: usize, length: Duration, stores: &[SqliteStore]) {
        match kind {
            0 => self.away(length).await,
            1 => self.another(length).await,
            2 => self.locked(length).await,
            _ => self.copy(length, stores).await,
        }
    }

    pub(crate) const FAULTS: [&str; 4] = [
        "file moved away",
        "another file in its place",
        "file locked by a writer",
        "file replaced and reopened",
    ];
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}

fn all_of(path: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|suffix| beside(path, suffix))
}

fn move_all(from: &Path, to: &Path) {
    for (from, to) in all_of(from).iter().zip(all_of(to)) {
        if from.exists() {
            fs::rename(from, to).unwrap();
        }
    }
}

/// Restricts as another process does.
pub(crate) async fn change(world: Arc<World>, file: Arc<File>) {
    while let Some(change) = world.next_change() {
        let is_ours = file.is_ours.lock().await;
        let path = file.path();
        let sql = change.sql("restrictions", "'locked', 0", "kind, set_at");
        let done = tokio::task::spawn_blocking(move || {
            let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE;
            let raw = rusqlite::Connection::open_with_flags(path, flags)?;
            raw.busy_timeout(Duration::from_millis(200))?;
            raw.execute_batch(&sql)
        });
        // It may be in a file that was moved away in the middle, and is back later.
        let is_done = done.await.unwrap().is_ok();
        drop(is_ours);
        if is_done {
            world.acknowledged(&change, Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
