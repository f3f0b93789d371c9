//! The commands of an operator, in processes of their own beside the gateways'.

use std::{
    process::Stdio,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    time::{sleep, timeout},
};
use tower_account_status::{
    RestrictionKind, RestrictionRecord, RestrictionStore, UserId,
    store::{PostgresOptions, SqliteStore},
};

use crate::{
    SYNC, WHOAMI, assert_locked,
    gateway::{Gateway, program},
    homeserver::BOUND,
    postgres::Cluster,
    text,
    upstream::Upstream,
};

/// What a command printed, and how it ended.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Said {
    #[track_caller]
    pub(crate) fn ended_with(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{} {}", self.output, self.errors);
        self.output
    }

    #[track_caller]
    pub(crate) fn failed_with(self, code: i32, expected: &str) {
        assert_eq!(self.code, Some(code), "{} {}", self.output, self.errors);
        assert!(self.errors.contains(expected), "{}", self.errors);
        assert!(!self.errors.contains('\r'), "no progress: {}", self.errors);
    }
}

pub(crate) async fn run_with_input(database: &str, arguments: &[&str], input: &str) -> Said {
    let mut process = program()
        .args(arguments)
        .args(["--database", database])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = process.stdin.take().expect("it is piped");
    // It may end without reading.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = timeout(BOUND, process.wait_with_output()).await;
    let output = output.expect("it ends in time").expect("its output");
    Said {
        code: output.status.code(),
        output: String::from_utf8(output.stdout).expect("text"),
        errors: String::from_utf8(output.stderr).expect("text"),
    }
}

pub(crate) async fn run(database: &str, arguments: &[&str]) -> Said {
    run_with_input(database, arguments, "").await
}

fn json_lines(output: &str) -> Vec<Value> {
    let line = |line| serde_json::from_str(line).expect("an object a line");
    output.lines().map(line).collect()
}

/// Two gateways on one database, at both of which Alice waits.
async fn over_two_gateways(database: &str) {
    let upstream = Upstream::start().await;
    let arguments = ["--database", database];
    let mut gateways = Vec::new();
    for _ in 0..2 {
        gateways.push(Gateway::start_on(&upstream.address, &arguments).await);
    }
    let mut syncs = Vec::new();
    for gateway in &gateways {
        let client = (**gateway).clone();
        syncs.push(tokio::spawn(async move {
            client.get(&format!("{SYNC}?timeout=60000"), "alice").await
        }));
    }
    let waiting = timeout(BOUND, async {
        while upstream.waiting() < 2 {
            sleep(Duration::from_millis(5)).await;
        }
    });
    waiting.await.expect("the syncs reach the homeserver");

    let alice = "@alice:localhost";
    let lock = [
        "lock",
        alice,
        "--for",
        "1h",
        "--reason",
        "See your e-mail",
        "--by",
        "mod",
    ];
    let output = run(database, &lock).await.ended_with(0);
    assert!(
        output.starts_with("@alice:localhost is locked until 2"),
        "{output}"
    );
    for sync in syncs {
        let answer = timeout(BOUND / 2, sync).await.expect("the sync is ended");
        let answer = answer.expect("no panic");
        assert_locked(&answer);
        assert_eq!(answer.json()["error"], "See your e-mail");
        let after: u64 = answer.headers["retry-after"]
            .to_str()
            .expect("text")
            .parse()
            .expect("seconds");
        assert!((3000..=3600).contains(&after), "{after}");
    }
    for gateway in &gateways {
        assert_locked(&gateway.get(WHOAMI, "alice").await);
    }

    let show = run(database, &["show", alice]).await.ended_with(0);
    let list = run(database, &["list"]).await.ended_with(0);
    for output in [&show, &list] {
        for expected in ["USER", alice, "locked", "mod", "See your e-mail"] {
            assert!(output.contains(expected), "{expected}: {output}");
        }
    }
    let log = run(database, &["log"]).await.ended_with(0);
    for expected in [
        alice,
        "set",
        "locked",
        "mod",
        "command-line",
        "See your e-mail",
    ] {
        assert!(log.contains(expected), "{expected}: {log}");
    }

    let unlock = [
        "unlock",
        alice,
        "--reason",
        "appeal granted",
        "--by",
        "other",
    ];
    let output = run(database, &unlock).await.ended_with(0);
    assert_eq!(output, "@alice:localhost is no longer locked\n");
    for gateway in &gateways {
        // Another process' change is heard of within a tenth of a second, or milliseconds.
        let freed = timeout(BOUND, async {
            while gateway.get(WHOAMI, "alice").await.status != 200 {
                sleep(Duration::from_millis(10)).await;
            }
        });
        freed.await.expect("the same token is good again");
    }
    let log = run(database, &["log", alice, "--json"]).await.ended_with(0);
    let log = json_lines(&log);
    let [lifted, set] = &log[..] else {
        panic!("{log:?}");
    };
    for (entry, action, by, note) in [
        (set, "set", "mod", Value::Null),
        (lifted, "lifted", "other", json!("appeal granted")),
    ] {
        assert_eq!(entry["user"], alice);
        assert_eq!(entry["kind"], "locked");
        assert_eq!(entry["action"], action);
        assert_eq!(entry["by"], by);
        assert_eq!(entry["note"], note);
        assert_eq!(entry["through"], "command-line");
        assert_eq!(entry["reason"], "See your e-mail");
    }
    // What the gateway's own endpoint does is in the same log.
    let path = "/_matrix/client/v1/admin/suspend/@alice:localhost";
    let suspend = json!({ "suspended": true });
    gateways[0].put(path, "admin", suspend).await.ok();
    let log = run(database, &["log", "--limit", "1", "--json"])
        .await
        .ended_with(0);
    let log = json_lines(&log);
    assert_eq!(log[0]["by"], "@admin:localhost");
    assert_eq!(log[0]["through"], "admin-endpoint");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_from_a_second_terminal_ends_waiting_syncs_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("gateway.sqlite");
    over_two_gateways(path.to_str().expect("text")).await;
}

pub(crate) async fn postgresql() -> (std::sync::Arc<Cluster>, String, String) {
    let cluster = tokio::task::spawn_blocking(Cluster::shared).await;
    let cluster = cluster.expect("PostgreSQL starts");
    let settings = cluster.database().await;
    let (_, name) = settings.split_once("dbname=").expect("a database");
    let url = format!("postgres://postgres@127.0.0.1:{}/{name}", cluster.port());
    (cluster, settings, url)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_from_a_second_terminal_ends_waiting_syncs_postgresql() {
    let (_cluster, _, database) = postgresql().await;
    over_two_gateways(&database).await;
}

/// A database of a server in Rust, which has it open.
pub(crate) async fn database() -> (tempfile::TempDir, String, SqliteStore) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("restrictions.db");
    let store = SqliteStore::open(&path).await.expect("a database");
    let path = path.to_str().expect("text").to_owned();
    (folder, path, store)
}

#[tokio::test]
async fn exit_codes_say_how_it_went() {
    let (folder, path, _store) = database().await;
    run(&path, &["lock", "@a:x", "@b:x"]).await.ended_with(0);
    // Again, which replaces the first one.
    run(&path, &["lock", "@a:x", "--for", "1h"])
        .await
        .ended_with(0);
    let output = run(&path, &["unlock", "@a:x", "@c:x"]).await.ended_with(3);
    assert_eq!(output, "@a:x is no longer locked\n@c:x was not locked\n");
    run(&path, &["unsuspend", "@b:x"]).await.ended_with(3);
    run(&path, &["show", "@b:x", "@c:x"]).await.ended_with(0);
    let output = run(&path, &["show", "@c:x"]).await.ended_with(3);
    assert_eq!(output, "@c:x is not restricted\n");
    let output = run(&path, &["list", "--kind", "suspended"])
        .await
        .ended_with(0);
    assert_eq!(output, "");
    run(&path, &["log", "@nobody:x"]).await.ended_with(0);

    let missing = folder.path().join("missing.db");
    let missing = missing.to_str().expect("text");
    for command in ["lock", "unlock", "show", "log"] {
        let said = run(missing, &[command, "@a:x"]).await;
        said.failed_with(1, "there is no database of restrictions");
    }
    assert!(!std::path::Path::new(missing).exists());
    let said = run("postgres://u:hunter2@127.0.0.1:1/d", &["list"]).await;
    assert!(!said.errors.contains("hunter2"), "{}", said.errors);
    said.failed_with(1, "PostgreSQL cannot be reached");
    run("mysql://u:p@h/d", &["list"])
        .await
        .failed_with(1, "neither a file");

    for (arguments, expected) in [
        (&["lock"][..], "USER"),
        (&["lock", "alice"], "a user id"),
        (&["lock", "@a:x", "--for", "1 month"], "a duration"),
        (&["lock", "@a:x", "--for", "0s"], "a duration"),
        (
            &["lock", "@a:x", "--until", "2020-01-01T00:00:00Z"],
            "has passed",
        ),
        (&["lock", "@a:x", "--until", "2099-01-01T00:00:00"], "zone"),
        (
            &[
                "lock",
                "@a:x",
                "--until",
                "2099-01-01T00:00:00Z",
                "--for",
                "1h",
            ],
            "cannot be used with",
        ),
        (&["unlock", "@a:x", "--for", "1h"], "--for"),
        (&["list", "--kind", "banned"], "banned"),
    ] {
        run(&path, arguments).await.failed_with(2, expected);
    }
}

#[tokio::test]
async fn a_change_says_when_it_ends_and_who_made_it() {
    let (_folder, path, store) = database().await;
    let until = [
        "suspend",
        "@a:x",
        "--until",
        "2099-01-01T01:00:00+01:00",
        "--note",
        "4711",
    ];
    run(&path, &until).await.ended_with(0);
    let user = UserId::from("@a:x");
    let record = store.record(&user, RestrictionKind::Suspended).await;
    let record = record.expect("an answer").expect("a suspension");
    let end = SystemTime::UNIX_EPOCH + Duration::from_secs(4_070_908_800);
    assert_eq!(record.restriction().until(), Some(end));
    assert_eq!(
        record.restriction().reason(),
        None,
        "a note is nothing for the account"
    );
    // The logged-in user, if nobody else is named.
    let me = std::process::Command::new("id").arg("-un").output();
    let me = String::from_utf8(me.expect("`id` runs").stdout).expect("text");
    assert_eq!(record.set_by().map(UserId::as_str), Some(me.trim()));

    let list = run(&path, &["list", "--json"]).await.ended_with(0);
    let list = json_lines(&list);
    assert_eq!(list.len(), 1);
    assert_eq!(list[0]["until"], "2099-01-01T00:00:00Z");
    assert_eq!(list[0]["in_force"], true);
    let entry = json_lines(&run(&path, &["log", "--json"]).await.ended_with(0));
    assert_eq!(entry[0]["note"], "4711");
}

#[tokio::test]
async fn many_users_come_from_the_standard_input_each_once() {
    let (_folder, path, store) = database().await;
    let users: String = (0..40)
        .map(|user| format!("@{}:x\r\n\n", user % 30))
        .collect();
    let said = run_with_input(&path, &["lock", "@first:x", "-"], &users).await;
    let output = said.ended_with(0);
    assert_eq!(output.lines().count(), 31, "{output}");
    assert!(output.starts_with("@first:x is locked\n"), "{output}");
    assert_eq!(store.restricted(None, 100).await.expect("a page").len(), 31);
    let said = run_with_input(&path, &["lock", "-"], "@good:x\nbad\n").await;
    said.failed_with(1, "bad: expected a user id");
    let state = store.state_of("@good:x").await.expect("a state");
    assert!(state.is_active(), "nobody is locked by half a list");
    let said = run_with_input(&path, &["lock", "-"], "").await;
    assert!(said.errors.contains("names no user"), "{}", said.errors);
    said.ended_with(0);
    // An empty list of users does not mean all users.
    let said = run_with_input(&path, &["log", "-"], "").await;
    assert_eq!(said.ended_with(0), "");
}

#[tokio::test]
async fn a_text_cannot_command_the_terminal() {
    let (_folder, path, store) = database().await;
    let odd = UserId::from("@\u{1b}[2J:x");
    let record = RestrictionRecord::from(
        tower_account_status::Restriction::new(RestrictionKind::Locked).with_reason("a\nb"),
    );
    store.set_restriction(&odd, record).await.expect("a lock");
    for command in ["list", "log"] {
        let output = run(&path, &[command]).await.ended_with(0);
        assert!(output.contains(r"@\u{1b}[2J:x"), "{output}");
        assert_eq!(output.lines().count(), 2, "{output}");
        let json = run(&path, &[command, "--json"]).await.ended_with(0);
        let line = &json_lines(&json)[0];
        assert_eq!(
            (text(&line["user"]), text(&line["reason"])),
            (&*odd, "a\nb")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tables_may_be_in_another_schema() {
    let (_cluster, settings, url) = postgresql().await;
    let options = PostgresOptions::new(&settings).expect("settings");
    let store = options.with_schema("of the server").connect().await;
    let store = store.expect("a database");
    let lock = ["lock", "@a:x", "--schema", "of the server"];
    run(&url, &lock).await.ended_with(0);
    let state = store.state_of("@a:x").await.expect("a state");
    assert!(!state.is_active());
}
