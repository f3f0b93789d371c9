//! Rows whose verdict depends on a parameter of the path: the room, the event type, the state
//! key; and events without a request.

use super::{
    BodyQuestion, Judgement, SuspensionPolicy,
    body::judge_content,
    event::{self, StateKey, as_spelled},
    index::{Endpoint, Scheduling},
    path::{Part, is},
    redaction, scheduled,
};
use crate::{account::UserId, action::Action, request::act::Event};

/// Account data that also has an endpoint of its own.
const SET_ELSEWHERE: &[(&str, Action)] = &[
    ("m.fully_read", Action::SendReceipt),
    ("m.push_rules", Action::SetPushRule),
    ("m.tag", Action::SetTag),
];

/// The verdict on a request to `endpoint`, with these segments as the template's parts.
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
        (Action::SendMessage, None) => event::send(policy, room, Part::Segment(named("eventType"))),
        (Action::JoinRoom | Action::SetTyping, _) if policy.is_appeal_room(room) => {
            Judgement::Permit
        }
        (Action::SendState, _) => {
            let key = Part::Segment(named("stateKey"));
            event::state(
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

/// The verdict on an event of `user`, who is suspended. It is that on the request that sends the event at once.
pub(crate) fn judge_event<'a>(
    policy: &SuspensionPolicy,
    event: &Event<'a>,
    user: &UserId,
) -> Judgement<'a> {
    let (room, event_type) = (Part::Plain(event.room_id), Part::Plain(event.event_type));
    let judgement = match event.state_key.map(Part::Plain) {
        None => event::send(policy, || room, event_type),
        Some(key) => event::state(policy, event_type, StateKey::of(key, user)),
    };
    match judgement {
        Judgement::ReadBody(question) => judge_content(policy, question, event.content, user),
        judgement => judgement,
    }
}
