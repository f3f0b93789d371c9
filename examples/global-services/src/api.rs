//! The handlers. None of them knows of account states.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{FromRequestParts, Path, Query},
    routing::{get, post, put},
};
use http::{StatusCode, header::AUTHORIZATION, request::Parts};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    error::{Error, Result},
    jwt::{self, Claims},
    services::services,
};

pub(crate) fn routes() -> Router {
    let client = "/_matrix/client/v3";
    Router::new()
        .route(&format!("{client}/register"), post(register))
        .route(&format!("{client}/login"), post(log_in))
        .route(&format!("{client}/logout"), post(log_out))
        .route(&format!("{client}/account/whoami"), get(whoami))
        .route(&format!("{client}/account/deactivate"), post(deactivate))
        .route(&format!("{client}/sync"), get(sync))
        .route("/_example/password/{user}", put(reset_password))
        .route("/_example/devices/{user}", get(count_devices))
}

/// Who asks.
struct Sender {
    user: String,
    /// None of an application service.
    device: Option<String>,
}

#[derive(Deserialize)]
struct Assertion {
    user_id: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Sender {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let token = bearer(parts).ok_or(Error::Matrix(
            StatusCode::UNAUTHORIZED,
            "M_MISSING_TOKEN",
            "Missing access token",
        ))?;
        if let Some(service) = services().appservice.find_from_token(&token) {
            let query = Query::<Assertion>::from_request_parts(parts, state).await;
            let asserted = query.ok().and_then(|query| query.0.user_id);
            let user = match asserted {
                None => local(&service.sender_localpart),
                Some(user) if user.starts_with(&service.namespace) => user,
                Some(_) => return Err(Error::forbidden("Not in the service's namespace")),
            };
            return Ok(Self { user, device: None });
        }
        let found = services().users.find_from_token(&token)?;
        let (user, device) = found.ok_or(Error::unknown_token())?;
        Ok(Self {
            user,
            device: Some(device),
        })
    }
}

fn bearer(parts: &Parts) -> Option<String> {
    let value = parts.headers.get(AUTHORIZATION)?.to_str().ok()?;
    value.strip_prefix("Bearer ").map(str::to_owned)
}

/// The user id of a localpart; a whole user id as it is.
pub(crate) fn local(name: &str) -> String {
    match name.starts_with('@') {
        true => name.to_owned(),
        false => format!("@{name}:{}", services().globals.server_name),
    }
}

#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

async fn register(Query(kind): Query<Kind>, Json(body): Json<Value>) -> Result<Json<Value>> {
    let users = &services().users;
    let is_guest = kind.kind.as_deref() == Some("guest");
    let name = body["username"].as_str().unwrap_or_default().to_lowercase();
    let user = match is_guest {
        true => local(&format!("guest{}", users_so_far())),
        false if !name.is_empty() => local(&name),
        false => return Err(Error::forbidden("No username")),
    };
    if users.exists(&user)? {
        let text = "Desired user ID is taken";
        return Err(Error::Matrix(
            StatusCode::BAD_REQUEST,
            "M_USER_IN_USE",
            text,
        ));
    }
    users.create(&user, body["password"].as_str().filter(|_| !is_guest))?;
    signed_in(&user)
}

/// A number that no guest has had in this process.
fn users_so_far() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    COUNT.fetch_add(1, Ordering::Relaxed)
}

async fn log_in(sender: Option<ServiceToken>, Json(body): Json<Value>) -> Result<Json<Value>> {
    let users = &services().users;
    let identifier = &body["identifier"]["user"];
    let name = identifier.as_str().or(body["user"].as_str());
    let named = || match name {
        Some(name) => Ok(local(&name.to_lowercase())),
        None => Err(Error::forbidden("No user")),
    };
    let user = match body["type"].as_str().unwrap_or_default() {
        "m.login.password" => {
            let user = named()?;
            let password = body["password"].as_str().unwrap_or_default();
            if !users.is_password(&user, password)? {
                return Err(Error::forbidden("Wrong username or password."));
            }
            user
        }
        "m.login.token" | "org.matrix.login.jwt" => {
            let token = body["token"].as_str().unwrap_or_default();
            let claims: Option<Claims> = jwt::decode(token, &services().globals.jwt_secret);
            let claims = claims.ok_or(Error::forbidden("Token is invalid."))?;
            local(&claims.sub.to_lowercase())
        }
        "m.login.application_service" => {
            let user = named()?;
            let ServiceToken(namespace) = sender.ok_or(Error::unknown_token())?;
            if !user.starts_with(namespace) {
                return Err(Error::forbidden("Not in the service's namespace"));
            }
            if !users.exists(&user)? {
                users.create(&user, None)?;
            }
            user
        }
        _ => return Err(Error::forbidden("Unsupported login type.")),
    };
    if !users.exists(&user)? {
        return Err(Error::forbidden("No such user."));
    }
    signed_in(&user)
}

/// The namespace of the application service whose token the request has.
struct ServiceToken(&'static str);

impl<S: Sync> axum::extract::OptionalFromRequestParts<S> for ServiceToken {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>> {
        let token = bearer(parts);
        let service = token.and_then(|token| services().appservice.find_from_token(&token));
        Ok(service.map(|service| Self(&service.namespace)))
    }
}

fn signed_in(user: &str) -> Result<Json<Value>> {
    let token = services().users.create_device(user)?;
    Ok(Json(json!({ "user_id": user, "access_token": token })))
}

async fn log_out(sender: Sender) -> Result<Json<Value>> {
    if let Some(device) = &sender.device {
        services().users.remove_device(&sender.user, device)?;
    }
    Ok(Json(json!({})))
}

async fn whoami(sender: Sender) -> Json<Value> {
    Json(json!({ "user_id": sender.user }))
}

async fn deactivate(sender: Sender) -> Result<Json<Value>> {
    services().users.deactivate_account(&sender.user)?;
    Ok(Json(json!({ "id_server_unbind_result": "no-support" })))
}

#[derive(Deserialize)]
struct Waiting {
    timeout: Option<u64>,
}

/// Waits for events. This server never has any.
async fn sync(_: Sender, Query(waiting): Query<Waiting>) -> Json<Value> {
    services().begin_sync();
    tokio::time::sleep(Duration::from_millis(waiting.timeout.unwrap_or(0))).await;
    Json(json!({ "next_batch": "1" }))
}

fn must_be_admin(sender: &Sender) -> Result<()> {
    match services().is_admin(&sender.user) {
        true => Ok(()),
        false => Err(Error::forbidden("Only administrators can do this.")),
    }
}

#[derive(Deserialize)]
struct NewPassword {
    password: String,
}

/// What the administrator's room has for it in the servers of this family.
async fn reset_password(
    sender: Sender,
    Path(user): Path<String>,
    Json(new): Json<NewPassword>,
) -> Result<Json<Value>> {
    must_be_admin(&sender)?;
    services().users.set_password(&user, Some(&new.password))?;
    Ok(Json(json!({})))
}

async fn count_devices(sender: Sender, Path(user): Path<String>) -> Result<Json<Value>> {
    must_be_admin(&sender)?;
    Ok(Json(
        json!({ "devices": services().users.count_devices(&user)? }),
    ))
}
