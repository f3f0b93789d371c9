//! The answers to requests that are refused or fail.

use std::{error::Error, fmt};

use http::StatusCode;
use serde_json::json;

/// Why a request to a moderation endpoint was refused.
///
/// It is in the extensions of its response, where logs can find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// Neither GET (or HEAD) nor PUT: 405 `M_UNRECOGNIZED`.
    MethodNotAllowed,
    /// No access token: 401 `M_MISSING_TOKEN`.
    MissingToken,
    /// An unknown access token: 401 `M_UNKNOWN_TOKEN`.
    UnknownToken,
    /// An access token that has expired: 401 `M_UNKNOWN_TOKEN` with `soft_logout: true`.
    ExpiredToken,
    /// Access tokens of several users, or more than are looked up: 400 `M_INVALID_PARAM`.
    AmbiguousToken,
    /// The requester is not a server administrator: 403 `M_FORBIDDEN`.
    NotAdministrator,
    /// An administrator wants to change the state of their own account: 403 `M_FORBIDDEN`.
    OwnAccount,
    /// The account is another administrator's: 403 `M_FORBIDDEN`.
    AnotherAdministrator,
    /// The path names no user of this server: 400 `M_INVALID_PARAM`.
    NotLocal,
    /// There is no such account, or it has been deactivated: 404 `M_NOT_FOUND`.
    NotFound,
    /// The body is larger than the limit: 413 `M_TOO_LARGE`.
    BodyTooLarge,
    /// The body did not end within the time limit: 408 `M_UNKNOWN`.
    BodyTimedOut,
    /// The body failed while it was read: 400 `M_UNKNOWN`.
    BodyFailed,
    /// The body has a `Content-Encoding`: 415 `M_UNKNOWN`.
    BodyEncoded,
    /// The body is not JSON: 400 `M_NOT_JSON`.
    BodyNotJson,
    /// The body is not an object, or its value is not one boolean: 400 `M_BAD_JSON`.
    BodyBadJson,
    /// The body lacks the key for the wanted state: 400 `M_MISSING_PARAM`.
    MissingParameter,
    /// The body has a reason or an end, which these endpoints do not keep: 400 `M_INVALID_PARAM`.
    ReasonOrEnd,
    /// The directory or the store failed, panicked, or took too long: 503 `M_UNKNOWN`. Nothing was
    /// changed.
    Unavailable,
    /// The store failed, panicked, or took too long while it made the change, which may have been made:
    /// 503 `M_UNKNOWN`.
    NotKnown,
}

impl Refusal {
    /// The status of the answer.
    #[must_use]
    pub fn status(self) -> StatusCode {
        self.parts().0
    }

    /// The refusal in lower case, as for a metric's label: `not_administrator` or `body_too_large`,
    /// for example.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MethodNotAllowed => "method_not_allowed",
            Self::MissingToken => "missing_token",
            Self::UnknownToken => "unknown_token",
            Self::ExpiredToken => "expired_token",
            Self::AmbiguousToken => "ambiguous_token",
            Self::NotAdministrator => "not_administrator",
            Self::OwnAccount => "own_account",
            Self::AnotherAdministrator => "another_administrator",
            Self::NotLocal => "not_local",
            Self::NotFound => "not_found",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyTimedOut => "body_timed_out",
            Self::BodyFailed => "body_failed",
            Self::BodyEncoded => "body_encoded",
            Self::BodyNotJson => "body_not_json",
            Self::BodyBadJson => "body_bad_json",
            Self::MissingParameter => "missing_parameter",
            Self::ReasonOrEnd => "reason_or_end",
            Self::Unavailable => "unavailable",
            Self::NotKnown => "not_known",
        }
    }

    /// The Matrix error code of the answer.
    #[must_use]
    pub fn errcode(self) -> &'static str {
        self.parts().1
    }

    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        const BAD: StatusCode = StatusCode::BAD_REQUEST;
        const UNAUTHORIZED: StatusCode = StatusCode::UNAUTHORIZED;
        const FORBIDDEN: StatusCode = StatusCode::FORBIDDEN;
        match self {
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "M_UNRECOGNIZED",
                "This endpoint has no such method",
            ),
            Self::MissingToken => (UNAUTHORIZED, "M_MISSING_TOKEN", "Missing access token"),
            Self::UnknownToken => (UNAUTHORIZED, "M_UNKNOWN_TOKEN", "Unknown access token"),
            Self::ExpiredToken => (UNAUTHORIZED, "M_UNKNOWN_TOKEN", "Access token has expired"),
            Self::AmbiguousToken => (
                BAD,
                "M_INVALID_PARAM",
                "The request has access tokens of several users; send one",
            ),
            Self::NotAdministrator => (
                FORBIDDEN,
                "M_FORBIDDEN",
                "Only a server administrator may do this",
            ),
            Self::OwnAccount => (
                FORBIDDEN,
                "M_FORBIDDEN",
                "Administrators cannot do this to their own account",
            ),
            Self::AnotherAdministrator => (
                FORBIDDEN,
                "M_FORBIDDEN",
                "This is another administrator's account",
            ),
            Self::NotLocal => (BAD, "M_INVALID_PARAM", "The user is not of this server"),
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "M_NOT_FOUND",
                "The user does not exist or is deactivated",
            ),
            Self::BodyTooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "M_TOO_LARGE",
                "The request body is too large",
            ),
            Self::BodyTimedOut => (
                StatusCode::REQUEST_TIMEOUT,
                "M_UNKNOWN",
                "The request body took too long; send it again",
            ),
            Self::BodyFailed => (
                BAD,
                "M_UNKNOWN",
                "The request body broke off; send it again",
            ),
            Self::BodyEncoded => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "M_UNKNOWN",
                "Send the request body without a Content-Encoding",
            ),
            Self::BodyNotJson => (BAD, "M_NOT_JSON", "The request body is not JSON"),
            Self::BodyBadJson => (
                BAD,
                "M_BAD_JSON",
                "The request body must be an object with one boolean",
            ),
            Self::MissingParameter => (
                BAD,
                "M_MISSING_PARAM",
                "The request body lacks the key for the wanted state",
            ),
            Self::ReasonOrEnd => (
                BAD,
                "M_INVALID_PARAM",
                "This endpoint keeps no reason and no end; send the request without them",
            ),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "M_UNKNOWN",
                "The account's state is unavailable; try again later",
            ),
            Self::NotKnown => (
                StatusCode::SERVICE_UNAVAILABLE,
                "M_UNKNOWN",
                "It is not known whether the change was made; look at the state, or send the request \
                 again later",
            ),
        }
    }

    pub(super) fn body(self) -> String {
        let (_, errcode, error) = self.parts();
        let mut body = json!({ "errcode": errcode, "error": error });
        if self == Self::ExpiredToken {
            body["soft_logout"] = true.into();
        }
        body.to_string()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.parts().2)
    }
}

impl Error for Refusal {}
