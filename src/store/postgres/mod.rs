//! Restrictions in PostgreSQL: for servers of many processes on many machines.

mod audit;
mod audit_schema;
mod connection_string;
mod dial;
mod error;
mod limits;
mod line;
mod listener;
mod micros;
mod options;
mod pool;
mod queries;
mod race;
mod schema;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::watch, time::timeout};

use self::{
    audit::Audit,
    dial::EndOnDrop,
    limits::{LIMIT, limited},
    listener::Feed,
    queries::Queries,
    schema::Schema,
};
pub use self::{error::PostgresStoreError, options::PostgresOptions};
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
/// // `Homeserver` is your `AccountStateStore`, which says whose a credential is.
/// let store = Combined::new(Homeserver, restrictions.clone());
/// # struct Homeserver;
/// # impl tower_account_status::AccountStateStore for Homeserver {
/// #     async fn access_token(&self, _: &str) -> tower_account_status::store::Answer { Ok(None) }
/// #     tower_account_status::without! {
/// #         application_service, login_name, third_party, login_token, refresh_token, state, changes
/// #     }
/// # }
/// # drop(store);
/// # Ok(())
/// # }
/// ```
///
/// A clone is the same store. Its connections live on the tokio runtime that it was connected on,
/// and end with the last clone. Cancelling a look-up at any point harms no other; a look-up that
/// finds its connection closed by the server is made once more on another.
///
/// # The tables
///
/// They are in [a schema of their own](PostgresOptions::with_schema) and are made, and brought
/// up to date, by the first process that connects; a schema that a newer version of this crate has
/// migrated is refused with an error that says so. Where the server's role may not make tables,
/// run [`migration_sql`](Self::migration_sql) by hand: connecting then changes nothing. The role
/// needs `USAGE` on the schema, `SELECT` on all tables, and `INSERT`, `UPDATE` and `DELETE` on
/// `restrictions`. The log of changes, `audit`, it need not write: the triggers do, as the owner of
/// the tables. To delete old entries ([a setting](PostgresOptions::with_audit_retention)) it needs
/// `DELETE` there.
///
/// # How a change reaches every process
///
/// Triggers notify with `NOTIFY`, in the transaction of the change, whoever makes it: another
/// process, or a person with psql. Each store has a connection that listens, and
/// [announces](RestrictionStore::restriction_changes) what it hears, usually within a millisecond of the
/// commit.
///
/// News may be lost while that connection is down, or where something in between takes the
/// subscription and delivers nothing. So each store sends [a notification](PostgresOptions::with_heartbeat)
/// on another connection at an interval, and believes what it holds in memory only as long as the
/// last one that has arrived is [young enough](PostgresOptions::with_trust_limit), 20 seconds;
/// whoever reads the set compares the clock, so that this holds although the runtime that listens
/// hangs or has been dropped. The connection is made again, after 0.1 seconds and then at
/// intervals that grow to 10, and everything is announced once it listens, so that nothing from
/// before the gap is trusted, and a request that waits is ended then if its account was restricted
/// in between. Where the runtime has been dropped, the next look-up listens on its own.
///
/// Until then ([`is_listening`](Self::is_listening)), a cache in front of this store bounds by its
/// own time limit how old an answer can be; without a cache every look-up asks the database and
/// none is old.
///
/// The triggers fire also where logical replication changes the table. Rows that change without
/// any trigger, because somebody disabled it or replaced the table, are found when the set is
/// [read anew](PostgresOptions::with_reread_interval), every 60 seconds.
///
/// Neither `LISTEN` nor prepared statements pass a pooler that shares connections by the
/// transaction, and connecting through one fails: connect to the database itself, and to the
/// primary.
#[derive(Clone)]
pub struct PostgresStore(Arc<Inner>);

struct Inner {
    queries: Arc<Queries>,
    audit: Arc<Audit>,
    /// Deletes old entries of the log, where a retention was set.
    pruning: Option<(Duration, Mutex<EndOnDrop>)>,
    set: Option<Arc<RestrictedSet>>,
    changes: Changes,
    is_listening: watch::Receiver<bool>,
    feed: Arc<Feed>,
    listener: Mutex<EndOnDrop>,
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

    /// What [connecting](PostgresOptions::connect) would run to make the tables in `schema`, or to
    /// bring them up to date, for those who run it themselves. It is one transaction, and may be
    /// run again.
    ///
    /// # Errors
    ///
    /// If the schema's name is empty, longer than 48 bytes, or holds U+0000.
    pub fn migration_sql(schema: &str) -> Result<String, PostgresStoreError> {
        Ok(Schema::new(schema)?.migration_sql())
    }

    /// Whether other processes' changes are being heard of: whether the last
    /// [proof](PostgresOptions::with_heartbeat) of that is young enough.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        *self.0.is_listening.borrow() && self.0.changes.is_believed()
    }

    /// Waits until [`is_listening`](Self::is_listening) says `listening`: for a log line or an
    /// alarm.
    pub async fn until_listening(&self, listening: bool) {
        let mut is_listening = self.0.is_listening.clone();
        while self.is_listening() != listening {
            // A proof grows old without a word, and a young one says nothing either.
            let now = Instant::now();
            let until = self.0.changes.believed_until();
            let left = until.map_or(Duration::MAX, |until| until.saturating_duration_since(now));
            let wait = left.clamp(Duration::from_millis(10), Duration::from_secs(1));
            // The sender lives as long as this store.
            let _ = timeout(wait, is_listening.changed()).await;
        }
    }

    /// What has to be true before a change is acknowledged.
    async fn changed(&self, user: &UserId) {
        if let Some(set) = &self.0.set {
            let ticket = set.unsettle(user);
            let state = limited("reading the new state", LIMIT, self.0.queries.state(user));
            // Else the account is asked for until its notification has come.
            if let Ok(state) = state.await {
                set.settle(user, ticket, state);
            }
        }
        self.0.changes.announce(user);
    }

    /// Listens again where the runtime has ended that did: on this one.
    fn heal(&self) {
        if *self.0.is_listening.borrow() {
            return;
        }
        let mut listener = lock(&self.0.listener);
        if listener.is_finished() {
            *listener = self.0.feed.restart();
        }
        drop(listener);
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
        Some(self.0.changes.clone())
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
