//! Hears of every process's changes, and of the times in which it may have missed some.

use std::{
    collections::HashSet,
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Mutex, mpsc, oneshot, watch},
    task::JoinHandle,
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_postgres::{AsyncMessage, Client, Config, Notification};

use super::{
    dial::{Dial, drive},
    error::Cause,
    queries::Queries,
    schema::{Schema, quoted},
};
use crate::{
    account::{AccountState, UserId},
    changes::Changes,
    store::restricted_set::RestrictedSet,
};

type Result<T> = std::result::Result<T, Cause>;

/// How long the server has for a statement of the listener's, and for a notification of its own to
/// come back.
const LIMIT: Duration = Duration::from_secs(5);
/// Connecting may take several hosts.
pub(super) const DIAL_LIMIT: Duration = Duration::from_secs(30);
/// Loading all accounts may take longer.
const LOAD_LIMIT: Duration = Duration::from_secs(60);
/// The waits between attempts to connect grow from the first to the last.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LAST_WAIT: Duration = Duration::from_secs(10);
/// Where more accounts have changed at a time, all are loaded.
const MOST_AT_ONCE: usize = 1000;

/// What the listener keeps current, and how.
pub(super) struct Feed {
    pub(super) dial: Arc<dyn Dial>,
    pub(super) config: Config,
    pub(super) schema: Schema,
    pub(super) heartbeat: Duration,
    pub(super) queries: Arc<Queries>,
    pub(super) set: Option<Set>,
    pub(super) changes: Changes,
    pub(super) is_listening: watch::Sender<bool>,
}

/// The restricted accounts in memory, which are read and put in by one at a time: of two that read
/// an account's state, the later one puts in its own.
#[derive(Clone, Default)]
pub(super) struct Set {
    pub(super) accounts: Arc<RestrictedSet>,
    turn: Arc<Mutex<()>>,
}

impl Set {
    /// Takes over the state of one account that this process has changed.
    pub(super) async fn follow(&self, queries: &Queries, user: &UserId) {
        let _turn = self.turn.lock().await;
        match queries.state(user).await {
            Ok(state) => self.accounts.set(user, state),
            // The listener loads all with the next notification, at the latest with its own.
            Err(_) => self.accounts.distrust(),
        }
    }

    async fn follow_all(&self, queries: &Queries, client: &Client, users: &[UserId]) -> Result<()> {
        let _turn = self.turn.lock().await;
        let what = "reading changed accounts";
        let mut states = limited(what, LIMIT, queries.states_of(client, users)).await?;
        for user in users {
            let state = states.remove(user).unwrap_or(AccountState::ACTIVE);
            self.accounts.set(user, state);
        }
        Ok(())
    }

    async fn load(&self, queries: &Queries, client: &Client) -> Result<()> {
        let _turn = self.turn.lock().await;
        let what = "loading the restricted accounts";
        let states = limited(what, LOAD_LIMIT, queries.all_states(client)).await?;
        self.accounts.replace(states);
        Ok(())
    }
}

/// Ends a task with whoever holds this.
pub(super) struct EndOnDrop(JoinHandle<()>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Feed {
    /// Starts to listen, and returns when it does, or why it cannot.
    pub(super) async fn start(self) -> Result<EndOnDrop> {
        let (started, start) = oneshot::channel();
        let task = EndOnDrop(tokio::spawn(self.run(started)));
        match start.await {
            Ok(Ok(())) => Ok(task),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Cause::ConnectionLost),
        }
    }

    /// Listens for ever. Only where the very first attempt fails does it give up.
    async fn run(self, started: oneshot::Sender<Result<()>>) {
        let mut wait = FIRST_WAIT;
        match self.listen().await {
            Ok(listening) => {
                if started.send(Ok(())).is_err() {
                    return;
                }
                self.consume(listening).await;
            }
            Err(error) => return drop(started.send(Err(error))),
        }
        loop {
            // Several processes that lost the same server do not come back at the same moment.
            sleep(wait.mul_f64(0.5 + random_fraction() / 2.0)).await;
            match self.listen().await {
                Ok(listening) => {
                    wait = FIRST_WAIT;
                    self.consume(listening).await;
                }
                Err(_) => wait = (wait * 2).min(LAST_WAIT),
            }
        }
    }

    /// Subscribes first, then loads, then says that everything may have changed: what was missed
    /// before is loaded, and what comes after is heard.
    async fn listen(&self) -> Result<Listening> {
        let dialled = async { Ok(self.dial.dial(&self.config).await?) };
        let (client, messages) = limited("connecting the listener", DIAL_LIMIT, dialled).await?;
        let (sender, notifications) = mpsc::unbounded_channel();
        let driver = EndOnDrop(tokio::spawn(drive(
            messages,
            move |message| match message {
                AsyncMessage::Notification(notification) => sender.send(notification).is_ok(),
                _ => true,
            },
        )));
        let probe = format!("account_status_probe:{:016x}", random());
        let mut listening = Listening {
            client,
            notifications,
            probe,
            _driver: driver,
        };
        listening.subscribe(&self.schema).await?;
        self.load(&listening.client).await?;
        self.changes.announce_all();
        self.is_listening.send_replace(true);
        Ok(listening)
    }

    /// Until the connection is lost, or something else is wrong with it.
    async fn consume(&self, listening: Listening) {
        // Why it ended does not matter: to connect again is the answer to everything.
        let _ = self.consume_until_lost(listening).await;
        if let Some(set) = &self.set {
            set.accounts.distrust();
        }
        self.is_listening.send_replace(false);
    }

    async fn consume_until_lost(&self, mut listening: Listening) -> Result<()> {
        let mut next_probe = Instant::now() + self.heartbeat;
        let mut probed_at = None;
        loop {
            let deadline = probed_at.map_or(next_probe, |probed: Instant| probed + LIMIT);
            match timeout_at(deadline, listening.notifications.recv()).await {
                Ok(Some(first)) => {
                    let heard = listening.drain(first);
                    if heard.probe {
                        probed_at = None;
                    }
                    self.changed(&listening.client, heard).await?;
                }
                Ok(None) => return Err(Cause::ConnectionLost),
                Err(_) if probed_at.is_some() => return Err(Cause::NoNotifications(LIMIT)),
                Err(_) => {
                    listening.probe().await?;
                    probed_at = Some(Instant::now());
                    next_probe = Instant::now() + self.heartbeat;
                }
            }
        }
    }

    async fn changed(&self, client: &Client, heard: Heard) -> Result<()> {
        let may_be_missing = self
            .set
            .as_ref()
            .is_some_and(|set| !set.accounts.is_trusted());
        if heard.all || may_be_missing || heard.users.len() > MOST_AT_ONCE {
            self.load(client).await?;
        }
        if heard.all || heard.users.len() > MOST_AT_ONCE {
            self.changes.announce_all();
            return Ok(());
        }
        let users: Vec<UserId> = heard.users.into_iter().collect();
        if let Some(set) = &self.set {
            if !may_be_missing && !users.is_empty() {
                set.follow_all(&self.queries, client, &users).await?;
            }
        }
        users.iter().for_each(|user| self.changes.announce(user));
        Ok(())
    }

    async fn load(&self, client: &Client) -> Result<()> {
        match &self.set {
            Some(set) => set.load(&self.queries, client).await,
            None => Ok(()),
        }
    }
}

/// A connection that notifications come on.
struct Listening {
    client: Client,
    notifications: mpsc::UnboundedReceiver<Notification>,
    /// A channel of this connection's own: what is notified there has to come back.
    probe: String,
    _driver: EndOnDrop,
}

/// What has come at a time.
#[derive(Default)]
struct Heard {
    users: HashSet<UserId>,
    all: bool,
    probe: bool,
}

impl Listening {
    /// Subscribes, and waits until a notification has come through: a pooler that shares
    /// connections by the transaction takes the subscription and delivers nothing.
    async fn subscribe(&mut self, schema: &Schema) -> Result<()> {
        let sql = format!(
            "LISTEN {}; LISTEN {}",
            schema.channel(),
            quoted(&self.probe)
        );
        let listened = async { Ok(self.client.batch_execute(&sql).await?) };
        limited("subscribing", LIMIT, listened).await?;
        self.probe().await?;
        let deadline = Instant::now() + LIMIT;
        loop {
            match timeout_at(deadline, self.notifications.recv()).await {
                Ok(Some(notification)) if self.is_answer(&notification) => return Ok(()),
                // Everything is loaded and announced after this.
                Ok(Some(_)) => {}
                Ok(None) => return Err(Cause::ConnectionLost),
                Err(_) => return Err(Cause::NoNotifications(LIMIT)),
            }
        }
    }

    async fn probe(&self) -> Result<()> {
        let sql = format!("NOTIFY {}", quoted(&self.probe));
        let notified = async { Ok(self.client.batch_execute(&sql).await?) };
        limited("a notification", LIMIT, notified).await
    }

    fn is_answer(&self, notification: &Notification) -> bool {
        notification.channel() == self.probe
    }

    /// The notification and all that wait behind it.
    fn drain(&mut self, first: Notification) -> Heard {
        let mut heard = Heard::default();
        let mut next = Some(first);
        while let Some(notification) = next {
            if self.is_answer(&notification) {
                heard.probe = true;
            } else if notification.payload().is_empty() {
                heard.all = true;
            } else {
                heard.users.insert(notification.payload().into());
            }
            next = self.notifications.try_recv().ok();
        }
        heard
    }
}

async fn limited<T>(
    what: &'static str,
    limit: Duration,
    answer: impl Future<Output = Result<T>>,
) -> Result<T> {
    match timeout(limit, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(Cause::Timeout(what, limit)),
    }
}

fn random() -> u64 {
    RandomState::new().hash_one(0)
}

/// Between 0 and 1.
fn random_fraction() -> f64 {
    f64::from(u32::try_from(random() >> 32).unwrap_or_default()) / f64::from(u32::MAX)
}
