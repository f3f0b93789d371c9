//! What an operator sees: `/health`, `/metrics`, the log, the version, and a roll-out that refuses
//! nothing.

use std::time::Instant;

use serde_json::{Value, json};

use crate::{
    WHOAMI, World, assert_locked,
    gateway::{Gateway, command},
    homeserver::{BOUND, Client},
    upstream::Upstream,
};

const MONITOR: [&str; 2] = ["--monitor", "127.0.0.1:0"];
const LOCK: &str = "/_matrix/client/v1/admin/lock/@alice:localhost";

async fn metrics(monitor: &Client) -> String {
    let answer = monitor.get("/metrics", ()).await;
    assert_eq!(answer.status, 200);
    let kind = answer.headers["content-type"].to_str().expect("text");
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    String::from_utf8(answer.body.to_vec()).expect("text")
}

/// The value of the one line that begins with `name` and has all of `labels`.
#[track_caller]
fn value(metrics: &str, name: &str, labels: &[&str]) -> f64 {
    let mut lines = metrics.lines().filter(|line| {
        let named = line.strip_prefix(name);
        named.is_some_and(|rest| rest.starts_with([' ', '{']))
            && labels.iter().all(|label| line.contains(label))
    });
    let (Some(line), None) = (lines.next(), lines.next()) else {
        panic!("not one {name} with {labels:?}: {metrics}");
    };
    let value = line.rsplit(' ').next().expect("a value");
    value.parse().expect("a number")
}

#[tokio::test]
async fn decisions_look_ups_and_failures_are_counted() {
    let world = World::new().await;
    let gateway = Gateway::start(&world.homeserver.address, &MONITOR).await;
    let monitor = gateway.monitor();
    let alice = &world.alice;
    gateway.get(WHOAMI, alice).await.ok();
    let locked = json!({ "locked": true });
    gateway.put(LOCK, &world.admin, locked).await.ok();
    assert_locked(&gateway.get(WHOAMI, alice).await);

    let text = metrics(&monitor).await;
    let refused = [
        r#"decision="refused""#,
        r#"cause="locked""#,
        r#"endpoint="account/whoami""#,
    ];
    let decisions = "account_status_decisions_total";
    assert_eq!(value(&text, decisions, &refused), 1.0, "{text}");
    let looked_up = value(&text, "account_status_lookup_seconds_count", &["yes"]);
    assert!(looked_up >= 1.0, "{text}");
    assert!(
        value(&text, "account_status_cache_loads_total", &[]) >= 2.0,
        "{text}"
    );
    // Not for a moment where the change took long.
    let deadline = Instant::now() + BOUND;
    while value(
        &metrics(&monitor).await,
        "account_status_news_believed",
        &[],
    ) < 1.0
    {
        assert!(Instant::now() < deadline, "{text}");
    }
    assert!(
        value(&text, "account_status_connections", &[]) >= 1.0,
        "{text}"
    );

    let killed = world.homeserver.kill().await;
    gateway
        .get("/_matrix/client/versions", ())
        .await
        .error(502, "M_UNKNOWN");
    gateway
        .get(WHOAMI, "never seen")
        .await
        .error(503, "M_UNKNOWN");
    let text = metrics(&monitor).await;
    let failures = "account_status_failures_total";
    assert_eq!(
        value(&text, failures, &["request", "bad_gateway"]),
        1.0,
        "{text}"
    );
    assert!(
        value(&text, failures, &["question", "unreachable"]) >= 1.0,
        "{text}"
    );
    assert_eq!(value(&text, decisions, &["store_failed"]), 1.0, "{text}");
    // Rule 15: labels are of a short list.
    for secret in [alice, &world.admin, "never seen", "@alice"] {
        assert!(!text.contains(secret), "{text}");
    }
    drop(killed);
}

/// The log has who changed what. A metric has how often, under labels from short lists.
#[tokio::test]
async fn what_moderators_do_is_counted() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&upstream.address, &MONITOR).await;
    let monitor = gateway.monitor();
    let moderation = "account_status_moderation_total";
    let lines = |text: &str| text.matches(&format!("{moderation}{{")).count();
    let before = metrics(&monitor).await;
    let endpoints = ["admin/lock/{userId}", "admin/suspend/{userId}"];
    for endpoint in endpoints.map(|endpoint| format!(r#"endpoint="{endpoint}""#)) {
        for wanted in ["set", "lift", "none"] {
            let wanted = format!(r#"wanted="{wanted}""#);
            for cause in [r#"cause="unavailable""#, r#"cause="not_known""#] {
                let failed = [r#"decision="failed""#, cause, &endpoint];
                let labels = [&failed[..], &[&wanted]].concat();
                assert_eq!(value(&before, moderation, &labels), 0.0, "{before}");
            }
        }
    }

    let locked = |is_locked: bool| json!({ "locked": is_locked });
    gateway.put(LOCK, "admin", locked(true)).await.ok();
    gateway.put(LOCK, "admin", locked(true)).await.ok();
    gateway.put(LOCK, "admin", locked(false)).await.ok();
    gateway.get(LOCK, "admin").await.ok();
    let refused = gateway.put(LOCK, "alice", locked(true)).await;
    refused.error(403, "M_FORBIDDEN");
    let invented = hyper::Request::builder()
        .method("INVENTED")
        .uri(format!("http://{}{LOCK}", gateway.address))
        .body(bytes::Bytes::new().into())
        .expect("a request");
    assert_eq!(gateway.send(invented).await.status, 405);
    let text = metrics(&monitor).await;
    for (decision, cause, wanted) in [
        ("changed", "none", "set"),
        ("unchanged", "none", "set"),
        ("changed", "none", "lift"),
        ("answered", "none", "none"),
        ("refused", "not_administrator", "none"),
        ("refused", "method_not_allowed", "none"),
    ] {
        let labels = [
            format!(r#"decision="{decision}""#),
            format!(r#"cause="{cause}""#),
            format!(r#"wanted="{wanted}""#),
            r#"endpoint="admin/lock/{userId}""#.to_owned(),
        ];
        let labels = labels.each_ref().map(String::as_str);
        assert_eq!(value(&text, moderation, &labels), 1.0, "{text}");
    }
    assert_eq!(lines(&text), lines(&before) + 6, "{text}");

    // The database becomes one that cannot be written: no new line, but a rise.
    let connection = rusqlite::Connection::open(&gateway.database).expect("the database");
    connection
        .execute_batch(
            "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no room'); END",
        )
        .expect("a trigger");
    let failed = gateway.put(LOCK, "admin", locked(true)).await;
    failed.error(503, "M_UNKNOWN");
    let after = metrics(&monitor).await;
    let cause = r#"cause="not_known""#;
    let labels = [
        r#"decision="failed""#,
        cause,
        r#"wanted="set""#,
        "admin/lock",
    ];
    assert_eq!(value(&after, moderation, &labels), 1.0, "{after}");
    assert_eq!(lines(&after), lines(&text), "{after}");
    // Rule 15: labels are of a short list.
    for secret in ["@alice", "@admin", "INVENTED"] {
        assert!(!after.contains(secret), "{after}");
    }
}

/// To Prometheus a series that appears with its first event has not risen, so the first failure would alert
/// nobody.
#[tokio::test]
async fn each_failure_is_there_with_0_from_the_start_and_each_metric_says_what_it_is() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&upstream.address, &MONITOR).await;
    let monitor = gateway.monitor();
    let text = metrics(&monitor).await;
    let failures = "account_status_failures_total";
    for labels in [
        ["question", "unreachable"],
        ["question", "timed_out"],
        ["restrictions", "unavailable"],
        ["request", "bad_gateway"],
        ["request", "gateway_timeout"],
    ] {
        let labels = labels.map(|label| format!(r#"="{label}""#));
        let labels = labels.each_ref().map(String::as_str);
        assert_eq!(value(&text, failures, &labels), 0.0, "{text}");
    }
    let kinds: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("# TYPE "))
        .collect();
    assert!(kinds.len() > 8, "{text}");
    for kind in kinds {
        let name = kind.split(' ').nth(2).expect("a name");
        assert!(text.contains(&format!("# HELP {name} ")), "{name}: {text}");
    }

    // Each failure that is counted was in the list from the start.
    let lines = |text: &str| text.matches("account_status_failures_total{").count();
    let form = hyper::Request::post(format!("http://{}{}", gateway.address, crate::UPLOAD))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(bytes::Bytes::from("a=b").into())
        .expect("a request");
    assert_eq!(gateway.send(form).await.status, 415);
    let after = metrics(&monitor).await;
    assert_eq!(lines(&after), lines(&text), "{after}");
    let form = [r#"of="request""#, r#"cause="form""#];
    assert_eq!(value(&after, failures, &form), 1.0, "{after}");
}

#[tokio::test]
async fn health_is_about_the_gateway_and_names_the_homeserver() {
    let world = World::new().await;
    let gateway = Gateway::start(&world.homeserver.address, &MONITOR).await;
    let monitor = gateway.monitor();
    let health = |homeserver: bool| {
        json!({
            "status": "ok", "stopping": false, "restrictions": true, "homeserver": homeserver,
        })
    };
    // A homeserver that does not answer within two seconds is away.
    let deadline = Instant::now() + BOUND;
    while monitor.get("/health", ()).await.ok() != health(true) {
        assert!(Instant::now() < deadline, "the homeserver is there");
    }
    let killed = world.homeserver.kill().await;
    assert_eq!(monitor.get("/health", ()).await.ok(), health(false));
    drop(killed);
    // Neither path is on the clients' address, and no other path is on this one.
    assert_eq!(monitor.get("/", ()).await.status, 404);
    assert_eq!(monitor.post("/metrics", (), json!({})).await.status, 405);
    gateway.get("/metrics", ()).await.error(502, "M_UNKNOWN");
}

#[tokio::test]
async fn rule_18_report_only_tells_what_would_be_refused_and_refuses_nothing() {
    let upstream = Upstream::start().await;
    let arguments = [&MONITOR[..], &["--report-only"]].concat();
    let gateway = Gateway::start(&upstream.address, &arguments).await;
    gateway
        .put(LOCK, "admin", json!({ "locked": true }))
        .await
        .ok();
    gateway.get(WHOAMI, "alice").await.ok();
    let text = metrics(&gateway.monitor()).await;
    let would_refuse = [r#"decision="would_refuse""#, r#"cause="locked""#];
    let decisions = "account_status_decisions_total";
    assert_eq!(value(&text, decisions, &would_refuse), 1.0, "{text}");
    let log = gateway.log();
    let told =
        r#"would be refused endpoint="account/whoami" user="@alice:localhost" cause="locked""#;
    assert!(log.contains(told), "{log}");
    assert!(log.contains("report_only=true"), "{log}");

    // A form is refused because a token may be in it.
    let form = hyper::Request::post(format!("http://{}{}", gateway.address, crate::UPLOAD))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(bytes::Bytes::from("a=b").into())
        .expect("a request");
    assert_eq!(gateway.send(form).await.status, 200);
}

#[tokio::test]
async fn each_line_of_the_log_has_a_time_and_a_level_in_text_or_json() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&upstream.address, &["--log-format", "json"]).await;
    gateway
        .put(LOCK, "admin", json!({ "locked": true }))
        .await
        .ok();
    assert_locked(&gateway.get(WHOAMI, "alice").await);
    let log = gateway.log();
    let lines: Vec<Value> = log
        .lines()
        .filter(|line| !line.starts_with("Listening on "))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect();
    for line in &lines {
        let time = line["timestamp"].as_str().expect("a time");
        assert!(time.len() > 20 && time.ends_with('Z'), "{line}");
        assert!(line["level"].is_string(), "{line}");
    }
    let refused = lines.iter().find(|line| line["message"] == "refused");
    let refused = refused.unwrap_or_else(|| panic!("{log}"));
    assert_eq!(refused["user"], "@alice:localhost");
    assert_eq!(
        (&refused["level"], &refused["cause"]),
        (&json!("INFO"), &json!("locked"))
    );

    let text = Gateway::start(&upstream.address, &[]).await.log();
    let line = text
        .lines()
        .find(|line| line.contains("started"))
        .expect("a line");
    let mut words = line.split_ascii_whitespace();
    let (time, level) = (
        words.next().expect("a time"),
        words.next().expect("a level"),
    );
    assert!(time.starts_with("20") && time.ends_with('Z'), "{line}");
    assert_eq!(level, "INFO", "{line}");
}

#[tokio::test]
async fn every_option_is_an_environment_variable_too() {
    let upstream = Upstream::start().await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let database = directory.path().join("other.sqlite");
    let mut process = command()
        .env("ACCOUNT_STATUS_LISTEN", "127.0.0.1:0")
        .env(
            "ACCOUNT_STATUS_UPSTREAM",
            format!("http://{}", upstream.address),
        )
        .env(
            "ACCOUNT_STATUS_ADMIN",
            "@someone:localhost @admin:localhost",
        )
        .env("ACCOUNT_STATUS_DATABASE", &database)
        .env("ACCOUNT_STATUS_EXCLUDE", "/oauth2 /health")
        .env("ACCOUNT_STATUS_EXEMPT_VERSIONS", "true")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the gateway starts");
    let client = Client::new(crate::homeserver::listening(&mut process, |_| {}).await);
    client
        .put(LOCK, "admin", json!({ "locked": true }))
        .await
        .ok();
    assert_locked(&client.get(WHOAMI, "alice").await);
    assert_eq!(client.get("/oauth2/token", "alice").await.status, 200);
    assert_eq!(
        client.get("/_matrix/client/versions", "alice").await.status,
        200
    );
    assert!(database.exists());

    let help = command().arg("--help").output().await.expect("it starts");
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let options = help
        .lines()
        .filter(|line| line.trim_start().starts_with("--"));
    let in_environment = help.matches("[env: ACCOUNT_STATUS_").count();
    assert_eq!(options.count(), in_environment, "{help}");
}

#[tokio::test]
async fn it_tells_its_version() {
    let program = crate::homeserver::binary("account-status-gateway");
    let said = std::process::Command::new(program)
        .arg("--version")
        .output();
    let said = said.expect("it starts").stdout;
    let expected = concat!("account-status-gateway ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(String::from_utf8_lossy(&said), expected);
}
