//! Accounts: their names, their passwords and their state.

use rusqlite::{Connection, OptionalExtension, Row, params};
use tower_account_status::{
    Account, AccountState, Credential, Restriction, RestrictionKind, ThirdParty, UserId,
};

use crate::time;

/// How somebody names an account, in the form in which the tables know it.
///
/// The login handler and the account state store both use it. If they read a name differently, a
/// spelling that only one of them understands would get past the check.
pub(crate) enum Named {
    User(String),
    ThirdParty { medium: String, address: String },
}

impl Named {
    /// `None` if this server cannot have such an account.
    pub(crate) fn new(server_name: &str, identifier: Credential<'_>) -> Option<Self> {
        match identifier {
            Credential::LoginName(user) if user.starts_with('@') => {
                Some(Self::User(user.to_owned()))
            }
            Credential::LoginName(localpart) => {
                Some(Self::User(format!("@{localpart}:{server_name}")))
            }
            Credential::ThirdParty(ThirdParty::Address { medium, address }) => {
                Some(Self::ThirdParty {
                    medium: medium.to_owned(),
                    address: address.to_owned(),
                })
            }
            // This server keeps phone numbers in their international form, and knows no country's
            // rules for another.
            Credential::ThirdParty(ThirdParty::Phone { phone, .. }) => Some(Self::ThirdParty {
                medium: "msisdn".to_owned(),
                address: phone.chars().filter(char::is_ascii_digit).collect(),
            }),
            _ => None,
        }
    }
}

/// The columns that [`read_account`] reads, of a table `accounts`.
pub(super) const ACCOUNT: &str = "accounts.user_id, accounts.locked, accounts.locked_reason,
    accounts.locked_until, accounts.suspended, accounts.suspended_reason,
    accounts.suspended_until, accounts.deactivated";

/// Reads the columns of [`ACCOUNT`].
pub(super) fn read_account(row: &Row<'_>) -> rusqlite::Result<Account> {
    let mut state = AccountState::ACTIVE;
    for (kind, name) in [
        (RestrictionKind::Locked, "locked"),
        (RestrictionKind::Suspended, "suspended"),
    ] {
        if !row.get::<_, bool>(name)? {
            continue;
        }
        let mut restriction = Restriction::new(kind);
        if let Some(reason) = row.get::<_, Option<String>>(&*format!("{name}_reason"))? {
            restriction = restriction.with_reason(reason);
        }
        if let Some(until) = row.get(&*format!("{name}_until"))? {
            restriction = restriction.with_until(time::from_millis(until));
        }
        state = state.with(restriction);
    }
    if row.get("deactivated")? {
        state = state.with(RestrictionKind::Deactivated);
    }
    Ok(Account::new(row.get::<_, String>("user_id")?.into(), state))
}

/// Makes an account and says whether the name was free.
pub(crate) fn create(
    connection: &Connection,
    user: &str,
    password_hash: &str,
) -> rusqlite::Result<bool> {
    let sql = "INSERT INTO accounts (user_id, password_hash) VALUES (?, ?) ON CONFLICT DO NOTHING";
    Ok(connection.execute(sql, [user, password_hash])? == 1)
}

pub(crate) fn make_admin(connection: &Connection, user: &str) -> rusqlite::Result<()> {
    let sql = "UPDATE accounts SET admin = 1 WHERE user_id = ?";
    connection.execute(sql, [user]).map(drop)
}

pub(crate) fn by_name(connection: &Connection, named: &Named) -> rusqlite::Result<Option<Account>> {
    match named {
        Named::User(user) => connection
            .prepare_cached(&format!("SELECT {ACCOUNT} FROM accounts WHERE user_id = ?"))?
            .query_row([user], read_account),
        Named::ThirdParty { medium, address } => connection
            .prepare_cached(&format!(
                "SELECT {ACCOUNT} FROM third_party_ids JOIN accounts USING (user_id)
                 WHERE medium = ? AND address = ?"
            ))?
            .query_row([medium, address], read_account),
    }
    .optional()
}

pub(crate) fn by_id(connection: &Connection, user: &str) -> rusqlite::Result<Option<Account>> {
    by_name(connection, &Named::User(user.to_owned()))
}

pub(crate) fn password_hash(
    connection: &Connection,
    user: &str,
) -> rusqlite::Result<Option<String>> {
    connection.query_row(
        "SELECT password_hash FROM accounts WHERE user_id = ?",
        [user],
        |row| row.get(0),
    )
}

pub(crate) fn set_password_hash(
    connection: &Connection,
    user: &str,
    hash: &str,
) -> rusqlite::Result<()> {
    let sql = "UPDATE accounts SET password_hash = ? WHERE user_id = ?";
    connection.execute(sql, [hash, user]).map(drop)
}

pub(crate) fn is_admin(connection: &Connection, user: &str) -> rusqlite::Result<bool> {
    connection
        .query_row(
            "SELECT admin FROM accounts WHERE user_id = ?",
            [user],
            |row| row.get(0),
        )
        .optional()
        .map(Option::unwrap_or_default)
}

/// What may be told of a lock or of a suspension.
#[derive(Default)]
pub(crate) struct Details {
    pub(crate) reason: Option<String>,
    pub(crate) until: Option<i64>,
}

/// Locks or, with `None`, unlocks. Touches no token.
pub(crate) fn set_lock(
    connection: &Connection,
    user: &UserId,
    lock: Option<&Details>,
) -> rusqlite::Result<()> {
    connection
        .execute(
            "UPDATE accounts SET locked = ?2, locked_reason = ?3, locked_until = ?4
             WHERE user_id = ?1",
            params![
                user.as_str(),
                lock.is_some(),
                lock.and_then(|lock| lock.reason.as_deref()),
                lock.and_then(|lock| lock.until),
            ],
        )
        .map(drop)
}

/// Suspends or, with `None`, ends a suspension. Touches no token.
pub(crate) fn set_suspended(
    connection: &Connection,
    user: &UserId,
    suspension: Option<&Details>,
) -> rusqlite::Result<()> {
    connection
        .execute(
            "UPDATE accounts SET suspended = ?2, suspended_reason = ?3, suspended_until = ?4
             WHERE user_id = ?1",
            params![
                user.as_str(),
                suspension.is_some(),
                suspension.and_then(|suspension| suspension.reason.as_deref()),
                suspension.and_then(|suspension| suspension.until),
            ],
        )
        .map(drop)
}

/// Ends an account for good: the flag says so, and its devices go with all their tokens.
pub(crate) fn deactivate(connection: &Connection, user: &UserId) -> rusqlite::Result<()> {
    connection.execute(
        "UPDATE accounts SET deactivated = 1, password_hash = NULL WHERE user_id = ?",
        [user.as_str()],
    )?;
    for table in ["devices", "third_party_ids", "profiles"] {
        let sql = format!("DELETE FROM {table} WHERE user_id = ?");
        connection.execute(&sql, [user.as_str()])?;
    }
    Ok(())
}

/// All fields, if there is such an account and it has not been deactivated.
pub(crate) fn profile(
    connection: &Connection,
    user: &str,
) -> rusqlite::Result<Option<serde_json::Value>> {
    connection
        .query_row(
            "SELECT (SELECT json_group_object(key, json(value)) FROM profiles
                     WHERE profiles.user_id = accounts.user_id)
             FROM accounts WHERE user_id = ? AND NOT deactivated",
            [user],
            |row| row.get(0),
        )
        .optional()
}

pub(crate) fn profile_field(
    connection: &Connection,
    user: &str,
    key: &str,
) -> rusqlite::Result<Option<serde_json::Value>> {
    connection
        .query_row(
            "SELECT value FROM profiles WHERE user_id = ? AND key = ?",
            [user, key],
            |row| row.get(0),
        )
        .optional()
}

pub(crate) fn set_profile_field(
    connection: &Connection,
    user: &str,
    key: &str,
    value: &serde_json::Value,
) -> rusqlite::Result<()> {
    connection
        .execute(
            "INSERT INTO profiles (user_id, key, value) VALUES (?, ?, ?)
             ON CONFLICT DO UPDATE SET value = excluded.value",
            params![user, key, value],
        )
        .map(drop)
}
