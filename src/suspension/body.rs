//! What the body of an event says: which membership, which event is redacted, and what stands
//! beside that and would reach the room with it.
//!
//! JSON may repeat a key, and parsers differ in which occurrence they keep, so every one counts.
//! Keys are compared without regard to case, because there are parsers that do.

use super::{Judgement, Redaction, SuspensionPolicy, redaction::without_asking};
use crate::{
    action::Action,
    request::json::{Json, JsonError, Text, Value},
};

/// What the body has to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyQuestion<'p> {
    /// Which `membership` a `m.room.member` state event has.
    Membership {
        /// Whether the state key is the suspended person's own user id.
        own: bool,
    },
    /// Which event `redacts` names, and whether anything else is said.
    Redaction {
        /// The room, as it stands in the path.
        room: &'p str,
    },
    /// Whether anything is said beside the reason for a redaction, whose event the path names.
    RedactionOf {
        /// The room, as it stands in the path.
        room: &'p str,
        /// The event, as it stands in the path.
        event: &'p str,
    },
}

/// What becomes of a request, now that its body is known. What cannot be understood is refused.
pub(crate) fn judge_body<'p>(
    policy: &SuspensionPolicy,
    question: BodyQuestion<'p>,
    body: &[u8],
) -> Judgement<'p> {
    match question {
        BodyQuestion::Membership { own } => {
            let refused = refused_membership(policy, own, body);
            refused.map_or(Judgement::Permit, Judgement::Refuse)
        }
        BodyQuestion::Redaction { room } => {
            let content = Content::read(body)
                .ok()
                .filter(|content| !content.is_unclear);
            let event = content
                .as_ref()
                .and_then(|content| content.redacts?.unescaped());
            match (content, event) {
                (Some(content), Some(event)) => {
                    content.judge(policy, Redaction::in_body(room, event))
                }
                _ => Judgement::Refuse(Action::RedactEvent),
            }
        }
        BodyQuestion::RedactionOf { room, event } => {
            let redaction = Redaction::in_path(room, event);
            // A reason is optional, and so, for some servers, is the object around it.
            let content = match body {
                b"" => Ok(Content::default()),
                body => Content::read(body),
            };
            let names_another = |text: Text<'_>| !text.says(&redaction.event_id());
            match content {
                Ok(content)
                    if !content.is_unclear && !content.redacts.is_some_and(names_another) =>
                {
                    content.judge(policy, redaction)
                }
                _ => Judgement::Refuse(Action::RedactEvent),
            }
        }
    }
}

/// What the content of a redaction says.
#[derive(Default)]
struct Content<'b> {
    redacts: Option<Text<'b>>,
    /// Whether it names several events, or one by what is no text.
    is_unclear: bool,
    /// Whether there is anything but that and a reason.
    has_more: bool,
}

impl<'b> Content<'b> {
    fn read(body: &'b [u8]) -> Result<Self, JsonError> {
        let mut content = Self::default();
        each_entry(body, |key, value| match value {
            Value::Text(text) if key.is_key("redacts") => {
                let first = *content.redacts.get_or_insert(text);
                content.is_unclear |= !first.says_what(text);
            }
            _ if key.is_key("redacts") => content.is_unclear = true,
            Value::Text(_) | Value::Null if key.is_key("reason") => {}
            _ => content.has_more = true,
        })?;
        Ok(content)
    }

    fn judge<'p>(&self, policy: &SuspensionPolicy, redaction: Redaction<'p>) -> Judgement<'p> {
        // What else it says may be a message, or name other events to some server.
        let needed = [Action::SendMessage, Action::RedactEvent];
        let refused = needed.into_iter().find(|&action| !policy.permits(action));
        match refused.filter(|_| self.has_more) {
            Some(action) => Judgement::Refuse(action),
            None => without_asking(policy).unwrap_or(Judgement::RedactionOf(redaction)),
        }
    }
}

/// As what a membership is refused, if it is: each that the body names counts, and whatever else
/// would stand in the room's state.
fn refused_membership(policy: &SuspensionPolicy, own: bool, body: &[u8]) -> Option<Action> {
    let mut is_there = false;
    let mut refused = None;
    let read = each_entry(body, |key, value| {
        let action = if key.is_key("membership") {
            is_there = true;
            Membership::from(value).refused(policy, own)
        } else {
            needed_beside(key, value).filter(|&action| !policy.permits(action))
        };
        refused = refused.or(action);
    });
    match read {
        Ok(()) if is_there => refused,
        _ => Some(Action::SendState),
    }
}

/// What somebody does who writes this beside a membership, if anything.
fn needed_beside(key: Text<'_>, value: Value<'_>) -> Option<Action> {
    let is = |name| key.is_key(name);
    match value {
        Value::Null | Value::Text(_) if is("reason") => None,
        Value::Null if is("displayname") || is("avatar_url") => None,
        Value::Text(_) if is("displayname") || is("avatar_url") => Some(Action::SetProfile),
        Value::Bool(_) if is("is_direct") => None,
        Value::Object if is("third_party_invite") => Some(Action::Invite),
        Value::Text(_) if is("join_authorised_via_users_server") => Some(Action::JoinRoom),
        _ => Some(Action::SendState),
    }
}

/// Hands each entry of the object `body` to `entry`.
fn each_entry<'b>(
    body: &'b [u8],
    mut entry: impl FnMut(Text<'b>, Value<'b>),
) -> Result<(), JsonError> {
    let mut json = Json::new(body)?;
    if json.value()? != Value::Object {
        return Err(JsonError::Refused);
    }
    while let Some(key) = json.key()? {
        let value = json.value()?;
        entry(key, value);
        json.skip(value)?;
    }
    json.end()
}

/// The memberships that there are, and what is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Membership {
    Join,
    Knock,
    Invite,
    Leave,
    Ban,
    Other,
}

impl Membership {
    pub(super) const ALL: [Self; 6] = [
        Self::Join,
        Self::Knock,
        Self::Invite,
        Self::Leave,
        Self::Ban,
        Self::Other,
    ];

    /// The action as which it is refused, on oneself or on another, if it is.
    pub(super) fn refused(self, policy: &SuspensionPolicy, own: bool) -> Option<Action> {
        let actions: &[Action] = match (self, own) {
            (Self::Leave, true) => &[Action::LeaveRoom],
            // Which of the two depends on what the other person is now.
            (Self::Leave, false) => &[Action::Kick, Action::Unban],
            // In a room that one is in already, this sets the profile for that room.
            (Self::Join, true) => &[Action::JoinRoom, Action::SetProfile],
            (Self::Knock, true) => &[Action::KnockRoom],
            (Self::Invite, _) => &[Action::Invite],
            (Self::Ban, _) => &[Action::Ban],
            (Self::Join | Self::Knock, false) | (Self::Other, _) => &[Action::SendState],
        };
        actions
            .iter()
            .copied()
            .find(|&action| !policy.permits(action))
    }
}

impl From<Value<'_>> for Membership {
    fn from(value: Value<'_>) -> Self {
        let Value::Text(text) = value else {
            return Self::Other;
        };
        let known = [
            ("join", Self::Join),
            ("knock", Self::Knock),
            ("invite", Self::Invite),
            ("leave", Self::Leave),
            ("ban", Self::Ban),
        ];
        let said = known.into_iter().find(|(name, _)| text.says(name));
        said.map_or(Self::Other, |(_, membership)| membership)
    }
}
