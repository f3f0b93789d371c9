//! The body of a request, if the verdict depends on it: a membership, the event that a redaction names, and
//! whatever else would reach the room with it.
//!
//! JSON may repeat a key, and parsers differ in which occurrence they keep, so every one counts. Keys are
//! compared without regard to case, because some parsers do so.

use super::{
    BodyQuestion, Judgement, Redaction, SuspensionPolicy, membership::Membership,
    redaction::without_asking, room, scheduled,
};
use crate::{
    account::UserId,
    action::Action,
    request::json::{Json, JsonError, Text, Value},
};

/// The verdict on a request whose body is known. A body that cannot be understood is refused.
///
/// So is one that continues a session of user-interactive authentication, because a server may fill it up with
/// the session's first body, which nobody sees here. None of these endpoints has such sessions.
pub(crate) fn judge_body<'p>(
    policy: &SuspensionPolicy,
    question: BodyQuestion<'p>,
    body: &[u8],
    user: &UserId,
) -> Judgement<'p> {
    match continues_a_session(body) {
        true => Judgement::Refuse(question.unanswered()),
        false => judge_content(policy, question, body, user),
    }
}

/// The verdict on the content of an event, or on a body that is nothing else.
pub(super) fn judge_content<'p>(
    policy: &SuspensionPolicy,
    question: BodyQuestion<'p>,
    body: &[u8],
    user: &UserId,
) -> Judgement<'p> {
    match question {
        BodyQuestion::Call => scheduled::leave_call(policy, body),
        BodyQuestion::NewDelayedEvent { room, event_type } => {
            let judge_content =
                |question, content: &[u8]| judge_content(policy, question, content, user);
            scheduled::judge_new(policy, room, event_type, body, user, judge_content)
        }
        BodyQuestion::DelayedEvent => scheduled::judge_change(policy, body),
        BodyQuestion::NewRoom => room::judge_new(policy, body),
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
                _ => Judgement::Refuse(question.unanswered()),
            }
        }
        BodyQuestion::RedactionOf { room, event } => {
            let redaction = Redaction::in_path(room, event);
            // A reason is optional. Some servers do not need the object around it either.
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
                _ => Judgement::Refuse(question.unanswered()),
            }
        }
    }
}

/// Whether there is an `auth` other than `null`.
fn continues_a_session(body: &[u8]) -> bool {
    let mut continues = false;
    // What cannot be read is refused by whoever reads it.
    let _ = each_entry(body, |key, value| {
        continues |= key.is_key("auth") && value != Value::Null;
    });
    continues
}

/// The content of a redaction.
#[derive(Default)]
struct Content<'b> {
    redacts: Option<Text<'b>>,
    /// Whether it names several events, or one by a value that is no text.
    is_unclear: bool,
    /// Whether it has anything but that and a reason.
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

/// The action as which a membership is refused, if it is. Each membership in the body counts, and so does
/// whatever else would be in the room's state.
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

/// The action of writing this key beside a membership, if it is one.
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
pub(super) fn each_entry<'b>(
    body: &'b [u8],
    mut entry: impl FnMut(Text<'b>, Value<'b>),
) -> Result<(), JsonError> {
    each_key(body, |key, json| {
        let value = json.value()?;
        entry(key, value);
        json.skip(value)
    })
}

/// Reads the object `body`. `entry` reads the value of each key.
pub(super) fn each_key<'b>(
    body: &'b [u8],
    mut entry: impl FnMut(Text<'b>, &mut Json<'b>) -> Result<(), JsonError>,
) -> Result<(), JsonError> {
    let mut json = Json::new(body)?;
    if json.value()? != Value::Object {
        return Err(JsonError::Refused);
    }
    while let Some(key) = json.key()? {
        entry(key, &mut json)?;
    }
    json.end()
}
