//! The steps of a request to one of the endpoints, from the method to the answer.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header::ALLOW, request::Parts};
use http_body::Body;

use super::{
    Decision, Outcome, Refusal,
    body::wanted,
    directory::AccountDirectory,
    endpoint::{Kind, Target},
    findings::{Findings, Stop},
    shared::Shared,
};
use crate::{
    check::body::{ReadError, is_encoded, read},
    denial::headers::{
        RETRY_AFTER_STORE_FAILURE, insert_cors_headers, insert_retry_after, json_response,
    },
    panics::unless_it_panics,
    settings::Common,
    store::RestrictionStore,
};

const ALLOWED: HeaderValue = HeaderValue::from_static("GET, HEAD, PUT, OPTIONS");

/// What a request wants to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Read,
    Change,
}

impl<D: AccountDirectory, R: RestrictionStore> Shared<D, R> {
    /// Answers a request whose path is one of the endpoints.
    pub(super) async fn answer<B: Body>(
        &self,
        request: Request<B>,
        target: Target,
    ) -> Response<Bytes> {
        let (parts, body) = request.into_parts();
        let wish = match parts.method {
            Method::GET | Method::HEAD => Wish::Read,
            Method::PUT => Wish::Change,
            Method::OPTIONS => return self.options(),
            _ => {
                let refusal = Refusal::MethodNotAllowed;
                let findings = Findings::default();
                let outcome = Outcome::new(Decision::Refused, &parts, &target, &findings);
                self.tell(&outcome.refused(refusal));
                return self.refuse(refusal, false);
            }
        };
        let is_head = parts.method == Method::HEAD;
        let mut findings = Findings::default();
        let state = self.state_after(wish, &parts, body, &target, &mut findings);
        let state = state.await;
        let outcome = |decision| Outcome::new(decision, &parts, &target, &findings);
        match &state {
            Ok(_) => self.tell(&outcome(findings.decision)),
            Err(Stop::Refused(refusal)) => {
                self.tell(&outcome(Decision::Refused).refused(*refusal));
            }
            Err(Stop::Failed(failure)) => {
                let outcome = outcome(Decision::Failed).refused(Refusal::Unavailable);
                self.tell(&outcome.failed(failure));
            }
        }
        match state {
            Ok(stands) => self.say(target.kind, stands, is_head),
            Err(Stop::Refused(refusal)) => self.refuse(refusal, is_head),
            Err(Stop::Failed(_)) => self.refuse(Refusal::Unavailable, is_head),
        }
    }

    /// Whether the restriction is set in the end. The body is read only for requesters who may change
    /// something.
    async fn state_after<B: Body>(
        &self,
        wish: Wish,
        parts: &Parts,
        body: B,
        target: &Target,
        findings: &mut Findings,
    ) -> Result<bool, Stop> {
        let kind = target.kind;
        let authorised = self.authorise(wish, parts, target, findings).await?;
        match wish {
            Wish::Read => Ok(authorised.stands),
            Wish::Change => {
                let Common {
                    body_limit,
                    body_timeout,
                    ..
                } = self.settings;
                if is_encoded(&parts.headers) {
                    return Err(Refusal::BodyEncoded.into());
                }
                let body = read(body, body_limit, body_timeout).await;
                let body = body.map_err(Refusal::from)?;
                let wanted = wanted(&body.data, kind.key())?;
                findings.wanted = Some(wanted);
                self.change(&authorised, kind.restriction(), wanted, findings)
                    .await?;
                Ok(wanted)
            }
        }
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::TooLarge => Self::BodyTooLarge,
            ReadError::Failed => Self::BodyFailed,
            ReadError::TimedOut => Self::BodyTimedOut,
        }
    }
}

impl<D, R> Shared<D, R> {
    fn tell(&self, outcome: &Outcome<'_>) {
        #[cfg(feature = "tracing")]
        outcome.trace(&self.failures);
        let Some(observer) = &self.observer else {
            return;
        };
        let heard = unless_it_panics(|| observer(outcome));
        #[cfg(feature = "tracing")]
        if heard.is_err() {
            tracing::error!("the observer panicked");
        }
        // Without a log the panic hook has told it.
        #[cfg(not(feature = "tracing"))]
        let _ = heard;
    }

    fn say(&self, kind: Kind, stands: bool, is_head: bool) -> Response<Bytes> {
        let body = format!("{{\"{}\":{stands}}}", kind.key());
        self.respond(StatusCode::OK, body, is_head)
    }

    fn refuse(&self, refusal: Refusal, is_head: bool) -> Response<Bytes> {
        let mut response = self.respond(refusal.status(), refusal.body(), is_head);
        let headers = response.headers_mut();
        match refusal {
            Refusal::MethodNotAllowed => {
                headers.insert(ALLOW, ALLOWED);
            }
            Refusal::Unavailable => {
                let after = HeaderValue::from_static(RETRY_AFTER_STORE_FAILURE);
                insert_retry_after(headers, after, self.settings.cors_headers);
            }
            _ => {}
        }
        response.extensions_mut().insert(refusal);
        response
    }

    fn respond(&self, status: StatusCode, body: String, is_head: bool) -> Response<Bytes> {
        let length = HeaderValue::from(body.len());
        json_response(
            status,
            body.into(),
            length,
            is_head,
            self.settings.cors_headers,
        )
    }

    /// Says what there is and does nothing, as the specification has it for every endpoint.
    fn options(&self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(ALLOW, ALLOWED);
        if self.settings.cors_headers {
            insert_cors_headers(headers);
        }
        response
    }
}
