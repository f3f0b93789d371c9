//! What the policy says of a request, before or after more is known of it.

use super::{BodyQuestion, Redaction, SuspensionPolicy};
use crate::action::Action;

/// What becomes of a suspended account's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Judgement<'p> {
    /// It passes.
    Permit,
    /// It passes, and the handler has to look whose event is redacted, for nobody else knows. The
    /// guard tells it so.
    PermitUnattributed,
    /// It is refused, as this action.
    Refuse(Action),
    /// The body says what it is: [`judge_body`](super::judge_body).
    ReadBody(BodyQuestion<'p>),
    /// It depends on who sent the event: [`judge_redaction`](super::judge_redaction).
    RedactionOf(Redaction<'p>),
}

impl<'p> Judgement<'p> {
    pub(crate) fn by(policy: &SuspensionPolicy, action: Action) -> Self {
        match policy.permits(action) {
            true => Self::Permit,
            false => Self::Refuse(action),
        }
    }

    /// The stricter of two. Two questions at once are one too many.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Refuse(action), _) | (_, Self::Refuse(action)) => Self::Refuse(action),
            (Self::Permit, other) => other,
            (this, Self::Permit) => this,
            _ => Self::Refuse(Action::Unknown),
        }
    }
}
