//! What people do with their own account.

use axum::{Extension, extract::State};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tower_account_status::UserId;

use super::{Answer, answer};
use crate::{
    auth::{self, Auth, Authenticated},
    database::{accounts, tokens},
    error::{Error, Result},
    extract::{Json, Path},
    homeserver::Homeserver,
    secret,
    states::States,
};

pub(crate) async fn whoami(session: Authenticated) -> Answer {
    answer!({
        "user_id": session.user.as_str(),
        "device_id": session.device_id,
        "is_guest": false,
    })
}

#[derive(Deserialize)]
pub(crate) struct NewPassword {
    auth: Option<Auth>,
    new_password: String,
    #[serde(default = "yes")]
    logout_devices: bool,
}

fn yes() -> bool {
    true
}

pub(crate) async fn change_password(
    State(server): super::State,
    session: Option<Authenticated>,
    Json(body): Json<NewPassword>,
) -> Answer {
    let user = prove(&server, session.as_ref(), body.auth).await?;
    let hash = secret::hash_password(body.new_password).await?;
    server
        .database
        .write(move |connection| {
            accounts::set_password_hash(connection, &user, &hash)?;
            if body.logout_devices {
                let this_one = session.as_ref().map(|session| session.device_id.as_str());
                tokens::log_out_all(connection, &user, this_one)?;
            }
            Ok(())
        })
        .await?;
    answer!({})
}

#[derive(Deserialize)]
pub(crate) struct Deactivate {
    auth: Option<Auth>,
}

pub(crate) async fn deactivate(
    State(server): super::State,
    states: Option<Extension<States>>,
    session: Option<Authenticated>,
    Json(body): Json<Deactivate>,
) -> Answer {
    let user = prove(&server, session.as_ref(), body.auth).await?;
    if let Some(Extension(states)) = states {
        // First, so that the account is deactivated even if the rest fails.
        states.deactivate(&user).await.map_err(Error::states)?;
    }
    server
        .change_account(user.clone(), move |connection| {
            accounts::deactivate(connection, &user)
        })
        .await?;
    // Nothing was bound at an identity server.
    answer!({ "id_server_unbind_result": "success" })
}

/// Checks the password and, if there is a token, that both belong to the same account.
async fn prove(
    server: &Homeserver,
    session: Option<&Authenticated>,
    auth: Option<Auth>,
) -> Result<UserId> {
    let user = auth::password_stage(server, auth).await?;
    match session {
        Some(session) if session.user != user => {
            Err(Error::forbidden("The password is another account's"))
        }
        _ => Ok(user),
    }
}

pub(crate) async fn profile(State(server): super::State, Path(user): Path<String>) -> Answer {
    let profile = server
        .database
        .read(move |connection| accounts::profile(connection, &user))
        .await?
        .ok_or_else(|| Error::not_found("There is no such user"))?;
    Ok(axum::Json(profile))
}

pub(crate) async fn profile_field(
    State(server): super::State,
    Path((user, key)): Path<(String, String)>,
) -> Answer {
    let name = key.clone();
    let value = server
        .database
        .read(move |connection| accounts::profile_field(connection, &user, &name))
        .await?
        .ok_or_else(|| Error::not_found("The profile has no such field"))?;
    answer!({ key: value })
}

pub(crate) async fn set_profile_field(
    State(server): super::State,
    session: Authenticated,
    Path((user, key)): Path<(String, String)>,
    Json(mut body): Json<Map<String, Value>>,
) -> Answer {
    if session.user != *user {
        return Err(Error::forbidden("The profile is somebody else's"));
    }
    let value = body
        .remove(&key)
        .ok_or_else(|| Error::bad_request("M_MISSING_PARAM", "The body lacks the field"))?;
    if matches!(key.as_str(), "displayname" | "avatar_url") && !value.is_string() {
        return Err(Error::invalid_param("The field has to be a string"));
    }
    server
        .database
        .write(move |connection| accounts::set_profile_field(connection, &user, &key, &value))
        .await?;
    answer!({})
}

pub(crate) async fn capabilities(State(server): super::State, session: Authenticated) -> Answer {
    let mut capabilities = json!({
        "m.change_password": { "enabled": true },
        "m.room_versions": { "default": "10", "available": { "10": "stable" } },
    });
    if auth::is_admin(&server, &session.user).await? {
        capabilities["m.account_moderation"] = json!({ "lock": true, "suspend": true });
    }
    answer!({ "capabilities": capabilities })
}
