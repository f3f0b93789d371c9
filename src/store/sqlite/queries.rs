//! The statements.

use std::{collections::HashMap, time::SystemTime};

use rusqlite::{Connection, OptionalExtension as _, Row as SqlRow, params, params_from_iter};

use super::{error::Cause, schema::EARLIEST_MICROS};
use crate::{
    account::{AccountState, RestrictionKind, UserId},
    store::{
        RestrictionRecord,
        micros::to_micros,
        stored::{self, Row},
    },
};

type Result<T> = std::result::Result<T, Cause>;

pub(super) fn state(connection: &Connection, user: &UserId) -> Result<AccountState> {
    let mut statement = connection
        .prepare_cached("SELECT kind, reason, until FROM restrictions WHERE user_id = ?1")?;
    let rows = statement
        .query_map([user.as_str()], |row| {
            Ok(stored::restriction(row.get(0)?, row.get(1)?, row.get(2)?))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    rows.into_iter().map(|row| Ok(row?)).collect()
}

/// The [`state`] of each user. One statement looks up as many as it has places, which takes a fifth of the
/// time. A row that cannot be read fails its account alone.
pub(super) fn states(
    connection: &Connection,
    users: &[UserId],
) -> Result<Vec<Result<AccountState>>> {
    let alone = |user: &UserId| state(connection, user);
    if users.len() < FEW {
        return Ok(users.iter().map(alone).collect());
    }
    // `None` where it cannot be read.
    let mut states = HashMap::<String, Option<AccountState>>::new();
    let mut statement = connection.prepare_cached(STATES)?;
    for some in users.chunks(PLACES) {
        // Places that are left over ask for the last user again.
        let last = some.last().map(UserId::as_str);
        let names = some.iter().map(|user| Some(user.as_str()));
        let names = names.chain(std::iter::repeat(last)).take(PLACES);
        let mut rows = statement.query(params_from_iter(names))?;
        while let Some(row) = rows.next()? {
            let restriction = stored::restriction(row.get(1)?, row.get(2)?, row.get(3)?);
            let state = states
                .entry(row.get(0)?)
                .or_insert(Some(AccountState::ACTIVE));
            *state = state
                .take()
                .and_then(|state| Some(state.with(restriction.ok()?)));
        }
    }
    let answer = |user: &UserId| match states.get(user.as_str()) {
        None => Ok(AccountState::ACTIVE),
        Some(Some(state)) => Ok(state.clone()),
        Some(None) => alone(user),
    };
    Ok(users.iter().map(answer).collect())
}

/// Fewer users than this are looked up one by one.
const FEW: usize = 8;
const PLACES: usize = 32;
const STATES: &str = "SELECT user_id, kind, reason, until FROM restrictions WHERE user_id IN \
                      (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, \
                      ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

pub(super) fn record(
    connection: &Connection,
    user: &UserId,
    kind: RestrictionKind,
) -> Result<Option<RestrictionRecord>> {
    let mut statement = connection.prepare_cached(
        "SELECT kind, reason, until, set_by, set_at FROM restrictions
         WHERE user_id = ?1 AND kind = ?2",
    )?;
    let row = statement
        .query_row([user.as_str(), kind.as_str()], |row| read_row(row, 0))
        .optional()?;
    Ok(row.map(Row::into_record).transpose()?)
}

pub(super) fn restricted(
    connection: &Connection,
    after: Option<&UserId>,
    limit: usize,
) -> Result<Vec<(UserId, Vec<RestrictionRecord>)>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let read = |row: &SqlRow<'_>| Ok((UserId::from(row.get::<_, String>(0)?), read_row(row, 1)?));
    let rows: Vec<(UserId, Row)> = match after {
        Some(after) => connection
            .prepare_cached(
                "SELECT user_id, kind, reason, until, set_by, set_at FROM restrictions
                 WHERE user_id IN (
                    SELECT DISTINCT user_id FROM restrictions
                    WHERE user_id > ?1 ORDER BY user_id LIMIT ?2
                 ) ORDER BY user_id",
            )?
            .query_map(params![after.as_str(), limit], read)?
            .collect::<rusqlite::Result<_>>()?,
        None => connection
            .prepare_cached(
                "SELECT user_id, kind, reason, until, set_by, set_at FROM restrictions
                 WHERE user_id IN (
                    SELECT DISTINCT user_id FROM restrictions ORDER BY user_id LIMIT ?1
                 ) ORDER BY user_id",
            )?
            .query_map([limit], read)?
            .collect::<rusqlite::Result<_>>()?,
    };
    let records = rows
        .into_iter()
        .map(|(user, row)| Ok((user, row.into_record()?)))
        .collect::<Result<Vec<_>>>()?;
    Ok(stored::accounts(records))
}

/// Every restricted account's state at one moment.
pub(super) fn all_states(connection: &Connection) -> Result<HashMap<UserId, AccountState>> {
    let mut statement =
        connection.prepare_cached("SELECT user_id, kind, reason, until FROM restrictions")?;
    let mut rows = statement.query(())?;
    let mut accounts = HashMap::<UserId, AccountState>::new();
    while let Some(row) = rows.next()? {
        let restriction = stored::restriction(row.get(1)?, row.get(2)?, row.get(3)?)?;
        let state = accounts.entry(row.get::<_, String>(0)?.into()).or_default();
        *state = std::mem::take(state).with(restriction);
    }
    Ok(accounts)
}

pub(super) fn restrict(
    connection: &Connection,
    user: &UserId,
    record: &RestrictionRecord,
) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO restrictions (user_id, kind, reason, until, set_by, set_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (user_id, kind) DO UPDATE SET
            reason = excluded.reason, until = excluded.until,
            set_by = excluded.set_by, set_at = excluded.set_at",
    )?;
    statement.execute(params![
        user.as_str(),
        record.kind().as_str(),
        record.restriction().reason(),
        record.restriction().until().map(micros),
        record.set_by().map(UserId::as_str),
        micros(record.set_at()),
    ])?;
    Ok(())
}

/// A time as the table stores it. A time shortly after 1970 is stored as 1970; both have passed.
pub(super) fn micros(time: SystemTime) -> i64 {
    match to_micros(time) {
        1..EARLIEST_MICROS => 0,
        micros => micros,
    }
}

pub(super) fn lift(connection: &Connection, user: &UserId, kind: RestrictionKind) -> Result<bool> {
    let mut statement =
        connection.prepare_cached("DELETE FROM restrictions WHERE user_id = ?1 AND kind = ?2")?;
    Ok(statement.execute([user.as_str(), kind.as_str()])? > 0)
}

/// A number that changes when another connection has committed.
pub(super) fn data_version(connection: &Connection) -> Result<i64> {
    let mut statement = connection.prepare_cached("PRAGMA data_version")?;
    Ok(statement.query_row((), |row| row.get(0))?)
}

fn read_row(row: &SqlRow<'_>, first: usize) -> rusqlite::Result<Row> {
    Ok(Row {
        kind: row.get(first)?,
        reason: row.get(first + 1)?,
        until: row.get(first + 2)?,
        set_by: row.get(first + 3)?,
        set_at: row.get(first + 4)?,
    })
}
