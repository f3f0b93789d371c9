//! The database of restrictions: a SQLite file, or a PostgreSQL database.

use std::time::Duration;

use tower_account_status::{
    AccountState, Changes, RestrictionKind, RestrictionRecord, RestrictionStore, UserId,
    store::{
        AuditEntry, AuditLog, AuditQuery, ChangeRecord, PostgresOptions, PostgresStore,
        PostgresStoreError, SqliteOptions, SqliteStore, StoreError,
    },
};

use crate::{answer::BoxError, metrics};

type Accounts = Vec<(UserId, Vec<RestrictionRecord>)>;

/// The store that the command line names.
pub(crate) enum Restrictions {
    Sqlite(SqliteStore),
    Postgres(PostgresStore),
}

/// How the database is opened.
#[derive(Clone, Copy, Default)]
pub(crate) struct Options<'a> {
    /// The schema of the tables in PostgreSQL, if it is not the default.
    pub(crate) schema: Option<&'a str>,
    /// How long the log of changes is kept, if not for ever.
    pub(crate) audit_retention: Option<Duration>,
}

impl Restrictions {
    pub(crate) async fn open(database: &str, options: Options<'_>) -> Result<Self, BoxError> {
        let is_url = |scheme| database.starts_with(scheme);
        if is_url("postgres://") || is_url("postgresql://") {
            // The URL may hold a password.
            let store = connect(database, options).await;
            let store = store.map_err(|error| format!("cannot open the database: {error}"))?;
            return Ok(Self::Postgres(store));
        }
        if database.contains("://") {
            // The error does not name it, because it may hold a password.
            return Err("--database is neither a file nor a postgres:// URL".into());
        }
        let mut opening = SqliteOptions::new();
        if let Some(age) = options.audit_retention {
            opening = opening.with_audit_retention(age);
        }
        let store = opening.open(database).await;
        let store = store.map_err(|error| format!("cannot open {database}: {error}"))?;
        Ok(Self::Sqlite(store))
    }
}

async fn connect(url: &str, options: Options<'_>) -> Result<PostgresStore, PostgresStoreError> {
    let mut connecting = PostgresOptions::new(url)?;
    if let Some(schema) = options.schema {
        connecting = connecting.with_schema(schema);
    }
    if let Some(age) = options.audit_retention {
        connecting = connecting.with_audit_retention(age);
    }
    connecting.connect().await
}

/// Counts a failure of the database.
fn failed<E: Into<StoreError>>(error: E) -> StoreError {
    metrics::failed_restrictions();
    error.into()
}

macro_rules! either {
    ($store:expr, $inner:ident => $call:expr) => {
        match $store {
            Restrictions::Sqlite($inner) => $call.map_err(failed),
            Restrictions::Postgres($inner) => $call.map_err(failed),
        }
    };
}

impl AuditLog for Restrictions {
    type Error = StoreError;

    async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
        either!(self, store => store.audit(query).await)
    }
}

impl RestrictionStore for Restrictions {
    type Error = StoreError;

    async fn state_of(&self, user: &str) -> Result<AccountState, StoreError> {
        either!(self, store => store.state_of(user).await)
    }

    async fn states_of(&self, users: &[UserId]) -> Vec<Result<AccountState, StoreError>> {
        let states = match self {
            Self::Sqlite(store) => store.states_of(users).await,
            Self::Postgres(store) => store.states_of(users).await,
        };
        let count_failure = |state: Result<AccountState, StoreError>| state.map_err(failed);
        states.into_iter().map(count_failure).collect()
    }

    async fn set_restriction(
        &self,
        user: &UserId,
        record: RestrictionRecord,
    ) -> Result<(), StoreError> {
        either!(self, store => store.set_restriction(user, record).await)
    }

    async fn lift_restriction(
        &self,
        user: &UserId,
        kind: RestrictionKind,
        change: &ChangeRecord,
    ) -> Result<bool, StoreError> {
        either!(self, store => store.lift_restriction(user, kind, change).await)
    }

    async fn record(
        &self,
        user: &UserId,
        kind: RestrictionKind,
    ) -> Result<Option<RestrictionRecord>, StoreError> {
        either!(self, store => store.record(user, kind).await)
    }

    async fn restricted(
        &self,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Accounts, StoreError> {
        either!(self, store => store.restricted(after, limit).await)
    }

    fn restriction_changes(&self) -> Option<Changes> {
        match self {
            Self::Sqlite(store) => store.restriction_changes(),
            Self::Postgres(store) => store.restriction_changes(),
        }
    }
}
