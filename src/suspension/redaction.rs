//! Whose event is redacted.

use super::{BodyQuestion, Judgement, SuspensionPolicy, UnattributedRedactions};
use crate::action::Action;

/// What becomes of a redaction: `own` says whether the suspended person has sent the event, if
/// that is known.
pub(crate) fn judge_redaction(policy: &SuspensionPolicy, own: Option<bool>) -> Judgement<'static> {
    match (own, policy.unattributed()) {
        (Some(true), _) => Judgement::by(policy, Action::RedactOwnEvent),
        (Some(false), _) => Judgement::by(policy, Action::RedactEvent),
        (None, UnattributedRedactions::Permit) => Judgement::PermitUnattributed,
        (None, UnattributedRedactions::Refuse) => Judgement::Refuse(Action::RedactEvent),
    }
}

/// What becomes of a redaction before its body is known. Where redacting is refused whatever it
/// is, or where anything may be said in a redaction, that is no question.
pub(super) fn judge_head<'p>(
    policy: &SuspensionPolicy,
    question: BodyQuestion<'p>,
) -> Judgement<'p> {
    match without_asking(policy) {
        Some(Judgement::Permit) if !policy.permits(Action::SendMessage) => {}
        Some(judgement) => return judgement,
        None => {}
    }
    Judgement::ReadBody(question)
}

/// The verdict, if it is the same for every sender of the event.
pub(super) fn without_asking<'p>(policy: &SuspensionPolicy) -> Option<Judgement<'p>> {
    match (
        policy.permits(Action::RedactOwnEvent),
        policy.permits(Action::RedactEvent),
    ) {
        (true, true) => Some(Judgement::Permit),
        (false, false) => Some(Judgement::Refuse(Action::RedactEvent)),
        _ => None,
    }
}
