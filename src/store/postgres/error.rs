use std::{error::Error, fmt, time::Duration};

use tokio_postgres::error::{DbError, Severity, SqlState};

use super::refusal::Refusal;
use crate::store::{causes::chain, unknown_kind::UnknownKind};

/// The error of a [`PostgresStore`](super::PostgresStore) that cannot be connected, asked or changed, or of
/// [`PostgresChanges`](super::PostgresChanges) that cannot be connected.
///
/// The store puts no piece of the connection string, user id or reason into it. Its source is the error of
/// PostgreSQL. If a server refuses a connection, its text has `…` instead of the connection string's names.
#[derive(Debug)]
pub struct PostgresStoreError(Box<Cause>);

/// The error of the module's own functions. Converting a driver's error into the public one would
/// make the driver's type a part of the public API.
#[derive(Debug)]
pub(super) enum Cause {
    /// In our own words, because the driver's text may hold a piece of a password.
    ConnectionString(String),
    Name {
        what: &'static str,
        name: String,
        longest: usize,
    },
    Postgres(tokio_postgres::Error),
    /// No server has answered.
    Connect(tokio_postgres::Error),
    Refused(Refusal),
    /// Each in another way, in the order in which they were tried.
    Hosts(Vec<Cause>),
    HostSilent(Duration),
    NoPlace(Duration),
    NotKnown(Box<Cause>),
    Encoding(String),
    NewerSchema {
        found: i32,
        known: i32,
    },
    NoSchema,
    /// In the schema of this name, where none may be made.
    NoTables(String),
    NoTriggers,
    NotOrdinary,
    NotStored,
    Panicked,
    Nul,
    UnknownKind(String),
    Timeout(&'static str, Duration),
    NoNotifications(Duration),
    ConnectionLost,
}

impl Cause {
    /// Why no host of several can be connected to.
    pub(super) fn of_hosts(mut failed: Vec<Self>) -> Self {
        let texts: Vec<String> = failed.iter().map(|cause| chain(cause)).collect();
        if texts.windows(2).any(|two| two[0] != two[1]) {
            return Self::Hosts(failed);
        }
        failed.pop().unwrap_or(Self::ConnectionLost)
    }
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

impl From<UnknownKind> for Cause {
    fn from(UnknownKind(kind): UnknownKind) -> Self {
        Self::UnknownKind(kind)
    }
}

/// What an error of the driver says about its connection.
pub(super) trait Fault {
    /// Whether the answer would be the same on another connection. Otherwise this connection has ended or
    /// is no longer fit for use.
    fn is_final(&self) -> bool;

    /// Whether a change may have been made all the same: the connection ended without an answer, or a
    /// pooler or a server that was stopping does not know.
    fn leaves_open_what_was_done(&self) -> bool;

    /// Whether the server ended the statement, because it took too long or because somebody said so. It
    /// was not made, and the connection is well.
    fn was_cancelled(&self) -> bool;

    /// As [`is_final`](Self::is_final), for an error that refused a connection. Every such error is fatal,
    /// so its severity says nothing.
    fn is_final_refusal(&self) -> bool;
}

impl Fault for tokio_postgres::Error {
    fn is_final(&self) -> bool {
        let severity = self.as_db_error().and_then(DbError::parsed_severity);
        let ends_session = matches!(severity, Some(Severity::Fatal | Severity::Panic));
        !ends_session && self.is_final_refusal()
    }

    fn leaves_open_what_was_done(&self) -> bool {
        self.as_db_error().is_none_or(|error| {
            error.parsed_severity() == Some(Severity::Panic)
                || error.code().code().starts_with("08")
                || [
                    SqlState::CRASH_SHUTDOWN,
                    SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN,
                ]
                .contains(error.code())
        })
    }

    fn was_cancelled(&self) -> bool {
        let severity = self.as_db_error().and_then(DbError::parsed_severity);
        severity == Some(Severity::Error) && self.code() == Some(&SqlState::QUERY_CANCELED)
    }

    fn is_final_refusal(&self) -> bool {
        let Some(error) = self.as_db_error() else {
            return !self.is_closed() && !has_io_error(self);
        };
        // A table was altered, and the plan was made before.
        let is_stale_plan = error.routine() == Some("RevalidateCachedQuery");
        !is_stale_plan && !makes_unfit(error.code())
    }
}

/// Whether the connection of this error has ended or is unfit, whatever the severity. A pooler in between
/// may report the loss of its own connection.
fn makes_unfit(code: &SqlState) -> bool {
    code.code().starts_with("08")
        || [
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::DATABASE_DROPPED,
            SqlState::IDLE_SESSION_TIMEOUT,
            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
            // A primary has become a standby, and answers reads as before.
            SqlState::READ_ONLY_SQL_TRANSACTION,
            // Somebody discarded the session's state, or left another's behind.
            SqlState::INVALID_SQL_STATEMENT_NAME,
            SqlState::DUPLICATE_PSTATEMENT,
            SqlState::IN_FAILED_SQL_TRANSACTION,
            // Another transaction was in the way.
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN,
        ]
        .contains(code)
}

fn has_io_error(error: &tokio_postgres::Error) -> bool {
    error
        .source()
        .is_some_and(<dyn Error>::is::<std::io::Error>)
}

/// What to do about a failure of the server, if the server says enough.
fn advice(error: &tokio_postgres::Error) -> Option<&'static str> {
    let error = error.as_db_error()?;
    if error.routine() == Some("check_enable_rls") {
        return Some(
            "row level security would hide rows of the table: disable it, or give the role BYPASSRLS",
        );
    }
    advice_on(error.code())
}

fn advice_on(state: &SqlState) -> Option<&'static str> {
    let advice = match state {
        &SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            "PostgreSQL refuses the user or the password of the connection string: correct them"
        }
        &SqlState::INVALID_CATALOG_NAME => {
            "the database of the connection string does not exist: create it first"
        }
        &SqlState::INSUFFICIENT_PRIVILEGE => {
            "the role may not do that: run `PostgresStore::migration_sql` as another, and grant \
             what the documentation of `PostgresStore` lists"
        }
        &SqlState::TOO_MANY_CONNECTIONS => {
            "PostgreSQL has no connection left: raise its `max_connections`, or lower `with_pool_size`"
        }
        &SqlState::INVALID_SQL_STATEMENT_NAME | &SqlState::DUPLICATE_PSTATEMENT => {
            "a pooler in between shares connections by the transaction: connect to the database \
             itself"
        }
        &SqlState::LOCK_NOT_AVAILABLE => {
            "another process holds the lock of the migration or of a table: wait until it ends, or \
             end it"
        }
        &SqlState::QUERY_CANCELED => {
            "PostgreSQL took too long and ended the statement: is a table locked, or the server slow?"
        }
        &SqlState::DISK_FULL => "the disk of PostgreSQL is full: free some space",
        &SqlState::UNDEFINED_TABLE
        | &SqlState::INVALID_SCHEMA_NAME
        | &SqlState::UNDEFINED_COLUMN => {
            "the table of restrictions is missing or was changed: was it renamed?"
        }
        &SqlState::READ_ONLY_SQL_TRANSACTION => {
            "the server is a standby or read-only: connect to the primary"
        }
        &SqlState::CHECK_VIOLATION => {
            "the table's constraints do not allow that: is the user id empty?"
        }
        &SqlState::ADMIN_SHUTDOWN | &SqlState::CRASH_SHUTDOWN | &SqlState::CANNOT_CONNECT_NOW => {
            "PostgreSQL is starting or stopping: try again"
        }
        _ => return None,
    };
    Some(advice)
}

impl fmt::Display for PostgresStoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::ConnectionString(error) => f.write_str(error),
            Cause::Name {
                what,
                name,
                longest,
            } => write!(
                f,
                "{name:?} cannot be {what}: expected 1 to {longest} bytes without U+0000",
            ),
            Cause::Postgres(error) => f.write_str(advice(error).unwrap_or("PostgreSQL failed")),
            Cause::Connect(_) => f.write_str(
                "PostgreSQL cannot be reached: does it run, and do the host and port of the \
                 connection string lead to it?",
            ),
            Cause::Refused(refusal) => {
                f.write_str(advice_on(&refusal.code).unwrap_or("PostgreSQL refuses the connection"))
            }
            Cause::Hosts(failed) => {
                f.write_str("no host of the connection string can be used")?;
                for (number, cause) in (1..).zip(failed) {
                    write!(f, "; address {number}: {}", chain(cause))?;
                }
                Ok(())
            }
            Cause::HostSilent(limit) => write!(
                f,
                "a host of the connection string took longer than {limit:?} to connect \
                 (`connect_timeout`): is it PostgreSQL, and does it hang?"
            ),
            Cause::NoPlace(limit) => write!(
                f,
                "all connections of the pool were in use for {limit:?}: raise `with_pool_size`, or \
                 find out why the server is slow"
            ),
            Cause::NotKnown(cause) => {
                write!(f, "it is not known whether the change was made: {cause}")
            }
            Cause::Encoding(encoding) => write!(
                f,
                "the database's encoding is {encoding}: create it with the encoding UTF8"
            ),
            Cause::NewerSchema { found, known } => write!(
                f,
                "the schema is version {found} and this program knows versions up to {known}: it \
                 was migrated by a newer version of tower-account-status: run that version"
            ),
            Cause::NoSchema => f.write_str(
                "the schema is missing although it was just migrated: does something drop it?",
            ),
            Cause::NoTables(schema) => write!(
                f,
                "the database has no tables of restrictions in the schema {schema:?}: correct the \
                 name of the database or of the schema, or start the server first, which creates \
                 the tables"
            ),
            Cause::NoTriggers => f.write_str(
                "the triggers that announce changes are missing or disabled: run \
                 `PostgresStore::migration_sql`, which makes them",
            ),
            Cause::NotOrdinary => f.write_str(
                "the table of restrictions is a view, a foreign, partitioned or unlogged table, so \
                 that rows may be missing: make it an ordinary table that is logged",
            ),
            Cause::NotStored => f.write_str(
                "PostgreSQL took the restriction without an error and did not store it: does a \
                 trigger of your own discard rows of the table?",
            ),
            Cause::Panicked => f.write_str("a task of the store panicked"),
            Cause::Nul => {
                f.write_str("PostgreSQL cannot store U+0000 in a user id or a reason: leave it out")
            }
            Cause::UnknownKind(kind) => {
                write!(
                    f,
                    "the table has a restriction of the unknown kind {kind:?}: delete it, or run the version that knows it"
                )
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
        self.0.source()
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Cause::Postgres(error) | Cause::Connect(error) => Some(error),
            Cause::Refused(refusal) => Some(refusal),
            Cause::NotKnown(cause) => cause.source(),
            _ => None,
        }
    }
}
