//! The events of all rooms, in one order.
//!
//! A position is a place in that order. The tokens with which clients page are positions.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::{Value, json};

use crate::time;

/// An event that is not stored yet.
pub(crate) struct NewEvent<'a> {
    pub(crate) room_id: &'a str,
    pub(crate) sender: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) state_key: Option<&'a str>,
    pub(crate) content: Value,
    pub(crate) redacts: Option<&'a str>,
}

impl<'a> NewEvent<'a> {
    pub(crate) fn message(
        room_id: &'a str,
        sender: &'a str,
        kind: &'a str,
        content: Value,
    ) -> Self {
        Self {
            room_id,
            sender,
            kind,
            state_key: None,
            content,
            redacts: None,
        }
    }

    pub(crate) fn state(room_id: &'a str, sender: &'a str, kind: &'a str, content: Value) -> Self {
        Self::message(room_id, sender, kind, content).with_state_key("")
    }

    pub(crate) fn member(
        room_id: &'a str,
        sender: &'a str,
        user: &'a str,
        membership: &str,
    ) -> Self {
        let content = json!({ "membership": membership });
        Self::message(room_id, sender, "m.room.member", content).with_state_key(user)
    }

    pub(crate) fn with_state_key(mut self, state_key: &'a str) -> Self {
        self.state_key = Some(state_key);
        self
    }
}

/// An event in the form that clients get, and its position.
pub(crate) struct Event {
    pub(crate) position: i64,
    pub(crate) json: Value,
}

const EVENT: &str = "position, event_id, room_id, sender, type, state_key, content,
    origin_server_ts, redacts, redacted_because";

fn read_event(row: &Row<'_>) -> rusqlite::Result<Event> {
    let mut json = json!({
        "event_id": row.get::<_, String>("event_id")?,
        "room_id": row.get::<_, String>("room_id")?,
        "sender": row.get::<_, String>("sender")?,
        "type": row.get::<_, String>("type")?,
        "content": row.get::<_, Value>("content")?,
        "origin_server_ts": row.get::<_, i64>("origin_server_ts")?,
    });
    for key in ["state_key", "redacts"] {
        if let Some(value) = row.get::<_, Option<String>>(key)? {
            json[key] = value.into();
        }
    }
    if let Some(redaction) = row.get::<_, Option<Value>>("redacted_because")? {
        json["unsigned"] = json!({ "redacted_because": redaction });
    }
    Ok(Event {
        position: row.get("position")?,
        json,
    })
}

/// Stores an event, and returns its id.
pub(crate) fn append(connection: &Connection, event: &NewEvent<'_>) -> rusqlite::Result<String> {
    let (event_id, position): (String, i64) = connection.query_row(
        "INSERT INTO events
             (event_id, room_id, sender, type, state_key, content, origin_server_ts, redacts)
         VALUES ('$' || lower(hex(randomblob(20))), ?, ?, ?, ?, ?, ?, ?)
         RETURNING event_id, position",
        params![
            event.room_id,
            event.sender,
            event.kind,
            event.state_key,
            event.content,
            time::now(),
            event.redacts,
        ],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    if let ("m.room.member", Some(user)) = (event.kind, event.state_key) {
        connection.execute(
            "INSERT INTO memberships (user_id, room_id, membership, position)
             VALUES (?, ?, ?, ?)
             ON CONFLICT DO UPDATE
             SET membership = excluded.membership, position = excluded.position",
            params![
                user,
                event.room_id,
                event.content["membership"].as_str(),
                position
            ],
        )?;
    }
    Ok(event_id)
}

/// The position behind the newest event.
pub(crate) fn position(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT coalesce(max(position), 0) FROM events", [], |row| {
        row.get(0)
    })
}

pub(crate) fn get(
    connection: &Connection,
    room_id: &str,
    event_id: &str,
) -> rusqlite::Result<Option<Event>> {
    let sql = format!("SELECT {EVENT} FROM events WHERE room_id = ? AND event_id = ?");
    connection
        .query_row(&sql, [room_id, event_id], read_event)
        .optional()
}

/// Who has sent an event, if the room has it.
pub(crate) fn sender(
    connection: &Connection,
    room_id: &str,
    event_id: &str,
) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT sender FROM events WHERE room_id = ? AND event_id = ?")?
        .query_row([room_id, event_id], |row| row.get(0))
        .optional()
}

/// The oldest events behind `after`, oldest first.
pub(crate) fn forwards(
    connection: &Connection,
    room_id: &str,
    after: i64,
    limit: usize,
) -> rusqlite::Result<Vec<Event>> {
    let sql = format!(
        "SELECT {EVENT} FROM events WHERE room_id = ? AND position > ? ORDER BY position LIMIT ?"
    );
    list(connection, &sql, params![room_id, after, row_count(limit)])
}

/// The newest events between `after` and `up_to`, newest first.
pub(crate) fn backwards(
    connection: &Connection,
    room_id: &str,
    after: i64,
    up_to: i64,
    limit: usize,
) -> rusqlite::Result<Vec<Event>> {
    let sql = format!(
        "SELECT {EVENT} FROM events WHERE room_id = ? AND position > ? AND position <= ?
         ORDER BY position DESC LIMIT ?"
    );
    list(
        connection,
        &sql,
        params![room_id, after, up_to, row_count(limit)],
    )
}

/// What of the state at `up_to` has changed behind `after`.
pub(crate) fn state(
    connection: &Connection,
    room_id: &str,
    after: i64,
    up_to: i64,
) -> rusqlite::Result<Vec<Event>> {
    // Beside `max` SQLite takes the other columns from the row that has the maximum.
    let sql = format!(
        "SELECT {EVENT}, max(position) FROM events
         WHERE room_id = ? AND state_key IS NOT NULL AND position > ? AND position <= ?
         GROUP BY type, state_key ORDER BY position"
    );
    list(connection, &sql, params![room_id, after, up_to])
}

fn list(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
) -> rusqlite::Result<Vec<Event>> {
    let mut statement = connection.prepare_cached(sql)?;
    let events = statement.query_map(params, read_event)?;
    events.collect()
}

fn row_count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Removes what people wrote from an event, and keeps what the room needs.
pub(crate) fn redact(
    connection: &Connection,
    redacted: &Value,
    redaction: &Value,
) -> rusqlite::Result<()> {
    let kept: &[&str] = match redacted["type"].as_str().unwrap_or_default() {
        "m.room.member" => &["membership"],
        "m.room.create" => &["creator", "room_version"],
        "m.room.join_rules" => &["join_rule"],
        _ => &[],
    };
    let mut content = redacted["content"].clone();
    if let Value::Object(content) = &mut content {
        content.retain(|key, _| kept.contains(&key.as_str()));
    }
    connection
        .execute(
            "UPDATE events SET content = ?, redacted_because = ? WHERE event_id = ?",
            params![content, redaction, redacted["event_id"].as_str()],
        )
        .map(drop)
}

/// The event that a device has already sent under a transaction id.
pub(crate) fn sent_before(
    connection: &Connection,
    transaction: &Transaction,
) -> rusqlite::Result<Option<String>> {
    let Transaction {
        user,
        device_id,
        endpoint,
        txn_id,
    } = transaction;
    connection
        .query_row(
            "SELECT event_id FROM transactions
             WHERE user_id = ? AND device_id = ? AND endpoint = ? AND txn_id = ?",
            [user, device_id, endpoint, txn_id],
            |row| row.get(0),
        )
        .optional()
}

pub(crate) fn remember_sent(
    connection: &Connection,
    transaction: &Transaction,
    event_id: &str,
) -> rusqlite::Result<()> {
    let Transaction {
        user,
        device_id,
        endpoint,
        txn_id,
    } = transaction;
    connection
        .execute(
            "INSERT INTO transactions (user_id, device_id, endpoint, txn_id, event_id)
             VALUES (?, ?, ?, ?, ?)",
            [user, device_id, endpoint, txn_id, event_id],
        )
        .map(drop)
}

/// What makes a repeated request the same request: the device, the endpoint with the room and
/// type or event in its path, and the transaction id.
pub(crate) struct Transaction {
    pub(crate) user: String,
    pub(crate) device_id: String,
    pub(crate) endpoint: String,
    pub(crate) txn_id: String,
}
