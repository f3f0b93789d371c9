//! The outcome of a request, which telemetry and audit logs use.

use std::{error::Error, fmt, time::Duration};

use http::Method;

#[cfg(feature = "tracing")]
use crate::store::{Failures, chain};
use crate::{account::UserId, denial::Denial, request::act::Act, suspension};

/// What the layer did with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Decision {
    /// It went on to the inner service.
    Passed,
    /// It was refused with a [`Denial`].
    Refused,
    /// It would have been refused, and passed because of report-only.
    WouldRefuse,
    /// It passed although it is not known whether it should: the store gave no answer, or a layer that only
    /// reports did not read a body whose length is not known beforehand.
    PassedUnchecked,
    /// It passed, and was ended with a [`Denial`] while it waited.
    Ended,
}

impl Decision {
    /// The decision in lower case, as for a metric's label: `passed`, `refused`, `would_refuse`,
    /// `passed_unchecked` or `ended`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Refused => "refused",
            Self::WouldRefuse => "would_refuse",
            Self::PassedUnchecked => "passed_unchecked",
            Self::Ended => "ended",
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The outcome of one request, as [the observer](crate::AccountStatusLayer::with_observer) hears it.
///
/// It shows no credential, no path and no body.
#[derive(Clone, Copy)]
pub struct Outcome<'a> {
    pub(crate) decision: Decision,
    act: Act<'a>,
    pub(crate) account: Option<&'a UserId>,
    pub(crate) denial: Option<&'a Denial>,
    pub(crate) store_error: Option<&'a (dyn Error + 'static)>,
    pub(crate) lookup_time: Option<Duration>,
}

impl<'a> Outcome<'a> {
    pub(crate) fn new(decision: Decision, act: Act<'a>) -> Self {
        Self {
            decision,
            act,
            account: None,
            denial: None,
            store_error: None,
            lookup_time: None,
        }
    }

    /// What the layer did.
    #[must_use]
    pub fn decision(&self) -> Decision {
        self.decision
    }

    /// The request's method. `None` if the server's own code asked the [guard](crate::AccountGuard) about an
    /// action or an event.
    #[must_use]
    pub fn method(&self) -> Option<&'a Method> {
        match self.act {
            Act::Request { method, .. } => Some(method),
            Act::Action(_) | Act::Event(_) => None,
        }
    }

    /// The endpoint as a metric's label: one of a few hundred names.
    ///
    /// A known endpoint has its template in the
    /// [policy's table](crate::SuspensionPolicy#endpoint-by-endpoint), such as
    /// `rooms/{roomId}/leave`. Any other endpoint has its area: `/_matrix/client`, `/_matrix/media` and
    /// so on, or `other`. If the server's own code asked the [guard](crate::AccountGuard) about an
    /// action, this is the [action's name](crate::Action::as_str).
    #[must_use]
    pub fn endpoint(&self) -> &'static str {
        match self.act {
            Act::Request { path, .. } => suspension::template(path).unwrap_or_else(|| area(path)),
            Act::Action(action) => action.as_str(),
            Act::Event(event) => match event.state_key {
                None => "rooms/{roomId}/send/{eventType}/{txnId}",
                Some(_) => "rooms/{roomId}/state/{eventType}/{stateKey}",
            },
        }
    }

    /// The account of the request: the restricted one, or else the owner of the first credential.
    /// `None` if no credential has an owner.
    #[must_use]
    pub fn account(&self) -> Option<&'a UserId> {
        self.denial.and_then(Denial::user).or(self.account)
    }

    /// The answer to a refusal. In report-only mode, the answer that would have been given.
    #[must_use]
    pub fn denial(&self) -> Option<&'a Denial> {
        self.denial
    }

    /// Why it is not known whether the account may do this. `None` if it is known. Nearly always the store gave
    /// no answer; the [sources](Error::source) lead down to the error of the store's own driver.
    #[must_use]
    pub fn store_error(&self) -> Option<&'a (dyn Error + 'static)> {
        self.store_error
    }

    /// How long the store took. `None` if it was not awaited.
    #[must_use]
    pub fn lookup_time(&self) -> Option<Duration> {
        self.lookup_time
    }

    /// Writes to the log. A refusal is at `debug`, because a locked client that polls causes many. The
    /// first failure of a store is a warning.
    #[cfg(feature = "tracing")]
    pub(crate) fn trace(&self, failures: &Failures) {
        let account = self.account().map(UserId::as_str);
        let method = self.method().map(Method::as_str);
        if let Some(error) = self.store_error {
            let Some(untold) = failures.is_told(error) else {
                return;
            };
            let (decision, error) = (self.decision.as_str(), chain(error));
            tracing::warn!(method, endpoint = self.endpoint(), decision, untold, %error, "an account could not be checked");
            return;
        }
        let Some(denial) = self.denial else { return };
        match self.decision {
            Decision::WouldRefuse => {
                tracing::info!(account, method, endpoint = self.endpoint(), cause = %denial, "request would be refused");
            }
            Decision::Ended => {
                tracing::debug!(account, method, endpoint = self.endpoint(), cause = %denial, "waiting request ended");
            }
            _ => {
                tracing::debug!(account, method, endpoint = self.endpoint(), cause = %denial, "request refused");
            }
        }
    }
}

/// The area to which a path belongs.
fn area(path: &str) -> &'static str {
    const AREAS: [&str; 9] = [
        "/_matrix/client",
        "/_matrix/media",
        "/_matrix/federation",
        "/_matrix/key",
        "/_matrix/app",
        "/_matrix/identity",
        "/_matrix/push",
        "/_matrix",
        "/.well-known",
    ];
    let is_in = |area: &&str| {
        let rest = path.strip_prefix(*area);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    AREAS.into_iter().find(is_in).unwrap_or("other")
}

/// Shows what the methods return, and nothing else.
impl fmt::Debug for Outcome<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outcome")
            .field("decision", &self.decision)
            .field("method", &self.method())
            .field("endpoint", &self.endpoint())
            .field("account", &self.account())
            .field("denial", &self.denial)
            .field("store_error", &self.store_error)
            .field("lookup_time", &self.lookup_time)
            .finish()
    }
}
