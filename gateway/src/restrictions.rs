//! The database of restrictions: a SQLite file, or a PostgreSQL database.

use std::{path::Path, time::Duration};

use tower_account_status::{
    AccountState, Changes, RestrictionKind, RestrictionRecord, RestrictionStore, UserId,
    store::{
        AuditEntry, AuditLog, AuditQuery, ChangeRecord, PostgresOptions, PostgresStore,
        PostgresStoreError, SqliteOptions, SqliteStore, StoreError,
    },
};

use crate::{
    answer::{BoxError, context},
    metrics,
};

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
    /// Whether nothing is created.
    pub(crate) must_exist: bool,
}

/// What the command line names.
#[derive(Debug, PartialEq, Eq)]
enum Database<'a> {
    File(&'a str),
    /// A URL, or settings as in `host=… user=…`.
    Postgres(&'a str),
}

impl<'a> Database<'a> {
    /// Tells them apart as PostgreSQL's own programs do, and refuses what is neither: it may be a connection
    /// string with a mistake, which would become a file with a password in its name. No error shows it.
    fn named(database: &'a str) -> Result<Self, &'static str> {
        let (scheme, rest) = database.split_once(':').unwrap_or((database, ""));
        let is_postgres = ["postgres", "postgresql"]
            .iter()
            .any(|known| scheme.trim().eq_ignore_ascii_case(known));
        // A URL with a mistake, or one of another database.
        let is_like_url = (is_postgres && scheme != database)
            || (!scheme.contains('=') && (rest.starts_with("//") || rest.contains('@')));
        if database.starts_with("postgres://") || database.starts_with("postgresql://") {
            Ok(Self::Postgres(database))
        } else if database.starts_with('.') || Path::new(database).is_absolute() {
            Ok(Self::File(database))
        } else if is_like_url {
            Err(
                "--database is neither a file nor a postgres:// URL: expected a file as in ./NAME, \
                 postgres://USER:PASSWORD@HOST/NAME, or host=HOST dbname=NAME user=USER \
                 password=PASSWORD",
            )
        } else if database.contains('=') {
            Ok(Self::Postgres(database))
        } else {
            Ok(Self::File(database))
        }
    }
}

impl Restrictions {
    pub(crate) async fn open(database: &str, options: Options<'_>) -> Result<Self, BoxError> {
        match Database::named(database)? {
            Database::Postgres(settings) => {
                let store = connect(settings, options).await;
                // The settings may hold a password, so they are not named.
                let store = store.map_err(|error| context("cannot open the database", error))?;
                Ok(Self::Postgres(store))
            }
            Database::File(path) => {
                let mut opening = SqliteOptions::new();
                if let Some(age) = options.audit_retention {
                    opening = opening.with_audit_retention(age);
                }
                if options.must_exist {
                    opening = opening.with_existing_tables_only();
                }
                // The error names the file.
                Ok(Self::Sqlite(opening.open(path).await?))
            }
        }
    }
}

async fn connect(
    settings: &str,
    options: Options<'_>,
) -> Result<PostgresStore, PostgresStoreError> {
    let mut connecting = PostgresOptions::new(settings)?;
    if let Some(schema) = options.schema {
        connecting = connecting.with_schema(schema);
    }
    if let Some(age) = options.audit_retention {
        connecting = connecting.with_audit_retention(age);
    }
    if options.must_exist {
        connecting = connecting.with_existing_tables_only();
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

#[cfg(test)]
mod tests {
    use super::Database;

    #[test]
    fn rule_15_what_may_be_a_connection_string_is_no_file() {
        for string in [
            "postgres://u:pw@h/d",
            "postgresql:///d?host=/run/postgresql",
            "host=h password=hunTer2",
            " host = h password = hunTer2",
            "password='x y' dbname=d",
            "password=a:b@c host=h",
            "host=h options='-c a=b://c:d'",
        ] {
            assert_eq!(Database::named(string), Ok(Database::Postgres(string)));
        }
        for file in [
            "gateway.sqlite",
            "postgres",
            "postgres.db",
            "a/b:c.db",
            "/var/lib/a=b:c@d.db",
            "./postgres:x",
            "../host=h",
        ] {
            assert_eq!(Database::named(file), Ok(Database::File(file)));
        }
        for neither in [
            "postgres:/u:hunTer2@h/d",
            "postgres:u:hunTer2@h/d",
            "postgresql:d?password=hunTer2",
            "POSTGRES://u:hunTer2@h/d",
            " postgres://u:hunTer2@h/d",
            "postgers://u:hunTer2@h/d",
            "u:hunTer2@h/d",
            "h:5432/d@u",
        ] {
            let error = Database::named(neither).unwrap_err();
            assert!(!error.contains("hunTer2"), "{neither}: {error}");
        }
    }
}
