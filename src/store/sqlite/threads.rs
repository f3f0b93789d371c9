//! The threads that use the database, so that no disk access blocks the async runtime.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{
    error::Cause,
    file::FileState,
    schema::{self, Location},
    task::Read,
};

type Result<T> = std::result::Result<T, Cause>;

/// Starts a thread that answers reads, next to others that share the queue. It ends with the
/// queue.
pub(super) async fn start_reader(
    location: Location,
    file: Arc<FileState>,
    reads: Arc<Mutex<mpsc::Receiver<Read>>>,
) -> Result<()> {
    let open = {
        let (location, file) = (location.clone(), Arc::clone(&file));
        move || Ok((file.generation(), schema::open_reader(&location)?))
    };
    start(open, move |(mut generation, mut connection)| {
        loop {
            let next = reads.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(read) = next else { return };
            let current = file.generation();
            if generation != current {
                match schema::open_reader(&location) {
                    Ok(new) => (generation, connection) = (current, new),
                    Err(error) => {
                        read(Err(error));
                        continue;
                    }
                }
            }
            // The caller hears of a panic. The thread goes on, because others need it.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                read(file.check().map(|()| &connection));
            }));
        }
    })
    .await
}

/// Runs `open` on a new thread, says how it went, and runs `run` there then.
pub(super) async fn start<T: 'static>(
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
            // The caller that opened the store has gone away.
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
            let _ = reply.send(connection.and_then(read));
        }
    });
    if !queue(read) {
        return Err(Cause::Stopped);
    }
    answer.await.map_err(|_| Cause::Stopped)?
}
