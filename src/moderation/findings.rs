//! What the layer finds out about a request before it answers.

use std::fmt;

use super::Refusal;
use crate::{
    account::{Restriction, UserId},
    check::Failure,
};

/// What the layer did with a request to one of its endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Decision {
    /// A GET was answered.
    Answered,
    /// A PUT set or lifted the restriction.
    Changed,
    /// A PUT changed nothing, because the restriction is already as it wants it.
    Unchanged,
    /// The request was refused with a [`Refusal`].
    Refused,
    /// The directory or the store failed, panicked or took too long. If the refusal is
    /// [`Refusal::NotKnown`], it is not known whether a PUT changed the restriction. Otherwise nothing was
    /// changed.
    Failed,
}

impl Decision {
    /// The decision in lower case, as for a metric's label: `answered`, `changed`, `unchanged`,
    /// `refused` or `failed`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a request goes no further.
pub(super) enum Stop {
    Refused(Refusal),
    Failed(Failure),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// What the layer found out about a request. The observer and the log are told of it.
pub(super) struct Findings {
    pub(super) requester: Option<UserId>,
    pub(super) is_administrator: bool,
    pub(super) wanted: Option<bool>,
    pub(super) restriction: Option<Restriction>,
    /// Whether the store was asked to make the change.
    pub(super) is_begun: bool,
    /// The decision if nothing stops the request.
    pub(super) decision: Decision,
}

impl Findings {
    /// The answer after a failure.
    pub(super) fn failure(&self) -> Refusal {
        match self.is_begun {
            true => Refusal::NotKnown,
            false => Refusal::Unavailable,
        }
    }
}

impl Default for Findings {
    fn default() -> Self {
        Self {
            requester: None,
            is_administrator: false,
            wanted: None,
            restriction: None,
            is_begun: false,
            decision: Decision::Answered,
        }
    }
}
