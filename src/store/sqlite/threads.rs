//! The threads that the database is used on, so that no disk access blocks the async runtime.

use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{
    error::Cause,
    queries,
    schema::{self, BUSY_LIMIT, Location},
};
use crate::{
    account::{RestrictionKind, UserId},
    changes::Changes,
    store::{RestrictionRecord, restricted_set::RestrictedSet},
};

type Result<T> = std::result::Result<T, Cause>;
pub(super) type Read = Box<dyn FnOnce(&Connection) + Send>;

/// What the writing thread is asked to do.
pub(super) enum Task {
    Change(UserId, Change, oneshot::Sender<Result<bool>>),
    Read(Read),
}

pub(super) enum Change {
    Restrict(RestrictionRecord),
    Lift(RestrictionKind),
}

/// Starts a thread that answers reads, next to others that share the queue. It ends with the
/// queue.
pub(super) async fn start_reader(
    location: Location,
    reads: Arc<Mutex<mpsc::Receiver<Read>>>,
) -> Result<()> {
    start(
        move || schema::open_reader(&location),
        move |connection| {
            loop {
                let next = reads.lock().unwrap_or_else(PoisonError::into_inner).recv();
                match next {
                    Ok(read) => read(&connection),
                    Err(mpsc::RecvError) => return,
                }
            }
        },
    )
    .await
}

/// Starts the thread that makes changes, and looks for those of other processes. It ends with the
/// queue.
pub(super) async fn start_writer(
    location: Location,
    poll_interval: Duration,
    set: Option<Arc<RestrictedSet>>,
    changes: Changes,
    tasks: mpsc::Receiver<Task>,
) -> Result<()> {
    start(
        move || {
            let connection = schema::open_writer(&location, poll_interval.min(BUSY_LIMIT))?;
            let writer = Writer {
                data_version: Some(queries::data_version(&connection)?),
                connection,
                poll_interval,
                polled_at: Instant::now(),
                set,
                changes,
            };
            writer.load()?;
            Ok(writer)
        },
        move |writer| writer.run(&tasks),
    )
    .await
}

/// Runs `open` on a new thread, says how it went, and runs `run` there then.
async fn start<T: 'static>(
    open: impl FnOnce() -> Result<T> + Send + 'static,
    run: impl FnOnce(T) + Send + 'static,
) -> Result<()> {
    let (opened, ready) = oneshot::channel();
    thread::Builder::new()
        .name("account-status".to_owned())
        .spawn(move || match open() {
            Ok(connection) => {
                if opened.send(Ok(())).is_ok() {
                    run(connection);
                }
            }
            // Whoever opened the store has gone away.
            Err(error) => drop(opened.send(Err(error))),
        })
        .map_err(Cause::Thread)?;
    ready.await.map_err(|_| Cause::Stopped)?
}

/// Asks on one of the threads, through what puts the read into their queue.
pub(super) async fn ask<T: Send + 'static>(
    queue: impl FnOnce(Read) -> bool,
    read: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (reply, answer) = oneshot::channel();
    let read: Read = Box::new(move |connection| {
        // Nobody waits any longer after a time limit.
        if !reply.is_closed() {
            let _ = reply.send(read(connection));
        }
    });
    if !queue(read) {
        return Err(Cause::Stopped);
    }
    answer.await.map_err(|_| Cause::Stopped)?
}

struct Writer {
    connection: Connection,
    poll_interval: Duration,
    polled_at: Instant,
    /// `None` where the set in memory may miss a change, and has to be loaded again.
    data_version: Option<i64>,
    set: Option<Arc<RestrictedSet>>,
    changes: Changes,
}

impl Writer {
    fn run(mut self, tasks: &mpsc::Receiver<Task>) {
        loop {
            let until_poll = self.poll_interval.saturating_sub(self.polled_at.elapsed());
            match tasks.recv_timeout(until_poll) {
                Ok(Task::Change(user, change, reply)) => {
                    if !reply.is_closed() {
                        let _ = reply.send(self.change(&user, &change));
                    }
                }
                Ok(Task::Read(read)) => read(&self.connection),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
            if self.polled_at.elapsed() >= self.poll_interval {
                self.poll();
            }
        }
    }

    fn change(&mut self, user: &UserId, change: &Change) -> Result<bool> {
        match self.commit(user, change) {
            Ok(true) => {
                self.follow(user);
                self.changes.announce(user);
                Ok(true)
            }
            Ok(false) => Ok(false),
            Err(error) => {
                // Nobody can say whether it was made.
                self.distrust();
                Err(error)
            }
        }
    }

    /// Waits in short steps while another process writes, so that its commits are noticed in time.
    fn commit(&mut self, user: &UserId, change: &Change) -> Result<bool> {
        let deadline = Instant::now() + BUSY_LIMIT;
        loop {
            let changed = match change {
                Change::Restrict(record) => {
                    queries::restrict(&self.connection, user, record).map(|()| true)
                }
                Change::Lift(kind) => queries::lift(&self.connection, user, *kind),
            };
            match changed {
                Err(error) if error.is_busy() && Instant::now() < deadline => self.poll(),
                changed => return changed,
            }
        }
    }

    /// Takes an account's new state over into memory.
    fn follow(&mut self, user: &UserId) {
        let Some(set) = &self.set else { return };
        match queries::state(&self.connection, user) {
            Ok(state) => set.set(user, state),
            Err(_) => self.distrust(),
        }
    }

    /// Looks whether another connection, and so another process, has committed.
    fn poll(&mut self) {
        self.polled_at = Instant::now();
        // Read before the accounts are: what is committed in between is found by the next poll.
        let version = queries::data_version(&self.connection).ok();
        if version.is_some() && version == self.data_version {
            return;
        }
        self.distrust();
        if version.is_some() && self.load().is_ok() {
            self.data_version = version;
            self.changes.announce_all();
        }
    }

    fn distrust(&mut self) {
        if let Some(set) = &self.set {
            set.distrust();
        }
        self.data_version = None;
    }

    fn load(&self) -> Result<()> {
        if let Some(set) = &self.set {
            set.replace(queries::all_states(&self.connection)?);
        }
        Ok(())
    }
}
