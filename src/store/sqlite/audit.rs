//! The log of changes. The file's triggers write it, so there is one writer, whatever changes the
//! table.

use std::time::{Duration, SystemTime};

use rusqlite::{Connection, Row as SqlRow, ToSql, params};

use super::{error::Cause, queries::micros};
use crate::{
    account::UserId,
    store::{
        AuditEntry, AuditQuery, ChangeRecord,
        micros::to_micros,
        stored::{self, AuditRow},
    },
};

type Result<T> = std::result::Result<T, Cause>;

/// Notes who makes the changes of this transaction.
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

/// Later changes on this connection are by hand again.
pub(super) fn end(connection: &Connection) -> Result<()> {
    let mut statement = connection.prepare_cached("DELETE FROM current_change")?;
    statement.execute(())?;
    Ok(())
}

const OF_ONE_TIME: &str = "recorded_at = ?1 AND id < ?2 ORDER BY id DESC";
const OLDER: &str = "recorded_at < ?1 AND recorded_at >= ?2 ORDER BY recorded_at DESC, id DESC";

/// The newest entries that the query asks for.
///
/// Entries of the same time as the last one of the page before come first. They have a statement of their
/// own, because SQLite does not look up a time together with an `id` in an index. One statement by hand
/// may give a million rows the same time.
pub(super) fn entries(connection: &Connection, query: &AuditQuery) -> Result<Vec<AuditEntry>> {
    let (since, before) = stored::bounds(query);
    let mut rows = Vec::new();
    if since <= before.recorded_at {
        let times = [before.recorded_at, before.id];
        rows = page(connection, query, OF_ONE_TIME, times, query.limit)?;
    }
    if rows.len() < query.limit {
        let times = [before.recorded_at, since];
        rows.extend(page(
            connection,
            query,
            OLDER,
            times,
            query.limit - rows.len(),
        )?);
    }
    rows.into_iter().map(|row| Ok(row.into_entry()?)).collect()
}

fn sql(is_of_user: bool, condition: &str) -> String {
    let of_user = match is_of_user {
        true => "user_id = ?4 AND",
        false => "",
    };
    format!(
        "SELECT id, recorded_at, user_id, action, kind, reason, until, actor, channel, note, made_at
         FROM audit WHERE {of_user} {condition} LIMIT ?3"
    )
}

fn page(
    connection: &Connection,
    query: &AuditQuery,
    condition: &str,
    [first, second]: [i64; 2],
    limit: usize,
) -> Result<Vec<AuditRow>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut parameters: Vec<&dyn ToSql> = vec![&first, &second, &limit];
    let user = query.user.as_ref().map(UserId::as_str);
    if let Some(user) = &user {
        parameters.push(user);
    }
    let mut statement = connection.prepare_cached(&sql(user.is_some(), condition))?;
    let rows = statement.query_map(&*parameters, read)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
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

/// How many entries are deleted at once. That takes milliseconds, and a change waits no longer.
pub(super) const PIECE: usize = 500;

/// Deletes entries that are older than `retention`. Returns how many.
pub(super) fn prune(connection: &Connection, retention: Duration) -> Result<usize> {
    let Some(before) = SystemTime::now().checked_sub(retention) else {
        return Ok(0);
    };
    let mut statement = connection.prepare_cached(
        "DELETE FROM audit WHERE id IN (
            SELECT id FROM audit WHERE recorded_at < ?1 ORDER BY recorded_at LIMIT ?2
         )",
    )?;
    let before = to_micros(before);
    let piece = i64::try_from(PIECE).unwrap_or(i64::MAX);
    Ok(statement.execute([before, piece])?)
}

#[cfg(test)]
mod tests {
    use super::{OF_ONE_TIME, OLDER, sql};
    use crate::store::sqlite::schema::{BUSY_LIMIT, Location, open_writer};

    /// Otherwise a page would cost as much as all pages before it.
    #[test]
    fn a_page_is_found_by_an_index_and_is_not_sorted() {
        let connection = open_writer(&Location::Memory, BUSY_LIMIT).unwrap();
        for (is_of_user, condition, index) in [
            (
                false,
                OF_ONE_TIME,
                "audit_by_time (recorded_at=? AND rowid<?)",
            ),
            (
                false,
                OLDER,
                "audit_by_time (recorded_at>? AND recorded_at<?)",
            ),
            (
                true,
                OF_ONE_TIME,
                "audit_by_user (user_id=? AND recorded_at=? AND rowid<?)",
            ),
            (
                true,
                OLDER,
                "audit_by_user (user_id=? AND recorded_at>? AND recorded_at<?)",
            ),
        ] {
            let plan = format!("EXPLAIN QUERY PLAN {}", sql(is_of_user, condition));
            let mut statement = connection.prepare(&plan).unwrap();
            let rows = statement.raw_query().mapped(|row| row.get::<_, String>(3));
            let steps: Vec<String> = rows.collect::<Result<_, _>>().unwrap();
            assert_eq!(steps.len(), 1, "{steps:?}");
            assert!(steps[0].ends_with(index), "{steps:?}");
        }
    }
}
