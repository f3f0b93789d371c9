//! Rows whose verdict depends on a parameter of the path: the room, the event type, the state
//! key.

use super::{
    BodyQuestion, Judgement, SuspensionPolicy,
    body::Membership,
    index::{Endpoint, Scheduling},
    path::{Part, is},
    redaction, scheduled,
};
use crate::{account::UserId, action::Action};

const REDACTION: &str = "m.room.redaction";
pub(super) const MEMBER: &str = "m.room.member";
pub(super) const THIRD_PARTY_INVITE: &str = "m.room.third_party_invite";

/// Parts in calls (MSC3401, MSC4143): each the state of one device, with empty content once it has
/// left.
const CALL_MEMBERS: &[&str] = &[
    "m.call.member",
    "m.rtc.member",
    "org.matrix.msc3401.call.member",
    "org.matrix.msc4143.rtc.member",
];

/// Account data that an endpoint of its own sets as well.
const SET_ELSEWHERE: &[(&str, Action)] = &[
    ("m.fully_read", Action::SendReceipt),
    ("m.push_rules", Action::SetPushRule),
    ("m.tag", Action::SetTag),
];

/// What becomes of a request of `endpoint`, with these segments for the template's parts.
pub(super) fn judge<'p>(
    policy: &SuspensionPolicy,
    endpoint: &Endpoint,
    segments: &[&'p str],
    user: &UserId,
) -> Judgement<'p> {
    let named = |name| endpoint.parameter(segments, name).unwrap_or_default();
    let room = || match named("roomId") {
        "" => Part::Segment(named("roomIdOrAlias")),
        room => Part::Segment(room),
    };
    match (endpoint.action(), endpoint.scheduling()) {
        (Action::SendMessage, Some(Scheduling::Send)) => scheduled::send(policy),
        (Action::SendMessage, Some(Scheduling::AsTheBodySays)) => scheduled::change(policy),
        (Action::SendMessage, Some(Scheduling::New)) => {
            scheduled::add(policy, room(), Part::Segment(named("eventType")))
        }
        (Action::SendMessage, None) => send(policy, room, Part::Segment(named("eventType"))),
        (Action::JoinRoom | Action::SetTyping, _) if policy.is_appeal_room(room) => {
            Judgement::Permit
        }
        (Action::SendState, _) => {
            let key = Part::Segment(named("stateKey"));
            state(
                policy,
                Part::Segment(named("eventType")),
                StateKey::of(key, user),
            )
        }
        (Action::RedactEvent, _) => match named("userId") {
            "" => {
                let (room, event) = (room(), named("eventId"));
                redaction::judge_head(policy, BodyQuestion::RedactionOf { room, event })
            }
            // All events of a person.
            sender if is(sender, user) => Judgement::by(policy, Action::RedactOwnEvent),
            _ => Judgement::by(policy, Action::RedactEvent),
        },
        (Action::SetAccountData, _) => account_data(policy, Part::Segment(named("type"))),
        (Action::CreateRoom, _) => create_room(policy),
        (action, _) => Judgement::by(policy, action),
    }
}

/// A message event, in a room for appeals perhaps.
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
    // In a room for appeals, too: a redaction is no message, and may be of another's.
    let redaction = redaction::judge_head(policy, BodyQuestion::Redaction { room: room() });
    as_spelled(event_type, REDACTION, redaction, message)
}

/// Whose state an event is, which its state key tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StateKey {
    /// It is empty, so that the state is the room's.
    Empty,
    /// The person's own user id.
    Own,
    /// The person's own user id with something behind it: a device, for example.
    OwnPart,
    Other,
}

impl StateKey {
    pub(super) const ALL: [Self; 4] = [Self::Empty, Self::Own, Self::OwnPart, Self::Other];

    pub(super) fn of(key: Part<'_>, user: &UserId) -> Self {
        if key.is("") {
            return Self::Empty;
        }
        // With an underscore before it in rooms whose version keeps such keys for their owner.
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

/// A state event. A member event without a state key is nobody's membership.
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

fn account_data<'p>(policy: &SuspensionPolicy, data_type: Part<'_>) -> Judgement<'p> {
    let data = Judgement::by(policy, Action::SetAccountData);
    match SET_ELSEWHERE.iter().find(|(of, _)| data_type.is(of)) {
        Some(&(special, action)) => {
            as_spelled(data_type, special, Judgement::by(policy, action), data)
        }
        None => data,
    }
}

/// A new room invites people, has an alias and is in the directory, if its body says so.
fn create_room<'p>(policy: &SuspensionPolicy) -> Judgement<'p> {
    let create = Judgement::by(policy, Action::CreateRoom);
    let others = [Action::Invite, Action::SetRoomAlias, Action::PublishRoom];
    match create == Judgement::Permit && !others.iter().all(|&action| policy.permits(action)) {
        true => Judgement::ReadBody(BodyQuestion::NewRoom),
        false => create,
    }
}

/// A type that is special only once it is decoded is, for a handler that does not decode, any
/// other type.
fn as_spelled<'p>(
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
