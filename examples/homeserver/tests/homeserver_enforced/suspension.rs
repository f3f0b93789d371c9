//! What a suspended account may do and what not, on the running example
//! ([account suspension](https://spec.matrix.org/latest/client-server-api/#account-suspension)).

use hyper::Method;
use serde_json::{Value, json};

use crate::{
    LOGIN, SYNC, Scene, api::fill, assert_locked, assert_suspended, contents, homeserver::Answer,
    text,
};

/// A public room of alice's, where bob is too.
struct Room<'a> {
    scene: &'a Scene,
    id: String,
}

impl<'a> Room<'a> {
    async fn new(scene: &'a Scene) -> Self {
        let body = json!({ "visibility": "public", "room_alias_name": "tea" });
        let path = "/_matrix/client/v3/createRoom";
        let room = scene.server.post(path, &scene.alice, body).await.ok();
        let id = text(&room["room_id"]).to_owned();
        let room = Self { scene, id };
        let join = room.path("join");
        scene.server.post(&join, &scene.bob, json!({})).await.ok();
        room
    }

    fn path(&self, rest: &str) -> String {
        format!("/_matrix/client/v3/rooms/{}/{rest}", self.id)
    }

    /// Sends a message, and returns the event's id.
    async fn say(&self, token: &str, txn: &str) -> String {
        let body = json!({ "msgtype": "m.text", "body": "Hello" });
        let path = self.path(&format!("send/m.room.message/{txn}"));
        let sent = self.scene.server.put(&path, token, body).await.ok();
        text(&sent["event_id"]).to_owned()
    }

    async fn redact(&self, token: &str, event: &str, txn: &str) -> Answer {
        let path = self.path(&format!("redact/{event}/{txn}"));
        self.scene.server.put(&path, token, json!({})).await
    }

    /// Redacts in the newer way, with the event in the body.
    async fn send_redaction(&self, token: &str, event: &str, txn: &str) -> Answer {
        let path = self.path(&format!("send/m.room.redaction/{txn}"));
        let body = json!({ "redacts": event });
        self.scene.server.put(&path, token, body).await
    }

    async fn content_of(&self, event: &str) -> Value {
        let path = self.path("messages?dir=b&limit=100");
        let page = self.scene.server.get(&path, &self.scene.bob).await.ok();
        let events = page["chunk"].as_array().expect("a list").iter();
        let found = events.clone().find(|found| found["event_id"] == event);
        found.unwrap_or_else(|| panic!("no {event} in {page}"))["content"].clone()
    }
}

#[tokio::test]
async fn a_suspended_account_logs_in_reads_takes_back_leaves_and_logs_out() {
    let scene = Scene::start().await;
    let server = &scene.server;
    let room = Room::new(&scene).await;
    let own = room.say(&scene.alice, "1").await;
    scene.set_suspended("alice", true).await;

    let session = scene.log_in("alice").await;
    let alice = text(&session["access_token"]);
    assert_eq!(
        scene.whoami(alice).await.ok()["user_id"],
        "@alice:localhost"
    );
    let refresh = json!({ "refresh_token": session["refresh_token"] });
    server.post(crate::REFRESH, (), refresh).await.ok();
    let sync = server.get(SYNC, &scene.alice).await.ok();
    assert!(sync["rooms"]["join"].get(&room.id).is_some(), "{sync}");
    let page = room.path("messages?dir=b");
    let page = server.get(&page, &scene.alice).await.ok();
    assert!(page["chunk"].as_array().is_some_and(|page| page.len() > 1));

    room.redact(&scene.alice, &own, "1").await.ok();
    assert_eq!(room.content_of(&own).await, json!({}));
    server
        .post(&room.path("leave"), &scene.alice, json!({}))
        .await
        .ok();
    let logout = "/_matrix/client/v3/logout";
    server.post(logout, &scene.alice, json!({})).await.ok();
    let gone = scene.whoami(&scene.alice).await;
    gone.error(401, "M_UNKNOWN_TOKEN");
}

/// Each of them would succeed if the account were not suspended.
async fn all_refused_actions(room: &Room<'_>, others: &str, txn: &str) -> Vec<Answer> {
    let Scene { server, alice, .. } = room.scene;
    let mut answers = Vec::new();
    for version in ["v3", "r0"] {
        let client = format!("/_matrix/client/{version}");
        let rooms = format!("{client}/rooms/{}", room.id);
        let txn = format!("{txn}{version}");
        for (method, path, body) in [
            ("POST", format!("{client}/createRoom"), json!({})),
            ("POST", format!("{client}/join/{}", room.id), json!({})),
            ("POST", format!("{client}/join/%23tea:localhost"), json!({})),
            ("POST", format!("{rooms}/join"), json!({})),
            (
                "PUT",
                format!("{rooms}/send/m.room.message/{txn}"),
                json!({ "body": "x" }),
            ),
            (
                "PUT",
                format!("{rooms}/send/m.room.encrypted/{txn}"),
                json!({ "ciphertext": "x" }),
            ),
            (
                "PUT",
                format!("{client}/profile/@alice:localhost/displayname"),
                json!({ "displayname": "Alice" }),
            ),
            (
                "POST",
                format!("/_matrix/media/{version}/upload"),
                json!({}),
            ),
            ("PUT", format!("{rooms}/redact/{others}/{txn}"), json!({})),
            (
                "PUT",
                format!("{rooms}/send/m.room.redaction/{txn}"),
                json!({ "redacts": others }),
            ),
        ] {
            let method: Method = method.parse().expect("a method");
            let answer = server.request(method, &path, alice, body.to_string());
            answers.push(answer.await);
        }
    }
    answers
}

#[tokio::test]
async fn every_refused_action_is_answered_the_403_until_the_suspension_is_lifted() {
    let scene = Scene::start().await;
    let room = Room::new(&scene).await;
    let others = room.say(&scene.bob, "1").await;
    scene.set_suspended("alice", true).await;

    let before = contents(&scene.server.database);
    for answer in all_refused_actions(&room, &others, "1").await {
        assert_suspended(&answer);
    }
    assert!(before == contents(&scene.server.database));

    scene.set_suspended("alice", false).await;
    for answer in all_refused_actions(&room, &others, "2").await {
        answer.ok();
    }
    // She made the room, and so may redact what others say in it.
    assert_eq!(room.content_of(&others).await, json!({}));
}

#[tokio::test]
async fn only_ones_own_events_can_be_redacted_in_both_ways_of_doing_it() {
    let scene = Scene::start().await;
    let room = Room::new(&scene).await;
    let (own, others) = (
        room.say(&scene.alice, "1").await,
        room.say(&scene.bob, "1").await,
    );
    scene.set_suspended("alice", true).await;
    let alice = &scene.alice;
    let encoded = others.replacen('$', "%24", 1);
    for event in [&others, &encoded] {
        assert_suspended(&room.redact(alice, event, "1").await);
    }
    assert_suspended(&room.send_redaction(alice, &others, "2").await);
    assert_ne!(room.content_of(&others).await, json!({}));
    room.send_redaction(alice, &own, "3").await.ok();
    let encoded = own.replacen('$', "%24", 1);
    room.redact(alice, &encoded, "4").await.ok();
    assert_eq!(room.content_of(&own).await, json!({}));

    // The handler does not know an event that nobody has sent, and neither does the store.
    let nothing = room.redact(alice, "$nothing", "5").await;
    nothing.error(404, "M_NOT_FOUND");
    let elsewhere = format!("/_matrix/client/v3/rooms/!none:localhost/redact/{others}/6");
    let answer = scene.server.put(&elsewhere, alice, json!({})).await;
    answer.error(404, "M_NOT_FOUND");
    // Bob is not suspended, and has not made the room.
    let answer = room.redact(&scene.bob, &own, "1").await;
    answer.error(403, "M_FORBIDDEN");
}

/// The table in the documentation of `SuspensionPolicy`.
#[tokio::test]
async fn the_documented_table_is_what_the_server_does() {
    let scene = Scene::start().await;
    scene.set_suspended("alice", true).await;
    let (mut refused, mut permitted) = (0, 0);
    let rows = include_str!("../../../../src/suspension/table.md").lines();
    for row in rows.skip(2) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let [_, methods, path, action, default, ..] = cells[..] else {
            panic!("at least four columns, not {row:?}");
        };
        let path = path.trim_matches('`');
        // These two depend on what is there, and have tests of their own.
        if matches!(action, "`log_out`" | "`redact_event`") {
            continue;
        }
        let paths = match path.starts_with('/') {
            true => vec![path.to_owned()],
            false => ["v3", "r0", "v1"]
                .map(|v| format!("/_matrix/client/{v}/{path}"))
                .into(),
        };
        for method in methods.split(' ') {
            let method: Method = method.parse().expect("a method");
            for path in &paths {
                let body = if method == Method::GET { "" } else { "{}" };
                let path = fill(path);
                let answer = scene
                    .server
                    .request(method.clone(), &path, &scene.alice, body);
                let answer = answer.await;
                if default.starts_with("refused") {
                    assert_suspended(&answer);
                    refused += 1;
                } else {
                    assert_eq!(default, "permitted", "{row}");
                    let errcode = &answer.json()["errcode"];
                    assert_ne!(errcode, "M_USER_SUSPENDED", "{}", answer.what);
                    permitted += 1;
                }
            }
        }
    }
    assert!(refused > 90, "{refused} refused");
    assert!(permitted > 250, "{permitted} permitted");
    println!("{refused} pairs of method and path refused, {permitted} permitted");
    scene.whoami(&scene.alice).await.ok();
}

/// Rule 4: the lock comes before the suspension, and each is stored on its own.
#[tokio::test]
async fn a_lock_goes_before_a_suspension_and_leaves_it_standing() {
    let scene = Scene::start().await;
    let room = Room::new(&scene).await;
    let others = room.say(&scene.bob, "1").await;
    scene.set_suspended("alice", true).await;
    scene.lock("alice").await;
    for answer in all_refused_actions(&room, &others, "1").await {
        assert_locked(&answer);
    }
    assert_locked(&scene.whoami(&scene.alice).await);
    let login = json!({ "type": "m.login.password", "user": "alice", "password": "x" });
    assert_locked(&scene.server.post(LOGIN, (), login).await);

    scene.unlock("alice").await;
    scene.whoami(&scene.alice).await.ok();
    for answer in all_refused_actions(&room, &others, "1").await {
        assert_suspended(&answer);
    }

    // The other way round: the suspension goes, and the lock stays.
    scene.lock("alice").await;
    scene.set_suspended("alice", false).await;
    assert_locked(&scene.whoami(&scene.alice).await);
    scene.unlock("alice").await;
    for answer in all_refused_actions(&room, &others, "1").await {
        answer.ok();
    }
}
