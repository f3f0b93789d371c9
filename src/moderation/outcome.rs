//! The outcome of a request to one of the endpoints, which telemetry and logs use.

#[cfg(feature = "tracing")]
use std::time::SystemTime;
use std::{error::Error, fmt};

use http::{Extensions, Method, request::Parts};

use super::{Decision, Refusal, endpoint::Target, findings::Findings};
use crate::account::{Restriction, RestrictionKind, UserId};
#[cfg(feature = "tracing")]
use crate::store::{Failures, chain};

/// The outcome of one request to the moderation endpoints.
/// [The observer](crate::AccountModerationLayer::with_observer) hears it.
///
/// It shows no credential, no path and no body.
#[derive(Clone, Copy)]
pub struct Outcome<'a> {
    decision: Decision,
    request: &'a Parts,
    target: &'a Target,
    findings: &'a Findings,
    refusal: Option<Refusal>,
    error: Option<&'a (dyn Error + 'static)>,
}

impl<'a> Outcome<'a> {
    pub(super) fn new(
        decision: Decision,
        request: &'a Parts,
        target: &'a Target,
        findings: &'a Findings,
    ) -> Self {
        Self {
            decision,
            request,
            target,
            findings,
            refusal: None,
            error: None,
        }
    }

    pub(super) fn refused(mut self, refusal: Refusal) -> Self {
        self.refusal = Some(refusal);
        self
    }

    pub(super) fn failed(mut self, error: &'a (dyn Error + 'static)) -> Self {
        self.error = Some(error);
        self
    }

    /// What the layer did.
    #[must_use]
    pub fn decision(&self) -> Decision {
        self.decision
    }

    /// The request's method. A PUT wants a change.
    #[must_use]
    pub fn method(&self) -> &'a Method {
        &self.request.method
    }

    /// The request's extensions. A server may keep the request's id there.
    #[must_use]
    pub fn extensions(&self) -> &'a Extensions {
        &self.request.extensions
    }

    /// The endpoint as a metric's label: `admin/lock/{userId}` or `admin/suspend/{userId}`.
    #[must_use]
    pub fn endpoint(&self) -> &'static str {
        self.target.kind.endpoint()
    }

    /// The requester, if the token has an owner.
    #[must_use]
    pub fn requester(&self) -> Option<&'a UserId> {
        self.findings.requester.as_ref()
    }

    /// Whether the requester is an administrator. False if that was not looked up.
    #[must_use]
    pub fn is_administrator(&self) -> bool {
        self.findings.is_administrator
    }

    /// The target's account. `None` if the path does not name a user.
    #[must_use]
    pub fn user(&self) -> Option<&'a UserId> {
        self.target.user.as_ref()
    }

    /// The kind of restriction that the endpoint is about.
    #[must_use]
    pub fn kind(&self) -> RestrictionKind {
        self.target.kind.restriction()
    }

    /// Whether a PUT wants the restriction to be set. `None` if its body was not read.
    #[must_use]
    pub fn wanted(&self) -> Option<bool> {
        self.findings.wanted
    }

    /// The restriction that a PUT set, or was about to set when the store failed. It keeps the reason
    /// and the end of a restriction that was there before.
    #[must_use]
    pub fn restriction(&self) -> Option<&'a Restriction> {
        self.findings.restriction.as_ref()
    }

    /// Why the request was refused. After a failure it is [`Refusal::Unavailable`].
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    /// Why the directory or the store gave no answer. Its [sources](Error::source) lead down to the error of its
    /// own driver.
    #[must_use]
    pub fn error(&self) -> Option<&'a (dyn Error + 'static)> {
        self.error
    }

    /// Writes to the log. A change, and a change that an administrator does not get, are at `info` or
    /// above. Anybody can cause the other outcomes, so they are at `debug` or are counted.
    #[cfg(feature = "tracing")]
    pub(super) fn trace(&self, failures: &Failures) {
        let requester = self.requester().map(UserId::as_str);
        let user = self.user().map(UserId::as_str);
        let (endpoint, method) = (self.endpoint(), self.method().as_str());
        let (kind, set) = (self.kind().as_str(), self.wanted());
        let is_administrators = self.is_administrator() && self.method() == Method::PUT;
        if let Some(error) = self.error {
            let untold = match is_administrators {
                true => Some(0),
                false => failures.is_told(error),
            };
            let Some(untold) = untold else { return };
            let error = chain(error);
            tracing::warn!(requester, user, kind, set, method, endpoint, untold, %error, "the directory or the store failed during a moderation request");
            return;
        }
        if let Some(refusal) = self.refusal {
            match is_administrators {
                true => {
                    tracing::info!(requester, user, kind, set, method, endpoint, cause = %refusal, "moderation request refused");
                }
                false => {
                    tracing::debug!(requester, user, kind, set, method, endpoint, cause = %refusal, "moderation request refused");
                }
            }
            return;
        }
        let reason = self.restriction().and_then(Restriction::reason);
        let until = self.restriction().and_then(Restriction::until);
        // In seconds since 1970.
        let until = until.and_then(|until| until.duration_since(SystemTime::UNIX_EPOCH).ok());
        let until = until.map(|until| until.as_secs());
        match self.decision {
            Decision::Changed => {
                tracing::info!(
                    requester,
                    user,
                    kind,
                    set,
                    reason,
                    until,
                    endpoint,
                    "restriction changed"
                );
            }
            decision => {
                let decision = decision.as_str();
                tracing::debug!(
                    requester,
                    user,
                    kind,
                    set,
                    method,
                    endpoint,
                    decision,
                    "moderation request answered"
                );
            }
        }
    }
}

/// Shows what the methods return, and nothing else.
impl fmt::Debug for Outcome<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outcome")
            .field("decision", &self.decision)
            .field("method", &self.method())
            .field("endpoint", &self.endpoint())
            .field("requester", &self.requester())
            .field("is_administrator", &self.is_administrator())
            .field("user", &self.user())
            .field("kind", &self.kind())
            .field("wanted", &self.wanted())
            .field("restriction", &self.restriction())
            .field("refusal", &self.refusal)
            .field("error", &self.error)
            .finish()
    }
}
