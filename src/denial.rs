//! What the layer answers instead of the inner service.

mod answer;
mod cause;
pub(crate) mod headers;

use std::{error::Error, fmt, time::SystemTime};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};

pub use cause::DenialCause;

use self::{
    answer::Answer,
    headers::{RETRY_AFTER_STORE_FAILURE, insert_retry_after, response_of},
};
use crate::{
    account::{Account, AccountState, Restriction, RestrictionKind, UserId},
    action::Action,
};

/// The answer to a request that does not reach the inner service, and the reason.
///
/// It is in the extensions of its response, for logs and for a server that wants to write its own
/// answer:
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
    /// The time of the decision, from which a `Retry-After` counts. Any time if nothing ends. `None` if
    /// neither reason nor end is revealed.
    at: Option<SystemTime>,
    cors: bool,
    /// The denial is of a `POST /refresh`, and knows it without the request.
    of_refresh: bool,
}

impl Denial {
    /// Refuses because of the restriction of this kind, and reveals its reason and end.
    pub(crate) fn restricted(
        account: Account,
        kind: RestrictionKind,
        action: Option<Action>,
        now: SystemTime,
    ) -> Self {
        Self {
            cause: DenialCause::Restricted(kind),
            user: Some(account.user),
            state: account.state,
            action,
            at: Some(now),
            cors: true,
            of_refresh: false,
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
            of_refresh: false,
        }
    }

    /// Reveals neither reason nor end, because nobody has proved to be the account's owner yet.
    pub(crate) fn without_details(mut self) -> Self {
        self.at = None;
        self
    }

    pub(crate) fn with_cors(mut self, cors: bool) -> Self {
        self.cors = cors;
        self
    }

    /// An answer to `POST /refresh`, which has no JSON body unless it refuses an account.
    pub(crate) fn of_refresh(mut self) -> Self {
        self.of_refresh = true;
        self
    }

    /// The cause.
    #[must_use]
    pub fn cause(&self) -> DenialCause {
        self.cause
    }

    /// The restricted account, if a restriction is the cause.
    #[must_use]
    pub fn user(&self) -> Option<&UserId> {
        self.user.as_ref()
    }

    /// The restriction that decided, with its reason and its end, even if the answer does not reveal them.
    #[must_use]
    pub fn restriction(&self) -> Option<&Restriction> {
        match self.cause {
            DenialCause::Restricted(kind) => self.state.restriction(kind),
            _ => None,
        }
    }

    /// The refused action, if the account is suspended.
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

    /// The answer. `B` is made from its bytes. Most body types can be, such as `axum::body::Body`.
    ///
    /// It is a Matrix error, and the answer to every request but one. The handler of `POST /refresh` gets its
    /// denials from [`AccountGuard::check_refresh`](crate::AccountGuard::check_refresh) instead, because
    /// clients sign out when a Matrix error other than a refusal answers that.
    ///
    /// The denial moves into the response's extensions.
    #[must_use]
    pub fn into_response<B: From<Bytes>>(self) -> Response<B> {
        self.respond(AnswerForm::default(), B::from)
    }

    /// Like [`into_response`](Self::into_response), in the form that the request wants. The public method does
    /// not know the request.
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
        let is_refresh = form.is_refresh || self.of_refresh;
        if is_refresh && !matches!(self.cause, DenialCause::Restricted(_)) {
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

/// The form of answer that a request wants.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AnswerForm {
    /// The headers alone, for HEAD.
    is_head: bool,
    /// The request may be for a new access token. An answer that refuses no account is plain text there,
    /// because matrix-js-sdk takes any Matrix error for the end of the session.
    is_refresh: bool,
}

impl AnswerForm {
    /// The form that a request wants, by its path as far as the layer knows it.
    pub(crate) fn of(method: &Method, path: &str) -> Self {
        Self {
            is_head: method == Method::HEAD,
            is_refresh: path.trim_end_matches('/').ends_with("/refresh"),
        }
    }
}

/// The last border between characters that is not beyond `limit`.
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
            DenialCause::LayerGone => {
                f.write_str("the guard's layer and its services were dropped: keep one of them")
            }
            DenialCause::TooManyCredentials => {
                f.write_str("the request has more credentials or accounts than are looked up")
            }
            DenialCause::BodyTooLarge => f.write_str("the request body is too large"),
            DenialCause::BodyNotJson => f.write_str("the request body is not JSON"),
            DenialCause::BodyEncoded => f.write_str("the request body is encoded"),
            DenialCause::BodyNotObject => f.write_str("the request body is not an object"),
            DenialCause::BodyBadJson => {
                f.write_str("the request body names an account by something other than a string")
            }
            DenialCause::BodyUnclear => {
                f.write_str("the request body can be read in more than one way")
            }
            DenialCause::BodyFailed => f.write_str("the request body broke off"),
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
