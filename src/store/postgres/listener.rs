//! Receives the changes of every process, and notices when it may have missed some.
//!
//! One connection listens and does nothing else. Another sends the proofs of life, which are
//! notifications like those of a change, and reads the accounts that have changed. So a proof takes the
//! way of an announcement: from another client's connection, through the server, to the listening one.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{sleep, timeout},
};
use tokio_postgres::Notification;

use super::{
    dial::{EndOnDrop, Hosts},
    error::{Cause, PostgresStoreError},
    limits::{LIMIT, limited, random_fraction, spread},
    line::{Line, Proofs, Reader},
    race::first_to_end,
    source::{Source, Table},
};
#[cfg(feature = "tracing")]
use crate::store::failures::{Failures, tell_unheard};
use crate::{
    account::{AccountState, UserId},
    changes::Changes,
    locks::{Mutex, lock},
    store::{
        StoreError,
        restricted_set::{RestrictedSet, Ticket},
    },
};

type Result<T> = std::result::Result<T, Cause>;

/// Loading all accounts may take longer.
const LOAD_LIMIT: Duration = Duration::from_secs(60);
/// The waits between attempts to connect grow from the first to the last.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LAST_WAIT: Duration = Duration::from_secs(10);
/// If more accounts have changed at a time, all are loaded.
const MOST_AT_ONCE: usize = 1000;

/// What the listener keeps up to date, and how.
pub(super) struct Feed {
    pub(super) hosts: Arc<Hosts>,
    pub(super) source: Source,
    pub(super) pace: Pace,
    pub(super) changes: Changes,
    pub(super) is_listening: watch::Sender<bool>,
    pub(super) unheard: Unheard,
}

/// Why the listener does not listen.
#[derive(Default)]
pub(super) struct Unheard {
    latest: Mutex<Option<StoreError>>,
    #[cfg(feature = "tracing")]
    failures: Failures,
}

impl Unheard {
    pub(super) fn latest(&self) -> Option<StoreError> {
        lock(&self.latest).clone()
    }

    fn because(&self, cause: Cause) {
        let error = StoreError::from(PostgresStoreError::from(cause));
        #[cfg(feature = "tracing")]
        tell_unheard(&self.failures, error.as_error());
        *lock(&self.latest) = Some(error);
    }

    fn is_over(&self) {
        *lock(&self.latest) = None;
    }
}

/// The intervals of the listener, and how long the last proof counts.
pub(super) struct Pace {
    pub(super) heartbeat: Duration,
    pub(super) trust_limit: Duration,
    pub(super) reread_interval: Duration,
}

/// Accounts that a notification named and that have to be read.
enum Work {
    Accounts(Vec<(UserId, Ticket)>),
    All,
}

impl Feed {
    /// Starts to listen. Returns when it listens, or with the reason why it cannot.
    pub(super) async fn start(self: &Arc<Self>) -> Result<EndOnDrop> {
        let (started, start) = oneshot::channel();
        let task = EndOnDrop(tokio::spawn(Arc::clone(self).run(Some(started))));
        match start.await {
            Ok(Ok(())) => Ok(task),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Cause::ConnectionLost),
        }
    }

    /// Starts to listen, however long it takes.
    pub(super) fn restart(self: &Arc<Self>) -> EndOnDrop {
        EndOnDrop(tokio::spawn(Arc::clone(self).run(None)))
    }

    /// Listens for ever. It gives up only if the first attempt fails and somebody waits for it.
    async fn run(self: Arc<Self>, mut started: Option<oneshot::Sender<Result<()>>>) {
        let mut wait = FIRST_WAIT;
        loop {
            let ended = self.session(&mut started, &mut wait).await;
            if let Some(started) = started {
                return drop(started.send(Err(ended)));
            }
            // No caller waits for it, and look-ups may go on: they ask the database.
            self.unheard.because(ended);
            // Several processes that lost the same server must not reconnect at the same moment.
            sleep(wait.mul_f64(0.5 + random_fraction() / 2.0)).await;
            wait = (wait * 2).min(LAST_WAIT);
        }
    }

    /// Connects and listens until something is wrong. Returns what. The answer to every fault is to
    /// reconnect.
    async fn session(
        &self,
        started: &mut Option<oneshot::Sender<Result<()>>>,
        wait: &mut Duration,
    ) -> Cause {
        // Dropped even if this task ends early, by a panic or with its runtime.
        let _away = SayAway(self);
        let connected = Line::connect(&self.hosts, &self.source).await;
        let (mut line, reader, sent_at) = match connected {
            Ok(connected) => connected,
            Err(error) => return error,
        };
        self.changes.believe_until(sent_at + self.pace.trust_limit);
        let (work, queue) = mpsc::unbounded_channel();
        let work_of_proofs = work.clone();
        let line = &mut line;
        let notifications = &mut line.notifications;
        let (proofs, reader) = (&line.proofs, Mutex::new(reader));
        let on_start = || {
            *wait = FIRST_WAIT;
            self.changes.announce_all();
            self.unheard.is_over();
            self.is_listening.send_replace(true);
            if let Some(started) = started.take() {
                // The caller that connects may have gone away. Then this task is ended.
                let _ = started.send(Ok(()));
            }
        };
        first_to_end([
            Box::pin(self.hear(notifications, proofs, work)),
            Box::pin(self.read(&reader, queue, on_start)),
            Box::pin(self.prove(&reader, proofs, work_of_proofs)),
        ])
        .await
        .unwrap_or(Cause::Panicked)
    }

    /// Takes notifications as they come. Nothing is awaited between a notification and the belief in it, so
    /// that a proof vouches for every notification before it.
    async fn hear(
        &self,
        notifications: &mut mpsc::UnboundedReceiver<Notification>,
        proofs: &Proofs,
        work: mpsc::UnboundedSender<Work>,
    ) -> Cause {
        while let Some(first) = notifications.recv().await {
            let mut users = HashSet::<UserId>::new();
            let (mut all, mut proof) = (false, None);
            let mut next = Some(first);
            while let Some(notification) = next {
                if notification.channel() == proofs.channel {
                    proof = notification.payload().parse().ok().or(proof);
                } else if notification.payload().is_empty() {
                    all = true;
                } else {
                    users.insert(notification.payload().into());
                }
                next = notifications.try_recv().ok();
            }
            match all || users.len() > MOST_AT_ONCE {
                true => self.all_changed(&work),
                false => self.accounts_changed(users, &work),
            }
            if let Some(sent_at) = proof.and_then(|number| proofs.arrived(number)) {
                self.changes.believe_until(sent_at + self.pace.trust_limit);
            }
        }
        Cause::ConnectionLost
    }

    fn accounts_changed(&self, users: HashSet<UserId>, work: &mpsc::UnboundedSender<Work>) {
        let Some(set) = self.source.set() else {
            users.iter().for_each(|user| self.changes.announce(user));
            return;
        };
        let unsettle = |user| {
            let ticket = set.unsettle(&user);
            (user, ticket)
        };
        let users: Vec<_> = users.into_iter().map(unsettle).collect();
        if !users.is_empty() {
            // The other end lives as long as the session.
            let _ = work.send(Work::Accounts(users));
        }
    }

    fn all_changed(&self, work: &mpsc::UnboundedSender<Work>) {
        match self.source.set() {
            None => self.changes.announce_all(),
            Some(set) => {
                set.distrust();
                let _ = work.send(Work::All);
            }
        }
    }

    /// Reads the accounts that notifications named, and all accounts at an interval. Announces them.
    async fn read(
        &self,
        reader: &Mutex<Arc<Reader>>,
        mut queue: mpsc::UnboundedReceiver<Work>,
        on_start: impl FnOnce() + Send,
    ) -> Cause {
        let current = || Arc::clone(&lock(reader));
        if let Err(error) = self.load(&current()).await {
            return error;
        }
        on_start();
        let mut reread_at = Instant::now() + spread(self.pace.reread_interval);
        loop {
            let left = reread_at.saturating_duration_since(Instant::now());
            let done = match timeout(left, queue.recv()).await {
                Ok(Some(first)) => self.settle(&current(), first, &mut queue).await,
                Ok(None) => return Cause::ConnectionLost,
                Err(_) => {
                    reread_at = Instant::now() + spread(self.pace.reread_interval);
                    self.reread(reader).await
                }
            };
            if let Err(error) = done {
                return error;
            }
        }
    }

    async fn settle(
        &self,
        reader: &Reader,
        first: Work,
        queue: &mut mpsc::UnboundedReceiver<Work>,
    ) -> Result<()> {
        let Some((table, set)) = self.held() else {
            return Ok(());
        };
        let (mut users, mut all) = (Vec::new(), false);
        let mut next = Some(first);
        while let Some(work) = next {
            match work {
                Work::Accounts(changed) => users.extend(changed),
                Work::All => all = true,
            }
            next = queue.try_recv().ok();
        }
        if all || users.len() > MOST_AT_ONCE {
            self.load(reader).await?;
            self.changes.announce_all();
            return Ok(());
        }
        let names: Vec<UserId> = users.iter().map(|(user, _)| user.clone()).collect();
        let read = table.queries.states_of(&reader.client, &names);
        let mut states = limited("reading changed accounts", LIMIT, read).await?;
        for (user, ticket) in &users {
            let state = states.get_mut(user).map(std::mem::take);
            // The last of several tickets counts, and it may come later.
            let state = state.unwrap_or(AccountState::ACTIVE);
            states.insert(user.clone(), state.clone());
            set.settle(user, *ticket, state);
        }
        users
            .iter()
            .for_each(|(user, _)| self.changes.announce(user));
        Ok(())
    }

    /// Reads all accounts on a new connection, which leads where a new process would connect. That is
    /// another server if the primary is no longer the server of the listener.
    async fn reread(&self, reader: &Mutex<Arc<Reader>>) -> Result<()> {
        let new = Arc::new(Reader::connect(&self.hosts, &self.source).await?);
        new.configure().await?;
        *lock(reader) = Arc::clone(&new);
        // Accounts that changed without a notification are announced here.
        let changed = self.load(&new).await?;
        match changed.len() > MOST_AT_ONCE {
            true => self.changes.announce_all(),
            false => changed.iter().for_each(|user| self.changes.announce(user)),
        }
        Ok(())
    }

    /// The table and the set in memory, if there is one.
    fn held(&self) -> Option<(&Table, &RestrictedSet)> {
        let table = self.source.table.as_ref()?;
        Some((table, table.set.as_deref()?))
    }

    /// Loads the set. Returns the users whose state differs from before.
    async fn load(&self, reader: &Reader) -> Result<Vec<UserId>> {
        let Some((table, set)) = self.held() else {
            return Ok(Vec::new());
        };
        let load = set.begin_load();
        let read = table.queries.all_states(&reader.client);
        let states = limited("loading the restricted accounts", LOAD_LIMIT, read).await?;
        Ok(set.finish_load(&load, states).unwrap_or_default())
    }

    /// Sends a proof at an interval. Ends if one does not come back.
    async fn prove(
        &self,
        reader: &Mutex<Arc<Reader>>,
        proofs: &Proofs,
        work: mpsc::UnboundedSender<Work>,
    ) -> Cause {
        let mut table = lock(reader).table.clone();
        loop {
            sleep(self.pace.heartbeat).await;
            let current = Arc::clone(&lock(reader));
            let found = match proofs.send(&current.client, &self.source).await {
                Ok(found) => found,
                Err(error) => return error,
            };
            // Another table has its name, as after `pg_restore --clean`.
            if found != table {
                self.all_changed(&work);
                table = found;
            }
            if let Err(error) = proofs.wait().await {
                return error;
            }
        }
    }
}

/// Notes that the listener has ended, for whatever reason.
struct SayAway<'a>(&'a Feed);

impl Drop for SayAway<'_> {
    fn drop(&mut self) {
        self.0.changes.distrust();
        if let Some(set) = self.0.source.set() {
            set.distrust();
        }
        self.0.is_listening.send_replace(false);
        // The other connections may have the same fault.
        if let Some(table) = &self.0.source.table {
            table.queries.renew_connections();
        }
    }
}
