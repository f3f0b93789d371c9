//! Restrictions in PostgreSQL: for servers of many processes on many machines.

mod changes;
mod connection_string;
mod dial;
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
mod schema;
mod source;

use std::{fmt, sync::Arc};

pub use self::{changes::PostgresChanges, error::PostgresStoreError, options::PostgresOptions};
use self::{
    limits::{LIMIT, limited},
    listening::Listening,
    queries::Queries,
    schema::Schema,
};
use super::{
    ChangeRecord, RestrictionRecord, RestrictionStore, StoreError, restricted_set::RestrictedSet,
};
use crate::{
    account::{AccountState, RestrictionKind, UserId},
    changes::Changes,
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
/// needs `USAGE` on the schema, `SELECT` on both tables, and `INSERT`, `UPDATE` and `DELETE` on
/// `restrictions`.
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
        self.0.listening.is_listening()
    }

    /// Waits until [`is_listening`](Self::is_listening) says `listening`: for a log line or an
    /// alarm.
    pub async fn until_listening(&self, listening: bool) {
        self.0.listening.until_listening(listening).await;
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
        self.0.listening.changes().announce(user);
    }
}

impl RestrictionStore for PostgresStore {
    type Error = PostgresStoreError;

    async fn state_of(&self, user: &str) -> Result<AccountState, PostgresStoreError> {
        self.0.listening.heal();
        Ok(self.0.queries.state(user).await?)
    }

    async fn states_of(&self, users: &[UserId]) -> Vec<Result<AccountState, StoreError>> {
        self.0.listening.heal();
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
        _: &ChangeRecord,
    ) -> Result<bool, PostgresStoreError> {
        let lifted = self.0.queries.lift(user, kind).await?;
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

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("set_in_memory", &self.0.set.is_some())
            .field("is_listening", &self.is_listening())
            .finish_non_exhaustive()
    }
}
