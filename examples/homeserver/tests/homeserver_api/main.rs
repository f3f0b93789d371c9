//! The example homeserver works as its README says while no restriction is in force.

mod accounts;
#[path = "../../../../tests/support/homeserver.rs"]
mod homeserver;
mod process;
mod rooms;
mod sessions;

use serde_json::{Value, json};

use crate::homeserver::{Homeserver, password_of};

const WHOAMI: &str = "/_matrix/client/v3/account/whoami";
const REFRESH: &str = "/_matrix/client/v3/refresh";

fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("a string, not {value}"))
}

fn password_auth(user: &str) -> Value {
    json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": user },
        "password": password_of(user),
    })
}

async fn room_of(server: &Homeserver, token: &str) -> String {
    let body = json!({
        "visibility": "public", "room_alias_name": "tea", "name": "Tea party", "topic": "Tea",
    });
    let answer = server
        .post("/_matrix/client/v3/createRoom", token, body)
        .await;
    text(&answer.ok()["room_id"]).to_owned()
}
