//! What the layer answers for each cause: status, error code, text and headers.

use std::sync::LazyLock;

use http::{HeaderMap, HeaderValue, StatusCode};

use super::{cause::DenialCause, headers::headers_of};
use crate::account::RestrictionKind;

/// The constant parts of an answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) errcode: &'static str,
    pub(super) error: &'static str,
    pub(super) body: &'static str,
    /// The headers without and with those for CORS. A map that is there already is cloned in two
    /// allocations, and for a fifth of what it costs to fill one.
    pub(super) headers: &'static LazyLock<[HeaderMap; 2]>,
}

/// A macro, so that the body's length is a constant too.
macro_rules! answer {
    ($status:ident, $errcode:literal, $error:literal $(, $more:literal)?) => {{
        const BODY: &str = concat!("{\"errcode\":\"", $errcode, "\",\"error\":\"", $error, "\"" $(, $more)?, "}");
        const DIGITS: [u8; 3] = {
            let len = BODY.len();
            assert!(len >= 10 && len < 100, "two digits");
            #[expect(clippy::cast_possible_truncation, reason = "each is less than ten")]
            [b'0' + (len / 10) as u8, b'0' + (len % 10) as u8, 0]
        };
        const LENGTH: &str = match std::str::from_utf8(DIGITS.split_at(2).0) {
            Ok(length) => length,
            Err(_) => panic!("digits are text"),
        };
        static HEADERS: LazyLock<[HeaderMap; 2]> =
            LazyLock::new(|| [false, true].map(|cors| headers_of(HeaderValue::from_static(LENGTH), cors)));
        // No constant, which compilers before 1.87 refuse to let refer to a lock.
        static ANSWER: Answer = Answer {
            status: StatusCode::$status,
            errcode: $errcode,
            error: $error,
            body: BODY,
            headers: &HEADERS,
        };
        &ANSWER
    }};
}

impl DenialCause {
    pub(super) fn answer(self) -> &'static Answer {
        match self {
            Self::Restricted(RestrictionKind::Locked) => answer!(
                UNAUTHORIZED,
                "M_USER_LOCKED",
                "This account has been locked",
                ",\"soft_logout\":true"
            ),
            Self::Restricted(RestrictionKind::Deactivated) => answer!(
                FORBIDDEN,
                "M_USER_DEACTIVATED",
                "This account has been deactivated"
            ),
            Self::Restricted(RestrictionKind::Suspended) => answer!(
                FORBIDDEN,
                "M_USER_SUSPENDED",
                "Not possible while this account is suspended"
            ),
            Self::StoreFailed => answer!(
                SERVICE_UNAVAILABLE,
                "M_UNKNOWN",
                "The account's state is unavailable; try again later"
            ),
            Self::LayerGone => answer!(
                SERVICE_UNAVAILABLE,
                "M_UNKNOWN",
                "The account's state is unavailable; the server restarts"
            ),
            Self::TooManyCredentials => answer!(
                BAD_REQUEST,
                "M_INVALID_PARAM",
                "Too many credentials in one request; send at most 4"
            ),
            Self::BodyTooLarge => {
                answer!(
                    PAYLOAD_TOO_LARGE,
                    "M_TOO_LARGE",
                    "The request body is too large"
                )
            }
            Self::BodyNotJson => answer!(BAD_REQUEST, "M_NOT_JSON", "The request body is not JSON"),
            Self::BodyEncoded => answer!(
                UNSUPPORTED_MEDIA_TYPE,
                "M_UNKNOWN",
                "Send the request body without a Content-Encoding"
            ),
            Self::BodyNotObject => answer!(
                BAD_REQUEST,
                "M_BAD_JSON",
                "The request body is not a JSON object"
            ),
            Self::BodyUnclear => answer!(
                BAD_REQUEST,
                "M_BAD_JSON",
                "The request body can be read in more than one way"
            ),
            Self::BodyBadJson => answer!(
                BAD_REQUEST,
                "M_BAD_JSON",
                "The account in the request body is not a string"
            ),
            Self::BodyFailed => answer!(
                BAD_REQUEST,
                "M_UNKNOWN",
                "The request body broke off; send it again"
            ),
            Self::BodyTimedOut => answer!(
                REQUEST_TIMEOUT,
                "M_UNKNOWN",
                "The request body took too long; send it again"
            ),
        }
    }
}
