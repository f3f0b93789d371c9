//! The gateway's own answers, in the form of the specification.

use std::error::Error;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    HeaderMap, Response, StatusCode,
    header::{self, HeaderName, HeaderValue},
};

use crate::metrics;

/// How many seconds a client should wait until another gateway answers.
const RETRY_AFTER_STOP: &str = "2";

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// Every response body, streamed or the gateway's own.
pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Why a request gets no answer from the homeserver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The homeserver cannot be reached, or breaks off.
    BadGateway,
    /// The homeserver does not answer in time.
    GatewayTimeout,
    BadRequest(&'static str),
    /// A form, in which some homeservers look for an access token.
    Form,
    /// A `Content-Type` that homeservers may read in different ways.
    MediaType,
    TooLarge,
    /// The client pauses too long in its body.
    Slow,
    /// The gateway stops, and does not wait for a sync.
    Stopping,
}

impl Problem {
    fn status(self) -> StatusCode {
        match self {
            Self::BadGateway => StatusCode::BAD_GATEWAY,
            Self::GatewayTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Form | Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn errcode(self) -> &'static str {
        match self {
            Self::TooLarge => "M_TOO_LARGE",
            _ => "M_UNKNOWN",
        }
    }

    fn error(self) -> &'static str {
        match self {
            Self::BadGateway => "The homeserver cannot be reached",
            Self::GatewayTimeout => "The homeserver did not answer in time",
            Self::BadRequest(error) => error,
            Self::Form => "Send the request body as JSON, not as a form",
            Self::MediaType => "The Content-Type must be exactly one media type",
            Self::TooLarge => "The request body is too large",
            Self::Slow => "The request body did not arrive in time",
            Self::Stopping => "The server restarts",
        }
    }

    /// Whether the request is at fault, and not a server.
    pub(crate) fn is_refusal(self) -> bool {
        match self {
            Self::BadRequest(_) | Self::Form | Self::MediaType | Self::TooLarge | Self::Slow => {
                true
            }
            Self::BadGateway | Self::GatewayTimeout | Self::Stopping => false,
        }
    }

    /// A label of a metric.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BadGateway => "bad_gateway",
            Self::GatewayTimeout => "gateway_timeout",
            Self::BadRequest(_) => "bad_request",
            Self::Form => "form",
            Self::MediaType => "media_type",
            Self::TooLarge => "too_large",
            Self::Slow => "slow_body",
            Self::Stopping => "stopping",
        }
    }

    /// The answer to a request for `path`. Its extensions have the problem.
    pub(crate) fn response(self, path: &str) -> Response<Body> {
        metrics::problem(self);
        let (content_type, body) = match is_refresh(path) {
            true => ("text/plain; charset=utf-8", self.error().to_owned()),
            false => {
                let (errcode, error) = (self.errcode(), self.error());
                let body = format!(r#"{{"errcode":"{errcode}","error":"{error}"}}"#);
                ("application/json", body)
            }
        };
        let mut response = Response::new(full(body.into()));
        *response.status_mut() = self.status();
        response.extensions_mut().insert(self);
        let headers = response.headers_mut();
        let content_type = HeaderValue::from_static(content_type);
        headers.insert(header::CONTENT_TYPE, content_type);
        let no_store = HeaderValue::from_static("no-store");
        headers.insert(header::CACHE_CONTROL, no_store);
        if self == Self::Stopping {
            headers.insert(
                header::RETRY_AFTER,
                HeaderValue::from_static(RETRY_AFTER_STOP),
            );
            let exposed = HeaderValue::from_static("Retry-After");
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
        allow_every_origin(headers);
        response
    }
}

/// Whether a request may be for a new access token. Clients such as matrix-js-sdk take any Matrix error there
/// for the end of the session.
fn is_refresh(path: &str) -> bool {
    path.trim_end_matches('/').ends_with("/refresh")
}

/// Without these headers a web client sees that something failed, but not what.
fn allow_every_origin(headers: &mut HeaderMap) {
    const CORS: [(HeaderName, &str); 3] = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (
            header::ACCESS_CONTROL_ALLOW_METHODS,
            "GET, POST, PUT, DELETE, OPTIONS",
        ),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "X-Requested-With, Content-Type, Authorization",
        ),
    ];
    for (name, value) in CORS {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

pub(crate) fn full(bytes: Bytes) -> Body {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// An error with its causes. A cause that the error shows itself is not repeated. No error of hyper shows a
/// header or a URI.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    if let Some(causes) = error.source().map(chain)
        && !text.ends_with(&causes)
    {
        text.push_str(": ");
        text.push_str(&causes);
    }
    text
}
