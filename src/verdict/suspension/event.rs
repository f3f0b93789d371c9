//! Rows whose verdict depends on a parameter of the path: the room, the event type, the state
//! key.

use super::{
    BodyQuestion, Judgement, SuspensionPolicy,
    body::Membership,
    path::{is, parameter},
    redaction,
    table::Row,
};
use crate::{Action, UserId};

const REDACTION: &str = "m.room.redaction";
const MEMBER: &str = "m.room.member";
const THIRD_PARTY_INVITE: &str = "m.room.third_party_invite";

/// What becomes of a request that matches `row`, with these segments for the row's own.
pub(super) fn judge<'p>(
    policy: &SuspensionPolicy,
    &(_, template, action): &Row,
    segments: &[&'p str],
    user: &UserId,
) -> Judgement<'p> {
    let named = |name| parameter(template, segments, name);
    let room = named("roomId")
        .or_else(|| named("roomIdOrAlias"))
        .unwrap_or_default();
    match action {
        Action::JoinRoom | Action::SendMessage | Action::SetTyping
            if policy.is_appeal_room(room) =>
        {
            Judgement::Permit
        }
        Action::SendMessage => send(policy, room, named("eventType").unwrap_or_default()),
        Action::SendState => {
            let event_type = named("eventType").unwrap_or_default();
            let own = named("stateKey").filter(|key| !key.is_empty());
            let own = own.map(|key| is(key, user));
            state(policy, event_type, own)
        }
        Action::RedactEvent => match redaction::without_asking(policy) {
            Some(judgement) => judgement,
            None => Judgement::RedactionOf(redaction::Redaction::in_path(
                room,
                named("eventId").unwrap_or_default(),
            )),
        },
        action => Judgement::by(policy, action),
    }
}

fn send<'p>(policy: &SuspensionPolicy, room: &'p str, event_type: &str) -> Judgement<'p> {
    let message = Judgement::by(policy, Action::SendMessage);
    if !is(event_type, REDACTION) {
        return message;
    }
    let redaction = match redaction::without_asking(policy) {
        Some(judgement) => judgement,
        None => Judgement::ReadBody(BodyQuestion::Redaction { room }),
    };
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
