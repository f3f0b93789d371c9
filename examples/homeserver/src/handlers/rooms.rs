//! Creating, finding, joining and leaving rooms.

use axum::extract::State;
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Answer, answer};
use crate::{
    auth::Authenticated,
    database::{
        accounts,
        events::{self, NewEvent},
        rooms,
    },
    error::{Error, Result},
    extract::{Json, Path, Query},
    homeserver::Homeserver,
};

#[derive(Deserialize)]
pub(crate) struct NewRoom {
    #[serde(default)]
    visibility: Visibility,
    preset: Option<Preset>,
    name: Option<String>,
    topic: Option<String>,
    room_alias_name: Option<String>,
    room_version: Option<String>,
    #[serde(default)]
    creation_content: Map<String, Value>,
    #[serde(default)]
    initial_state: Vec<InitialState>,
    #[serde(default)]
    invite: Vec<String>,
}

#[derive(Clone, Copy, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Visibility {
    Public,
    #[default]
    Private,
}

#[derive(Clone, Copy, Deserialize)]
enum Preset {
    #[serde(rename = "public_chat")]
    Public,
    #[serde(rename = "private_chat")]
    Private,
    #[serde(rename = "trusted_private_chat")]
    TrustedPrivate,
}

#[derive(Deserialize)]
struct InitialState {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    state_key: String,
    content: Map<String, Value>,
}

impl NewRoom {
    fn join_rule(&self) -> &'static str {
        match (self.preset, self.visibility) {
            (Some(Preset::Public), _) | (None, Visibility::Public) => "public",
            (Some(Preset::Private | Preset::TrustedPrivate), _) | (None, Visibility::Private) => {
                "invite"
            }
        }
    }
}

pub(crate) async fn create(
    State(server): super::State,
    session: Authenticated,
    Json(room): Json<NewRoom>,
) -> Answer {
    if room
        .room_version
        .as_deref()
        .is_some_and(|version| version != "10")
    {
        let error = "The room version has to be 10";
        return Err(Error::bad_request("M_UNSUPPORTED_ROOM_VERSION", error));
    }
    let server_name = server.server_name;
    let room_id = server
        .change_rooms(move |connection| create_room(connection, server_name, &session, room))
        .await??;
    answer!({ "room_id": room_id })
}

fn create_room(
    connection: &Connection,
    server_name: &str,
    session: &Authenticated,
    mut room: NewRoom,
) -> rusqlite::Result<Result<String>> {
    // All checks come before the first change, because a refusal undoes nothing.
    let alias = room
        .room_alias_name
        .as_ref()
        .map(|name| format!("#{name}:{server_name}"));
    if let Some(alias) = &alias
        && rooms::is_alias_taken(connection, alias)?
    {
        return Ok(Err(Error::bad_request(
            "M_ROOM_IN_USE",
            "The alias is taken",
        )));
    }
    for user in &room.invite {
        if accounts::by_id(connection, user)?.is_none() {
            return Ok(Err(Error::invalid_param(
                "There is nobody of that name to invite",
            )));
        }
    }

    let creator = session.user.as_str();
    let is_listed = room.visibility == Visibility::Public;
    let room_id = rooms::create(connection, server_name, creator, is_listed)?;
    let append = |event: NewEvent<'_>| events::append(connection, &event);
    let state = |kind, content| append(NewEvent::state(&room_id, creator, kind, content));

    let join_rule = room.join_rule();
    room.creation_content
        .insert("creator".into(), creator.into());
    room.creation_content
        .insert("room_version".into(), "10".into());
    state("m.room.create", room.creation_content.into())?;
    append(NewEvent::member(&room_id, creator, creator, "join"))?;
    state("m.room.join_rules", json!({ "join_rule": join_rule }))?;
    if let Some(alias) = alias {
        rooms::add_alias(connection, &alias, &room_id)?;
        state("m.room.canonical_alias", json!({ "alias": alias }))?;
    }
    for initial in room.initial_state {
        let content = initial.content.into();
        let event = NewEvent::state(&room_id, creator, &initial.kind, content);
        append(event.with_state_key(&initial.state_key))?;
    }
    if let Some(name) = room.name {
        state("m.room.name", json!({ "name": name }))?;
    }
    if let Some(topic) = room.topic {
        state("m.room.topic", json!({ "topic": topic }))?;
    }
    for user in &room.invite {
        append(NewEvent::member(&room_id, creator, user, "invite"))?;
    }
    Ok(Ok(room_id))
}

/// Joins the room of an id or an alias.
pub(crate) async fn join(
    State(server): super::State,
    session: Authenticated,
    Path(room): Path<String>,
) -> Answer {
    let room_id = server
        .change_rooms(move |connection| join_room(connection, &session, &room))
        .await??;
    answer!({ "room_id": room_id })
}

fn join_room(
    connection: &Connection,
    session: &Authenticated,
    room: &str,
) -> rusqlite::Result<Result<String>> {
    let user = session.user.as_str();
    let Some(room_id) = rooms::resolve(connection, room)? else {
        return Ok(Err(Error::not_found("There is no such room")));
    };
    let is_public = || -> rusqlite::Result<bool> {
        let rules = rooms::state_content(connection, &room_id, "m.room.join_rules")?;
        Ok(rules.is_some_and(|rules| rules["join_rule"] == "public"))
    };
    match rooms::membership(connection, &room_id, user)?.as_deref() {
        Some("join") => {}
        Some("invite") => join_as_member(connection, &room_id, user)?,
        _ if is_public()? => join_as_member(connection, &room_id, user)?,
        _ => return Ok(Err(Error::forbidden("The room is by invitation"))),
    }
    Ok(Ok(room_id))
}

fn join_as_member(connection: &Connection, room_id: &str, user: &str) -> rusqlite::Result<()> {
    events::append(connection, &NewEvent::member(room_id, user, user, "join")).map(drop)
}

/// Leaves a room, or rejects an invitation.
pub(crate) async fn leave(
    State(server): super::State,
    session: Authenticated,
    Path(room_id): Path<String>,
) -> Answer {
    server
        .change_rooms(move |connection| {
            let user = session.user.as_str();
            match rooms::membership(connection, &room_id, user)?.as_deref() {
                Some("join" | "invite") => {
                    events::append(connection, &NewEvent::member(&room_id, user, user, "leave"))?;
                    Ok(Ok(()))
                }
                Some("leave") => Ok(Ok(())),
                _ => Ok(Err(Error::forbidden("You are not in this room"))),
            }
        })
        .await??;
    answer!({})
}

/// Which part of the directory is wanted: the query of a GET, the body of a POST.
#[derive(Deserialize)]
pub(crate) struct Page {
    limit: Option<usize>,
    since: Option<String>,
    filter: Option<Filter>,
}

#[derive(Deserialize)]
struct Filter {
    generic_search_term: Option<String>,
}

pub(crate) async fn directory(State(server): super::State, Query(page): Query<Page>) -> Answer {
    list(&server, page).await
}

pub(crate) async fn search_directory(
    State(server): super::State,
    _: Authenticated,
    Json(page): Json<Page>,
) -> Answer {
    list(&server, page).await
}

/// One page of the public rooms; a page's token is the number of rooms before it.
async fn list(server: &Homeserver, page: Page) -> Answer {
    let start = match page.since {
        Some(since) => since
            .parse()
            .map_err(|_| Error::invalid_param("Unknown `since`"))?,
        None => 0_usize,
    };
    let term = page.filter.and_then(|filter| filter.generic_search_term);
    let term = term.unwrap_or_default().to_lowercase();
    let mut found = server
        .database
        .read(|connection| {
            let listed = rooms::listed(connection)?;
            let rooms = listed.iter().map(|room| describe(connection, room));
            rooms.collect::<rusqlite::Result<Vec<Value>>>()
        })
        .await?;
    found.retain(|room| {
        let contains = |key| room[key].as_str().is_some_and(|text| contains(text, &term));
        term.is_empty()
            || ["name", "topic", "canonical_alias"]
                .into_iter()
                .any(contains)
    });

    let end = start.saturating_add(page.limit.unwrap_or(100));
    let chunk: Vec<_> = found.iter().take(end).skip(start).collect();
    let mut answer = json!({ "chunk": chunk, "total_room_count_estimate": found.len() });
    if end < found.len() {
        answer["next_batch"] = end.to_string().into();
    }
    Ok(axum::Json(answer))
}

fn contains(text: &str, lowercase_term: &str) -> bool {
    text.to_lowercase().contains(lowercase_term)
}

fn describe(connection: &Connection, room: &rooms::Listed) -> rusqlite::Result<Value> {
    let mut description = json!({
        "room_id": room.room_id,
        "num_joined_members": room.joined,
        "world_readable": false,
        "guest_can_join": false,
    });
    for (kind, key, described_as) in [
        ("m.room.name", "name", "name"),
        ("m.room.topic", "topic", "topic"),
        ("m.room.canonical_alias", "alias", "canonical_alias"),
        ("m.room.join_rules", "join_rule", "join_rule"),
    ] {
        let content = rooms::state_content(connection, &room.room_id, kind)?;
        if let Some(value) = content.and_then(|mut content| content.get_mut(key).map(Value::take)) {
            description[described_as] = value;
        }
    }
    Ok(description)
}
