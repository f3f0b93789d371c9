//! Events, by their room, their type and their state key.

use super::{
    BodyQuestion, Judgement, SuspensionPolicy, membership::Membership, path::Part, redaction,
};
use crate::{account::UserId, action::Action};

const REDACTION: &str = "m.room.redaction";
pub(super) const MEMBER: &str = "m.room.member";
pub(super) const THIRD_PARTY_INVITE: &str = "m.room.third_party_invite";

/// Parts in calls (MSC3401, MSC4143). Each is the state of one device, with empty content after it has left.
const CALL_MEMBERS: &[&str] = &[
    "m.call.member",
    "m.rtc.member",
    "org.matrix.msc3401.call.member",
    "org.matrix.msc4143.rtc.member",
];

/// A message event, perhaps in a room for appeals.
pub(super) fn send<'p>(
    policy: &SuspensionPolicy,
    room: impl Fn() -> Part<'p>,
    event_type: Part<'_>,
) -> Judgement<'p> {
    let message = match policy.is_appeal_room(&room) {
        true => Judgement::Permit,
        false => Judgement::by(policy, Action::SendMessage),
    };
    if !event_type.is(REDACTION) {
        return message;
    }
    // In a room for appeals too, because a redaction is no message and may be of another person's event.
    let redaction = redaction::judge_head(policy, BodyQuestion::Redaction { room: room() });
    as_spelled(event_type, REDACTION, redaction, message)
}

/// The owner of a state event, by its state key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StateKey {
    /// The room: the key is empty.
    Empty,
    /// The person's own user id.
    Own,
    /// The person's own user id with a suffix: a device, for example.
    OwnPart,
    Other,
}

impl StateKey {
    pub(super) const ALL: [Self; 4] = [Self::Empty, Self::Own, Self::OwnPart, Self::Other];

    pub(super) fn of(key: Part<'_>, user: &UserId) -> Self {
        if key.is("") {
            return Self::Empty;
        }
        // An underscore is before it in rooms whose version keeps such keys for their owner.
        let part = key.after("_").and_then(|mut rest| {
            user.bytes()
                .all(|byte| rest.next() == Some(byte))
                .then(|| rest.next())
        });
        match (key.after(user).map(|mut rest| rest.next()), part) {
            (Some(None), _) => Self::Own,
            (Some(Some(b'_')), _) | (_, Some(None | Some(b'_'))) => Self::OwnPart,
            _ => Self::Other,
        }
    }
}

/// A state event. A member event without a state key is the membership of no one.
pub(super) fn state<'p>(
    policy: &SuspensionPolicy,
    event_type: Part<'_>,
    key: StateKey,
) -> Judgement<'p> {
    let state = Judgement::by(policy, Action::SendState);
    if event_type.is(THIRD_PARTY_INVITE) {
        return state.and(Judgement::by(policy, Action::Invite));
    }
    if key != StateKey::Empty && event_type.is(MEMBER) {
        let own = key == StateKey::Own;
        let permitted = |membership: &Membership| membership.refused(policy, own).is_none();
        let member = match Membership::ALL.iter().filter(|m| permitted(m)).count() {
            0 => Judgement::Refuse(Action::SendState),
            all if all == Membership::ALL.len() => Judgement::Permit,
            _ => Judgement::ReadBody(BodyQuestion::Membership { own }),
        };
        return as_spelled(event_type, MEMBER, member, state);
    }
    let own = matches!(key, StateKey::Own | StateKey::OwnPart);
    match CALL_MEMBERS.iter().find(|call| own && event_type.is(call)) {
        Some(call) => {
            let member =
                match policy.permits(Action::LeaveCall) == policy.permits(Action::SendState) {
                    true => state.clone(),
                    false => Judgement::ReadBody(BodyQuestion::Call),
                };
            as_spelled(event_type, call, member, state)
        }
        None => state,
    }
}

/// Some types are special only after decoding. A handler that does not decode takes them for any other
/// type.
pub(super) fn as_spelled<'p>(
    sent: Part<'_>,
    special: &str,
    judgement: Judgement<'p>,
    other: Judgement<'p>,
) -> Judgement<'p> {
    match sent.is_as_sent(special) {
        true => judgement,
        false => judgement.and(other),
    }
}
