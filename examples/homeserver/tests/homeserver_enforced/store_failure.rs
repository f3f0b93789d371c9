//! Rule 12: while the server does not know in which state an account is, it answers 503, and never
//! 401, because clients would delete their keys.

use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::json;

use crate::{
    LOGIN, REFRESH, SYNC, Scene, WHOAMI, assert_locked,
    homeserver::{Answer, password_of},
    only, open, text,
};

impl Scene {
    fn execute(&self, sql: &str) {
        let done = open(&self.server.database).execute_batch(sql);
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// From now on no query of accounts works; those of tokens do.
    fn break_accounts(&self) {
        self.execute("ALTER TABLE accounts RENAME TO accounts_elsewhere");
    }

    fn repair_accounts(&self) {
        self.execute("ALTER TABLE accounts_elsewhere RENAME TO accounts");
    }
}

#[track_caller]
fn assert_unavailable(answer: &Answer) {
    let body = answer.error(503, "M_UNKNOWN");
    assert_eq!(only(&answer.headers, "retry-after"), "5", "{}", answer.what);
    assert_eq!(only(&answer.headers, "access-control-allow-origin"), "*");
    assert_eq!(only(&answer.headers, "cache-control"), "no-store");
    assert!(body.get("soft_logout").is_none(), "{body}");
}

#[tokio::test]
async fn a_store_that_fails_is_a_503_and_then_everything_is_as_it_was() {
    let scene = Scene::locked().await;
    let server = &scene.server;
    scene.break_accounts();
    for token in [&scene.alice, &scene.bob, &scene.admin] {
        for path in [WHOAMI, SYNC, "/_matrix/client/v3/none"] {
            assert_unavailable(&server.get(path, token).await);
        }
        assert_unavailable(
            &server
                .post("/_matrix/client/v3/createRoom", token, json!({}))
                .await,
        );
    }
    assert_unavailable(&server.login("bob", &password_of("bob"), json!({})).await);
    let auth = json!({ "type": "m.login.password", "user": "bob", "password": "x" });
    for endpoint in ["password", "deactivate"] {
        let path = format!("/_matrix/client/v3/account/{endpoint}");
        let body = json!({ "auth": auth, "new_password": "x" });
        assert_unavailable(&server.post(&path, (), body).await);
    }
    // A request without an account is not affected.
    server.get("/_matrix/client/versions", ()).await.ok();
    server.get(LOGIN, &scene.alice).await.ok();
    server
        .get("/.well-known/matrix/client", &scene.alice)
        .await
        .ok();
    server.get("/_matrix/federation/v1/version", ()).await.ok();
    let preflight = server
        .request(Method::OPTIONS, WHOAMI, &scene.alice, "")
        .await;
    assert_eq!(preflight.status, 200);

    scene.repair_accounts();
    assert_locked(&scene.whoami(&scene.alice).await);
    scene.whoami(&scene.bob).await.ok();
    scene.unlock("alice").await;
    scene.whoami(&scene.alice).await.ok();
}

#[tokio::test]
async fn logging_out_works_while_the_store_fails() {
    let scene = Scene::locked().await;
    let login = scene.log_in("bob").await;
    scene.break_accounts();
    let logout = "/_matrix/client/v3/logout";
    let token = text(&login["access_token"]);
    scene.server.post(logout, token, json!({})).await.ok();
    let all = "/_matrix/client/r0/logout/all";
    scene.server.post(all, &scene.alice, json!({})).await.ok();
    scene.repair_accounts();
    for gone in [token, &scene.alice] {
        scene.whoami(gone).await.error(401, "M_UNKNOWN_TOKEN");
    }
    scene.whoami(&scene.bob).await.ok();
}

/// Clients sign out when a refresh fails, whatever the status; the new token is checked when it is
/// used.
#[tokio::test]
async fn a_refresh_passes_while_the_store_fails_and_the_new_token_is_checked() {
    let scene = Scene::start().await;
    let login = scene.log_in("alice").await;
    scene.lock("alice").await;
    scene.break_accounts();
    let refresh = json!({ "refresh_token": login["refresh_token"] });
    let refreshed = scene.server.post(REFRESH, (), refresh).await.ok();
    let token = text(&refreshed["access_token"]);
    assert_unavailable(&scene.whoami(token).await);
    scene.repair_accounts();
    assert_locked(&scene.whoami(token).await);
}

/// Whose event it is cannot be found out either: a suspended account's redaction depends on it.
#[tokio::test]
async fn a_redaction_of_which_the_sender_cannot_be_looked_up_is_a_503() {
    let scene = Scene::start().await;
    scene.set_suspended("alice", true).await;
    scene.execute("ALTER TABLE events RENAME TO events_elsewhere");
    let redact = "/_matrix/client/v3/rooms/!room:localhost/redact/$event/1";
    assert_unavailable(&scene.server.put(redact, &scene.alice, json!({})).await);
    scene.whoami(&scene.alice).await.ok();
    scene.execute("ALTER TABLE events_elsewhere RENAME TO events");
    let answer = scene.server.put(redact, &scene.alice, json!({})).await;
    answer.error(404, "M_NOT_FOUND");
}

/// The table of accounts becomes a view that computes for ever.
#[tokio::test]
async fn a_store_that_hangs_is_a_503_after_the_time_limit() {
    let mut scene = Scene::locked().await;
    scene.break_accounts();
    scene.execute(
        "CREATE VIEW accounts AS
         WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers)
         SELECT accounts_elsewhere.* FROM numbers JOIN accounts_elsewhere ON n < 0",
    );
    let started = Instant::now();
    assert_unavailable(&scene.whoami(&scene.bob).await);
    let took = started.elapsed();
    assert!(took >= Duration::from_secs(5), "{took:?}");

    // The view is dropped; the query that is under way would never notice.
    scene.execute("DROP VIEW accounts");
    scene.repair_accounts();
    scene.server = scene.server.kill_and_restart().await;
    scene.whoami(&scene.bob).await.ok();
    assert_locked(&scene.whoami(&scene.alice).await);
}
