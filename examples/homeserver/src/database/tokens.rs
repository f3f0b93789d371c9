//! Devices, and the tokens that belong to them.
//!
//! An access token that has expired keeps its row, so that its owner is still known, and a locked
//! account's client is told of the lock and not to refresh. The row is deleted when the client uses
//! the next token, and when the device is deleted.

use rusqlite::{Connection, OptionalExtension, params};
use tower_account_status::{Account, UserId};

use super::accounts::{ACCOUNT, read_account};
use crate::secret::TokenHash;

/// What belongs to an access token.
pub(crate) struct Session {
    pub(crate) user: UserId,
    pub(crate) device_id: String,
    pub(crate) expires_at: Option<i64>,
    /// The refresh token that this one replaces, until this one is first used.
    pub(crate) replaces: Option<TokenHash>,
}

/// The tokens of a device, as they are stored.
pub(crate) struct Issued {
    pub(crate) access: TokenHash,
    pub(crate) expires_at: Option<i64>,
    pub(crate) refresh: Option<TokenHash>,
}

pub(crate) fn session(
    connection: &Connection,
    access: &TokenHash,
) -> rusqlite::Result<Option<Session>> {
    connection
        .prepare_cached(
            "SELECT user_id, device_id, expires_at, replaces FROM access_tokens WHERE hash = ?",
        )?
        .query_row([access], |row| {
            Ok(Session {
                user: row.get::<_, String>(0)?.into(),
                device_id: row.get(1)?,
                expires_at: row.get(2)?,
                replaces: row.get(3)?,
            })
        })
        .optional()
}

/// The owner of an access token and the owner's state, in one query.
pub(crate) fn account_of_access_token(
    connection: &Connection,
    access: &TokenHash,
) -> rusqlite::Result<Option<Account>> {
    account_of(connection, "access_tokens", access)
}

/// The owner of a refresh token and the owner's state, in one query that rotates nothing.
pub(crate) fn account_of_refresh_token(
    connection: &Connection,
    refresh: &TokenHash,
) -> rusqlite::Result<Option<Account>> {
    account_of(connection, "refresh_tokens", refresh)
}

fn account_of(
    connection: &Connection,
    table: &str,
    hash: &TokenHash,
) -> rusqlite::Result<Option<Account>> {
    connection
        .prepare_cached(&format!(
            "SELECT {ACCOUNT} FROM {table} JOIN accounts USING (user_id) WHERE hash = ?"
        ))?
        .query_row([hash], read_account)
        .optional()
}

/// Gives a device its tokens, which replace those that it had.
pub(crate) fn log_in(
    connection: &Connection,
    user: &UserId,
    device_id: &str,
    display_name: Option<&str>,
    issued: &Issued,
) -> rusqlite::Result<()> {
    for table in ["access_tokens", "refresh_tokens"] {
        let sql = format!("DELETE FROM {table} WHERE user_id = ? AND device_id = ?");
        connection.execute(&sql, [user.as_str(), device_id])?;
    }
    connection.execute(
        "INSERT INTO devices (user_id, device_id, display_name) VALUES (?, ?, ?)
         ON CONFLICT DO NOTHING",
        params![user.as_str(), device_id, display_name],
    )?;
    insert(connection, user, device_id, issued, None)
}

/// Gives new tokens for a refresh token, if that is known.
///
/// The old token stays valid until one of the new ones is used, because the answer with the new
/// ones may be lost.
pub(crate) fn refresh(
    connection: &Connection,
    refresh: &TokenHash,
    issued: &Issued,
) -> rusqlite::Result<bool> {
    let Some((user, device_id, replaces)) = connection
        .query_row(
            "SELECT user_id, device_id, replaces FROM refresh_tokens WHERE hash = ?",
            [refresh],
            |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, String>(1)?,
                    row.get(2)?,
                ))
            },
        )
        .optional()?
    else {
        return Ok(false);
    };
    if let Some(replaced) = replaces {
        first_use(connection, &replaced)?;
    }
    for table in ["access_tokens", "refresh_tokens"] {
        let sql = format!("DELETE FROM {table} WHERE replaces = ?");
        connection.execute(&sql, [refresh])?;
    }
    insert(connection, &user.into(), &device_id, issued, Some(refresh))?;
    Ok(true)
}

/// Deletes what the token replaces: one of the tokens given for `replaced` is used for the first time.
pub(crate) fn first_use(connection: &Connection, replaced: &TokenHash) -> rusqlite::Result<()> {
    connection.execute(
        "DELETE FROM access_tokens WHERE replaces IS NOT ?1 AND (user_id, device_id) IN
             (SELECT user_id, device_id FROM refresh_tokens WHERE hash = ?1)",
        [replaced],
    )?;
    connection.execute("DELETE FROM refresh_tokens WHERE hash = ?", [replaced])?;
    for table in ["access_tokens", "refresh_tokens"] {
        let sql = format!("UPDATE {table} SET replaces = NULL WHERE replaces = ?");
        connection.execute(&sql, [replaced])?;
    }
    Ok(())
}

fn insert(
    connection: &Connection,
    user: &UserId,
    device_id: &str,
    issued: &Issued,
    replaces: Option<&TokenHash>,
) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO access_tokens (hash, user_id, device_id, expires_at, replaces)
         VALUES (?, ?, ?, ?, ?)",
        params![
            issued.access,
            user.as_str(),
            device_id,
            issued.expires_at,
            replaces
        ],
    )?;
    if let Some(refresh) = issued.refresh {
        connection.execute(
            "INSERT INTO refresh_tokens (hash, user_id, device_id, replaces) VALUES (?, ?, ?, ?)",
            params![refresh, user.as_str(), device_id, replaces],
        )?;
    }
    Ok(())
}

/// Removes a device, and its tokens with it.
pub(crate) fn log_out(
    connection: &Connection,
    user: &UserId,
    device_id: &str,
) -> rusqlite::Result<()> {
    let sql = "DELETE FROM devices WHERE user_id = ? AND device_id = ?";
    connection
        .execute(sql, [user.as_str(), device_id])
        .map(drop)
}

/// Removes all devices except `kept`, with their tokens.
pub(crate) fn log_out_all(
    connection: &Connection,
    user: &UserId,
    kept: Option<&str>,
) -> rusqlite::Result<()> {
    connection
        .execute(
            "DELETE FROM devices WHERE user_id = ? AND device_id IS NOT ?",
            params![user.as_str(), kept],
        )
        .map(drop)
}
