//! Rules 16 and 17: a sync that waits is ended as soon as its account is locked or deactivated.

use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::{
    REFRESH, SYNC, Scene, assert_deactivated, assert_locked,
    homeserver::{Answer, BOUND, password_of},
    open, text,
};

/// How long each sync would wait if it were not ended: longer than the test waits for any answer.
const LONG: Duration = Duration::from_secs(60);

const TRIALS: usize = 200;

/// A session that waits. Its token is new, and with its first use its handler deletes the one
/// before: from that the test sees, in the database, that the layer has let the sync pass.
struct Waiting<'a> {
    scene: &'a Scene,
    database: Connection,
    session: Value,
    since: String,
}

impl<'a> Waiting<'a> {
    async fn new(scene: &'a Scene) -> Self {
        let session = scene.log_in("alice").await;
        let first = scene.server.get(SYNC, text(&session["access_token"])).await;
        Self {
            database: open(&scene.server.database),
            since: text(&first.ok()["next_batch"]).to_owned(),
            scene,
            session,
        }
    }

    async fn refresh(&mut self) {
        let body = json!({ "refresh_token": self.session["refresh_token"] });
        self.session = self.scene.server.post(REFRESH, (), body).await.ok();
    }

    /// Lets the session sync, and does something as soon as the handler runs. Returns the
    /// sync's answer, and how long it took from there.
    async fn sync_while(&mut self, meanwhile: impl AsyncFnOnce()) -> (Answer, Duration) {
        self.refresh().await;
        let timeout = LONG.as_millis();
        let path = format!("{SYNC}?timeout={timeout}&since={}", self.since);
        let token = text(&self.session["access_token"]);
        let sync = async {
            let answer = self.scene.server.get(&path, token).await;
            (answer, Instant::now())
        };
        let other = async {
            self.handler_at_work().await;
            let started = Instant::now();
            meanwhile().await;
            started
        };
        let ((answer, ended), started) = tokio::join!(sync, other);
        (answer, ended.duration_since(started))
    }

    async fn handler_at_work(&self) {
        let mut unused = self
            .database
            .prepare("SELECT count(*) FROM access_tokens WHERE replaces IS NOT NULL")
            .expect("the table of tokens");
        let deadline = Instant::now() + BOUND;
        while unused.query_row([], |row| row.get(0)) != Ok(0) {
            assert!(
                Instant::now() < deadline,
                "the sync never came to its handler"
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[tokio::test]
async fn a_waiting_sync_is_ended_by_the_lock() {
    let scene = Scene::start().await;
    let mut waiting = Waiting::new(&scene).await;
    let mut delays = Vec::new();
    for _ in 0..TRIALS {
        let (answer, delay) = waiting.sync_while(async || scene.lock("alice").await).await;
        assert_locked(&answer);
        delays.push(delay);
        scene.unlock("alice").await;
    }
    delays.sort();
    let (median, p99) = (delays[TRIALS / 2], delays[TRIALS * 99 / 100]);
    let longest = delays[TRIALS - 1];
    println!(
        "from the administrator's request to the end of the sync, {TRIALS} times: \
         median {median:?}, p99 {p99:?}, longest {longest:?}"
    );
}

#[tokio::test]
async fn a_waiting_sync_carries_the_reason_and_the_end_of_the_lock() {
    let scene = Scene::start().await;
    let mut waiting = Waiting::new(&scene).await;
    let far = json!({
        "locked": true, "org.example.reason": "Spam", "org.example.until_ts": 4_000_000_000_000_i64,
    });
    let (answer, _) = waiting
        .sync_while(async || scene.set_lock("alice", far).await)
        .await;
    assert_eq!(answer.error(401, "M_USER_LOCKED")["error"], "Spam");
    assert!(answer.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn a_waiting_sync_is_ended_when_its_account_is_deactivated() {
    let scene = Scene::start().await;
    let mut waiting = Waiting::new(&scene).await;
    let body = json!({ "auth": {
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": "alice" },
        "password": password_of("alice"),
    } });
    let deactivate = async || {
        let path = "/_matrix/client/v3/account/deactivate";
        scene.server.post(path, &scene.alice, body).await.ok();
    };
    let (answer, _) = waiting.sync_while(deactivate).await;
    assert_deactivated(&answer);
}

#[tokio::test]
async fn a_waiting_sync_goes_on_when_its_account_is_suspended_or_another_is_locked() {
    let scene = Scene::start().await;
    let mut waiting = Waiting::new(&scene).await;
    let body = json!({ "visibility": "private", "invite": ["@alice:localhost"] });
    let invite = async || {
        scene.set_suspended("alice", true).await;
        scene.lock("bob").await;
        scene.unlock("bob").await;
        let path = "/_matrix/client/v3/createRoom";
        scene.server.post(path, &scene.bob, body).await.ok();
    };
    let (answer, _) = waiting.sync_while(invite).await;
    let invited = answer.ok()["rooms"]["invite"].clone();
    assert_eq!(invited.as_object().map(serde_json::Map::len), Some(1));
}
