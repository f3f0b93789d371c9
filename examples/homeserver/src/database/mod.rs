//! The embedded database.
//!
//! SQLite blocks, and a runtime's thread must not. So one thread reads and one writes, each with a
//! connection of its own, and handlers await their answers. In WAL mode a reader sees every
//! commit that came before its question and never waits for a writer.

pub(crate) mod accounts;
pub(crate) mod events;
pub(crate) mod media;
pub(crate) mod rooms;
mod schema;
pub(crate) mod tokens;

use std::{fmt, path::Path, sync::mpsc, thread};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

/// Why the database did not answer. No error shows the values of a query.
#[derive(Debug)]
pub(crate) enum Error {
    Sqlite(rusqlite::Error),
    /// The thread is gone: a query panicked.
    Stopped,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(error) => error.fmt(f),
            Self::Stopped => f.write_str("the database has stopped"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Sqlite(error) => Some(error),
            Self::Stopped => None,
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// The two threads. Dropping it waits until both have done what they were given.
pub(crate) struct Database {
    reader: Worker,
    writer: Worker,
}

impl Database {
    /// Opens the database, or makes it.
    pub(crate) fn open(path: &Path) -> rusqlite::Result<Self> {
        Ok(Self {
            writer: Worker::new(schema::open(path)?),
            reader: Worker::new(schema::open(path)?),
        })
    }

    /// Reads, in one or more queries. All of them see the same moment, and everything that was
    /// committed before the call.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        let job = move |connection: &mut Connection| {
            // Nobody waits for the answer any more once the request has been dropped.
            if !answer.is_closed() {
                let _ = answer.send(snapshot(connection, query));
            }
        };
        self.reader.run(job)?;
        Ok(answered.await.map_err(|_| Error::Stopped)??)
    }

    /// Changes something: all of it, or nothing if `change` fails.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        self.write_and_then(change, |_| {}).await
    }

    /// Changes something, and announces it after the commit.
    ///
    /// Both happen on the database's thread, so that a client who hangs up in between does not
    /// leave a change that nobody hears of.
    pub(crate) async fn write_and_then<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
        committed: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        let job = move |connection: &mut Connection| {
            let result = commit(connection, change);
            if let Ok(value) = &result {
                committed(value);
            }
            let _ = answer.send(result);
        };
        self.writer.run(job)?;
        Ok(answered.await.map_err(|_| Error::Stopped)??)
    }
}

struct Worker {
    /// `None` once no more jobs are taken.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Worker {
    fn new(mut connection: Connection) -> Self {
        let (jobs, queue) = mpsc::channel::<Job>();
        let thread = thread::spawn(move || {
            for job in queue {
                job(&mut connection);
            }
        });
        Self {
            jobs: Some(jobs),
            thread: Some(thread),
        }
    }

    fn run(&self, job: impl FnOnce(&mut Connection) + Send + 'static) -> Result<(), Error> {
        let jobs = self.jobs.as_ref().ok_or(Error::Stopped)?;
        jobs.send(Box::new(job)).map_err(|_| Error::Stopped)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A job that panicked has said so already.
            let _ = thread.join();
        }
    }
}

fn snapshot<T>(
    connection: &mut Connection,
    query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    query(&*connection.transaction()?)
}

fn commit<T>(
    connection: &mut Connection,
    change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let value = change(&transaction)?;
    transaction.commit()?;
    Ok(value)
}
