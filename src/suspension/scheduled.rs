//! Events that are sent later (MSC4140), by whichever endpoint.
//!
//! An event is the same act when it is scheduled, when it falls due, and when it is sent at once.

use super::{
    BodyQuestion, Judgement, SuspensionPolicy,
    body::{each_entry, each_key},
    event,
    event::StateKey,
    path::Part,
    room::is_empty,
};
use crate::{account::UserId, action::Action, request::json::Value};

/// The actions that an event may be.
const ANY_EVENT: &[Action] = &[
    Action::SendMessage,
    Action::SendState,
    Action::JoinRoom,
    Action::KnockRoom,
    Action::Invite,
    Action::LeaveRoom,
    Action::Kick,
    Action::Ban,
    Action::Unban,
    Action::SetProfile,
    Action::LeaveCall,
    Action::RedactOwnEvent,
    Action::RedactEvent,
];

/// Sends a scheduled event, or postpones it. The request does not say which event that is.
pub(super) fn send<'p>(policy: &SuspensionPolicy) -> Judgement<'p> {
    let refused = ANY_EVENT.iter().find(|&&action| !policy.permits(action));
    refused.map_or(Judgement::Permit, |&action| Judgement::Refuse(action))
}

/// Does with a scheduled event what the body says.
pub(super) fn change<'p>(policy: &SuspensionPolicy) -> Judgement<'p> {
    let send = send(policy);
    match (&send, policy.permits(Action::CancelDelayedEvent)) {
        (Judgement::Permit, true) | (Judgement::Refuse(_), false) => send,
        _ => Judgement::ReadBody(BodyQuestion::DelayedEvent),
    }
}

/// The same, now that the body is known: everything that it says to do.
pub(super) fn judge_change<'p>(policy: &SuspensionPolicy, body: &[u8]) -> Judgement<'p> {
    let mut said: Option<Judgement<'p>> = None;
    let read = each_entry(body, |key, value| {
        if key.is_key("action") {
            let judgement = match value {
                Value::Text(action) if action.says("cancel") => {
                    Judgement::by(policy, Action::CancelDelayedEvent)
                }
                _ => send(policy),
            };
            said = Some(match said.take() {
                Some(said) => said.and(judgement),
                None => judgement,
            });
        }
    });
    match (read, said) {
        (Ok(()), Some(judgement)) => judgement,
        _ => Judgement::Refuse(BodyQuestion::DelayedEvent.unanswered()),
    }
}

/// Schedules an event. The body says whether it is a message or state, and whose.
pub(super) fn add<'p>(
    policy: &SuspensionPolicy,
    room: Part<'p>,
    event_type: Part<'p>,
) -> Judgement<'p> {
    let message = event::send(policy, || room, event_type);
    let simple = matches!(message, Judgement::Permit | Judgement::Refuse(_));
    let refuses = matches!(message, Judgement::Refuse(_));
    let alike = |key| match event::state(policy, event_type, key) {
        Judgement::Permit => !refuses,
        Judgement::Refuse(_) => refuses,
        _ => false,
    };
    match simple && StateKey::ALL.into_iter().all(alike) {
        true => message,
        false => Judgement::ReadBody(BodyQuestion::NewDelayedEvent { room, event_type }),
    }
}

/// The same, now that the body is known: every content under every state key that it has.
pub(super) fn judge_new<'p>(
    policy: &SuspensionPolicy,
    room: Part<'p>,
    event_type: Part<'p>,
    body: &[u8],
    user: &UserId,
    judge_content: impl Fn(BodyQuestion<'p>, &[u8]) -> Judgement<'p>,
) -> Judgement<'p> {
    let (mut keys, mut contents) = (Vec::new(), Vec::new());
    let read = each_key(body, |key, json| {
        if key.is_key("state_key") {
            let value = json.value()?;
            json.skip(value)?;
            keys.push(value);
        } else {
            let raw = json.raw()?;
            key.is_key("content").then(|| contents.push(raw));
        }
        Ok(())
    });
    if read.is_err() || contents.is_empty() {
        return Judgement::Refuse(Action::SendMessage);
    }
    let message = || event::send(policy, || room, event_type);
    let state = |key| event::state(policy, event_type, key);
    let mut heads = Vec::new();
    for key in &keys {
        match key {
            Value::Text(key) => match key.unescaped() {
                Some(key) => heads.push(state(StateKey::of(Part::Plain(&key), user))),
                None => return Judgement::Refuse(Action::SendState),
            },
            // Some servers read no state key here, others an empty one.
            Value::Null => heads.extend([message(), state(StateKey::Empty)]),
            _ => return Judgement::Refuse(Action::SendState),
        }
    }
    if keys.is_empty() {
        heads.push(message());
    }
    let mut judgement = Judgement::Permit;
    for head in heads {
        for content in &contents {
            let judged = match head.clone() {
                Judgement::ReadBody(question) => judge_content(question, content.as_bytes()),
                judged => judged,
            };
            judgement = judgement.and(judged);
        }
    }
    judgement
}

/// One's own part in a call, with its new content.
pub(super) fn leave_call<'p>(policy: &SuspensionPolicy, body: &[u8]) -> Judgement<'p> {
    let leaves = std::str::from_utf8(body).is_ok_and(|body| is_empty(body, ['{', '}']));
    let action = match leaves {
        true => Action::LeaveCall,
        false => Action::SendState,
    };
    Judgement::by(policy, action)
}
