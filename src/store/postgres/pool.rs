//! The connections that look-ups and changes go through.
//!
//! What a library's pool does not do, and what everything here is for: a connection is made by a
//! task that outlives the request which asked for it; one that showed itself bad, or that is older
//! than another server may have been the primary for, is never used again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{
    connection::{Connection, configure},
    dial::{EndOnDrop, Hosts, drive},
    dials::{Dials, Made, Ticket},
    error::Cause,
    limits::{AT_THE_SERVER, LOOK_UP, limited},
};

use crate::locks::{Mutex, lock};

type Result<T> = std::result::Result<T, Cause>;

/// How long a look-up waits for a connection that others use.
const PLACE_LIMIT: Duration = Duration::from_secs(2);
/// How long a connection has to show that it works after a caller left in the middle of a statement.
const CLEAN_UP_LIMIT: Duration = Duration::from_secs(2);
/// A connection is used for this long, or for the interval at which the set is read again if that is
/// shorter. So the pool leaves a server to which new connections no longer lead, although the server
/// still answers.
const MAX_AGE: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub(super) struct Pool(Arc<Shared>);

struct Shared {
    hosts: Arc<Hosts>,
    max_age: Duration,
    places: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
    /// Connections of an earlier one are not used again.
    generation: AtomicU64,
    /// Whether it is known that no pooler hands sessions to other clients.
    owns_sessions: AtomicBool,
    dials: Dials,
}

impl Pool {
    pub(super) fn new(hosts: Arc<Hosts>, size: usize, reread_interval: Duration) -> Self {
        Self(Arc::new(Shared {
            hosts,
            max_age: reread_interval.min(MAX_AGE),
            places: Arc::new(Semaphore::new(size.min(Semaphore::MAX_PERMITS))),
            idle: Mutex::default(),
            generation: AtomicU64::new(0),
            owns_sessions: AtomicBool::new(false),
            dials: Dials::default(),
        }))
    }

    /// A connection that nobody else uses.
    pub(super) async fn get(&self) -> Result<Lease> {
        self.lease(false).await
    }

    /// A connection that was made just now, or for somebody who has left.
    pub(super) async fn get_new(&self) -> Result<Lease> {
        self.lease(true).await
    }

    /// From now on all sessions are configured, that of this lease among them.
    pub(super) async fn own_sessions(&self, lease: Lease) -> Result<()> {
        self.0.owns_sessions.store(true, Ordering::SeqCst);
        match self.0.configure(lease.connection()?).await {
            Ok(()) => lease.done(),
            Err(_) => lease.discard(), // the next one is made as a whole
        }
        Ok(())
    }

    /// Uses none of today's connections again: something was wrong with one, and so it may be with
    /// all.
    pub(super) fn renew(&self) {
        self.0.generation.fetch_add(1, Ordering::SeqCst);
        let old = std::mem::take(&mut *lock(&self.0.idle));
        drop(old);
    }

    async fn lease(&self, new: bool) -> Result<Lease> {
        let place = Arc::clone(&self.0.places).acquire_owned();
        let place = match timeout(PLACE_LIMIT, place).await {
            Ok(Ok(place)) => place,
            Ok(Err(_)) => return Err(Cause::ConnectionLost), // the semaphore is never closed
            Err(_) => return Err(Cause::NoPlace(PLACE_LIMIT)),
        };
        let idle = match new {
            true => None,
            false => self.0.idle(),
        };
        let connection = match idle {
            Some(connection) => connection,
            // Boxed: few look-ups come here, and the future of each has room for it.
            None => Box::pin(self.0.dialled()).await?,
        };
        Ok(Lease {
            connection: Some(connection),
            shared: Arc::clone(&self.0),
            place: Some(place),
        })
    }
}

impl Shared {
    fn is_usable(&self, connection: &Connection) -> bool {
        !connection.client().is_closed()
            && connection.made_at.elapsed() < self.max_age
            && connection.generation == self.generation.load(Ordering::SeqCst)
    }

    /// The connection that was used last, if there is one that may be used.
    fn idle(&self) -> Option<Connection> {
        let mut unusable = Vec::new();
        let mut idle = lock(&self.idle);
        let found = loop {
            match idle.pop() {
                Some(connection) if self.is_usable(&connection) => break Some(connection),
                Some(connection) => unusable.push(connection),
                None => break None,
            }
        };
        drop(idle);
        drop(unusable);
        found
    }

    fn put_back(&self, connection: Connection) {
        if self.is_usable(&connection) {
            lock(&self.idle).push(connection);
        }
    }

    /// Keeps a connection that nobody waits for any longer, unless it would be one too many.
    fn keep(&self, made: Made) {
        let Ok(connection) = made else { return };
        let mut idle = lock(&self.idle);
        if idle.len() < self.places.available_permits() && self.is_usable(&connection) {
            return idle.push(connection);
        }
        drop(idle);
        drop(connection);
    }

    /// Waits for a connection that a task makes. Where this is dropped, the next one that waits
    /// gets it.
    async fn dialled(self: &Arc<Self>) -> Result<Connection> {
        let began = Instant::now();
        let of_hosts = self.hosts.limit();
        let limit = of_hosts.saturating_add(PLACE_LIMIT);
        loop {
            let mut waiting = Waiting::begin(self, of_hosts);
            let left = limit.saturating_sub(began.elapsed());
            let left = match waiting.ticket.is_new {
                true => left,
                // It was begun for another, whose runtime may stand still.
                false => left.min(of_hosts.saturating_sub(waiting.ticket.began.elapsed())),
            };
            match timeout(left, &mut waiting.ticket.answer).await {
                Ok(Ok(Ok(connection))) if self.is_usable(&connection) => return Ok(connection),
                // It is of an earlier generation.
                Ok(Ok(Ok(_))) => {}
                Ok(Ok(Err(error))) => return Err(error),
                // Each dial is delivered, also by a runtime that ends.
                Ok(Err(_)) => return Err(Cause::ConnectionLost),
                Err(_) => waiting.gives_up = true,
            }
            if began.elapsed() >= limit {
                return Err(Cause::Timeout("connecting", limit));
            }
        }
    }

    fn begin_dial(self: &Arc<Self>, number: u64) {
        let mut delivery = Delivery {
            shared: Arc::clone(self),
            number,
            made: Err(Cause::ConnectionLost),
        };
        tokio::spawn(async move {
            let made = delivery.shared.dial().await;
            delivery.brings(made);
        });
    }

    async fn dial(&self) -> Result<Connection> {
        let generation = self.generation.load(Ordering::SeqCst);
        let (client, messages) = self.hosts.dial().await?;
        let driver = EndOnDrop(tokio::spawn(drive(messages, |_| true)));
        let connection = Connection::new(client, driver, generation);
        if self.owns_sessions.load(Ordering::SeqCst) {
            self.configure(&connection).await?;
        }
        Ok(connection)
    }

    async fn configure(&self, connection: &Connection) -> Result<()> {
        let configured = async { Ok(configure(connection.client(), AT_THE_SERVER).await?) };
        limited("configuring a session", LOOK_UP, configured).await
    }

    /// Closes a connection whose statement is under way. Its server does not notice that, where the
    /// statement waits for something.
    async fn cancel(&self, connection: Connection) {
        // A pooler knows the statement by the connection, which therefore is closed last.
        self.hosts.cancel(connection.client().cancel_token()).await;
        drop(connection);
    }
}

/// One that waits for a connection.
struct Waiting<'a> {
    shared: &'a Arc<Shared>,
    ticket: Ticket,
    gives_up: bool,
}

impl<'a> Waiting<'a> {
    fn begin(shared: &'a Arc<Shared>, limit: Duration) -> Self {
        let ticket = shared.dials.wait(limit);
        if ticket.is_new {
            shared.begin_dial(ticket.dial());
        }
        Self {
            shared,
            ticket,
            gives_up: false,
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let unused = self.shared.dials.leave(&mut self.ticket, self.gives_up);
        unused.into_iter().for_each(|made| self.shared.keep(made));
    }
}

/// Delivers what a task has come to, also where its runtime ends it.
struct Delivery {
    shared: Arc<Shared>,
    number: u64,
    made: Made,
}

impl Delivery {
    fn brings(&mut self, made: Made) {
        self.made = made;
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        let made = std::mem::replace(&mut self.made, Err(Cause::ConnectionLost));
        let unused = self.shared.dials.deliver(self.number, made);
        unused.into_iter().for_each(|made| self.shared.keep(made));
    }
}

/// A connection in use. Only [`done`](Self::done) returns it to the pool. If it is dropped before, its
/// caller left in the middle of a statement, and the connection has to show that it works.
pub(super) struct Lease {
    connection: Option<Connection>,
    shared: Arc<Shared>,
    place: Option<OwnedSemaphorePermit>,
}

impl Lease {
    pub(super) fn connection(&self) -> Result<&Connection> {
        self.connection.as_ref().ok_or(Cause::ConnectionLost)
    }

    /// It has answered.
    pub(super) fn done(mut self) {
        if let Some(connection) = self.connection.take() {
            self.shared.put_back(connection);
        }
    }

    /// It is not used again.
    pub(super) fn discard(mut self) {
        drop(self.connection.take());
    }

    /// It is not used again, and the statement that it has not answered is cancelled.
    pub(super) fn abandon(mut self) {
        let connection = self.connection.take();
        if let (Some(connection), Ok(runtime)) = (connection, Handle::try_current()) {
            let shared = Arc::clone(&self.shared);
            runtime.spawn(async move { shared.cancel(connection).await });
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (Some(connection), Some(place)) = (self.connection.take(), self.place.take()) else {
            return;
        };
        // Callers that leave again and again must not make the server open connections.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let shared = Arc::clone(&self.shared);
        runtime.spawn(async move {
            let answers = connection.client().simple_query("");
            let answered = timeout(CLEAN_UP_LIMIT, answers).await;
            match answered {
                Ok(Ok(_)) => shared.put_back(connection),
                Ok(Err(_)) => drop(connection),
                Err(_) => {
                    drop(place);
                    shared.cancel(connection).await;
                }
            }
        });
    }
}
