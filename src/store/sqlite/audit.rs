//! The log of changes, which the file's triggers write: there is one writer, whoever changes the
//! table.

use std::time::{Duration, SystemTime};

use rusqlite::{Connection, Row as SqlRow, params};

use super::{error::Cause, queries::micros};
use crate::{
    account::UserId,
    store::{
        AuditEntry, AuditQuery, ChangeRecord,
        stored::{self, AuditRow},
    },
};

type Result<T> = std::result::Result<T, Cause>;

/// Says who makes the changes of this transaction.
pub(super) fn begin(connection: &Connection, change: &ChangeRecord) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO current_change (one, actor, channel, note, made_at)
         VALUES (1, ?1, ?2, ?3, ?4)",
    )?;
    statement.execute(params![
        change.actor().map(UserId::as_str),
        change.channel().as_str(),
        change.note(),
        micros(change.at()),
    ])?;
    Ok(())
}

/// What comes after is by hand again.
pub(super) fn end(connection: &Connection) -> Result<()> {
    let mut statement = connection.prepare_cached("DELETE FROM current_change")?;
    statement.execute(())?;
    Ok(())
}

/// The newest entries that the query asks for.
pub(super) fn entries(connection: &Connection, query: &AuditQuery) -> Result<Vec<AuditEntry>> {
    let (since, before) = stored::bounds(query);
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
    let page = |condition: &str| {
        format!(
            "SELECT id, recorded_at, user_id, action, kind, reason, until, actor, channel, note,
                made_at
             FROM audit WHERE {condition} recorded_at >= ?1 AND (recorded_at, id) < (?2, ?3)
             ORDER BY recorded_at DESC, id DESC LIMIT ?4"
        )
    };
    let rows: Vec<AuditRow> = match &query.user {
        Some(user) => connection
            .prepare_cached(&page("user_id = ?5 AND"))?
            .query_map(
                params![since, before.recorded_at, before.id, limit, user.as_str()],
                read,
            )?
            .collect::<rusqlite::Result<_>>()?,
        None => connection
            .prepare_cached(&page(""))?
            .query_map(params![since, before.recorded_at, before.id, limit], read)?
            .collect::<rusqlite::Result<_>>()?,
    };
    rows.into_iter().map(|row| Ok(row.into_entry()?)).collect()
}

fn read(row: &SqlRow<'_>) -> rusqlite::Result<AuditRow> {
    Ok(AuditRow {
        id: row.get(0)?,
        recorded_at: row.get(1)?,
        user: row.get(2)?,
        action: row.get(3)?,
        kind: row.get(4)?,
        reason: row.get(5)?,
        until: row.get(6)?,
        actor: row.get(7)?,
        channel: row.get(8)?,
        note: row.get(9)?,
        made_at: row.get(10)?,
        database_user: None,
    })
}

/// How many entries are deleted at once, which takes milliseconds: a change waits for no more.
pub(super) const PIECE: usize = 500;

/// Deletes entries that are older than `retention`, and says how many.
pub(super) fn prune(connection: &Connection, retention: Duration) -> Result<usize> {
    let Some(before) = SystemTime::now().checked_sub(retention) else {
        return Ok(0);
    };
    let mut statement = connection.prepare_cached(
        "DELETE FROM audit WHERE id IN (
            SELECT id FROM audit WHERE recorded_at < ?1 ORDER BY recorded_at LIMIT ?2
         )",
    )?;
    let before = stored::to_micros(before);
    let piece = i64::try_from(PIECE).unwrap_or(i64::MAX);
    Ok(statement.execute([before, piece])?)
}
