//! Changes of a server that keeps its locks in tables of its own and notifies a channel itself.

use std::{fmt, sync::Arc};

use super::listening::Listening;
use crate::{changes::Changes, store::StoreError};

/// The [`Changes`] of a server that keeps its locks in tables of its own, in PostgreSQL (15 or
/// later): it listens on a channel that the server notifies.
///
/// ```no_run
/// use tower_account_status::{
///     AccountState, AccountStateStore, CachedStore, Changes,
///     store::{Answer, PostgresChanges, StoreError},
///     without,
/// };
///
/// struct Homeserver {
///     listener: PostgresChanges,
///     // and its database
/// }
///
/// impl AccountStateStore for Homeserver {
/// #   async fn access_token(&self, _: &str) -> Answer { Ok(None) }
/// #   without! { application_service, login_name, third_party, login_token, refresh_token, event_sender }
///     // the owners of credentials …
///
///     async fn state(&self, user: &str) -> Result<AccountState, StoreError> {
///         // … and the states in its tables
/// #       let _ = user;
/// #       Ok(AccountState::ACTIVE)
///     }
///
///     fn changes(&self) -> Option<Changes> {
///         Some(self.listener.changes())
///     }
/// }
///
/// # async fn example() -> Result<(), tower_account_status::store::PostgresStoreError> {
/// let database = "postgres://homeserver@localhost/matrix";
/// let listener = PostgresChanges::listen(database, "account_status").await?;
/// let store = CachedStore::new(Homeserver { listener });
/// # drop(store);
/// # Ok(())
/// # }
/// ```
///
/// The feature `cache` has the [`CachedStore`](crate::CachedStore). A clone is the same listener.
/// Its two connections live on the tokio runtime that it was made on, and end with the last clone.
///
/// # What the server adds to its database
///
/// The payload of a notification is a full user id, or empty if any account may have changed. A trigger
/// sends it, whatever changes the table. Replace `users` with your table, `id` with its column of full
/// user ids, and `locked_at` and `suspended_at` with the columns that restrict an account:
///
/// ```sql
/// CREATE FUNCTION notify_account_status() RETURNS trigger LANGUAGE plpgsql AS $$
/// BEGIN
///     IF TG_OP = 'TRUNCATE' THEN
///         PERFORM pg_notify('account_status', '');
///         RETURN NULL;
///     END IF;
///     IF TG_OP IN ('UPDATE', 'DELETE') THEN
///         PERFORM pg_notify('account_status', OLD.id);
///     END IF;
///     IF TG_OP IN ('INSERT', 'UPDATE') THEN
///         PERFORM pg_notify('account_status', NEW.id);
///     END IF;
///     RETURN NULL;
/// END
/// $$;
/// CREATE TRIGGER notify_account_status
///     AFTER INSERT OR DELETE OR UPDATE OF id, locked_at, suspended_at ON users
///     FOR EACH ROW EXECUTE FUNCTION notify_account_status();
/// CREATE TRIGGER notify_account_status_all AFTER TRUNCATE ON users
///     FOR EACH STATEMENT EXECUTE FUNCTION notify_account_status();
/// ALTER TABLE users ENABLE ALWAYS TRIGGER notify_account_status;
/// ALTER TABLE users ENABLE ALWAYS TRIGGER notify_account_status_all;
/// ```
///
/// With `ENABLE ALWAYS` they also fire if logical replication makes the change. A server without
/// triggers must notify in the transaction that changes the state. A notification after the commit is
/// lost if the process dies in between. A notification from another connection before the commit is
/// heard too early.
///
/// ```sql
/// BEGIN;
/// UPDATE users SET locked_at = now() WHERE id = '@alice:example.org';
/// SELECT pg_notify('account_status', '@alice:example.org');
/// COMMIT;
/// ```
///
/// Channels belong to a database: listen in the one that has the table. `pg_notify` takes the name
/// as it is, and so does [`listen`](Self::listen); `NOTIFY Account_Status` without quotes folds it.
///
/// # What is believed
///
/// The listener is that of [`PostgresStore`](super::PostgresStore). Every 10 seconds another connection
/// sends a [proof](super::PostgresOptions::with_heartbeat), which is a notification. These changes are
/// believed for [20 seconds](super::PostgresOptions::with_trust_limit) after the last proof that arrived
/// was sent. Past that a waiting `/sync` asks for itself at least every 10 seconds. The listener
/// reconnects after a loss and then announces all accounts. Every
/// [60 seconds](super::PostgresOptions::with_reread_interval) the proofs move to a new connection, so
/// that the listener leaves a server to which new connections no longer lead.
///
/// A [`CachedStore`](crate::CachedStore) answers for its time to live, 60 seconds, even if nothing is
/// believed. A store of yours that answers from memory has to ask [`Changes::is_believed`] first.
///
/// The proof shows that notifications arrive. It does not show that your trigger fires. If somebody
/// disables the trigger, a cache is late by its time to live, and a waiting `/sync` is not ended.
#[derive(Clone)]
pub struct PostgresChanges(Arc<Listening>);

impl PostgresChanges {
    pub(super) fn new(listening: Listening) -> Self {
        Self(Arc::new(listening))
    }

    /// Return it from [`AccountStateStore::changes`](crate::AccountStateStore::changes). It announces as
    /// long as a clone of this `PostgresChanges` lives, so keep one in the store.
    #[must_use]
    pub fn changes(&self) -> Changes {
        self.0.heal();
        self.0.changes().clone()
    }

    /// Whether notifications arrive: whether the last [proof](super::PostgresOptions::with_heartbeat) is
    /// recent enough.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        self.0.heal();
        self.0.is_listening()
    }

    /// Why it does not listen: why its last session ended, or why it cannot connect. `None` while it
    /// listens, and where no session has ended, as on a runtime that stalls or was dropped. With the
    /// feature `tracing` a warning says the same, once a minute for each cause.
    #[must_use]
    pub fn listening_error(&self) -> Option<StoreError> {
        self.0.error()
    }

    /// Waits until [`is_listening`](Self::is_listening) is `listening`. A log line or an alarm can use it.
    pub async fn until_listening(&self, listening: bool) {
        self.0.heal();
        self.0.until_listening(listening).await;
    }
}

impl fmt::Debug for PostgresChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresChanges")
            .field("is_listening", &self.0.is_listening())
            .finish_non_exhaustive()
    }
}
