//! Who makes a request: its access token, or the password in its body.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, OptionalFromRequestParts, Query},
    http::{StatusCode, header, request::Parts},
};
use serde::Deserialize;
use serde_json::json;
use tower_account_status::{Credential, ThirdParty, UserId};

use crate::{
    database::{
        accounts::{self, Named},
        tokens,
    },
    error::{Error, Result},
    homeserver::Homeserver,
    secret::{self, hash_token},
    time,
};

/// The owner of the request's access token, and the device that it was given to.
pub(crate) struct Authenticated {
    pub(crate) user: UserId,
    pub(crate) device_id: String,
}

impl FromRequestParts<Arc<Homeserver>> for Authenticated {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, server: &Arc<Homeserver>) -> Result<Self> {
        let token = access_token(parts).ok_or_else(Error::missing_token)?;
        authenticate(server, &token).await
    }
}

/// For endpoints where a token is optional. A wrong token is refused all the same.
impl OptionalFromRequestParts<Arc<Homeserver>> for Authenticated {
    type Rejection = Error;

    async fn from_request_parts(
        parts: &mut Parts,
        server: &Arc<Homeserver>,
    ) -> Result<Option<Self>> {
        match access_token(parts) {
            Some(token) => authenticate(server, &token).await.map(Some),
            None => Ok(None),
        }
    }
}

/// The token of the `Authorization` header, or else that of the query.
fn access_token(parts: &Parts) -> Option<String> {
    #[derive(Deserialize)]
    struct InQuery {
        access_token: String,
    }

    let in_header = parts.headers.get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("Bearer")
            .then(|| token.trim().to_owned())
    });
    in_header.or_else(|| {
        let Query(query) = Query::<InQuery>::try_from_uri(&parts.uri).ok()?;
        Some(query.access_token)
    })
}

async fn authenticate(server: &Homeserver, token: &str) -> Result<Authenticated> {
    let hash = hash_token(token.as_bytes());
    let session = server
        .database
        .read(move |connection| tokens::session(connection, &hash))
        .await?
        .ok_or_else(Error::unknown_token)?;
    if session.expires_at.is_some_and(|end| end <= time::now()) {
        return Err(Error::expired_token());
    }
    if let Some(replaced) = session.replaces {
        server
            .database
            .write(move |connection| tokens::first_use(connection, &replaced))
            .await?;
    }
    Ok(Authenticated {
        user: session.user,
        device_id: session.device_id,
    })
}

/// A request of an administrator. Requests of others are refused before anything else is looked up.
pub(crate) struct Administrator(pub(crate) UserId);

impl FromRequestParts<Arc<Homeserver>> for Administrator {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, server: &Arc<Homeserver>) -> Result<Self> {
        let session =
            <Authenticated as FromRequestParts<_>>::from_request_parts(parts, server).await?;
        match is_admin(server, &session.user).await? {
            true => Ok(Self(session.user)),
            false => Err(Error::forbidden("Only for administrators")),
        }
    }
}

pub(crate) async fn is_admin(server: &Homeserver, user: &UserId) -> Result<bool> {
    let user = user.clone();
    let is_admin = server
        .database
        .read(move |connection| accounts::is_admin(connection, &user))
        .await?;
    Ok(is_admin)
}

/// Whom a body names, in a current or a deprecated way.
#[derive(Deserialize)]
pub(crate) struct NamedInBody {
    identifier: Option<Identifier>,
    #[serde(flatten)]
    deprecated: Names,
}

#[derive(Deserialize)]
struct Identifier {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(flatten)]
    names: Names,
}

#[derive(Deserialize)]
struct Names {
    user: Option<String>,
    medium: Option<String>,
    address: Option<String>,
    country: Option<String>,
    phone: Option<String>,
}

impl NamedInBody {
    fn identifier(&self) -> Option<Credential<'_>> {
        let Some(Identifier { kind, names }) = &self.identifier else {
            return self.deprecated.user().or(self.deprecated.third_party());
        };
        match kind.as_deref() {
            Some("m.id.user") => names.user(),
            // An example of the specification leaves the type out.
            Some("m.id.thirdparty") | None => names.third_party(),
            Some("m.id.phone") => names.phone(),
            Some(_) => None,
        }
    }
}

impl Names {
    fn user(&self) -> Option<Credential<'_>> {
        self.user.as_deref().map(Credential::LoginName)
    }

    fn third_party(&self) -> Option<Credential<'_>> {
        Some(Credential::ThirdParty(ThirdParty::Address {
            medium: self.medium.as_deref()?,
            address: self.address.as_deref()?,
        }))
    }

    fn phone(&self) -> Option<Credential<'_>> {
        Some(Credential::ThirdParty(ThirdParty::Phone {
            country: self.country.as_deref()?,
            phone: self.phone.as_deref()?,
        }))
    }
}

/// Checks a password. An unknown account gets the same answer as a wrong password.
pub(crate) async fn check_password(
    server: &Homeserver,
    whose: &NamedInBody,
    password: String,
) -> Result<UserId> {
    let identifier = whose
        .identifier()
        .ok_or_else(|| Error::bad_request("M_UNKNOWN", "No identifier of a known type"))?;
    let named = Named::new(server.server_name, identifier);
    let found = server
        .database
        .read(move |connection| {
            let Some(named) = named else { return Ok(None) };
            let Some(account) = accounts::by_name(connection, &named)? else {
                return Ok(None);
            };
            let hash = accounts::password_hash(connection, account.user())?;
            Ok(Some((account.into_parts().0, hash)))
        })
        .await?;
    let (user, hash) = found.map_or((None, None), |(user, hash)| (Some(user), hash));
    let is_right = secret::verify_password(password, hash).await?;
    user.filter(|_| is_right)
        .ok_or_else(|| Error::forbidden("Wrong user name or password"))
}

/// The `auth` object of user-interactive authentication.
#[derive(Deserialize)]
pub(crate) struct Auth {
    #[serde(rename = "type")]
    stage: Option<String>,
    password: Option<String>,
    #[serde(flatten)]
    whose: NamedInBody,
}

/// Passes when `auth` completes the stage `m.login.dummy`.
pub(crate) fn dummy_stage(auth: Option<&Auth>) -> Result<()> {
    const STAGE: &str = "m.login.dummy";
    match auth.and_then(|auth| auth.stage.as_deref()) {
        Some(STAGE) => Ok(()),
        _ => Err(challenge(STAGE)?),
    }
}

/// Passes when `auth` completes the stage `m.login.password`, and says whose password it is.
pub(crate) async fn password_stage(server: &Homeserver, auth: Option<Auth>) -> Result<UserId> {
    const STAGE: &str = "m.login.password";
    match auth {
        Some(Auth {
            stage: Some(stage),
            password: Some(password),
            whose,
        }) if stage == STAGE => match check_password(server, &whose, password).await {
            Err(error) if error.is_forbidden() => Err(challenge(STAGE)?
                .with("errcode", "M_FORBIDDEN")
                .with("error", "Wrong user name or password")),
            result => result,
        },
        _ => Err(challenge(STAGE)?),
    }
}

/// The stages that the client has to complete. Each flow has one stage, so nothing is remembered
/// between two requests. The session is there only because some clients expect one.
fn challenge(stage: &str) -> Result<Error> {
    let body = json!({
        "flows": [{ "stages": [stage] }],
        "params": {},
        "completed": [],
        "session": secret::random_text(16)?,
    });
    Ok(Error::with_body(StatusCode::UNAUTHORIZED, body))
}
