//! Connections to the file, and its schema.

use std::{
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::{audit_schema::AUDIT, error::Cause};

/// How long a change, or opening the file, waits for another process that is writing. A request waits
/// longer for its store.
pub(super) const BUSY_LIMIT: Duration = Duration::from_secs(3);

/// Marks the file as one of ours (`PRAGMA application_id`): `MASt`.
const APPLICATION_ID: i64 = 0x4d41_5374;

/// The steps from each version of the schema to the next. `PRAGMA user_version` counts them.
const MIGRATIONS: [&str; 2] = [
    // A user id is compared byte by byte: the collation of a column is BINARY unless it says
    // otherwise. Times are microseconds since 1970; what would be a time of 1970 to 1973 is refused,
    // because it was meant in milliseconds or seconds. `EARLIEST_MICROS` is the same number.
    "CREATE TABLE restrictions (
        user_id TEXT NOT NULL CHECK (user_id <> ''),
        kind TEXT NOT NULL CHECK (kind IN ('deactivated', 'locked', 'suspended')),
        reason TEXT,
        until INTEGER CHECK (until <= 0 OR until >= 100000000000000),
        set_by TEXT,
        set_at INTEGER NOT NULL CHECK (set_at <= 0 OR set_at >= 100000000000000),
        PRIMARY KEY (user_id, kind)
    ) STRICT, WITHOUT ROWID",
    AUDIT,
];

/// The first time after 1970 that the table holds, in microseconds since then: in March of 1973.
pub(super) const EARLIEST_MICROS: i64 = 100_000_000_000_000;

/// Where the database is.
#[derive(Clone)]
pub(super) enum Location {
    File(PathBuf),
    /// A file that is not created, and whose tables are not.
    ExistingFile(PathBuf),
    Memory,
}

impl Location {
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) | Self::ExistingFile(path) => Some(path),
            Self::Memory => None,
        }
    }
}

/// Opens the connection that makes changes, and brings the schema up to date.
pub(super) fn open_writer(
    location: &Location,
    busy_timeout: Duration,
) -> Result<Connection, Cause> {
    let create = match location {
        Location::ExistingFile(path) if !path.exists() => return Err(Cause::NoTables),
        Location::ExistingFile(_) => OpenFlags::empty(),
        Location::File(_) | Location::Memory => OpenFlags::SQLITE_OPEN_CREATE,
    };
    let mut connection = open(location, create)?;
    connection.busy_timeout(BUSY_LIMIT)?;
    migrate(&mut connection, !create.is_empty())?;
    if location.path().is_some() {
        write_ahead(&connection)?;
    }
    // A commit that was acknowledged survives a power failure, too.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "fullfsync", true)?;
    connection.busy_timeout(busy_timeout)?;
    Ok(connection)
}

/// Opens a connection that only reads. The one that writes has created the file.
pub(super) fn open_reader(location: &Location) -> Result<Connection, Cause> {
    let connection = open(location, OpenFlags::empty())?;
    connection.busy_timeout(BUSY_LIMIT)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

fn open(location: &Location, create: OpenFlags) -> Result<Connection, Cause> {
    let connection = match location.path() {
        // The path is never read as a URI with parameters.
        Some(path) => Connection::open_with_flags(
            path,
            create | OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?,
        None => Connection::open_in_memory()?,
    };
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(connection)
}

fn migrate(connection: &mut Connection, creates_tables: bool) -> Result<(), Cause> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let number = |sql| transaction.query_row(sql, (), |row| row.get::<_, i64>(0));
    let application = number("PRAGMA application_id")?;
    let found = number("PRAGMA user_version")?;
    let is_new =
        application == 0 && found == 0 && number("SELECT count(*) FROM sqlite_schema")? == 0;
    if is_new && !creates_tables {
        return Err(Cause::NoTables);
    }
    if application != APPLICATION_ID && !is_new {
        return Err(Cause::NotOurs);
    }
    let missing = usize::try_from(found)
        .ok()
        .and_then(|version| MIGRATIONS.get(version..));
    let Some(missing) = missing else {
        let known = MIGRATIONS.len();
        return Err(Cause::NewerSchema { found, known });
    };
    if !missing.is_empty() {
        for migration in missing {
            transaction.execute_batch(migration)?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", MIGRATIONS.len() as i64)?;
    }
    transaction.commit()?;
    Ok(())
}

/// The switch needs the file alone for a moment, and SQLite does not wait for that. Two processes that
/// start on a new file meet here.
fn write_ahead(connection: &Connection) -> Result<(), Cause> {
    let deadline = Instant::now() + BUSY_LIMIT;
    loop {
        let switched = connection
            .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))
            .map_err(Cause::from);
        match switched {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => return Err(Cause::NoWal { mode }),
            Err(error) if error.is_busy() && Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(10));
            }
            Err(error) => return Err(error),
        }
    }
}
