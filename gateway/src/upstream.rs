//! What the homeserver behind is asked: whose a token is, and whether there is such a user.
//!
//! With a pool of connections of its own, apart from that of the requests that are handed on, and
//! with limits on how long an answer may take and how large it may be.

use std::{error::Error, fmt, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    Request, StatusCode, Uri,
    header::{AUTHORIZATION, HeaderValue},
    http::uri::Authority,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde_json::Value;
use tower_account_status::{AccessToken, UserId};

use crate::answer;

const WHOAMI: &str = "/_matrix/client/v3/account/whoami";

/// How long one question may take. Below the time limit of the layer, so that its failure is told
/// to everyone who waits for the same answer.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(4);

/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

pub(crate) struct Upstream {
    authority: Authority,
    client: Client<HttpConnector, Empty<Bytes>>,
}

/// What the homeserver says of an access token.
#[derive(Debug)]
pub(crate) enum Whoami {
    User {
        user: UserId,
        /// An application service's token has no device, and neither have the users that it acts
        /// for.
        has_device: bool,
    },
    /// The homeserver refuses the token with an error of its own, which the request that carries
    /// it will meet too.
    Refused { errcode: String, soft_logout: bool },
}

impl Upstream {
    pub(crate) fn new(authority: Authority) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(64)
            .build(connector());
        Self { authority, client }
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Whose token it is, and, beside an application service's, whom it acts for.
    pub(crate) async fn whoami(&self, access: AccessToken<'_>) -> Result<Whoami, UpstreamError> {
        let mut query = Vec::new();
        if let Some(user) = access.asserted_user() {
            query.push(format!("user_id={}", encode(user.as_bytes())));
        }
        let token = access.token().expose();
        let mut authorization = None;
        if token.iter().all(u8::is_ascii_graphic) {
            authorization = HeaderValue::from_bytes(&[b"Bearer ", token].concat()).ok();
        }
        if authorization.is_none() {
            // It can only have come in a query, and there it goes out again as it was.
            query.push(format!("access_token={}", encode(token)));
        }
        let answer = self.get(WHOAMI, &query.join("&"), authorization).await?;
        answer.into_whoami()
    }

    /// Whether there is an account of that name. Where the homeserver does not tell, there is:
    /// to lock an account that does not exist does no harm, and to be unable to lock one does.
    pub(crate) async fn exists(&self, user: &UserId) -> Result<bool, UpstreamError> {
        let profile = format!("/_matrix/client/v3/profile/{}", encode(user.as_bytes()));
        let profile = self.get(&profile, "", None).await?;
        if profile.status != StatusCode::NOT_FOUND {
            return Ok(true);
        }
        // An account need not have a profile, and homeservers differ in how they say so.
        let localpart = user.localpart().unwrap_or_default();
        let query = format!("username={}", encode(localpart.as_bytes()));
        let path = "/_matrix/client/v3/register/available";
        let available = self.get(path, &query, None).await?;
        let is_free = available.status == StatusCode::OK && available.body["available"] == true;
        Ok(!is_free)
    }

    /// Whether a homeserver is there.
    pub(crate) async fn answers(&self) -> Result<(), UpstreamError> {
        let answer = self.get("/_matrix/client/versions", "", None).await?;
        match answer.body["versions"].is_array() {
            true => Ok(()),
            false => Err(UpstreamError::Unexpected(answer.status)),
        }
    }

    async fn get(
        &self,
        path: &str,
        query: &str,
        authorization: Option<HeaderValue>,
    ) -> Result<Answer, UpstreamError> {
        let path = match query {
            "" => path.to_owned(),
            query => format!("{path}?{query}"),
        };
        let uri = Uri::builder()
            .scheme("http")
            .authority(self.authority.clone())
            .path_and_query(path)
            .build()
            // Too long, for every other character is encoded: nobody's name or token.
            .map_err(|_| UpstreamError::TooLong)?;
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = uri;
        if let Some(mut authorization) = authorization {
            authorization.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, authorization);
        }
        let answer = async {
            let response = self.client.request(request).await;
            let (head, body) = response.map_err(UpstreamError::failed)?.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await;
            let body = body.map_err(UpstreamError::Broken)?.to_bytes();
            Ok(Answer {
                status: head.status,
                body: serde_json::from_slice(&body).unwrap_or_default(),
            })
        };
        match tokio::time::timeout(TIMEOUT, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(UpstreamError::TimedOut),
        }
    }
}

struct Answer {
    status: StatusCode,
    /// `null` where it is not JSON.
    body: Value,
}

impl Answer {
    /// A refusal counts only as a Matrix error: what something between here and the homeserver
    /// refuses would let a locked account through.
    fn into_whoami(self) -> Result<Whoami, UpstreamError> {
        let text = |key: &str| self.body[key].as_str();
        match (self.status, text("user_id"), text("errcode")) {
            (StatusCode::OK, Some(user), _) => Ok(Whoami::User {
                user: user.into(),
                has_device: text("device_id").is_some(),
            }),
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _, Some(errcode)) => {
                Ok(Whoami::Refused {
                    errcode: errcode.to_owned(),
                    soft_logout: self.body["soft_logout"] == true,
                })
            }
            _ => Err(UpstreamError::Unexpected(self.status)),
        }
    }
}

/// How long an unused connection is kept: less than homeservers and their proxies keep theirs, so
/// that none is taken up as it is closed.
pub(crate) const POOL_IDLE: Duration = Duration::from_secs(10);

/// Opens connections to the homeserver.
pub(crate) fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(Duration::from_secs(3)));
    connector.set_keepalive(Some(Duration::from_secs(60)));
    connector
}

fn encode(bytes: &[u8]) -> String {
    percent_encode(bytes, NON_ALPHANUMERIC).to_string()
}

/// Why the homeserver gave no answer. It holds no token.
#[derive(Debug)]
pub(crate) enum UpstreamError {
    Failed(hyper_util::client::legacy::Error),
    Broken(answer::BoxError),
    TimedOut,
    TooLong,
    Unexpected(StatusCode),
    /// The homeserver restricts the account itself, as the error code says.
    Restricted(String),
}

impl UpstreamError {
    fn failed(error: hyper_util::client::legacy::Error) -> Self {
        Self::Failed(error)
    }
}

impl fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => {
                write!(
                    f,
                    "the homeserver cannot be reached: {}",
                    answer::chain(error)
                )
            }
            Self::Broken(error) => {
                write!(f, "the homeserver's answer broke off: {error}")
            }
            Self::TimedOut => f.write_str("the homeserver did not answer in time"),
            Self::TooLong => f.write_str("the token or the name is too long to ask for"),
            Self::Unexpected(status) => {
                write!(f, "unexpected answer of the homeserver, status {status}")
            }
            Self::Restricted(errcode) => {
                write!(f, "the homeserver restricts the account itself: {errcode}")
            }
        }
    }
}

impl Error for UpstreamError {}
