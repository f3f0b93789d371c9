//! The one connection that makes changes and looks for those of other processes.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use super::{
    audit,
    error::Cause,
    file::{FileState, OpenedFile},
    queries,
    schema::{self, BUSY_LIMIT, Location},
    task::{Change, Task},
};
#[cfg(feature = "tracing")]
use crate::store::failures::{Failures, tell_unheard};
use crate::{account::UserId, changes::Changes, store::restricted_set::RestrictedSet};

type Result<T> = std::result::Result<T, Cause>;

pub(super) struct Writer {
    shared: Shared,
    connection: Connection,
    /// `None` for a database in memory.
    opened: Option<OpenedFile>,
    polled_at: Instant,
    /// When entries of the log are deleted next, if there is a retention.
    prune_at: Instant,
    /// `None` if the set in memory may miss a change and has to be loaded again.
    data_version: Option<i64>,
    #[cfg(feature = "tracing")]
    failures: Failures,
}

/// What a writer is opened with.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) location: Location,
    pub(super) poll_interval: Duration,
    pub(super) set: Option<Arc<RestrictedSet>>,
    pub(super) changes: Changes,
    pub(super) audit_retention: Option<Duration>,
    pub(super) file: Arc<FileState>,
}

/// The set is not believed any more, however the thread ends.
impl Drop for Writer {
    fn drop(&mut self) {
        self.distrust();
    }
}

impl Writer {
    /// The set in memory is believed for two intervals and this long after a look at the file.
    const TRUST: Duration = Duration::from_secs(1);
    const PRUNE_INTERVAL: Duration = Duration::from_secs(600);

    pub(super) fn open(shared: Shared) -> Result<Self> {
        let (connection, opened) = open(&shared)?;
        let mut writer = Self {
            shared,
            connection,
            opened,
            polled_at: Instant::now(),
            prune_at: Instant::now(),
            data_version: None,
            #[cfg(feature = "tracing")]
            failures: Failures::default(),
        };
        writer.data_version = Some(queries::data_version(&writer.connection)?);
        writer.load()?;
        writer.poll();
        Ok(writer)
    }

    pub(super) fn run(mut self, tasks: &mpsc::Receiver<Task>) {
        loop {
            let step = catch_unwind(AssertUnwindSafe(|| self.step(tasks)));
            match step {
                Ok(true) => {}
                Ok(false) => return,
                Err(_) => self.distrust(),
            }
        }
    }

    /// Does the next task. Returns false if the store is gone.
    fn step(&mut self, tasks: &mpsc::Receiver<Task>) -> bool {
        let interval = self.shared.poll_interval;
        match tasks.recv_timeout(interval.saturating_sub(self.polled_at.elapsed())) {
            Ok(Task::Change(user, change, reply)) => {
                let changed = self.change(&user, &change, &reply);
                let _ = reply.send(changed);
            }
            Ok(Task::Read(read)) => read(self.shared.file.check().map(|()| &self.connection)),
            Ok(Task::Reopen(reply)) => {
                let _ = reply.send(self.reopen());
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => return false,
        }
        if self.polled_at.elapsed() >= interval {
            self.poll();
            self.prune();
        }
        true
    }

    /// Deletes a piece of the log that is older than the retention. After a whole piece there may be more,
    /// but one piece a second is enough, because other processes look at the file again after each.
    fn prune(&mut self) {
        let now = Instant::now();
        let Some(retention) = self.shared.audit_retention else {
            return;
        };
        if now < self.prune_at || self.shared.file.check().is_err() {
            return;
        }
        let wait = match audit::prune(&self.connection, retention) {
            Ok(pruned) if pruned < audit::PIECE => Self::PRUNE_INTERVAL.min(retention),
            Ok(_) => Duration::ZERO,
            // If another process writes, it comes first.
            Err(error) if error.is_busy() => Duration::ZERO,
            Err(_error) => {
                #[cfg(feature = "tracing")]
                crate::store::error::tell_unpruned(&_error);
                Self::PRUNE_INTERVAL
            }
        };
        self.prune_at = now + wait.max(Duration::from_secs(1));
    }

    fn change(
        &mut self,
        user: &UserId,
        change: &Change,
        reply: &oneshot::Sender<Result<bool>>,
    ) -> Result<bool> {
        self.look_at_file()?;
        match self.commit(user, change, reply) {
            Ok(true) => {
                // Otherwise the change is in a file that nobody would find again.
                self.look_at_file().map_err(Cause::not_known)?;
                self.follow(user);
                self.shared.changes.announce(user);
                Ok(true)
            }
            Ok(false) => Ok(false),
            Err(Cause::NobodyWaits) => Err(Cause::NobodyWaits),
            Err(error) => {
                self.distrust();
                Err(error)
            }
        }
    }

    /// Waits in short steps while another process writes, so that its commits are noticed in time,
    /// and no longer than the request that asked.
    fn commit(
        &mut self,
        user: &UserId,
        change: &Change,
        reply: &oneshot::Sender<Result<bool>>,
    ) -> Result<bool> {
        let deadline = Instant::now() + BUSY_LIMIT;
        loop {
            let changed = self.try_to_commit(user, change, reply);
            match changed {
                Err(error) if error.is_busy() && Instant::now() < deadline => {
                    self.poll();
                    self.shared.file.check()?;
                }
                changed => return changed,
            }
        }
    }

    /// Checks that the caller still waits, and that the file is still there, once the file may be written. So
    /// a change that was answered as failed is not made. From the commit on it is not known.
    fn try_to_commit(
        &mut self,
        user: &UserId,
        change: &Change,
        reply: &oneshot::Sender<Result<bool>>,
    ) -> Result<bool> {
        let behavior = TransactionBehavior::Immediate;
        let transaction = Transaction::new_unchecked(&self.connection, behavior)?;
        if reply.is_closed() {
            return Err(Cause::NobodyWaits);
        }
        // The next look at the file tells the other threads.
        if self.opened.as_mut().is_some_and(|opened| !opened.is_same()) {
            return Err(Cause::FileReplaced);
        }
        audit::begin(&transaction, change.record())?;
        let changed = match change {
            Change::Restrict(record) => {
                queries::restrict(&transaction, user, record)?;
                true
            }
            Change::Lift(kind, _) => queries::lift(&transaction, user, *kind)?,
        };
        if !changed {
            // Rolled back, so that no other process looks at the file again.
            return Ok(false);
        }
        audit::end(&transaction)?;
        let committed = transaction.commit();
        committed.map_err(|error| Cause::from(error).not_known())?;
        Ok(changed)
    }

    /// Puts an account's new state into the set in memory.
    fn follow(&self, user: &UserId) {
        let Some(set) = &self.shared.set else { return };
        let ticket = set.unsettle(user);
        // On an error the file is asked for this account until all are loaded.
        if let Ok(state) = queries::state(&self.connection, user) {
            set.settle(user, ticket, state);
        }
    }

    /// Looks whether another connection, and so another process, has committed. If it cannot, nothing in
    /// memory is believed, and the log says why.
    fn poll(&mut self) {
        if let Err(_error) = self.try_to_poll() {
            #[cfg(feature = "tracing")]
            tell_unheard(&self.failures, &_error);
        }
    }

    fn try_to_poll(&mut self) -> Result<()> {
        self.polled_at = Instant::now();
        self.look_at_file()?;
        // Read before the accounts are: what is committed in between is found by the next poll.
        let version = queries::data_version(&self.connection);
        if version.is_err() {
            self.distrust();
        }
        let version = Some(version?);
        let is_known = version == self.data_version;
        if !is_known {
            self.distrust();
            self.load()?;
            self.data_version = version;
        }
        let trust = Self::TRUST + self.shared.poll_interval.saturating_mul(2);
        if let Some(end) = self.polled_at.checked_add(trust) {
            self.shared.changes.believe_until(end);
        }
        // Last, because a listener that hears of it looks into the set.
        if !is_known {
            self.shared.changes.announce_all();
        }
        Ok(())
    }

    /// Fails as long as the path does not lead to the file that was opened.
    fn look_at_file(&mut self) -> Result<()> {
        let Some(opened) = &mut self.opened else {
            return Ok(());
        };
        let is_same = opened.is_same();
        let was_same = self.shared.file.check().is_ok();
        if is_same != was_same {
            // Before `set_replaced`: a caller that learns that the file is gone finds nothing in memory.
            self.distrust();
            self.shared.file.set_replaced(!is_same);
        }
        self.shared.file.check()
    }

    /// Opens the file to which the path leads now.
    fn reopen(&mut self) -> Result<()> {
        self.distrust();
        self.look_at_file().ok();
        (self.connection, self.opened) = open(&self.shared)?;
        self.data_version = None;
        self.shared.file.opened_again();
        self.poll();
        self.shared.file.check()
    }

    fn distrust(&mut self) {
        if let Some(set) = &self.shared.set {
            set.distrust();
        }
        self.shared.changes.distrust();
        self.data_version = None;
    }

    fn load(&self) -> Result<()> {
        if let Some(set) = &self.shared.set {
            let load = set.begin_load();
            set.finish_load(&load, queries::all_states(&self.connection)?);
        }
        Ok(())
    }
}

fn open(shared: &Shared) -> Result<(Connection, Option<OpenedFile>)> {
    let mut opened = shared.location.path().map(OpenedFile::at);
    let connection = schema::open_writer(&shared.location, shared.poll_interval.min(BUSY_LIMIT))?;
    // The first access makes the files beside it.
    queries::data_version(&connection)?;
    if opened.as_mut().is_some_and(|opened| !opened.is_same()) {
        return Err(Cause::FileReplaced);
    }
    if let Some(opened) = &opened {
        opened.check_names()?;
    }
    Ok((connection, opened))
}
