//! Restrictions in PostgreSQL, which many processes on many machines can share.

mod audit;
mod audit_schema;
mod changes;
mod connection;
mod connection_string;
mod dial;
mod dials;
mod error;
mod limits;
mod line;
mod listener;
mod listening;
mod micros;
mod options;
mod pool;
mod queries;
mod race;
mod refusal;
mod schema;
mod source;

use std::{fmt, sync::Arc, time::Duration};

use self::{
    audit::Audit,
    dial::EndOnDrop,
    limits::{LIMIT, limited},
    listening::Listening,
    queries::Queries,
    schema::Schema,
};
pub use self::{changes::PostgresChanges, error::PostgresStoreError, options::PostgresOptions};
use super::{
    AuditEntry, AuditLog, AuditQuery, ChangeRecord, RestrictionRecord, RestrictionStore,
    StoreError, restricted_set::RestrictedSet,
};
use crate::{
    account::{AccountState, RestrictionKind, UserId},
    changes::Changes,
    locks::{Mutex, lock},
};

/// Restrictions in PostgreSQL (15 or later), which any number of processes share.
///
/// ```no_run
/// # async fn example() -> Result<(), tower_account_status::store::PostgresStoreError> {
/// use tower_account_status::{Combined, store::PostgresStore};
///
/// let restrictions = PostgresStore::connect("postgres://homeserver@localhost/matrix").await?;
/// // `Homeserver` is your `AccountStateStore`, which finds the owner of a credential.
/// let store = Combined::new(Homeserver, restrictions.clone());
/// # struct Homeserver;
/// # impl tower_account_status::AccountStateStore for Homeserver {
/// #     async fn access_token(&self, _: &str) -> tower_account_status::store::Answer { Ok(None) }
/// #     tower_account_status::without! {
/// #         application_service, login_name, third_party, login_token, refresh_token, event_sender, state, changes
/// #     }
/// # }
/// # drop(store);
/// # Ok(())
/// # }
/// ```
///
/// A clone is the same store. Its connections belong to the tokio runtime on which it was connected,
/// and end with the last clone. Cancelling a look-up at any point affects no other one. A look-up
/// whose connection was closed by the server is tried once more on another connection.
///
/// # The tables
///
/// They are in [a schema of their own](PostgresOptions::with_schema). The first process that connects
/// creates and migrates them. A schema that a newer version of this crate has migrated is refused
/// with an error that says so. If the server's role may not create tables, run
/// [`migration_sql`](Self::migration_sql) by hand; connecting then changes nothing. The role
/// needs `USAGE` on the schema, `SELECT` on all tables, and `INSERT`, `UPDATE` and `DELETE` on
/// `restrictions`. It need not write the log of changes, `audit`, because the triggers write it as
/// the owner of the tables. To delete old entries
/// ([a setting](PostgresOptions::with_audit_retention)) it needs `DELETE` there.
///
/// # How a change reaches every process
///
/// Triggers send `NOTIFY` in the transaction of every change, also of a change by another process or
/// by a person with psql. Each store has a connection that listens. It
/// [announces](RestrictionStore::restriction_changes) what it hears, usually within a millisecond of
/// the commit.
///
/// Notifications can be lost while that connection is down, or if something between accepts the
/// subscription and delivers nothing. So each store sends itself
/// [a notification](PostgresOptions::with_heartbeat) at an interval, on another connection. It
/// believes what it holds in memory only while the last one that has arrived is
/// [recent](PostgresOptions::with_trust_limit), by default 20 seconds. Each reader of the set
/// compares its age with the clock, so that the bound holds even if the runtime that listens hangs
/// or has been dropped.
///
/// After a loss the store reconnects, first after 0.1 seconds and then at intervals that grow to 10
/// seconds. Once it listens, it announces all accounts: nothing from before the gap is trusted, and
/// a waiting request ends if its account was restricted meanwhile. If the runtime has been dropped,
/// the next look-up listens on its own runtime. Until then ([`is_listening`](Self::is_listening)) a
/// cache in front of this store bounds how old an answer can be. Without a cache every look-up asks
/// the database.
///
/// The triggers also fire if logical replication changes the table. Rows that change without a
/// trigger, because somebody disabled it or replaced the table, are found when the set is
/// [read again](PostgresOptions::with_reread_interval), every 60 seconds.
///
/// `LISTEN` and prepared statements do not work through a pooler that shares connections by
/// transaction, and connecting through one fails. Connect to the database itself, and to the
/// primary.
#[derive(Clone)]
pub struct PostgresStore(Arc<Inner>);

struct Inner {
    queries: Arc<Queries>,
    audit: Arc<Audit>,
    /// Deletes old entries of the log, if a retention was set.
    pruning: Option<(Duration, Mutex<EndOnDrop>)>,
    set: Option<Arc<RestrictedSet>>,
    listening: Listening,
}

impl PostgresStore {
    /// Connects with the default [options](PostgresOptions).
    ///
    /// # Errors
    ///
    /// As [`PostgresOptions::new`] and [`PostgresOptions::connect`].
    pub async fn connect(connection_string: &str) -> Result<Self, PostgresStoreError> {
        PostgresOptions::new(connection_string)?.connect().await
    }

    /// The SQL that [connecting](PostgresOptions::connect) runs to create the tables in `schema` or to bring
    /// them up to date. You can run it yourself. It is one transaction, and may be run again.
    ///
    /// # Errors
    ///
    /// If the schema's name is empty, longer than 48 bytes, or holds U+0000.
    pub fn migration_sql(schema: &str) -> Result<String, PostgresStoreError> {
        Ok(Schema::new(schema)?.migration_sql())
    }

    /// Whether the changes of other processes arrive: whether the last
    /// [proof](PostgresOptions::with_heartbeat) is recent enough.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        self.0.listening.is_listening()
    }

    /// Why the store does not listen: why its last session ended, or why it cannot connect. `None` while it
    /// listens, and where no session has ended, as on a runtime that stalls or was dropped. With the
    /// feature `tracing` a warning says the same, once a minute for each cause.
    #[must_use]
    pub fn listening_error(&self) -> Option<StoreError> {
        self.0.listening.error()
    }

    /// Waits until [`is_listening`](Self::is_listening) is `listening`. A log line or an alarm can use it.
    pub async fn until_listening(&self, listening: bool) {
        self.0.listening.until_listening(listening).await;
    }

    /// What must be done before a change is acknowledged.
    async fn changed(&self, user: &UserId) {
        if let Some(set) = &self.0.set {
            let ticket = set.unsettle(user);
            let state = limited("reading the new state", LIMIT, self.0.queries.state(user));
            // On an error the database is asked for this account until its notification arrives.
            if let Ok(state) = state.await {
                set.settle(user, ticket, state);
            }
        }
        self.0.listening.changes().announce(user);
    }

    /// Listens and deletes old entries again on this runtime, if there is one and if the runtime that did so
    /// has ended.
    fn heal(&self) {
        if !self.0.listening.heal() {
            return;
        }
        if let Some((retention, pruning)) = &self.0.pruning {
            let mut pruning = lock(pruning);
            if pruning.is_finished() {
                *pruning = self.0.audit.keep_for(*retention);
            }
        }
    }
}

impl RestrictionStore for PostgresStore {
    type Error = PostgresStoreError;

    async fn state_of(&self, user: &str) -> Result<AccountState, PostgresStoreError> {
        self.heal();
        Ok(self.0.queries.state(user).await?)
    }

    async fn states_of(&self, users: &[UserId]) -> Vec<Result<AccountState, StoreError>> {
        self.heal();
        match self.0.queries.states(users).await {
            Ok(states) => states,
            Err(cause) => {
                let error = StoreError::from(PostgresStoreError::from(cause));
                users.iter().map(|_| Err(error.clone())).collect()
            }
        }
    }

    async fn set_restriction(
        &self,
        user: &UserId,
        record: RestrictionRecord,
    ) -> Result<(), PostgresStoreError> {
        self.0.queries.restrict(user, &record).await?;
        self.changed(user).await;
        Ok(())
    }

    async fn lift_restriction(
        &self,
        user: &UserId,
        kind: RestrictionKind,
        change: &ChangeRecord,
    ) -> Result<bool, PostgresStoreError> {
        let lifted = self.0.queries.lift(user, kind, change).await?;
        if lifted {
            self.changed(user).await;
        }
        Ok(lifted)
    }

    async fn record(
        &self,
        user: &UserId,
        kind: RestrictionKind,
    ) -> Result<Option<RestrictionRecord>, PostgresStoreError> {
        Ok(self.0.queries.record(user, kind).await?)
    }

    async fn restricted(
        &self,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<(UserId, Vec<RestrictionRecord>)>, PostgresStoreError> {
        Ok(self.0.queries.restricted(after, limit).await?)
    }

    fn peek_state_of(&self, user: &str) -> Option<AccountState> {
        self.0.set.as_ref()?.peek(user)
    }

    fn restriction_changes(&self) -> Option<Changes> {
        Some(self.0.listening.changes().clone())
    }
}

impl AuditLog for PostgresStore {
    type Error = PostgresStoreError;

    async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, PostgresStoreError> {
        Ok(self.0.audit.entries(query).await?)
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("set_in_memory", &self.0.set.is_some())
            .field("is_listening", &self.is_listening())
            .finish_non_exhaustive()
    }
}
