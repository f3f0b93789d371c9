//! Sending, redacting and reading events.

use axum::extract::State;
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Answer, answer};
use crate::{
    auth::Authenticated,
    database::{
        events::{self, Event, NewEvent, Transaction},
        rooms,
    },
    error::{Error, Result},
    extract::{Json, Path, Query},
};

pub(crate) async fn send(
    State(server): super::State,
    session: Authenticated,
    Path((room_id, kind, txn_id)): Path<(String, String, String)>,
    Json(content): Json<Map<String, Value>>,
) -> Answer {
    let transaction = Transaction {
        user: session.user.to_string(),
        device_id: session.device_id,
        endpoint: format!("send/{room_id}/{kind}"),
        txn_id,
    };
    let event_id = server
        .change_rooms(move |connection| {
            once(connection, &transaction, || {
                let event = NewEvent::message(&room_id, &session.user, &kind, content.into());
                append_as_member(connection, &event)
            })
        })
        .await??;
    answer!({ "event_id": event_id })
}

#[derive(Deserialize)]
pub(crate) struct Redaction {
    reason: Option<String>,
}

pub(crate) async fn redact(
    State(server): super::State,
    session: Authenticated,
    Path((room_id, redacted, txn_id)): Path<(String, String, String)>,
    Json(redaction): Json<Redaction>,
) -> Answer {
    let transaction = Transaction {
        user: session.user.to_string(),
        device_id: session.device_id,
        endpoint: format!("redact/{room_id}/{redacted}"),
        txn_id,
    };
    let content = match redaction.reason {
        Some(reason) => json!({ "reason": reason }),
        None => json!({}),
    };
    let event_id = server
        .change_rooms(move |connection| {
            once(connection, &transaction, || {
                let mut event =
                    NewEvent::message(&room_id, &session.user, "m.room.redaction", content);
                event.redacts = Some(&redacted);
                redact_event(connection, &event)
            })
        })
        .await??;
    answer!({ "event_id": event_id })
}

/// Carries out a request, unless the same request has been made before.
fn once(
    connection: &Connection,
    transaction: &Transaction,
    happen: impl FnOnce() -> rusqlite::Result<Result<String>>,
) -> rusqlite::Result<Result<String>> {
    if let Some(event_id) = events::sent_before(connection, transaction)? {
        return Ok(Ok(event_id));
    }
    let result = happen()?;
    if let Ok(event_id) = &result {
        events::remember_sent(connection, transaction, event_id)?;
    }
    Ok(result)
}

fn append_as_member(
    connection: &Connection,
    event: &NewEvent<'_>,
) -> rusqlite::Result<Result<String>> {
    if !rooms::is_joined(connection, event.room_id, event.sender)? {
        return Ok(Err(not_joined()));
    }
    events::append(connection, event).map(Ok)
}

/// Everyone may redact their own events. The creator of the room may redact all.
fn redact_event(
    connection: &Connection,
    redaction: &NewEvent<'_>,
) -> rusqlite::Result<Result<String>> {
    let event_id = redaction.redacts.unwrap_or_default();
    let Some(redacted) = events::get(connection, redaction.room_id, event_id)? else {
        return Ok(Err(Error::not_found("There is no such event")));
    };
    let creator = rooms::creator(connection, redaction.room_id)?;
    let is_own = redacted.json["sender"] == redaction.sender;
    if !is_own && creator.as_deref() != Some(redaction.sender) {
        return Ok(Err(Error::forbidden("You may not redact this event")));
    }
    let event_id = match append_as_member(connection, redaction)? {
        Ok(event_id) => event_id,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if let Some(event) = events::get(connection, redaction.room_id, &event_id)? {
        events::redact(connection, &redacted.json, &event.json)?;
    }
    Ok(Ok(event_id))
}

#[derive(Deserialize)]
pub(crate) struct Page {
    from: Option<PageToken>,
    dir: Direction,
    limit: Option<usize>,
}

#[derive(Clone, Copy, Deserialize)]
enum Direction {
    #[serde(rename = "b")]
    Backwards,
    #[serde(rename = "f")]
    Forwards,
}

/// A place in the order of events, as clients see it.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct PageToken(pub(crate) i64);

impl TryFrom<String> for PageToken {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.strip_prefix('s')
            .and_then(|position| position.parse().ok())
            .map(Self)
            .ok_or("unknown token")
    }
}

impl std::fmt::Display for PageToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "s{}", self.0)
    }
}

const MAX_PAGE: usize = 100;

pub(crate) async fn messages(
    State(server): super::State,
    session: Authenticated,
    Path(room_id): Path<String>,
    Query(page): Query<Page>,
) -> Answer {
    let limit = page.limit.unwrap_or(10).min(MAX_PAGE);
    let (start, events) = server
        .database
        .read(move |connection| {
            if !rooms::is_joined(connection, &room_id, &session.user)? {
                return Ok(Err(not_joined()));
            }
            let from = page.from.map(|token| token.0);
            let (start, events) = match page.dir {
                Direction::Forwards => {
                    let start = from.unwrap_or(0);
                    (start, events::forwards(connection, &room_id, start, limit)?)
                }
                Direction::Backwards => {
                    let start = from.map_or_else(|| events::position(connection), Ok)?;
                    (
                        start,
                        events::backwards(connection, &room_id, 0, start, limit)?,
                    )
                }
            };
            Ok(Ok((start, events)))
        })
        .await??;

    let mut answer = json!({ "start": PageToken(start).to_string() });
    if let Some(last) = events.last() {
        let end = match page.dir {
            Direction::Forwards => last.position,
            Direction::Backwards => last.position - 1,
        };
        answer["end"] = PageToken(end).to_string().into();
    }
    answer["chunk"] = events.into_iter().map(|Event { json, .. }| json).collect();
    Ok(axum::Json(answer))
}

/// One event, if the requester is in its room.
pub(crate) async fn event(
    State(server): super::State,
    session: Authenticated,
    Path((room_id, event_id)): Path<(String, String)>,
) -> Answer {
    let event = server
        .database
        .read(move |connection| {
            if !rooms::is_joined(connection, &room_id, &session.user)? {
                return Ok(Err(not_joined()));
            }
            events::get(connection, &room_id, &event_id).map(Ok)
        })
        .await??;
    let event = event.ok_or_else(|| Error::not_found("There is no such event"))?;
    Ok(axum::Json(event.json))
}

fn not_joined() -> Error {
    Error::forbidden("You are not in this room")
}
