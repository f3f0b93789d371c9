//! How the gateway asks the homeserver. The questions are in `whoami`, `accounts` and `events`.
//!
//! The questions have a pool of connections of their own, and limits on how long an answer may take and how large
//! it may be.

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

use crate::{answer, asker::Asker, metrics};

/// How long one question may take. It is below the time limit of the layer, so that everyone who
/// waits for the same answer hears of the failure.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(4);

/// The longest answer that is read, in bytes: an event, with what the homeserver adds to one.
const MAX_ANSWER: usize = 1024 * 1024;

pub(crate) struct Upstream {
    authority: Authority,
    client: Client<HttpConnector, Empty<Bytes>>,
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

    /// Whether a homeserver answers.
    pub(crate) async fn answers(&self) -> Result<(), UpstreamError> {
        let answer = self.get("/_matrix/client/versions", "", &[]).await?;
        match answer.body["versions"].is_array() {
            true => Ok(()),
            false => Err(answer.unexpected()),
        }
    }

    /// Asks on behalf of the sender of the current request.
    pub(crate) async fn get_as(&self, path: &str, asker: &Asker) -> Result<Answer, UpstreamError> {
        self.get(path, asker.query(), asker.authorization()).await
    }

    /// Asks with these headers of authorization.
    pub(crate) async fn get(
        &self,
        path: &str,
        query: &str,
        authorization: &[HeaderValue],
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
            // It can only be too long, because every other character is encoded.
            .map_err(|_| UpstreamError::TooLong)?;
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = uri;
        for value in authorization {
            let mut value = value.clone();
            value.set_sensitive(true);
            request.headers_mut().append(AUTHORIZATION, value);
        }
        let answer = async {
            let response = self.client.request(request).await;
            let (head, body) = response.map_err(UpstreamError::Failed)?.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await;
            let body = body.map_err(UpstreamError::Broken)?.to_bytes();
            Ok(Answer {
                status: head.status,
                body: serde_json::from_slice(&body).unwrap_or_default(),
            })
        };
        let answer = tokio::time::timeout(TIMEOUT, answer).await;
        answer
            .unwrap_or(Err(UpstreamError::TimedOut))
            .inspect_err(metrics::failed_question)
    }
}

/// The homeserver's answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// `null` if it is not JSON.
    pub(crate) body: Value,
}

impl Answer {
    /// The text under a key.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.body[key].as_str()
    }

    /// The failure if another answer was expected.
    pub(crate) fn unexpected(&self) -> UpstreamError {
        let error = UpstreamError::Unexpected(self.status);
        metrics::failed_question(&error);
        error
    }
}

/// How long an unused connection is kept. Homeservers and their proxies keep theirs longer, so that none is
/// closed while it is being used again.
pub(crate) const POOL_IDLE: Duration = Duration::from_secs(10);

/// Opens connections to the homeserver.
pub(crate) fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(Duration::from_secs(3)));
    connector.set_keepalive(Some(Duration::from_secs(60)));
    connector
}

/// As one segment of a path, or as a value in a query.
pub(crate) fn encode(bytes: &[u8]) -> String {
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
    /// The homeserver refuses the token for a reason of its own, as the error code says.
    Refused(String),
    /// The homeserver does not tell whether there is such an account.
    UnknownAccount,
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
                let error = answer::chain(&**error);
                write!(f, "the homeserver's answer broke off: {error}")
            }
            Self::TimedOut => f.write_str("the homeserver did not answer in time"),
            Self::TooLong => f.write_str("the token or the name is too long to ask for"),
            Self::Unexpected(status) => {
                write!(f, "unexpected answer of the homeserver, status {status}")
            }
            Self::Refused(errcode) => {
                write!(
                    f,
                    "the homeserver does not tell whose a token is: {errcode:?}"
                )
            }
            Self::UnknownAccount => {
                f.write_str("the homeserver does not tell whether there is such an account")
            }
        }
    }
}

impl Error for UpstreamError {}
