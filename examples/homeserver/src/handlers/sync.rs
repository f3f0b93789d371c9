//! What has happened since the last sync. If nothing has, the request waits.

use std::time::Duration;

use axum::extract::State;
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, timeout_at};

use super::{Answer, events::PageToken};
use crate::{
    auth::Authenticated,
    database::{
        events::{self, Event},
        rooms::{self, Membership},
    },
    extract::Query,
};

/// The longest that a sync waits, whatever its client asks for.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// The most events of one room in one answer.
const TIMELINE: usize = 20;

#[derive(Deserialize)]
pub(crate) struct Sync {
    since: Option<PageToken>,
    #[serde(default)]
    timeout: u64,
}

pub(crate) async fn sync(
    State(server): super::State,
    session: Authenticated,
    Query(query): Query<Sync>,
) -> Answer {
    let deadline = Instant::now() + Duration::from_millis(query.timeout).min(MAX_WAIT);
    let since = query.since.map(|token| token.0);
    let mut news = server.news.subscribe();
    loop {
        let is_closing = *news.borrow_and_update();
        let user = session.user.clone();
        let update = server
            .database
            .read(move |connection| Update::collect(connection, &user, since))
            .await?;
        if since.is_none() || !update.is_empty() || is_closing {
            return Ok(axum::Json(update.into_json()));
        }
        if timeout_at(deadline, news.changed()).await.is_err() {
            return Ok(axum::Json(update.into_json()));
        }
    }
}

/// What one user has not seen yet, by room.
#[derive(Default)]
struct Update {
    position: i64,
    join: Map<String, Value>,
    invite: Map<String, Value>,
    leave: Map<String, Value>,
}

impl Update {
    fn collect(connection: &Connection, user: &str, since: Option<i64>) -> rusqlite::Result<Self> {
        let mut update = Self {
            position: events::position(connection)?,
            ..Self::default()
        };
        for membership in rooms::memberships(connection, user)? {
            update.add(connection, user, membership, since)?;
        }
        Ok(update)
    }

    fn add(
        &mut self,
        connection: &Connection,
        user: &str,
        Membership {
            room_id,
            membership,
            position,
        }: Membership,
        since: Option<i64>,
    ) -> rusqlite::Result<()> {
        let is_news = since.is_none_or(|since| position > since);
        match (membership.as_str(), since) {
            ("join", _) => {
                // A new member has seen nothing of the room.
                let after = since.filter(|_| !is_news).unwrap_or(0);
                if let Some(room) = room(connection, &room_id, after, self.position)? {
                    self.join.insert(room_id, room);
                }
            }
            ("invite", _) if is_news => {
                let state = stripped_state(connection, &room_id, user)?;
                let room = json!({ "invite_state": { "events": state } });
                self.invite.insert(room_id, room);
            }
            // What happened after they left is not theirs to see.
            ("leave", Some(since)) if is_news => {
                if let Some(room) = room(connection, &room_id, since, position)? {
                    self.leave.insert(room_id, room);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.join.is_empty() && self.invite.is_empty() && self.leave.is_empty()
    }

    fn into_json(self) -> Value {
        json!({
            "next_batch": PageToken(self.position).to_string(),
            "rooms": { "join": self.join, "invite": self.invite, "leave": self.leave },
        })
    }
}

/// What happened in a room between two positions, if anything: the newest events, and the state
/// before them.
fn room(
    connection: &Connection,
    room_id: &str,
    after: i64,
    up_to: i64,
) -> rusqlite::Result<Option<Value>> {
    let mut timeline = events::backwards(connection, room_id, after, up_to, TIMELINE + 1)?;
    let is_limited = timeline.len() > TIMELINE;
    timeline.truncate(TIMELINE);
    timeline.reverse();
    let Some(first) = timeline.first() else {
        return Ok(None);
    };
    let start = first.position - 1;
    let state = match is_limited {
        true => events::state(connection, room_id, after, start)?,
        false => Vec::new(),
    };
    Ok(Some(json!({
        "timeline": {
            "events": json_of(timeline),
            "limited": is_limited,
            "prev_batch": PageToken(start).to_string(),
        },
        "state": { "events": json_of(state) },
    })))
}

/// What somebody who is invited may know of the room.
fn stripped_state(
    connection: &Connection,
    room_id: &str,
    user: &str,
) -> rusqlite::Result<Vec<Value>> {
    const SHOWN: [&str; 4] = [
        "m.room.create",
        "m.room.join_rules",
        "m.room.name",
        "m.room.canonical_alias",
    ];

    let state = events::state(connection, room_id, 0, i64::MAX)?;
    let is_shown = |event: &Value| {
        SHOWN.iter().any(|kind| event["type"] == *kind)
            || (event["type"] == "m.room.member" && event["state_key"] == user)
    };
    let strip = |event: Value| {
        json!({
            "type": event["type"],
            "sender": event["sender"],
            "state_key": event["state_key"],
            "content": event["content"],
        })
    };
    Ok(json_of(state)
        .into_iter()
        .filter(is_shown)
        .map(strip)
        .collect())
}

fn json_of(events: Vec<Event>) -> Vec<Value> {
    events.into_iter().map(|Event { json, .. }| json).collect()
}
