//! The tables, and how they are made.

use rusqlite::Connection;

/// Sets the connection up and makes the tables that are missing.
pub(super) fn open(path: &std::path::Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.execute_batch(TABLES)?;
    Ok(connection)
}

/// Times are milliseconds since 1970.
///
/// The state of an account is in columns of its own. None of them is derived: an account
/// without a password is not a deactivated one.
const TABLES: &str = "
    BEGIN IMMEDIATE;
    CREATE TABLE IF NOT EXISTS accounts (
        user_id          TEXT PRIMARY KEY,
        password_hash    TEXT,
        admin            INTEGER NOT NULL DEFAULT 0,
        locked           INTEGER NOT NULL DEFAULT 0,
        locked_reason    TEXT,
        locked_until     INTEGER,
        suspended        INTEGER NOT NULL DEFAULT 0,
        suspended_reason TEXT,
        suspended_until  INTEGER,
        deactivated      INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE TABLE IF NOT EXISTS third_party_ids (
        medium  TEXT NOT NULL,
        address TEXT NOT NULL,
        user_id TEXT NOT NULL REFERENCES accounts,
        PRIMARY KEY (medium, address)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS profiles (
        user_id TEXT NOT NULL REFERENCES accounts,
        key     TEXT NOT NULL,
        value   TEXT NOT NULL,
        PRIMARY KEY (user_id, key)
    ) STRICT;

    CREATE TABLE IF NOT EXISTS devices (
        user_id      TEXT NOT NULL REFERENCES accounts,
        device_id    TEXT NOT NULL,
        display_name TEXT,
        PRIMARY KEY (user_id, device_id)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS refresh_tokens (
        hash      BLOB PRIMARY KEY,
        user_id   TEXT NOT NULL,
        device_id TEXT NOT NULL,
        replaces  BLOB,
        FOREIGN KEY (user_id, device_id) REFERENCES devices ON DELETE CASCADE
    ) STRICT;
    CREATE INDEX IF NOT EXISTS refresh_tokens_of_device ON refresh_tokens (user_id, device_id);
    CREATE TABLE IF NOT EXISTS access_tokens (
        hash       BLOB PRIMARY KEY,
        user_id    TEXT NOT NULL,
        device_id  TEXT NOT NULL,
        expires_at INTEGER,
        replaces   BLOB,
        FOREIGN KEY (user_id, device_id) REFERENCES devices ON DELETE CASCADE
    ) STRICT;
    CREATE INDEX IF NOT EXISTS access_tokens_of_device ON access_tokens (user_id, device_id);

    CREATE TABLE IF NOT EXISTS rooms (
        room_id TEXT PRIMARY KEY,
        creator TEXT NOT NULL REFERENCES accounts,
        listed  INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS aliases (
        alias   TEXT PRIMARY KEY,
        room_id TEXT NOT NULL REFERENCES rooms
    ) STRICT;
    CREATE TABLE IF NOT EXISTS events (
        position         INTEGER PRIMARY KEY AUTOINCREMENT,
        event_id         TEXT NOT NULL UNIQUE,
        room_id          TEXT NOT NULL REFERENCES rooms,
        sender           TEXT NOT NULL,
        type             TEXT NOT NULL,
        state_key        TEXT,
        content          TEXT NOT NULL,
        origin_server_ts INTEGER NOT NULL,
        redacts          TEXT,
        redacted_because TEXT
    ) STRICT;
    CREATE INDEX IF NOT EXISTS timeline ON events (room_id, position);
    CREATE INDEX IF NOT EXISTS state ON events (room_id, type, state_key, position)
        WHERE state_key IS NOT NULL;
    CREATE TABLE IF NOT EXISTS memberships (
        user_id    TEXT NOT NULL REFERENCES accounts,
        room_id    TEXT NOT NULL REFERENCES rooms,
        membership TEXT NOT NULL,
        position   INTEGER NOT NULL,
        PRIMARY KEY (user_id, room_id)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS transactions (
        user_id   TEXT NOT NULL,
        device_id TEXT NOT NULL,
        endpoint  TEXT NOT NULL,
        txn_id    TEXT NOT NULL,
        event_id  TEXT NOT NULL,
        PRIMARY KEY (user_id, device_id, endpoint, txn_id),
        FOREIGN KEY (user_id, device_id) REFERENCES devices ON DELETE CASCADE
    ) STRICT;

    CREATE TABLE IF NOT EXISTS media (
        media_id     TEXT PRIMARY KEY,
        uploader     TEXT NOT NULL REFERENCES accounts,
        content_type TEXT NOT NULL,
        file_name    TEXT,
        content      BLOB NOT NULL
    ) STRICT;
    COMMIT;
";
