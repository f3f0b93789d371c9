//! Locking and suspending, for administrators
//! ([MSC4323](https://github.com/matrix-org/matrix-spec-proposals/pull/4323)).
//!
//! Neither touches a token: an account that is unlocked finds its devices as they were.

use std::time::SystemTime;

use axum::extract::State;
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::{Map, Value};
use tower_account_status::{Account, RestrictionKind, UserId};

use super::{Answer, answer};
use crate::{
    auth::Administrator,
    database::accounts::{self, Details},
    error::{Error, Result},
    extract::{Json, Path},
    homeserver::Homeserver,
};

pub(crate) async fn lock(
    State(server): super::State,
    admin: Administrator,
    Path(user): Path<Target>,
) -> Answer {
    let account = target(&server, admin, user.0, Access::Look).await?;
    answer!({ "locked": is_in_force(&account, RestrictionKind::Locked) })
}

pub(crate) async fn suspend(
    State(server): super::State,
    admin: Administrator,
    Path(user): Path<Target>,
) -> Answer {
    let account = target(&server, admin, user.0, Access::Look).await?;
    answer!({ "suspended": is_in_force(&account, RestrictionKind::Suspended) })
}

#[derive(Deserialize)]
#[serde(transparent)]
pub(crate) struct Target(String);

/// Beside the specification's key there are two of this server's own, in a namespace of their own.
/// Any other key is refused and not ignored, because its sender meant something by it.
#[derive(Deserialize)]
pub(crate) struct SetRestriction {
    locked: Option<bool>,
    suspended: Option<bool>,
    #[serde(rename = "org.example.reason")]
    reason: Option<String>,
    #[serde(rename = "org.example.until_ts")]
    until: Option<i64>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

impl SetRestriction {
    /// What is to be in force from now on, if anything.
    fn read(self, kind: RestrictionKind) -> Result<Option<Details>> {
        let (wanted, other) = match kind {
            RestrictionKind::Locked => (self.locked, self.suspended),
            _ => (self.suspended, self.locked),
        };
        if other.is_some() || !self.other.is_empty() {
            return Err(Error::invalid_param("The body has a key that is not known"));
        }
        let wanted = wanted
            .ok_or_else(|| Error::bad_request("M_BAD_JSON", "The body lacks the state to set"))?;
        Ok(wanted.then_some(Details {
            reason: self.reason,
            until: self.until,
        }))
    }
}

pub(crate) async fn set_lock(
    State(server): super::State,
    admin: Administrator,
    Path(user): Path<Target>,
    Json(body): Json<SetRestriction>,
) -> Answer {
    let user = target(&server, admin, user.0, Access::Change)
        .await?
        .into_parts()
        .0;
    let lock = body.read(RestrictionKind::Locked)?;
    let account = change(&server, user, move |connection, user| {
        accounts::set_lock(connection, user, lock.as_ref())
    })
    .await?;
    answer!({ "locked": is_in_force(&account, RestrictionKind::Locked) })
}

pub(crate) async fn set_suspended(
    State(server): super::State,
    admin: Administrator,
    Path(user): Path<Target>,
    Json(body): Json<SetRestriction>,
) -> Answer {
    let user = target(&server, admin, user.0, Access::Change)
        .await?
        .into_parts()
        .0;
    let suspension = body.read(RestrictionKind::Suspended)?;
    let account = change(&server, user, move |connection, user| {
        accounts::set_suspended(connection, user, suspension.as_ref())
    })
    .await?;
    answer!({ "suspended": is_in_force(&account, RestrictionKind::Suspended) })
}

#[derive(Clone, Copy, PartialEq)]
enum Access {
    Look,
    Change,
}

/// The account in the path, if the administrator may look at it or change it.
///
/// The checks in their order: it is not an administrator's, unless one looks at one's own; it is this
/// server's; it exists.
async fn target(
    server: &Homeserver,
    Administrator(admin): Administrator,
    user: String,
    access: Access,
) -> Result<Account> {
    let is_self = admin == *user;
    let is_local = server.is_local(&user);
    let (is_admin, account) = server
        .database
        .read(move |connection| {
            let is_admin = accounts::is_admin(connection, &user)?;
            Ok((is_admin, accounts::by_id(connection, &user)?))
        })
        .await?;
    if is_admin && !(is_self && access == Access::Look) {
        return Err(Error::forbidden("The account is an administrator's"));
    }
    if !is_local {
        return Err(Error::invalid_param("The account is not on this server"));
    }
    account
        .filter(|account| !is_in_force(account, RestrictionKind::Deactivated))
        .ok_or_else(|| Error::not_found("There is no such account"))
}

/// Changes an account, and answers with its new state.
async fn change(
    server: &Homeserver,
    user: UserId,
    change: impl FnOnce(&Connection, &UserId) -> rusqlite::Result<()> + Send + 'static,
) -> Result<Account> {
    server
        .change_account(user.clone(), move |connection| {
            change(connection, &user)?;
            accounts::by_id(connection, &user)
        })
        .await?
        .ok_or_else(|| Error::not_found("There is no such account"))
}

fn is_in_force(account: &Account, kind: RestrictionKind) -> bool {
    let now = SystemTime::now();
    let restriction = account.state().restriction(kind);
    restriction.is_some_and(|restriction| restriction.is_in_force(now))
}
