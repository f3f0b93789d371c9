//! Rooms, and who is in them.

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

/// Makes a room without events, and returns its id.
pub(crate) fn create(
    connection: &Connection,
    server_name: &str,
    creator: &str,
    listed: bool,
) -> rusqlite::Result<String> {
    connection.query_row(
        "INSERT INTO rooms (room_id, creator, listed)
         VALUES ('!' || lower(hex(randomblob(12))) || ':' || ?, ?, ?)
         RETURNING room_id",
        params![server_name, creator, listed],
        |row| row.get(0),
    )
}

/// Gives a room an alias, and returns whether it was free.
pub(crate) fn add_alias(
    connection: &Connection,
    alias: &str,
    room_id: &str,
) -> rusqlite::Result<bool> {
    let sql = "INSERT INTO aliases (alias, room_id) VALUES (?, ?) ON CONFLICT DO NOTHING";
    Ok(connection.execute(sql, [alias, room_id])? == 1)
}

pub(crate) fn is_alias_taken(connection: &Connection, alias: &str) -> rusqlite::Result<bool> {
    connection.query_row(
        "SELECT count(*) FROM aliases WHERE alias = ?",
        [alias],
        |row| row.get(0),
    )
}

/// The room of an id or an alias.
pub(crate) fn resolve(connection: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    connection
        .query_row(
            "SELECT room_id FROM rooms WHERE room_id = ?1
             UNION ALL SELECT room_id FROM aliases WHERE alias = ?1",
            [name],
            |row| row.get(0),
        )
        .optional()
}

pub(crate) fn creator(connection: &Connection, room_id: &str) -> rusqlite::Result<Option<String>> {
    connection
        .query_row(
            "SELECT creator FROM rooms WHERE room_id = ?",
            [room_id],
            |row| row.get(0),
        )
        .optional()
}

/// The content of a state event with an empty state key.
pub(crate) fn state_content(
    connection: &Connection,
    room_id: &str,
    kind: &str,
) -> rusqlite::Result<Option<Value>> {
    connection
        .query_row(
            "SELECT content FROM events WHERE room_id = ? AND type = ? AND state_key = ''
             ORDER BY position DESC LIMIT 1",
            [room_id, kind],
            |row| row.get(0),
        )
        .optional()
}

/// Somebody's part in a room, and the position of the event that gave it.
pub(crate) struct Membership {
    pub(crate) room_id: String,
    pub(crate) membership: String,
    pub(crate) position: i64,
}

pub(crate) fn memberships(
    connection: &Connection,
    user: &str,
) -> rusqlite::Result<Vec<Membership>> {
    let mut statement = connection.prepare_cached(
        "SELECT room_id, membership, position FROM memberships WHERE user_id = ?",
    )?;
    let rows = statement.query_map([user], |row| {
        Ok(Membership {
            room_id: row.get(0)?,
            membership: row.get(1)?,
            position: row.get(2)?,
        })
    })?;
    rows.collect()
}

pub(crate) fn membership(
    connection: &Connection,
    room_id: &str,
    user: &str,
) -> rusqlite::Result<Option<String>> {
    connection
        .query_row(
            "SELECT membership FROM memberships WHERE room_id = ? AND user_id = ?",
            [room_id, user],
            |row| row.get(0),
        )
        .optional()
}

pub(crate) fn is_joined(
    connection: &Connection,
    room_id: &str,
    user: &str,
) -> rusqlite::Result<bool> {
    Ok(membership(connection, room_id, user)?.as_deref() == Some("join"))
}

/// A room of the public list.
pub(crate) struct Listed {
    pub(crate) room_id: String,
    pub(crate) joined: u32,
}

/// The rooms of the public list, those with the most members first.
pub(crate) fn listed(connection: &Connection) -> rusqlite::Result<Vec<Listed>> {
    let mut statement = connection.prepare_cached(
        "SELECT room_id, count(user_id) AS joined FROM rooms
         LEFT JOIN (SELECT * FROM memberships WHERE membership = 'join') USING (room_id)
         WHERE listed GROUP BY room_id ORDER BY joined DESC, room_id",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Listed {
            room_id: row.get(0)?,
            joined: row.get(1)?,
        })
    })?;
    rows.collect()
}
