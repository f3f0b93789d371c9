//! What all handlers share.

use std::{path::Path, time::Duration};

use rusqlite::Connection;
use tokio::sync::watch;
use tower_account_status::{Changes, UserId};

use crate::{
    args::Admin,
    database::{self, Database, accounts},
    secret,
};

pub(crate) struct Homeserver {
    pub(crate) server_name: &'static str,
    /// Where clients find the server.
    pub(crate) base_url: String,
    pub(crate) token_lifetime: Duration,
    pub(crate) database: Database,
    pub(crate) news: News,
    /// Where it is announced that an account's state has changed.
    pub(crate) changes: Changes,
}

impl Homeserver {
    pub(crate) fn new(
        base_url: String,
        database: &Path,
        token_lifetime: Duration,
    ) -> rusqlite::Result<Self> {
        Ok(Self {
            server_name: "localhost",
            base_url,
            token_lifetime,
            database: Database::open(database)?,
            news: News(watch::Sender::new(false)),
            changes: Changes::new(),
        })
    }

    pub(crate) fn user_id(&self, localpart: &str) -> UserId {
        format!("@{localpart}:{}", self.server_name).into()
    }

    /// Whether a user id is one of this server's.
    pub(crate) fn is_local(&self, user: &str) -> bool {
        UserId::from(user).server_name() == Some(self.server_name)
    }

    /// Makes the administrator's account if it is not there.
    pub(crate) async fn ensure_admin(
        &self,
        admin: &Admin,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let user = self.user_id(&admin.localpart);
        let hash = secret::hash_password(admin.password.clone()).await?;
        self.database
            .write(move |connection| {
                accounts::create(connection, &user, &hash)?;
                accounts::make_admin(connection, &user)
            })
            .await?;
        Ok(())
    }

    /// Changes an account's state, and announces that.
    ///
    /// The announcement follows the commit, when every look-up sees the change.
    pub(crate) async fn change_account<T: Send + 'static>(
        &self,
        user: UserId,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, database::Error> {
        let changes = self.changes.clone();
        self.database
            .write_and_then(
                move |transaction| change(transaction),
                move |_| changes.announce(&user),
            )
            .await
    }

    /// Stores events, and wakes the syncs that wait for them.
    pub(crate) async fn change_rooms<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, database::Error> {
        let news = self.news.clone();
        self.database
            .write_and_then(
                move |transaction| change(transaction),
                move |_| news.announce(),
            )
            .await
    }
}

/// Wakes all waiting syncs. Each checks itself whether there is anything for it.
#[derive(Clone)]
pub(crate) struct News(watch::Sender<bool>);

impl News {
    fn announce(&self) {
        self.0.send_modify(|_| {});
    }

    /// The server stops. Each waiting sync should answer with what there is.
    pub(crate) fn close(&self) {
        self.0.send_replace(true);
    }

    /// Subscribe before you look, so that nothing in between is missed. The value says whether the
    /// server stops.
    pub(crate) fn subscribe(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }
}
