use std::{error::Error, fmt, io, path::PathBuf};

use rusqlite::ErrorCode;

use crate::store::unknown_kind::UnknownKind;

/// The error of a [`SqliteStore`](super::SqliteStore) that cannot be opened, asked or changed.
///
/// It holds no user id, reason or credential.
#[derive(Debug)]
pub struct SqliteStoreError(pub(super) Box<Cause>);

/// The error of the module's own functions. Converting a driver's error into the public one would
/// make the driver's type a part of the public API.
#[derive(Debug)]
pub(super) enum Cause {
    Sqlite(rusqlite::Error),
    Open {
        path: PathBuf,
        cause: Box<Cause>,
    },
    NoFile(PathBuf),
    FileReplaced,
    OtherNames,
    NoTables,
    /// A change that may have been made.
    NotKnown(Box<Cause>),
    NewerSchema {
        found: i64,
        known: usize,
    },
    NotOurs,
    NoWal {
        mode: String,
    },
    UnknownKind(String),
    Thread(io::Error),
    Stopped,
    NobodyWaits,
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
    /// The error of a change that may have been made.
    pub(super) fn not_known(self) -> Self {
        Self::NotKnown(Box::new(self))
    }

    pub(super) fn is_busy(&self) -> bool {
        match self {
            Self::Sqlite(error) => matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
            ),
            _ => false,
        }
    }
}

/// What to do about a failure of SQLite.
fn advice(error: &rusqlite::Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(ErrorCode::CannotOpen) => {
            "SQLite cannot open the file: does its folder exist, and may this process write there?"
        }
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            "the file is no SQLite database, or it is damaged"
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another process is writing to the file and does not end"
        }
        Some(ErrorCode::DiskFull) => "the disk is full",
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            "this process may not write to the file or its folder"
        }
        Some(ErrorCode::SystemIoFailure) => "the operating system could not read or write the file",
        Some(ErrorCode::ConstraintViolation) => {
            "the table's constraints do not allow that: is the user id empty?"
        }
        _ => "SQLite failed",
    }
}

impl fmt::Display for SqliteStoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Sqlite(error) => f.write_str(advice(error)),
            Cause::Open { path, cause } => write!(f, "cannot open {}: {cause}", path.display()),
            Cause::NoFile(path) => write!(
                f,
                "{path:?} is not the path of a file: use `open_in_memory` for a database without a \
                 file"
            ),
            Cause::FileReplaced => f.write_str(
                "the path no longer leads to the database file that was opened: put that file back, \
                 or call `SqliteStore::reopen` to use what is there now",
            ),
            Cause::NoTables => f.write_str(
                "there is no database of restrictions: correct the path, or start the server first, \
                 which creates it",
            ),
            Cause::NotKnown(cause) => {
                write!(f, "it is not known whether the change was made: {cause}")
            }
            Cause::OtherNames => f.write_str(
                "the file has several hard links, or it is mounted without its folder, and SQLite \
                 would keep a log of changes for each of its names: remove the other links, or \
                 mount the folder",
            ),
            Cause::NewerSchema { found, known } => write!(
                f,
                "the file's schema is version {found} and this program knows versions up to \
                 {known}: it was opened by a newer version of tower-account-status, which is \
                 needed to open it again"
            ),
            Cause::NotOurs => f.write_str(
                "the file is another program's database: give the restrictions a file of their own",
            ),
            Cause::NoWal { mode } => write!(
                f,
                "the file cannot be used with a write-ahead log (its journal mode stays \
                 {mode:?}): is it on a network file system?"
            ),
            Cause::UnknownKind(kind) => {
                write!(f, "the file has a restriction of the unknown kind {kind:?}: delete it, or run the version that knows it")
            }
            Cause::Thread(_) => f.write_str("the system could not start a thread for the database"),
            Cause::NobodyWaits => f.write_str("the change was not made, because nobody waited for it any longer"),
            Cause::Stopped => f.write_str("the database's thread has stopped"),
        }
    }
}

impl Error for SqliteStoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Cause::Open { cause, .. } | Cause::NotKnown(cause) => cause.source(),
            Cause::Sqlite(error) => Some(error),
            Cause::Thread(error) => Some(error),
            _ => None,
        }
    }
}
