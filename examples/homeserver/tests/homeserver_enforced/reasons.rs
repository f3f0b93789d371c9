//! Rule 2: a lock may carry a reason, which its owner reads, and an end, at which it ends by
//! itself.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    LOGIN, REFRESH, SYNC, Scene, WHOAMI, assert_locked,
    homeserver::{BOUND, password_of},
    only,
};

const REASON: &str = "Write to \"abuse@localhost\" –\r\nand: ask\\why\u{0}";

/// Milliseconds since 1970.
fn now() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since_1970.expect("a clock behind 1970").as_millis();
    millis
        .try_into()
        .expect("a time before the year 292 million")
}

#[tokio::test]
async fn the_owner_reads_the_reason_and_when_to_come_back() {
    let scene = Scene::start().await;
    let until = now() + 600_000;
    let lock = json!({
        "locked": true, "org.example.reason": REASON, "org.example.until_ts": until,
    });
    scene.set_lock("alice", lock).await;
    for path in [
        WHOAMI,
        SYNC,
        "/_matrix/client/r0/sync",
        "/_matrix/client/v3/none",
    ] {
        let answer = scene.server.get(path, &scene.alice).await;
        let body = answer.error(401, "M_USER_LOCKED");
        let expected = json!({
            "errcode": "M_USER_LOCKED", "error": REASON, "soft_logout": true,
        });
        assert_eq!(body, expected);
        let length = answer.body.len().to_string();
        assert_eq!(only(&answer.headers, "content-length"), length);
        let wait: i64 = only(&answer.headers, "retry-after")
            .parse()
            .expect("seconds");
        assert!((590..=600).contains(&wait), "{wait}");
    }
}

#[tokio::test]
async fn a_reason_without_an_end_and_an_end_without_a_reason() {
    let scene = Scene::start().await;
    let lock = json!({ "locked": true, "org.example.reason": "Spam" });
    scene.set_lock("alice", lock).await;
    let answer = scene.whoami(&scene.alice).await;
    assert_eq!(answer.error(401, "M_USER_LOCKED")["error"], "Spam");
    assert!(!answer.headers.contains_key("retry-after"));

    let lock = json!({ "locked": true, "org.example.until_ts": now() + 60_000 });
    scene.set_lock("alice", lock).await;
    let answer = scene.whoami(&scene.alice).await;
    let body = answer.error(401, "M_USER_LOCKED");
    assert_eq!(body["error"], "This account has been locked");
    let wait: u8 = only(&answer.headers, "retry-after")
        .parse()
        .expect("seconds");
    assert!((50..=60).contains(&wait), "{wait}");
}

/// A person who has only named the account has not proved that it is theirs.
#[tokio::test]
async fn a_login_a_refresh_and_a_new_password_are_told_neither_reason_nor_end() {
    let scene = Scene::start().await;
    let session = scene.log_in("alice").await;
    let lock = json!({
        "locked": true, "org.example.reason": REASON, "org.example.until_ts": now() + 600_000,
    });
    scene.set_lock("alice", lock).await;
    let auth = json!({
        "type": "m.login.password", "user": "alice", "password": password_of("alice"),
    });
    let refresh = json!({ "refresh_token": session["refresh_token"] });
    let password = json!({ "auth": auth, "new_password": "new" });
    for (path, body) in [
        (LOGIN, auth),
        (REFRESH, refresh),
        ("/_matrix/client/v3/account/password", password.clone()),
        ("/_matrix/client/v3/account/deactivate", password),
    ] {
        // Looks for a `Retry-After` too.
        assert_locked(&scene.server.post(path, (), body).await);
    }
}

#[tokio::test]
async fn a_time_out_ends_by_itself_and_lets_the_same_token_in() {
    let scene = Scene::start().await;
    // Longer on a machine that does not ask within the time.
    let mut lasts = 2_000;
    let until = loop {
        let until = now() + lasts;
        let lock = json!({ "locked": true, "org.example.until_ts": until });
        scene.set_lock("alice", lock).await;
        let answer = scene.whoami(&scene.alice).await;
        if answer.status != 200 {
            answer.error(401, "M_USER_LOCKED");
            let wait: i64 = only(&answer.headers, "retry-after")
                .parse()
                .expect("seconds");
            assert!((1..=lasts / 1000).contains(&wait), "{wait}");
            break until;
        }
        assert!(now() >= until, "{} ms early", until - now());
        lasts *= 2;
    };

    let deadline = Instant::now() + BOUND;
    let let_in_at = loop {
        let asked_at = now();
        let answer = scene.whoami(&scene.alice).await;
        if answer.status == 200 {
            // It was the clock, and nothing else.
            assert!(now() >= until, "{} ms early", until - now());
            break asked_at;
        }
        answer.error(401, "M_USER_LOCKED");
        assert!(asked_at < until, "{} ms too long", asked_at - until);
        assert!(Instant::now() < deadline, "it does not end");
        sleep(Duration::from_millis(20)).await;
    };
    println!("let in {} ms after the end", (let_in_at - until).max(0));
    scene.log_in("alice").await;

    let lock = "/_matrix/client/v1/admin/lock/@alice:localhost";
    let answer = scene.server.get(lock, &scene.admin).await;
    assert_eq!(answer.ok(), json!({ "locked": false }));
}
