//! Logging in, refreshing tokens, logging out.

use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};
use tower_account_status::UserId;

use super::{Answer, answer};
use crate::{
    auth::{self, Auth, Authenticated, NamedInBody, check_password},
    database::{
        accounts,
        tokens::{self, Issued},
    },
    error::{Error, Result},
    extract::{Json, Query},
    homeserver::Homeserver,
    secret::{self, NewToken, hash_token},
    time,
};

pub(crate) async fn login_flows() -> Answer {
    answer!({ "flows": [{ "type": "m.login.password" }] })
}

#[derive(Deserialize)]
pub(crate) struct Login {
    #[serde(rename = "type")]
    kind: String,
    #[serde(flatten)]
    whose: NamedInBody,
    password: Option<String>,
    #[serde(flatten)]
    device: NewDevice,
}

/// What login and registration have in common.
#[derive(Deserialize)]
struct NewDevice {
    device_id: Option<String>,
    initial_device_display_name: Option<String>,
    #[serde(default)]
    refresh_token: bool,
}

pub(crate) async fn login(State(server): super::State, Json(login): Json<Login>) -> Answer {
    if login.kind != "m.login.password" {
        return Err(Error::bad_request("M_UNKNOWN", "Unknown login type"));
    }
    let password = login
        .password
        .ok_or_else(|| Error::bad_request("M_MISSING_PARAM", "Missing password"))?;
    let user = check_password(&server, &login.whose, password).await?;
    log_in(&server, user, login.device).await.map(axum::Json)
}

#[derive(Deserialize)]
pub(crate) struct RegisterQuery {
    #[serde(default)]
    kind: Kind,
}

#[derive(Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    User,
    Guest,
}

#[derive(Deserialize)]
pub(crate) struct Register {
    auth: Option<Auth>,
    username: Option<String>,
    password: Option<String>,
    #[serde(default)]
    inhibit_login: bool,
    #[serde(flatten)]
    device: NewDevice,
}

pub(crate) async fn register(
    State(server): super::State,
    Query(query): Query<RegisterQuery>,
    Json(register): Json<Register>,
) -> Answer {
    if query.kind == Kind::Guest {
        return Err(Error::forbidden("This server has no guests"));
    }
    let localpart = match register.username {
        Some(username) => username,
        None => secret::random_text(12)?.to_lowercase(),
    };
    let user = server.user_id(&localpart);
    if !is_valid(&localpart, &user) {
        let error = "A user name has the characters a-z, 0-9 and ._=/+-";
        return Err(Error::bad_request("M_INVALID_USERNAME", error));
    }
    let taken = user.clone();
    let taken = server
        .database
        .read(move |connection| accounts::by_id(connection, &taken))
        .await?;
    if taken.is_some() {
        return Err(in_use());
    }
    auth::dummy_stage(register.auth.as_ref())?;
    let password = register
        .password
        .ok_or_else(|| Error::bad_request("M_MISSING_PARAM", "Missing password"))?;
    let hash = secret::hash_password(password).await?;

    let new = user.clone();
    let is_made = server
        .database
        .write(move |connection| accounts::create(connection, &new, &hash))
        .await?;
    if !is_made {
        return Err(in_use());
    }
    match register.inhibit_login {
        true => answer!({ "user_id": user.as_str() }),
        false => log_in(&server, user, register.device).await.map(axum::Json),
    }
}

fn is_valid(localpart: &str, user: &str) -> bool {
    let is_valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    !localpart.is_empty()
        && user.len() <= 255
        && localpart
            .bytes()
            .all(|byte| is_valid(byte) || b"._=/+-".contains(&byte))
}

fn in_use() -> Error {
    Error::bad_request("M_USER_IN_USE", "This user name is taken")
}

async fn log_in(server: &Homeserver, user: UserId, device: NewDevice) -> Result<Value> {
    let device_id = match device.device_id {
        Some(device_id) => device_id,
        None => secret::random_text(8)?,
    };
    let tokens = NewTokens::generate(server, device.refresh_token)?;
    let mut answer = tokens.answer();
    answer["user_id"] = user.as_str().into();
    answer["device_id"] = device_id.as_str().into();

    let display_name = device.initial_device_display_name;
    server
        .database
        .write(move |connection| {
            let display_name = display_name.as_deref();
            tokens::log_in(
                connection,
                &user,
                &device_id,
                display_name,
                &tokens.issued(),
            )
        })
        .await?;
    Ok(answer)
}

#[derive(Deserialize)]
pub(crate) struct Refresh {
    refresh_token: String,
}

pub(crate) async fn refresh(State(server): super::State, Json(body): Json<Refresh>) -> Answer {
    let tokens = NewTokens::generate(&server, true)?;
    let answer = tokens.answer();
    let old = hash_token(body.refresh_token.as_bytes());
    let is_known = server
        .database
        .write(move |connection| tokens::refresh(connection, &old, &tokens.issued()))
        .await?;
    match is_known {
        true => Ok(axum::Json(answer)),
        false => Err(Error::unknown_token()),
    }
}

pub(crate) async fn logout(State(server): super::State, session: Authenticated) -> Answer {
    server
        .database
        .write(move |connection| tokens::log_out(connection, &session.user, &session.device_id))
        .await?;
    answer!({})
}

pub(crate) async fn logout_all(State(server): super::State, session: Authenticated) -> Answer {
    server
        .database
        .write(move |connection| tokens::log_out_all(connection, &session.user, None))
        .await?;
    answer!({})
}

/// Tokens that no one has been given yet.
struct NewTokens {
    access: NewToken,
    refresh: Option<NewToken>,
    lifetime_ms: i64,
}

impl NewTokens {
    fn generate(server: &Homeserver, can_be_refreshed: bool) -> Result<Self> {
        Ok(Self {
            access: NewToken::generate()?,
            refresh: can_be_refreshed.then(NewToken::generate).transpose()?,
            lifetime_ms: time::duration_to_millis(server.token_lifetime),
        })
    }

    fn answer(&self) -> Value {
        let mut answer = json!({ "access_token": self.access.text });
        if let Some(refresh) = &self.refresh {
            answer["refresh_token"] = refresh.text.as_str().into();
            answer["expires_in_ms"] = self.lifetime_ms.into();
        }
        answer
    }

    /// An access token without a refresh token does not expire.
    fn issued(&self) -> Issued {
        Issued {
            access: self.access.hash,
            expires_at: self
                .refresh
                .as_ref()
                .map(|_| time::now().saturating_add(self.lifetime_ms)),
            refresh: self.refresh.as_ref().map(|refresh| refresh.hash),
        }
    }
}
