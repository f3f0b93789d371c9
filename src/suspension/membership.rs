//! What a member event does.

use super::SuspensionPolicy;
use crate::{action::Action, request::json::Value};

/// The memberships, and the value that is none.
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

    /// The action as which it is refused, for oneself or for another, if it is.
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
