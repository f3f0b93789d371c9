//! Rows whose verdict depends on a parameter of the path: the room, the event type, the state
//! key.

use super::{
    BodyQuestion, Judgement, SuspensionPolicy, body::Membership, index::Endpoint, path::is,
    redaction,
};
use crate::{account::UserId, action::Action};

const REDACTION: &str = "m.room.redaction";
const MEMBER: &str = "m.room.member";
const THIRD_PARTY_INVITE: &str = "m.room.third_party_invite";

/// What becomes of a request of `endpoint`, with these segments for the template's parts.
pub(super) fn judge<'p>(
    policy: &SuspensionPolicy,
    endpoint: &Endpoint,
    segments: &[&'p str],
    user: &UserId,
) -> Judgement<'p> {
    let named = |name| endpoint.parameter(segments, name).unwrap_or_default();
    let room = || match named("roomId") {
        "" => named("roomIdOrAlias"),
        room => room,
    };
    match endpoint.action() {
        Action::JoinRoom | Action::SetTyping if policy.is_appeal_room(room) => Judgement::Permit,
        Action::SendMessage => send(policy, room, named("eventType")),
        Action::SendState => {
            let event_type = named("eventType");
            let own = match named("stateKey") {
                "" => None,
                key => Some(is(key, user)),
            };
            state(policy, event_type, own)
        }
        Action::RedactEvent => {
            let (room, event) = (room(), named("eventId"));
            redaction::judge_head(policy, BodyQuestion::RedactionOf { room, event })
        }
        action => Judgement::by(policy, action),
    }
}

fn send<'p>(
    policy: &SuspensionPolicy,
    room: impl Fn() -> &'p str,
    event_type: &str,
) -> Judgement<'p> {
    let message = match policy.is_appeal_room(&room) {
        true => Judgement::Permit,
        false => Judgement::by(policy, Action::SendMessage),
    };
    if !is(event_type, REDACTION) {
        return message;
    }
    // In a room for appeals, too: a redaction is no message, and may be of another's.
    let redaction = redaction::judge_head(policy, BodyQuestion::Redaction { room: room() });
    as_spelled(event_type, REDACTION, redaction, message)
}

/// `own` says whether the state key is the person's own user id; a member event without a state
/// key is nobody's membership.
fn state<'p>(policy: &SuspensionPolicy, event_type: &str, own: Option<bool>) -> Judgement<'p> {
    let state = Judgement::by(policy, Action::SendState);
    if is(event_type, THIRD_PARTY_INVITE) {
        return state.and(Judgement::by(policy, Action::Invite));
    }
    let Some(own) = own.filter(|_| is(event_type, MEMBER)) else {
        return state;
    };
    let permitted = |membership: &Membership| membership.refused(policy, own).is_none();
    let member = match Membership::ALL.iter().filter(|m| permitted(m)).count() {
        0 => Judgement::Refuse(Action::SendState),
        all if all == Membership::ALL.len() => Judgement::Permit,
        _ => Judgement::ReadBody(BodyQuestion::Membership { own }),
    };
    as_spelled(event_type, MEMBER, member, state)
}

/// An event type that is special only once it is decoded is, for a handler that does not decode,
/// any other type.
fn as_spelled<'p>(
    sent: &str,
    special: &str,
    judgement: Judgement<'p>,
    other: Judgement<'p>,
) -> Judgement<'p> {
    match sent == special {
        true => judgement,
        false => judgement.and(other),
    }
}
