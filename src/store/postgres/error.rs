use std::{error::Error, fmt, time::Duration};

use deadpool_postgres::{BuildError, PoolError};

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
    ConnectionString(tokio_postgres::Error),
    SchemaName(String),
    Postgres(tokio_postgres::Error),
    Pool(PoolError),
    BuildPool(BuildError),
    Encoding(String),
    NewerSchema { found: i32, known: i32 },
    NoSchema,
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

impl fmt::Display for PostgresStoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Cause::ConnectionString(_) => f.write_str("the connection string cannot be read"),
            Cause::SchemaName(name) => write!(
                f,
                "{name:?} cannot be the schema's name: it has to have 1 to {} bytes and no U+0000",
                super::schema::Schema::MAX_LEN
            ),
            Cause::Postgres(_) => f.write_str("PostgreSQL failed"),
            Cause::Pool(_) => f.write_str("no connection to PostgreSQL was to be had"),
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
            Cause::ConnectionString(error) | Cause::Postgres(error) => Some(error),
            Cause::Pool(error) => Some(error),
            Cause::BuildPool(error) => Some(error),
            _ => None,
        }
    }
}
