//! What the gateway's log has of what administrators do.

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;

use crate::{
    gateway::{Gateway, command},
    homeserver::Answer,
    upstream::Upstream,
};

async fn put(gateway: &Gateway, user: &str, token: &str, body: &'static str) -> Answer {
    let path = format!("/_matrix/client/v1/admin/lock/{user}");
    let request = Request::put(format!("http://{}{path}", gateway.address))
        .header("authorization", format!("Bearer {token}"))
        .header("x-request-id", "request-7")
        .body(Full::new(Bytes::from_static(body.as_bytes())))
        .expect("a request");
    gateway.send(request).await
}

#[track_caller]
fn line<'a>(log: &'a str, expected: &[&str]) -> &'a str {
    let mut lines = log.lines();
    let found = lines.find(|line| expected.iter().all(|part| line.contains(part)));
    found.unwrap_or_else(|| panic!("{expected:?}: {log}"))
}

#[tokio::test]
async fn the_log_has_each_change_each_refusal_and_each_failure() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&upstream.address, &[]).await;
    let database = gateway.database.to_str().expect("text").to_owned();
    let lock = r#"{"locked":true}"#;
    // A lock with a reason, which an administrator then takes over.
    let arguments = [
        "lock",
        "@alice:localhost",
        "--for",
        "1h",
        "--reason",
        "See your e-mail",
    ];
    let locked = crate::commands::run(&database, &arguments).await;
    assert_eq!(locked.code, Some(0), "{}", locked.errors);
    put(&gateway, "@alice:localhost", "admin", lock).await.ok();
    put(&gateway, "@alice:localhost", "admin", r#"{"locked":false}"#)
        .await
        .ok();
    put(&gateway, "@admin:localhost", "admin", lock)
        .await
        .error(403, "M_FORBIDDEN");
    put(&gateway, "@ghost:localhost", "alice", lock)
        .await
        .error(403, "M_FORBIDDEN");

    let log = gateway.log();
    let admin = r#"by="@admin:localhost" user="@alice:localhost" kind="locked""#;
    let request = r#"request_id="request-7""#;
    let restricted = line(
        &log,
        &["INFO", "restricted", admin, request, "See your e-mail"],
    );
    assert!(restricted.contains("until=\"2"), "{restricted}");
    assert!(
        restricted.contains(r#"endpoint="admin/lock/{userId}""#),
        "{restricted}"
    );
    line(&log, &["INFO", "restriction lifted", admin, request]);
    line(
        &log,
        &[
            "INFO",
            "a change of a restriction was refused",
            r#"user="@admin:localhost""#,
            "their own account",
        ],
    );
    // What anybody may cause is there because of `--log-refusals`.
    let refused = "a moderator's request was refused";
    line(
        &log,
        &["INFO", refused, r#"by="@alice:localhost""#, "@ghost"],
    );

    // The database becomes one that cannot be written.
    let connection = rusqlite::Connection::open(&database).expect("the database");
    connection
        .execute_batch(
            "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no room'); END",
        )
        .expect("a trigger");
    put(&gateway, "@alice:localhost", "admin", lock)
        .await
        .error(503, "M_UNKNOWN");
    let log = gateway.log();
    line(&log, &["WARN", "not known", admin, request, "no room"]);
    for secret in ["Bearer", "authorization"] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[tokio::test]
async fn the_log_of_changes_is_kept_for_at_least_a_day() {
    let arguments = ["--upstream", "http://127.0.0.1:1", "--audit-retention", "0"];
    let output = command().args(arguments).output().await.expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("at least a day"), "{said}");
}
