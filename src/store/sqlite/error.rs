use std::{error::Error, fmt, io};

use crate::store::stored::UnknownKind;

/// Why a [`SqliteStore`](super::SqliteStore) could not be opened, asked or changed.
///
/// Holds no user id, reason or credential.
#[derive(Debug)]
pub struct SqliteStoreError(Box<Cause>);

/// What the module's own functions fail with. Converting a driver's error into the public one would
/// make the driver's type a part of the public API.
#[derive(Debug)]
pub(super) enum Cause {
    Sqlite(rusqlite::Error),
    NewerSchema { found: i64, known: usize },
    NotOurs,
    NoWal { mode: String },
    UnknownKind(String),
    Thread(io::Error),
    Stopped,
}

impl From<Cause> for SqliteStoreError {
    fn from(cause: Cause) -> Self {
        Self(Box::new(cause))
    }
}

impl From<rusqlite::Error> for Cause {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<UnknownKind> for Cause {
    fn from(UnknownKind(kind): UnknownKind) -> Self {
        Self::UnknownKind(kind)
    }
}

impl Cause {
    pub(super) fn is_busy(&self) -> bool {
        match self {
            Self::Sqlite(error) => matches!(
                error.sqlite_error_code(),
                Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked)
            ),
            _ => false,
        }
    }
}

impl fmt::Display for SqliteStoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Cause::Sqlite(_) => f.write_str("SQLite failed"),
            Cause::NewerSchema { found, known } => write!(
                f,
                "the file's schema is version {found} and this program knows versions up to \
                 {known}: it was opened by a newer version of tower-account-status, which is \
                 needed to open it again"
            ),
            Cause::NotOurs => f.write_str(
                "the file is another program's database: restrictions need a file of their own",
            ),
            Cause::NoWal { mode } => write!(
                f,
                "the file cannot be used with a write-ahead log (its journal mode stays \
                 {mode:?}): is it on a network file system?"
            ),
            Cause::UnknownKind(kind) => {
                write!(f, "the file holds a restriction of unknown kind {kind:?}")
            }
            Cause::Thread(_) => f.write_str("a thread for the database could not be started"),
            Cause::Stopped => f.write_str("the database's thread has stopped"),
        }
    }
}

impl Error for SqliteStoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &*self.0 {
            Cause::Sqlite(error) => Some(error),
            Cause::Thread(error) => Some(error),
            _ => None,
        }
    }
}
