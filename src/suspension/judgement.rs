//! The policy's verdict on a request, or what the policy has to know first.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::{SuspensionPolicy, path::Part};
use crate::action::Action;

/// The verdict on a suspended account's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Judgement<'p> {
    /// It passes.
    Permit,
    /// It passes. The handler has to check who sent the redacted event, because only it knows. The guard
    /// tells it so.
    PermitUnattributed,
    /// It is refused as this action.
    Refuse(Action),
    /// The body decides: [`judge_body`](super::judge_body).
    ReadBody(BodyQuestion<'p>),
    /// The sender of the event decides: [`judge_redaction`](super::judge_redaction).
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

/// The question to the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyQuestion<'p> {
    /// Which `membership` a `m.room.member` state event has.
    Membership {
        /// Whether the state key is the suspended person's own user id.
        own: bool,
    },
    /// Which event `redacts` names, and whether anything else is said.
    Redaction {
        /// The room, as it is in the path.
        room: Part<'p>,
    },
    /// Whether anything is said beside the reason for a redaction, whose event the path names.
    RedactionOf {
        /// The room, as it is in the path.
        room: Part<'p>,
        /// The event, as it is in the path.
        event: &'p str,
    },
    /// Whether one's own part in a call is ended.
    Call,
    /// Which event is scheduled.
    NewDelayedEvent {
        /// The room, as it is in the path.
        room: Part<'p>,
        /// The event's type, as it is in the path.
        event_type: Part<'p>,
    },
    /// What is done to an event that is scheduled.
    DelayedEvent,
    /// What a new room is made with.
    NewRoom,
}

impl BodyQuestion<'_> {
    /// The action as which a body is refused that does not answer it.
    pub(super) fn unanswered(self) -> Action {
        match self {
            Self::Membership { .. } | Self::Call => Action::SendState,
            Self::Redaction { .. } | Self::RedactionOf { .. } => Action::RedactEvent,
            Self::NewDelayedEvent { .. } | Self::DelayedEvent => Action::SendMessage,
            Self::NewRoom => Action::CreateRoom,
        }
    }
}

/// An event to redact, and its room. Nothing is decoded until it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Redaction<'p> {
    room: Part<'p>,
    event: Event<'p>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Event<'p> {
    InPath(&'p str),
    InBody(String),
}

impl<'p> Redaction<'p> {
    /// Both as they are in the path.
    pub(super) fn in_path(room: Part<'p>, event: &'p str) -> Self {
        let event = Event::InPath(event);
        Self { room, event }
    }

    /// The room as it is in the path, the event as the body names it.
    pub(super) fn in_body(room: Part<'p>, event: String) -> Self {
        let event = Event::InBody(event);
        Self { room, event }
    }

    /// The room, decoded.
    pub(crate) fn room_id(&self) -> Cow<'_, str> {
        self.room.decode()
    }

    /// The event, decoded.
    pub(crate) fn event_id(&self) -> Cow<'_, str> {
        match &self.event {
            Event::InPath(event) => percent_decode_str(event).decode_utf8_lossy(),
            Event::InBody(event) => Cow::Borrowed(event),
        }
    }
}
