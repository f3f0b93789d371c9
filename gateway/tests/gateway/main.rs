//! The gateway in front of the example homeserver, each in a process of its own: the layer's promises
//! hold in front of a homeserver that knows nothing of them.
//!
//! Restrictions are set in the homeserver only in tests of exactly that.

#![cfg(unix)] // some tests end the processes with a signal

mod application_services;
mod away;
mod commands;
#[cfg(target_os = "linux")] // reads a process' memory there
mod commands_at_scale;
#[path = "../../src/content_type.rs"]
mod content_type;
mod content_types;
mod draining;
mod faults;
mod gateway;
#[path = "../../../tests/support/homeserver.rs"]
mod homeserver;
mod moderators_log;
mod monitoring;
mod names;
#[path = "../../../tests/support/postgres.rs"]
mod postgres;
mod process;
mod proxying;
mod redactions;
mod refusals_log;
mod restrictions;
mod shared;
mod stopping;
mod streaming;
mod syncs;
mod upstream;

use serde_json::{Value, json};

use crate::{
    gateway::Gateway,
    homeserver::{Answer, Client, Homeserver},
};

const WHOAMI: &str = "/_matrix/client/v3/account/whoami";
const SYNC: &str = "/_matrix/client/v3/sync";
const UPLOAD: &str = "/_matrix/media/v3/upload";

/// A homeserver, a gateway in front of it, and people who go through the gateway.
struct World {
    homeserver: Homeserver,
    gateway: Gateway,
    admin: String,
    alice: String,
}

impl World {
    async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With these arguments of the homeserver.
    async fn with(arguments: &[&str]) -> Self {
        let homeserver = Homeserver::start_with(arguments).await;
        let gateway = Gateway::start(&homeserver.address, &[]).await;
        let alice = gateway.register("alice").await;
        let admin = gateway.login_admin().await;
        Self {
            homeserver,
            gateway,
            admin,
            alice,
        }
    }

    async fn set(&self, what: &str, key: &str, is: bool) {
        let path = format!("/_matrix/client/v1/admin/{what}/@alice:localhost");
        let answer = self
            .gateway
            .put(&path, &self.admin, json!({ key: is }))
            .await;
        assert_eq!(answer.ok(), json!({ key: is }));
    }

    async fn lock(&self) {
        self.set("lock", "locked", true).await;
    }

    async fn unlock(&self) {
        self.set("lock", "locked", false).await;
    }
}

#[track_caller]
fn assert_locked(answer: &Answer) {
    let body = answer.error(401, "M_USER_LOCKED");
    assert_eq!(body["soft_logout"], true, "{}: {body}", answer.what);
    assert_eq!(
        body.as_object().map(serde_json::Map::len),
        Some(3),
        "{body}"
    );
}

fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("a string, not {value}"))
}

async fn room_of(client: &Client, token: &str) -> String {
    let body = json!({ "visibility": "public", "name": "Tea party" });
    let path = "/_matrix/client/v3/createRoom";
    text(&client.post(path, token, body).await.ok()["room_id"]).to_owned()
}
