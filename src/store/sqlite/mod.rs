//! Restrictions in one SQLite file, for servers on one machine without a database server.

mod audit;
mod audit_schema;
mod blocking;
mod error;
mod file;
mod queries;
mod schema;
mod task;
mod threads;
mod writer;

use std::{
    fmt,
    path::Path,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use rusqlite::Connection;
use tokio::sync::oneshot;

pub use self::error::SqliteStoreError;
use self::{
    error::Cause,
    file::{FileState, checked_path},
    schema::Location,
    task::{Change, Read, Task},
    writer::{Shared, Writer},
};
use super::{
    AuditEntry, AuditLog, AuditQuery, ChangeRecord, RestrictionRecord, RestrictionStore,
    StoreError, restricted_set::RestrictedSet,
};
use crate::{
    account::{AccountState, RestrictionKind, UserId},
    changes::Changes,
};

/// Restrictions in one SQLite file, which any number of processes of one machine may share.
///
/// ```no_run
/// # async fn example() -> Result<(), tower_account_status::store::SqliteStoreError> {
/// use tower_account_status::{Combined, store::SqliteStore};
///
/// let restrictions = SqliteStore::open("/var/lib/homeserver/restrictions.db").await?;
/// // `Homeserver` is your `AccountStateStore`, which finds the owner of a credential.
/// let store = Combined::new(Homeserver, restrictions.clone());
/// # struct Homeserver;
/// # impl tower_account_status::AccountStateStore for Homeserver {
/// #     async fn access_token(&self, _: &str) -> tower_account_status::store::Answer { Ok(None) }
/// #     tower_account_status::without! {
/// #         application_service, login_name, third_party, login_token, refresh_token, event_sender, state, changes
/// #     }
/// # }
/// # drop(store);
/// # Ok(())
/// # }
/// ```
///
/// A clone is the same store. The file belongs to this store alone: another program's database is
/// refused. A missing file is created, and an older schema is migrated. A file that a newer version
/// of this crate has migrated is refused with an error that says so.
///
/// # Durability
///
/// The file has a write-ahead log (two files beside it, `-wal` and `-shm`) and is written with
/// `synchronous=FULL`: what [`restrict`](RestrictionStore::set_restriction) and
/// [`lift`](RestrictionStore::lift_restriction) have acknowledged survives a killed process, and a power
/// failure if the disk really writes what it says. The file has to be on a local file system.
///
/// The file and the two beside it must stay where they are. If they are deleted, moved away or
/// replaced while they are open, the store notices it within the poll interval. Every look-up and
/// every change then fails until the same files are back or [`reopen`](SqliteStore::reopen) is
/// called. The store never uses another file by itself. A change that was acknowledged in the
/// interval before is in the file that is gone. The store cannot notice a file that is overwritten
/// in place (`cp` over it): restore a backup while no process has the file open.
///
/// # The log
///
/// Triggers in the file write every change to [a log](AuditLog), also the changes of other programs.
/// Entries are deleted only if [an age is set](SqliteOptions::with_audit_retention).
///
/// # Threads
///
/// Changes are made on one thread and reads on two more, so that the disk never blocks the async
/// runtime. They end when the last clone is dropped.
///
/// # Changes made by other processes
///
/// [`state`](RestrictionStore::state_of) reads the file and sees them at once. For requests that wait,
/// and for [the set in memory](SqliteOptions::with_restricted_set_in_memory), the store looks at the
/// file every 100 ms ([a setting](SqliteOptions::with_poll_interval)), which costs microseconds. It
/// [announces](RestrictionStore::restriction_changes) a change for all accounts, because the file
/// does not say whose it was.
///
/// A change waits at most 3 seconds for another process that is writing, and then fails. A change
/// that nobody waits for any longer is not made.
#[derive(Clone)]
pub struct SqliteStore(Arc<Inner>);

struct Inner {
    tasks: mpsc::Sender<Task>,
    /// `None` for a database in memory, which has one connection only.
    reads: Option<mpsc::Sender<Read>>,
    set: Option<Arc<RestrictedSet>>,
    changes: Changes,
}

/// How to open a [`SqliteStore`].
#[derive(Clone, Debug)]
#[must_use]
pub struct SqliteOptions {
    poll_interval: Duration,
    set_in_memory: bool,
    audit_retention: Option<Duration>,
}

impl SqliteOptions {
    const READERS: usize = 2;

    /// Looks for other processes' changes every 100 ms, and holds nothing in memory.
    pub fn new() -> Self {
        Self {
            poll_interval: Duration::from_millis(100),
            set_in_memory: false,
            audit_retention: None,
        }
    }

    /// Looks for other processes' changes at this interval, which bounds how late they take effect. At least a
    /// millisecond and at most a minute.
    ///
    /// What is in memory is believed for two intervals and a second after the last look.
    pub fn with_poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval.clamp(Duration::from_millis(1), Duration::from_secs(60));
        self
    }

    /// Holds the states of all restricted accounts in memory, so that
    /// [`peek_state`](RestrictionStore::peek_state_of) answers for every account, at once.
    ///
    /// A restricted account takes about 270 bytes and its reason; others take nothing. The set is loaded when
    /// the store is opened. This process's changes are in it before they are acknowledged. Those of other
    /// processes are in it after the next look at the file. While the set is loaded again, or the file
    /// cannot be read, the set answers nothing and the file is asked.
    pub fn with_restricted_set_in_memory(mut self) -> Self {
        self.set_in_memory = true;
        self
    }

    /// Deletes entries of [the log](AuditLog) that are older than this. By default all are kept.
    ///
    /// They are deleted within ten minutes, in pieces of 500 and at most one piece a second, so that no
    /// change waits for more than a few milliseconds. Every process that has the file open with this
    /// setting does so. If entries cannot be deleted, each attempt is a `tracing` warning.
    pub fn with_audit_retention(mut self, age: Duration) -> Self {
        self.audit_retention = Some(age);
        self
    }

    /// Opens the file, which is created if it is missing.
    ///
    /// # Errors
    ///
    /// If the path is empty or `:memory:`; if the file cannot be opened or created, is another program's, or
    /// has a newer schema; or if another process locks it for 3 seconds.
    pub async fn open(self, path: impl AsRef<Path>) -> Result<SqliteStore, SqliteStoreError> {
        let path = checked_path(path.as_ref())?;
        let opened = self.start(Location::File(path.clone())).await;
        opened.map_err(|SqliteStoreError(cause)| Cause::Open { path, cause }.into())
    }

    /// Makes a database in memory, which ends with the store. Tests use it.
    ///
    /// # Errors
    ///
    /// If SQLite or the operating system's threads fail.
    pub async fn open_in_memory(self) -> Result<SqliteStore, SqliteStoreError> {
        self.start(Location::Memory).await
    }

    async fn start(self, location: Location) -> Result<SqliteStore, SqliteStoreError> {
        let changes = match location {
            Location::Memory => Changes::new(),
            Location::File(_) => Changes::needing_proof(),
        };
        let set = self
            .set_in_memory
            .then(|| Arc::new(RestrictedSet::new(changes.clone())));
        let file = Arc::<FileState>::default();
        let (tasks, queue) = mpsc::channel();
        let shared = Shared {
            location: location.clone(),
            poll_interval: self.poll_interval,
            set: set.clone(),
            changes: changes.clone(),
            audit_retention: self.audit_retention,
            file: Arc::clone(&file),
        };
        let open = move || Writer::open(shared);
        threads::start(open, move |writer| writer.run(&queue)).await?;
        let reads = match location {
            Location::Memory => None,
            Location::File(_) => {
                let (reads, queue) = mpsc::channel();
                let queue = Arc::new(Mutex::new(queue));
                for _ in 0..Self::READERS {
                    let (file, queue) = (Arc::clone(&file), Arc::clone(&queue));
                    threads::start_reader(location.clone(), file, queue).await?;
                }
                Some(reads)
            }
        };
        Ok(SqliteStore(Arc::new(Inner {
            tasks,
            reads,
            set,
            changes,
        })))
    }
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl SqliteStore {
    /// Opens the file with the default [options](SqliteOptions). It is created if it is missing.
    ///
    /// # Errors
    ///
    /// As [`SqliteOptions::open`].
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, SqliteStoreError> {
        SqliteOptions::new().open(path).await
    }

    /// Makes a database in memory, which ends with the store. Tests use it.
    ///
    /// # Errors
    ///
    /// As [`SqliteOptions::open_in_memory`].
    pub async fn open_in_memory() -> Result<Self, SqliteStoreError> {
        SqliteOptions::new().open_in_memory().await
    }

    /// Opens whichever file is at the path now, after the open one has been
    /// [replaced](SqliteStore#durability). A missing file is created.
    ///
    /// # Errors
    ///
    /// As [`SqliteOptions::open`]. The store then goes on failing.
    pub async fn reopen(&self) -> Result<(), SqliteStoreError> {
        let (reply, answer) = oneshot::channel();
        self.0
            .tasks
            .send(Task::Reopen(reply))
            .map_err(|_| Cause::Stopped)?;
        Ok(answer.await.map_err(|_| Cause::Stopped)??)
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Cause> + Send + 'static,
    ) -> Result<T, SqliteStoreError> {
        let queue = |read| match &self.0.reads {
            Some(reads) => reads.send(read).is_ok(),
            None => self.0.tasks.send(Task::Read(read)).is_ok(),
        };
        Ok(threads::ask(queue, read).await?)
    }

    async fn change(&self, user: &UserId, change: Change) -> Result<bool, SqliteStoreError> {
        let (reply, answer) = oneshot::channel();
        self.0
            .tasks
            .send(Task::Change(user.clone(), change, reply))
            .map_err(|_| Cause::Stopped)?;
        Ok(answer.await.map_err(|_| Cause::Stopped)??)
    }
}

impl RestrictionStore for SqliteStore {
    type Error = SqliteStoreError;

    async fn state_of(&self, user: &str) -> Result<AccountState, SqliteStoreError> {
        let user = UserId::from(user);
        self.read(move |connection| queries::state(connection, &user))
            .await
    }

    async fn states_of(&self, users: &[UserId]) -> Vec<Result<AccountState, StoreError>> {
        let (count, users) = (users.len(), users.to_vec());
        let read = move |connection: &Connection| queries::states(connection, &users);
        match self.read(read).await {
            Ok(states) => states
                .into_iter()
                .map(|state| state.map_err(|cause| SqliteStoreError::from(cause).into()))
                .collect(),
            Err(error) => vec![Err(StoreError::from(error)); count],
        }
    }

    async fn set_restriction(
        &self,
        user: &UserId,
        record: RestrictionRecord,
    ) -> Result<(), SqliteStoreError> {
        self.change(user, Change::Restrict(record)).await?;
        Ok(())
    }

    async fn lift_restriction(
        &self,
        user: &UserId,
        kind: RestrictionKind,
        change: &ChangeRecord,
    ) -> Result<bool, SqliteStoreError> {
        self.change(user, Change::Lift(kind, change.clone())).await
    }

    async fn record(
        &self,
        user: &UserId,
        kind: RestrictionKind,
    ) -> Result<Option<RestrictionRecord>, SqliteStoreError> {
        let user = user.clone();
        self.read(move |connection| queries::record(connection, &user, kind))
            .await
    }

    async fn restricted(
        &self,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<(UserId, Vec<RestrictionRecord>)>, SqliteStoreError> {
        let after = after.cloned();
        self.read(move |connection| queries::restricted(connection, after.as_ref(), limit))
            .await
    }

    fn peek_state_of(&self, user: &str) -> Option<AccountState> {
        self.0.set.as_ref()?.peek(user)
    }

    fn restriction_changes(&self) -> Option<Changes> {
        Some(self.0.changes.clone())
    }
}

impl AuditLog for SqliteStore {
    type Error = SqliteStoreError;

    async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, SqliteStoreError> {
        let query = query.clone();
        self.read(move |connection| audit::entries(connection, &query))
            .await
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("set_in_memory", &self.0.set.is_some())
            .finish_non_exhaustive()
    }
}
