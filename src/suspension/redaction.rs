//! Redactions, and the sender of the redacted event.

use super::{BodyQuestion, Judgement, SuspensionPolicy, UnattributedRedactions};
use crate::action::Action;

/// The verdict on a redaction. `own` says whether the suspended person sent the event, if that is known.
pub(crate) fn judge_redaction(policy: &SuspensionPolicy, own: Option<bool>) -> Judgement<'static> {
    match (own, policy.unattributed()) {
        (Some(true), _) => Judgement::by(policy, Action::RedactOwnEvent),
        (Some(false), _) => Judgement::by(policy, Action::RedactEvent),
        (None, UnattributedRedactions::Permit) => Judgement::PermitUnattributed,
        (None, UnattributedRedactions::Refuse) => Judgement::Refuse(Action::RedactEvent),
    }
}

/// The verdict on a redaction before its body is known. There is no question if every redaction is refused, or
/// if a redaction may say anything.
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
