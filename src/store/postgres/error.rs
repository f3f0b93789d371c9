use std::{error::Error, fmt, time::Duration};

use deadpool_postgres::{BuildError, PoolError};
use tokio_postgres::error::SqlState;

use crate::store::stored::UnknownKind;

/// Why a [`PostgresStore`](super::PostgresStore) could not be connected, asked or changed.
///
/// Holds no password, user id or reason of the store's own; what PostgreSQL says is its source.
#[derive(Debug)]
pub struct PostgresStoreError(Box<Cause>);

/// What the module's own functions fail with. Converting a driver's error into the public one would
/// make the driver's type a part of the public API.
#[derive(Debug)]
pub(super) enum Cause {
    /// In words of our own: the driver's may hold a piece of a password.
    ConnectionString(String),
    SchemaName(String),
    Postgres(tokio_postgres::Error),
    Connect(tokio_postgres::Error),
    Pool(PoolError),
    BuildPool(BuildError),
    Encoding(String),
    NewerSchema {
        found: i32,
        known: i32,
    },
    NoSchema,
    NoTriggers,
    Panicked,
    Nul,
    UnknownKind(String),
    Timeout(&'static str, Duration),
    NoNotifications(Duration),
    ConnectionLost,
}

impl From<Cause> for PostgresStoreError {
    fn from(cause: Cause) -> Self {
        Self(Box::new(cause))
    }
}

impl From<tokio_postgres::Error> for Cause {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(error)
    }
}

impl From<PoolError> for Cause {
    fn from(error: PoolError) -> Self {
        Self::Pool(error)
    }
}

impl From<UnknownKind> for Cause {
    fn from(UnknownKind(kind): UnknownKind) -> Self {
        Self::UnknownKind(kind)
    }
}

/// What can be done about a failure of the server, where it says enough.
fn advice(error: &tokio_postgres::Error) -> Option<&'static str> {
    let state = error.code()?;
    let advice = match state {
        &SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            "PostgreSQL refuses the user or the password of the connection string"
        }
        &SqlState::INVALID_CATALOG_NAME => {
            "the database of the connection string does not exist: create it first"
        }
        &SqlState::INSUFFICIENT_PRIVILEGE => {
            "the role may not do that: run `PostgresStore::migration_sql` as another, and grant \
             what the documentation of `PostgresStore` lists"
        }
        &SqlState::TOO_MANY_CONNECTIONS => "PostgreSQL has no connection left",
        &SqlState::INVALID_SQL_STATEMENT_NAME | &SqlState::DUPLICATE_PSTATEMENT => {
            "a pooler in between shares connections by the transaction: connect to the database \
             itself"
        }
        &SqlState::DISK_FULL => "the disk of PostgreSQL is full",
        &SqlState::UNDEFINED_TABLE
        | &SqlState::INVALID_SCHEMA_NAME
        | &SqlState::UNDEFINED_COLUMN => {
            "the table of restrictions is missing or not what it was: was it renamed?"
        }
        &SqlState::READ_ONLY_SQL_TRANSACTION => "the server is a standby, or read-only",
        &SqlState::CHECK_VIOLATION => {
            "the table's constraints do not allow that: is the user id empty?"
        }
        &SqlState::ADMIN_SHUTDOWN | &SqlState::CRASH_SHUTDOWN | &SqlState::CANNOT_CONNECT_NOW => {
            "PostgreSQL is starting or stopping"
        }
        _ => return None,
    };
    Some(advice)
}

impl fmt::Display for PostgresStoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Cause::ConnectionString(error) => f.write_str(error),
            Cause::SchemaName(name) => write!(
                f,
                "{name:?} cannot be the schema's name: it has to have 1 to {} bytes and no U+0000",
                super::schema::Schema::MAX_LEN
            ),
            Cause::Postgres(error) => f.write_str(advice(error).unwrap_or("PostgreSQL failed")),
            Cause::Connect(error) | Cause::Pool(PoolError::Backend(error)) => {
                f.write_str(advice(error).unwrap_or(
                    "PostgreSQL cannot be reached: does it run, and do the host and port of the \
                     connection string lead to it?",
                ))
            }
            Cause::Pool(PoolError::Timeout(_)) => f.write_str(
                "PostgreSQL gave no connection in time: all are in use, or the server hangs",
            ),
            Cause::Pool(_) => f.write_str("the connection pool gave no connection"),
            Cause::BuildPool(_) => f.write_str("the connection pool could not be made"),
            Cause::Encoding(encoding) => write!(
                f,
                "the database's encoding is {encoding}, and user ids and reasons need UTF8"
            ),
            Cause::NewerSchema { found, known } => write!(
                f,
                "the schema is version {found} and this program knows versions up to {known}: it \
                 was migrated by a newer version of tower-account-status, which is needed to use it"
            ),
            Cause::NoSchema => f.write_str("the schema is missing although it was just migrated"),
            Cause::NoTriggers => f.write_str(
                "the triggers that announce changes are missing or disabled: they are made by \
                 `PostgresStore::migration_sql`",
            ),
            Cause::Panicked => f.write_str("a task of the store panicked"),
            Cause::Nul => f.write_str("PostgreSQL cannot store U+0000 in a user id or a reason"),
            Cause::UnknownKind(kind) => {
                write!(f, "the table holds a restriction of unknown kind {kind:?}")
            }
            Cause::Timeout(what, limit) => {
                write!(f, "{what} took PostgreSQL longer than {limit:?}")
            }
            Cause::NoNotifications(limit) => write!(
                f,
                "a notification did not arrive within {limit:?}: is there a pooler in between \
                 that shares connections by the transaction?"
            ),
            Cause::ConnectionLost => f.write_str("the connection to PostgreSQL was lost"),
        }
    }
}

impl Error for PostgresStoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &*self.0 {
            Cause::Postgres(error) | Cause::Connect(error) => Some(error),
            Cause::Pool(error) => Some(error),
            Cause::BuildPool(error) => Some(error),
            _ => None,
        }
    }
}
