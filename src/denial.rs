//! What the layer answers in place of the inner service.

use std::{error::Error, fmt, sync::LazyLock, time::SystemTime};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER,
    },
};

use crate::{
    account::{AccountState, Restriction, RestrictionKind, UserId},
    action::Action,
};

/// Why a request was not handed on.
///
/// The answer is a Matrix error. On `/refresh` only a restriction is answered so, and everything else
/// as plain text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DenialCause {
    /// The account may not do this: 401 `M_USER_LOCKED`, 403 `M_USER_DEACTIVATED` or 403
    /// `M_USER_SUSPENDED`.
    Restricted(RestrictionKind),
    /// The store failed, panicked, or took too long: 503 `M_UNKNOWN`.
    StoreFailed,
    /// A guard was asked after its layer and all of the layer's services were gone: 503
    /// `M_UNKNOWN`.
    LayerGone,
    /// The request has more distinct credentials, or names more accounts, than are looked up: 400
    /// `M_INVALID_PARAM`.
    TooManyCredentials,
    /// The body that names an account is larger than the limit: 413 `M_TOO_LARGE`.
    BodyTooLarge,
    /// The body that names an account is not JSON: 400 `M_NOT_JSON`.
    BodyNotJson,
    /// The body that names an account has a `Content-Encoding`, so that nothing in it can be read:
    /// 415 `M_UNKNOWN`.
    BodyEncoded,
    /// The body that names an account is JSON, and not an object: 400 `M_BAD_JSON`.
    BodyNotObject,
    /// The body names an account by something other than a string: 400 `M_BAD_JSON`.
    BodyBadJson,
    /// Some parser, or a server that merges bodies, may read the body that names an account otherwise
    /// than it says: 400 `M_BAD_JSON`.
    BodyUnclear,
    /// The body failed while it was read: 400 `M_UNKNOWN`.
    BodyFailed,
    /// The body did not end within the time limit: 408 `M_UNKNOWN`.
    BodyTimedOut,
}

/// The constant parts of an answer.
struct Answer {
    status: StatusCode,
    errcode: &'static str,
    error: &'static str,
    body: &'static str,
    /// The headers without and with those for CORS. A map that is there already is cloned in two
    /// allocations, and for a fifth of what it costs to fill one.
    headers: &'static LazyLock<[HeaderMap; 2]>,
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
    fn answer(self) -> &'static Answer {
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
                "The account's state is not available at the moment"
            ),
            Self::LayerGone => answer!(
                SERVICE_UNAVAILABLE,
                "M_UNKNOWN",
                "The account's state is no longer available"
            ),
            Self::TooManyCredentials => answer!(
                BAD_REQUEST,
                "M_INVALID_PARAM",
                "Too many accounts in one request"
            ),
            Self::BodyTooLarge => {
                answer!(PAYLOAD_TOO_LARGE, "M_TOO_LARGE", "Request body too large")
            }
            Self::BodyNotJson => answer!(BAD_REQUEST, "M_NOT_JSON", "Request body is not JSON"),
            Self::BodyEncoded => answer!(
                UNSUPPORTED_MEDIA_TYPE,
                "M_UNKNOWN",
                "Request body has to be sent without an encoding"
            ),
            Self::BodyNotObject => answer!(
                BAD_REQUEST,
                "M_BAD_JSON",
                "Request body is not a JSON object"
            ),
            Self::BodyUnclear => answer!(
                BAD_REQUEST,
                "M_BAD_JSON",
                "Request body can be read in more than one way"
            ),
            Self::BodyBadJson => answer!(
                BAD_REQUEST,
                "M_BAD_JSON",
                "Request body does not say plainly which account it means"
            ),
            Self::BodyFailed => answer!(
                BAD_REQUEST,
                "M_UNKNOWN",
                "Request body could not be read to its end"
            ),
            Self::BodyTimedOut => answer!(
                REQUEST_TIMEOUT,
                "M_UNKNOWN",
                "Request body took too long to arrive"
            ),
        }
    }
}

/// The answer to a request that is not handed on, and why it was not.
///
/// It stands in the extensions of the response that it became, for logs and for a server that
/// wants to write its own:
///
/// ```
/// use tower_account_status::{Denial, DenialCause};
///
/// fn log<B>(response: &http::Response<B>) {
///     if let Some(denial) = response.extensions().get::<Denial>() {
///         println!("refused: {denial} ({:?})", denial.user());
///     }
/// }
/// ```
///
/// As an [`Error`] it can also travel through a handler's own error type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    cause: DenialCause,
    user: Option<UserId>,
    state: AccountState,
    action: Option<Action>,
    /// When it was decided, which a `Retry-After` counts from; any time where nothing ends. `None`
    /// where neither reason nor end is told.
    at: Option<SystemTime>,
    cors: bool,
}

impl Denial {
    /// Refuses because of `restriction`, which is one of `state`, with all that may be told of it.
    pub(crate) fn restricted(
        user: UserId,
        state: AccountState,
        kind: RestrictionKind,
        now: SystemTime,
    ) -> Self {
        Self {
            cause: DenialCause::Restricted(kind),
            user: Some(user),
            state,
            action: None,
            at: Some(now),
            cors: true,
        }
    }

    pub(crate) fn from_cause(cause: DenialCause) -> Self {
        Self {
            cause,
            user: None,
            state: AccountState::ACTIVE,
            action: None,
            at: None,
            cors: true,
        }
    }

    /// Tells neither reason nor end, for whoever has not proved to be the account's owner.
    pub(crate) fn without_details(mut self) -> Self {
        self.at = None;
        self
    }

    pub(crate) fn with_action(mut self, action: Option<Action>) -> Self {
        self.action = action;
        self
    }

    pub(crate) fn with_cors(mut self, cors: bool) -> Self {
        self.cors = cors;
        self
    }

    /// Why.
    #[must_use]
    pub fn cause(&self) -> DenialCause {
        self.cause
    }

    /// Whose account it is, where one is restricted.
    #[must_use]
    pub fn user(&self) -> Option<&UserId> {
        self.user.as_ref()
    }

    /// The restriction that decided, with its reason and its end, whether or not the answer tells
    /// them.
    #[must_use]
    pub fn restriction(&self) -> Option<&Restriction> {
        match self.cause {
            DenialCause::Restricted(kind) => self.state.restriction(kind),
            _ => None,
        }
    }

    /// What a suspended account was not to do.
    #[must_use]
    pub fn action(&self) -> Option<Action> {
        self.action
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.cause.answer().status
    }

    /// The Matrix error code of the answer.
    #[must_use]
    pub fn errcode(&self) -> &'static str {
        self.cause.answer().errcode
    }

    /// The answer. `B` is made from its bytes; any body of the ecosystem will do, as
    /// `axum::body::Body`.
    ///
    /// The denial moves into the response's extensions.
    #[must_use]
    pub fn into_response<B: From<Bytes>>(self) -> Response<B> {
        self.respond(AnswerForm::default(), B::from)
    }

    /// Like [`into_response`](Self::into_response), in the form that the request wants. The
    /// public form does not know the request, and is always a Matrix error.
    pub(crate) fn respond<B>(
        self,
        form: AnswerForm,
        body_of: impl FnOnce(Bytes) -> B,
    ) -> Response<B> {
        let answer = self.cause.answer();
        let mut headers = answer.headers[usize::from(self.cors)].clone();
        let mut body = Bytes::from_static(answer.body.as_bytes());
        if let Some(reason) = self.told_reason() {
            body = individual_body(answer, self.cause, reason);
            headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        if form.is_refresh && !matches!(self.cause, DenialCause::Restricted(_)) {
            body = Bytes::from_static(answer.error.as_bytes());
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(PLAIN_TEXT));
            headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        if let Some(retry_after) = self.retry_after() {
            insert_retry_after(&mut headers, retry_after, self.cors);
        }
        if form.is_head {
            body = Bytes::new();
        }
        let mut response = response_of(answer.status, headers, body_of(body));
        response.extensions_mut().insert(self);
        response
    }

    fn told_reason(&self) -> Option<&str> {
        self.at.and_then(|_| self.restriction()?.reason())
    }

    fn retry_after(&self) -> Option<HeaderValue> {
        if self.cause == DenialCause::StoreFailed {
            return Some(HeaderValue::from_static(RETRY_AFTER_STORE_FAILURE));
        }
        let until = self.restriction()?.until()?;
        let wait = until.duration_since(self.at?).ok()?;
        // Rounded up: at that second the restriction has ended.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Some(HeaderValue::from(seconds))
    }
}

const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

/// What a request wants of an answer to it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AnswerForm {
    /// HEAD: the headers alone.
    is_head: bool,
    /// The request may be for a new access token. What refuses no account is plain text there:
    /// matrix-js-sdk takes any error in the form of a Matrix error for the end of the session.
    is_refresh: bool,
}

impl AnswerForm {
    /// That of a request, by its path as far as the layer knows it.
    pub(crate) fn of(method: &Method, path: &str) -> Self {
        Self {
            is_head: method == Method::HEAD,
            is_refresh: path.trim_end_matches('/').ends_with("/refresh"),
        }
    }
}

/// How long, in seconds, a client should leave a failing store in peace.
pub(crate) const RETRY_AFTER_STORE_FAILURE: &str = "5";

/// What the specification recommends for every response
/// ([web browser clients](https://spec.matrix.org/latest/client-server-api/#web-browser-clients)).
/// Without them a browser shows its client a network error in place of the refusal.
const CORS: [(http::HeaderName, &str); 3] = [
    (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    (
        ACCESS_CONTROL_ALLOW_METHODS,
        "GET, POST, PUT, DELETE, OPTIONS",
    ),
    (
        ACCESS_CONTROL_ALLOW_HEADERS,
        "X-Requested-With, Content-Type, Authorization",
    ),
];

/// An answer of our own with the headers that all of them have; to a HEAD request without the
/// body.
#[cfg(feature = "moderation")]
pub(crate) fn json_response(
    status: StatusCode,
    body: Bytes,
    length: HeaderValue,
    is_head: bool,
    cors: bool,
) -> Response<Bytes> {
    let body = if is_head { Bytes::new() } else { body };
    response_of(status, headers_of(length, cors), body)
}

fn response_of<B>(status: StatusCode, headers: HeaderMap, body: B) -> Response<B> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn headers_of(length: HeaderValue, cors: bool) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_LENGTH, length);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if cors {
        insert_cors_headers(&mut headers);
    }
    headers
}

pub(crate) fn insert_cors_headers(headers: &mut HeaderMap) {
    for (name, value) in CORS {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// A script in a browser reads the header only if it is exposed.
pub(crate) fn insert_retry_after(headers: &mut HeaderMap, retry_after: HeaderValue, cors: bool) {
    if cors {
        let exposed = HeaderValue::from_static("Retry-After");
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    headers.insert(RETRY_AFTER, retry_after);
}

/// The largest border between characters that is not beyond `limit`.
fn char_boundary(text: &str, limit: usize) -> usize {
    (0..=limit.min(text.len()))
        .rev()
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or_default()
}

fn individual_body(answer: &Answer, cause: DenialCause, reason: &str) -> Bytes {
    let end = char_boundary(reason, Restriction::MAX_REASON_LEN);
    let mut body = serde_json::json!({ "errcode": answer.errcode, "error": &reason[..end] });
    if cause == DenialCause::Restricted(RestrictionKind::Locked) {
        body["soft_logout"] = true.into();
    }
    Bytes::from(body.to_string())
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            DenialCause::Restricted(kind) => {
                write!(f, "the account is {kind}")?;
                match self.action {
                    Some(action) => write!(f, " ({action})"),
                    None => Ok(()),
                }
            }
            DenialCause::StoreFailed => f.write_str("the account's state is not available"),
            DenialCause::LayerGone => f.write_str("the layer of this guard is gone"),
            DenialCause::TooManyCredentials => f.write_str("too many accounts in one request"),
            DenialCause::BodyTooLarge => f.write_str("the request body is too large"),
            DenialCause::BodyNotJson => f.write_str("the request body is not JSON"),
            DenialCause::BodyEncoded => f.write_str("the request body is encoded"),
            DenialCause::BodyNotObject => f.write_str("the request body is not an object"),
            DenialCause::BodyBadJson => f.write_str("the request body names no account by text"),
            DenialCause::BodyUnclear => {
                f.write_str("the request body can be read in more than one way")
            }
            DenialCause::BodyFailed => f.write_str("the request body failed"),
            DenialCause::BodyTimedOut => f.write_str("the request body took too long"),
        }
    }
}

impl Error for Denial {}

impl<B: From<Bytes>> From<Denial> for Response<B> {
    fn from(denial: Denial) -> Self {
        denial.into_response()
    }
}
