//! The gateway as a process: its command line, its log, and how it stops.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    SYNC, WHOAMI, World, assert_locked,
    gateway::{Gateway, command},
    homeserver::{ADMIN_PASSWORD, BOUND},
    text,
    upstream::Upstream,
};

#[tokio::test]
async fn what_is_wrong_on_the_command_line_is_said() {
    let admin = ["--admin", "@admin:localhost"];
    let upstream = ["--upstream", "http://127.0.0.1:8008"];
    for (arguments, expected) in [
        (&admin[..], "--upstream"),
        (&["--upstream", "https://localhost"], "TLS"),
        (&["--upstream", "http://localhost/x"], "without a path"),
        (&["--upstream", "localhost"], "expected http://HOST:PORT"),
        (
            &[&upstream[..], &["--admin", "alice"]].concat(),
            "a user id",
        ),
        (&upstream[..], "--server-name"),
        (
            &[&upstream[..], &admin, &["--server-name", "example.org"]].concat(),
            "not a user of example.org",
        ),
        (
            &[&upstream[..], &admin, &["--exclude", "x"]].concat(),
            "begins with a slash",
        ),
        (
            &[
                &upstream[..],
                &admin,
                &["--listen", "127.0.0.1:0", "--database", "/none/x"],
            ]
            .concat(),
            "cannot open /none/x",
        ),
        (
            &[
                &upstream[..],
                &admin,
                &["--listen", "127.0.0.1:0", "--database", "mysql://u:p@h/d"],
            ]
            .concat(),
            "neither a file nor a postgres:// URL",
        ),
    ] {
        let output = command().args(arguments).output().await.expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    let help = command().arg("--help").output().await.expect("it starts");
    let help = String::from_utf8_lossy(&help.stdout);
    for option in [
        "--listen",
        "--upstream",
        "--admin",
        "--database",
        "--trusted-proxy",
    ] {
        assert!(help.contains(option), "{help}");
    }
}

/// A path that the layer does not take is not what a task panics on after the start.
#[tokio::test]
async fn rule_6_an_excluded_path_that_no_request_has_is_said() {
    for wrong in [
        "x",
        "/",
        "/oauth2?x=y",
        "/a#b",
        "/a<b",
        "/x`",
        "/a\nb",
        "/{x}",
        "/x/..",
        "?",
        "#",
    ] {
        let arguments = [
            "--upstream",
            "http://localhost",
            // An address of nobody, so that none listens there for ever.
            "--listen",
            "192.0.2.1:0",
            "--admin",
            "@admin:localhost",
        ];
        let excluded = format!("--exclude={wrong}");
        let on_the_line = command().args(arguments).arg(&excluded).output().await;
        let in_environment = command()
            .args(arguments)
            .env("ACCOUNT_STATUS_EXCLUDE", wrong)
            .output()
            .await;
        for output in [on_the_line, in_environment] {
            let output = output.expect("it starts");
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{wrong}: {said}");
            let is_said =
                said.contains("--exclude <PATH>") && said.contains("expected an excluded");
            assert!(is_said && !said.contains("panicked"), "{wrong}: {said}");
        }
    }
}

#[tokio::test]
async fn rule_15_no_token_and_no_password_stands_in_the_log() {
    let world = World::new().await;
    let (gateway, alice) = (&world.gateway, &world.alice);
    world.lock().await;
    assert_locked(&gateway.get(WHOAMI, alice).await);
    assert_locked(
        &gateway
            .get(&format!("{WHOAMI}?access_token={alice}"), ())
            .await,
    );
    gateway
        .login("alice", "wrong password", serde_json::json!({}))
        .await;
    let killed = world.homeserver.kill().await;
    gateway
        .get(WHOAMI, &world.admin)
        .await
        .error(502, "M_UNKNOWN");
    gateway
        .get(WHOAMI, "made-up-token")
        .await
        .error(503, "M_UNKNOWN");
    let in_query = format!("{WHOAMI}?access_token=made-up%0Atoken");
    gateway.get(&in_query, ()).await.error(503, "M_UNKNOWN");

    let log = gateway.log();
    assert!(
        log.contains("@alice:localhost"),
        "the refusals are there: {log}"
    );
    assert!(
        log.contains("the homeserver"),
        "the failures are there: {log}"
    );
    for secret in [
        alice,
        &world.admin,
        "made-up",
        "wrong password",
        ADMIN_PASSWORD,
    ] {
        assert!(!log.contains(secret), "{log}");
    }
    drop(killed);
}

/// Begins an upload of four bytes and sends two of them.
async fn begun_upload(gateway: &Gateway) -> TcpStream {
    let mut stream = TcpStream::connect(&gateway.address)
        .await
        .expect("a connection");
    let head = "POST /_matrix/media/v3/upload HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\
                authorization: Bearer alice\r\nexpect: 100-continue\r\n\r\n";
    stream
        .write_all(head.as_bytes())
        .await
        .expect("the head is sent");
    // The request runs once the gateway asks for the body.
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).await.expect("an answer");
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"ab").await.expect("a part is sent");
    stream
}

#[tokio::test]
async fn who_takes_too_long_is_told_so_by_the_gateway() {
    let upstream = Upstream::start().await;
    let limits = ["--body-timeout", "1", "--response-timeout", "2"];
    let gateway = Gateway::start(&upstream.address, &limits).await;
    // A homeserver that never answers.
    let answer = gateway.get(SYNC, "alice").await;
    answer.error(504, "M_UNKNOWN");
    // A client that never sends the rest.
    let mut upload = begun_upload(&gateway).await;
    let mut answer = [0; 1024];
    let read = timeout(BOUND, upload.read(&mut answer)).await;
    let read = read.expect("an answer in time").expect("an answer");
    let answer = String::from_utf8_lossy(&answer[..read]);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let log = gateway.log();
    assert!(log.contains(r#"refused cause="slow_body""#), "{log}");
}

#[tokio::test]
async fn a_gateway_that_is_told_to_stop_lets_what_runs_come_to_its_end() {
    let upstream = Upstream::start().await;
    let mut gateway = Gateway::start(&upstream.address, &[]).await;
    let address = gateway.address.clone();
    let mut upload = begun_upload(&gateway).await;
    let (status, answer) = tokio::join!(gateway.terminate(), async {
        // It accepts no more connections.
        while TcpStream::connect(&address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        upload.write_all(b"cd").await.expect("the rest is sent");
        let mut answer = String::new();
        upload.read_to_string(&mut answer).await.expect("an answer");
        answer
    });
    assert!(status.success(), "{status}");
    assert!(answer.contains(r#"{"received":4}"#), "{answer}");
}

#[tokio::test]
async fn what_runs_too_long_does_not_hold_the_gateway_up() {
    let world = World::new().await;
    let mut gateway = Gateway::start(&world.homeserver.address, &["--grace", "0"]).await;
    let first = gateway.get(SYNC, &world.alice).await.ok();
    let path = format!("{SYNC}?timeout=60000&since={}", text(&first["next_batch"]));
    let mut sync = TcpStream::connect(&gateway.address)
        .await
        .expect("a connection");
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n",
        world.alice
    );
    sync.write_all(head.as_bytes())
        .await
        .expect("the head is sent");
    for _ in 0..5 {
        gateway.get(WHOAMI, &world.alice).await.ok();
    }
    let status = gateway.terminate().await;
    assert!(status.success(), "{status}");
}
