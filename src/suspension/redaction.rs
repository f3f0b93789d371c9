//! Whose event is redacted.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::{BodyQuestion, Judgement, SuspensionPolicy, UnattributedRedactions};
use crate::action::Action;

/// An event that is to be redacted, and its room. Nothing is decoded until it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Redaction<'p> {
    room: &'p str,
    event: Event<'p>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Event<'p> {
    InPath(&'p str),
    InBody(String),
}

impl<'p> Redaction<'p> {
    /// Both as they stand in the path.
    pub(super) fn in_path(room: &'p str, event: &'p str) -> Self {
        let event = Event::InPath(event);
        Self { room, event }
    }

    /// The room as it stands in the path, the event as the body names it.
    pub(super) fn in_body(room: &'p str, event: String) -> Self {
        let event = Event::InBody(event);
        Self { room, event }
    }

    /// The room, decoded.
    pub(crate) fn room_id(&self) -> Cow<'_, str> {
        percent_decode_str(self.room).decode_utf8_lossy()
    }

    /// The event, decoded.
    pub(crate) fn event_id(&self) -> Cow<'_, str> {
        match &self.event {
            Event::InPath(event) => percent_decode_str(event).decode_utf8_lossy(),
            Event::InBody(event) => Cow::Borrowed(event),
        }
    }
}

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

/// The verdict, where it is the same whoever has sent the event.
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
