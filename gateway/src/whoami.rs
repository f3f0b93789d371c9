//! The owner of a token, and whether that is a person.

use hyper::{StatusCode, header::HeaderValue};
use tower_account_status::{Secret, UserId};

use crate::upstream::{Answer, Upstream, UpstreamError, encode};

const WHOAMI: &str = "/_matrix/client/v3/account/whoami";

/// The homeserver's answer about an access token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Whoami {
    /// Its owner, or the user for whom an application service acts with it.
    User {
        user: UserId,
        device: Option<String>,
    },
    /// The homeserver does not know it, or (`soft_logout`) knows that it has expired.
    Unknown { soft_logout: bool },
    /// The homeserver has locked or deactivated the account itself, and so refuses the request.
    Restricted { errcode: String },
    /// The homeserver does not tell.
    Refused { errcode: String },
}

impl Upstream {
    /// The owner of the token or, if it is an application service's, the user for whom it acts.
    pub(crate) async fn whoami(
        &self,
        token: Secret<'_>,
        asserted: Option<&str>,
    ) -> Result<Whoami, UpstreamError> {
        let asserted = asserted.map(|user| format!("user_id={}", encode(user.as_bytes())));
        let answer = self.get_with(WHOAMI, token, asserted).await?;
        Whoami::try_from(&answer)
    }

    /// Whether a token is a person's, so that a `user_id` parameter means nothing beside it.
    ///
    /// The client has no influence on the answers that prove it: the homeserver names the same
    /// account and device without an assertion and with one that every server reads and none can
    /// follow, and the account's list of devices has that device. A device that is only named proves
    /// nothing, because Dendrite names one for an application service.
    pub(crate) async fn is_persons(
        &self,
        token: Secret<'_>,
        server_name: &str,
    ) -> Result<bool, UpstreamError> {
        let alone = self.whoami(token, None).await?;
        let Whoami::User {
            device: Some(device),
            ..
        } = &alone
        else {
            return Ok(false);
        };
        let probe = made_up_user(server_name);
        if self.whoami(token, Some(&probe)).await? != alone {
            return Ok(false);
        }
        let path = format!("/_matrix/client/v3/devices/{}", encode(device.as_bytes()));
        let answer = self.get_with(&path, token, None).await?;
        Ok(answer.status == StatusCode::OK && answer.text("device_id") == Some(device))
    }

    async fn get_with(
        &self,
        path: &str,
        token: Secret<'_>,
        parameter: Option<String>,
    ) -> Result<Answer, UpstreamError> {
        let mut query = Vec::from_iter(parameter);
        let token = token.expose();
        let mut authorization = None;
        if token.iter().all(u8::is_ascii_graphic) {
            authorization = HeaderValue::from_bytes(&[b"Bearer ", token].concat()).ok();
        }
        if authorization.is_none() {
            // It can only have come in a query, and is sent in a query again.
            query.push(format!("access_token={}", encode(token)));
        }
        self.get(path, &query.join("&"), authorization.as_slice())
            .await
    }
}

/// A user id of this server that nobody has, and nobody can guess.
pub(crate) fn made_up_user(server_name: &str) -> String {
    let mut random = [0; 16];
    // Without randomness it is still a name that nobody has.
    let _ = getrandom::fill(&mut random);
    let random = u128::from_ne_bytes(random);
    format!("@account-gateway-{random:032x}:{server_name}")
}

impl TryFrom<&Answer> for Whoami {
    type Error = UpstreamError;

    /// A token is unknown only if the answer says so. If any other refusal counted, by something in between or by
    /// the homeserver for another reason, a locked account would pass.
    fn try_from(answer: &Answer) -> Result<Self, UpstreamError> {
        if answer.status == StatusCode::OK {
            let user = answer.text("user_id").filter(|user| !user.is_empty());
            let user = user.ok_or_else(|| answer.unexpected())?;
            return Ok(Self::User {
                user: user.into(),
                device: answer.text("device_id").map(str::to_owned),
            });
        }
        let errcode = match (answer.status, answer.text("errcode")) {
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, Some(errcode)) => errcode.to_owned(),
            _ => return Err(answer.unexpected()),
        };
        Ok(match errcode.as_str() {
            "M_UNKNOWN_TOKEN" | "M_MISSING_TOKEN" => Self::Unknown {
                soft_logout: answer.body["soft_logout"] == true,
            },
            "M_USER_LOCKED" | "M_USER_DEACTIVATED" | "ORG_MATRIX_EXPIRED_ACCOUNT" => {
                Self::Restricted { errcode }
            }
            _ => Self::Refused { errcode },
        })
    }
}
