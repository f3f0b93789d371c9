//! What the body of an event says: which membership, which event is redacted.
//!
//! JSON may repeat a key, and parsers differ in which occurrence they keep, so every one counts.
//! Keys are compared without regard to case, for there are parsers that do.

use std::fmt;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::Value;

use super::{Judgement, Redaction, SuspensionPolicy};
use crate::{action::Action, request::json_key};

/// What the body has to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyQuestion<'p> {
    /// Which `membership` a `m.room.member` state event has.
    Membership {
        /// Whether the state key is the suspended person's own user id.
        own: bool,
    },
    /// Which event `redacts` names.
    Redaction {
        /// The room, as it stands in the path.
        room: &'p str,
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
            let memberships = values(body, "membership");
            let refused = match memberships.as_deref() {
                None | Some([]) => Some(Action::SendState),
                Some(all) => all
                    .iter()
                    .find_map(|value| Membership::from(value).refused(policy, own)),
            };
            refused.map_or(Judgement::Permit, Judgement::Refuse)
        }
        BodyQuestion::Redaction { room } => {
            let events = values(body, "redacts").unwrap_or_default();
            match events.split_first() {
                Some((Value::String(event), others)) if others.iter().all(|o| o == event) => {
                    Judgement::RedactionOf(Redaction::in_body(room, event.clone()))
                }
                _ => Judgement::Refuse(Action::RedactEvent),
            }
        }
    }
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

impl From<&Value> for Membership {
    fn from(value: &Value) -> Self {
        match value.as_str() {
            Some("join") => Self::Join,
            Some("knock") => Self::Knock,
            Some("invite") => Self::Invite,
            Some("leave") => Self::Leave,
            Some("ban") => Self::Ban,
            _ => Self::Other,
        }
    }
}

/// Every value that stands under `key` in the JSON object `body`, or `None` if it is not one.
fn values(body: &[u8], key: &'static str) -> Option<Vec<Value>> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let values = deserializer.deserialize_map(Under(key)).ok()?;
    deserializer.end().ok()?;
    Some(values)
}

struct Under(&'static str);

impl<'de> Visitor<'de> for Under {
    type Value = Vec<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value::<Value>()?;
            if json_key::is(&key, self.0) {
                values.push(value);
            }
        }
        Ok(values)
    }
}
