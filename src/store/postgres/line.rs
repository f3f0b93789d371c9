//! The two connections of the listener, and the proofs of life that one sends to the other.

use std::{sync::Arc, time::Instant};

use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_postgres::{AsyncMessage, Client, Notification};

use super::{
    connection::configure,
    dial::{EndOnDrop, Hosts, drive},
    error::Cause,
    limits::{LIMIT, LISTENER_AT_THE_SERVER, limited, random},
    schema::{TableIdentity, quoted},
    source::Source,
};

use crate::locks::{Mutex, lock};

type Result<T> = std::result::Result<T, Cause>;

/// The connection that receives notifications.
pub(super) struct Line {
    pub(super) notifications: mpsc::UnboundedReceiver<Notification>,
    pub(super) proofs: Proofs,
    client: Client,
    _driver: EndOnDrop,
}

impl Line {
    /// Subscribes, and returns when a proof has arrived, with the time when that proof was sent. Reading the
    /// accounts after that misses no change.
    pub(super) async fn connect(
        hosts: &Hosts,
        source: &Source,
    ) -> Result<(Self, Arc<Reader>, Instant)> {
        let (client, messages) = hosts.dial().await?;
        let (sender, notifications) = mpsc::unbounded_channel();
        let driver = EndOnDrop(tokio::spawn(drive(
            messages,
            move |message| match message {
                AsyncMessage::Notification(notification) => sender.send(notification).is_ok(),
                _ => true,
            },
        )));
        let mut line = Self {
            notifications,
            proofs: Proofs::new(),
            client,
            _driver: driver,
        };
        let (news, proofs) = (&source.channel, quoted(&line.proofs.channel));
        let sql = format!("LISTEN {news}; LISTEN {proofs}");
        let listened = async { Ok(line.client.batch_execute(&sql).await?) };
        limited("subscribing", LIMIT, listened).await?;

        let reader = Arc::new(Reader::connect(hosts, source).await?);
        line.proofs.send(&reader.client, source).await?;
        let sent_at = line.first_proof().await?;
        configured(&line.client).await?;
        reader.configure().await?;
        Ok((line, reader, sent_at))
    }

    async fn first_proof(&mut self) -> Result<Instant> {
        let arrived = async {
            loop {
                // Everything is loaded and announced after this, so other notifications do not matter.
                let Some(notification) = self.notifications.recv().await else {
                    return Err(Cause::ConnectionLost);
                };
                if notification.channel() == self.proofs.channel {
                    let number = notification.payload().parse().unwrap_or_default();
                    if let Some(sent_at) = self.proofs.arrived(number) {
                        return Ok(sent_at);
                    }
                }
            }
        };
        let arrived = timeout(LIMIT, arrived).await;
        arrived.unwrap_or(Err(Cause::NoNotifications(LIMIT)))
    }
}

/// The connection that sends proofs and reads accounts.
pub(super) struct Reader {
    pub(super) client: Client,
    pub(super) table: Option<TableIdentity>,
    _driver: EndOnDrop,
}

impl Reader {
    pub(super) async fn connect(hosts: &Hosts, source: &Source) -> Result<Self> {
        let (client, messages) = hosts.dial().await?;
        let driver = EndOnDrop(tokio::spawn(drive(messages, |_| true)));
        let table = source.identity(&client);
        let table = limited("looking at the table", LIMIT, table).await?;
        Ok(Self {
            client,
            table,
            _driver: driver,
        })
    }

    pub(super) async fn configure(&self) -> Result<()> {
        configured(&self.client).await
    }
}

/// A session that only listens is idle, and one that reads may wait for a lock.
async fn configured(client: &Client) -> Result<()> {
    let configured = async {
        client.batch_execute("SET idle_session_timeout = 0").await?;
        Ok(configure(client, LISTENER_AT_THE_SERVER).await?)
    };
    limited("configuring a session", LIMIT, configured).await
}

/// Numbered proofs of life: when each was sent, and which arrived.
pub(super) struct Proofs {
    /// A channel of this listener's own.
    pub(super) channel: String,
    sent: Mutex<(u64, Instant)>,
    arrived: watch::Sender<u64>,
}

impl Proofs {
    fn new() -> Self {
        Self {
            channel: format!("account_status_proof:{:016x}", random()),
            sent: Mutex::new((0, Instant::now())),
            arrived: watch::Sender::new(0),
        }
    }

    /// Sends the next proof, if the triggers of the store's own table are in order.
    pub(super) async fn send(
        &self,
        client: &Client,
        source: &Source,
    ) -> Result<Option<TableIdentity>> {
        let number = {
            let mut sent = lock(&self.sent);
            *sent = (sent.0 + 1, Instant::now());
            sent.0
        };
        let notify = format!("NOTIFY {}, '{number}'", quoted(&self.channel));
        let sent = async {
            let table = source.identity(client).await?;
            client.batch_execute(&notify).await?;
            Ok(table)
        };
        limited("a proof of life", LIMIT, sent).await
    }

    /// The time when the proof was sent, if it is the latest.
    pub(super) fn arrived(&self, number: u64) -> Option<Instant> {
        let (latest, sent_at) = *lock(&self.sent);
        if number != latest {
            return None;
        }
        self.arrived.send_replace(number);
        Some(sent_at)
    }

    /// Waits for the latest to arrive.
    pub(super) async fn wait(&self) -> Result<()> {
        let (latest, _) = *lock(&self.sent);
        let mut arrived = self.arrived.subscribe();
        match timeout(LIMIT, arrived.wait_for(|number| *number == latest)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Cause::NoNotifications(LIMIT)),
        }
    }
}
