//! The content of a new room.
//!
//! Its invitations, its alias and its entry in the directory are acts with endpoints of their own, and are
//! judged as those.

use super::{
    BodyQuestion, Judgement, SuspensionPolicy,
    body::each_key,
    event::{MEMBER, THIRD_PARTY_INVITE},
};
use crate::{
    action::Action,
    request::json::{Json, JsonError, Value},
};

/// The verdict on a new room with this body. An account that may not create rooms is refused before.
pub(super) fn judge_new<'p>(policy: &SuspensionPolicy, body: &[u8]) -> Judgement<'p> {
    if body.trim_ascii().is_empty() {
        return Judgement::Permit;
    }
    let mut judgement = Judgement::Permit;
    let read = read(body, |action| {
        if !policy.permits(action) && judgement == Judgement::Permit {
            judgement = Judgement::Refuse(action);
        }
    });
    match read {
        Ok(()) => judgement,
        Err(_) => Judgement::Refuse(BodyQuestion::NewRoom.unanswered()),
    }
}

/// Notes what else the request does with the room, for every occurrence of a key.
fn read(body: &[u8], mut note: impl FnMut(Action)) -> Result<(), JsonError> {
    each_key(body, |key, json| {
        if key.is_key("invite") || key.is_key("invite_3pid") {
            let invited = json.raw()?;
            let nobody = invited == "null" || is_empty(invited, ['[', ']']);
            (!nobody).then(|| note(Action::Invite));
        } else if key.is_key("initial_state") {
            initial_state(json, &mut note)?;
        } else if key.is_key("room_alias_name") {
            (json.raw()? != "null").then(|| note(Action::SetRoomAlias));
        } else if key.is_key("visibility") {
            let value = json.value()?;
            json.skip(value)?;
            let is_private = match value {
                Value::Null => true,
                Value::Text(visibility) => visibility.says("private"),
                _ => false,
            };
            (!is_private).then(|| note(Action::PublishRoom));
        } else {
            json.raw()?;
        }
        Ok(())
    })
}

/// The state that a room begins with can invite, too.
fn initial_state(json: &mut Json<'_>, note: &mut impl FnMut(Action)) -> Result<(), JsonError> {
    match json.value()? {
        Value::Null => return Ok(()),
        Value::Array => {}
        _ => return Err(JsonError::NotJson),
    }
    while json.item()? {
        if json.value()? != Value::Object {
            return Err(JsonError::NotJson);
        }
        while let Some(key) = json.key()? {
            let value = json.value()?;
            json.skip(value)?;
            let invites = match value {
                _ if !key.is_key("type") => false,
                Value::Text(of) => of.says(MEMBER) || of.says(THIRD_PARTY_INVITE),
                _ => return Err(JsonError::NotJson),
            };
            invites.then(|| note(Action::Invite));
        }
    }
    Ok(())
}

/// Whether a value is an empty array or object, which begins and ends like this.
pub(super) fn is_empty(raw: &str, [opening, closing]: [char; 2]) -> bool {
    let inside = raw.trim_ascii().strip_prefix(opening);
    inside
        .and_then(|raw| raw.strip_suffix(closing))
        .is_some_and(|inside| inside.trim_ascii().is_empty())
}
