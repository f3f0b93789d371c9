//! What the gateway's log has of what is refused, and of what would be.

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde_json::json;

use crate::{
    UPLOAD, WHOAMI,
    gateway::{Gateway, command},
    homeserver::{Client, listening},
    upstream::Upstream,
};

const LOCK: &str = "/_matrix/client/v1/admin/lock/@alice:localhost";
const LOGIN: &str = "/_matrix/client/v3/login";
const FORM: &str = "application/x-www-form-urlencoded";

/// What is refused, and what the line says of it behind the word.
type Refused = (u16, Request<Full<Bytes>>, &'static str);

fn post(client: &Client, path: &str, media_type: &str, body: Vec<u8>) -> Request<Full<Bytes>> {
    Request::post(format!("http://{}{path}", client.address))
        .header("content-type", media_type)
        .body(Full::from(body))
        .expect("a request")
}

/// One of each kind that is refused whether or not it is told whose request it is; the first ones pass in
/// report-only mode.
fn refused(client: &Client) -> (Vec<Refused>, Vec<Refused>) {
    let login = |body: &str| post(client, LOGIN, "application/json", body.into());
    let unattributed = r#" endpoint="login" cause="bad_request""#;
    let tokens = Request::get(format!("http://{}{WHOAMI}", client.address));
    let tokens = (1..=5).fold(tokens, |request, n| {
        request.header("authorization", format!("Bearer {n}"))
    });
    let tokens = tokens.body(Full::default()).expect("a request");
    let form = post(client, UPLOAD, FORM, b"a=b".into());
    let type_list = post(client, UPLOAD, "text/plain, text/html", b"a=b".into());
    let hosts = Request::get(format!("http://{}{WHOAMI}", client.address))
        .header("host", "one")
        .header("host", "two")
        .body(Full::default())
        .expect("a request");
    let large = vec![b' '; 1024 * 1024 + 1];
    let would_be = vec![
        (400, login("not JSON"), unattributed),
        (400, login(r#"{"user":1}"#), unattributed),
        (400, login(r#"{"user":"bob\u0000"}"#), unattributed),
        (
            400,
            tokens,
            r#" endpoint="account/whoami" cause="bad_request""#,
        ),
        (415, form, r#" cause="form""#),
        (415, type_list, r#" cause="media_type""#),
    ];
    let always = vec![
        (400, hosts, r#" cause="bad_request""#),
        (
            413,
            post(client, UPLOAD, "text/plain", large),
            r#" cause="too_large""#,
        ),
    ];
    (would_be, always)
}

/// The new lines of the log with this text.
fn lines(gateway: &Gateway, before: &str, what: &str) -> Vec<String> {
    let log = gateway.log();
    let new = log.strip_prefix(before).expect("a log grows").lines();
    new.filter(|line| line.contains(what))
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn each_refusal_has_its_line_whether_or_not_it_is_known_whose_it_is() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&upstream.address, &["--max-body", "1"]).await;
    let (would_be, always) = refused(&gateway);
    for (status, request, said) in would_be.into_iter().chain(always) {
        let before = gateway.log();
        let answer = gateway.send(request).await;
        assert_eq!(answer.status, status, "{}", answer.what);
        let lines = lines(&gateway, &before, "refused");
        let [line] = &*lines else {
            panic!("{}: {lines:?}", answer.what);
        };
        assert!(line.contains(" INFO ") && line.ends_with(said), "{line}");
    }

    // Who is locked is named, and so is somebody who is no administrator.
    let locked = json!({ "locked": true });
    gateway.put(LOCK, "admin", locked.clone()).await.ok();
    let before = gateway.log();
    gateway
        .get(WHOAMI, "alice")
        .await
        .error(401, "M_USER_LOCKED");
    let [line] = &*lines(&gateway, &before, "refused") else {
        panic!("{}", gateway.log());
    };
    let said = r#" INFO refused endpoint="account/whoami" user="@alice:localhost" cause="locked""#;
    assert!(line.ends_with(said), "{line}");
    let before = gateway.log();
    let answer = gateway.put(LOCK, "bridge", locked).await;
    answer.error(403, "M_FORBIDDEN");
    let [line] = &*lines(&gateway, &before, "refused") else {
        panic!("{}", gateway.log());
    };
    let said = r#"by="@bridge:localhost" user="@alice:localhost""#;
    assert!(line.contains(" INFO ") && line.contains(said), "{line}");
    for secret in ["Bearer", "a=b", "not JSON", "/_matrix"] {
        assert!(!gateway.log().contains(secret), "{}", gateway.log());
    }
}

#[tokio::test]
async fn rule_18_each_refusal_that_report_only_leaves_out_has_its_line() {
    let upstream = Upstream::start().await;
    let arguments = ["--max-body", "1", "--report-only"];
    let gateway = Gateway::start(&upstream.address, &arguments).await;
    let (would_be, always) = refused(&gateway);
    for (_, request, said) in would_be {
        let before = gateway.log();
        let answer = gateway.send(request).await;
        assert_eq!(answer.status, 200, "{}", answer.what);
        let lines = lines(&gateway, &before, "would be refused");
        let [line] = &*lines else {
            panic!("{}: {lines:?}", answer.what);
        };
        assert!(line.contains(" INFO ") && line.ends_with(said), "{line}");
    }
    for (status, request, said) in always {
        let before = gateway.log();
        let answer = gateway.send(request).await;
        assert_eq!(answer.status, status, "{}", answer.what);
        let lines = lines(&gateway, &before, " INFO refused");
        assert!(lines.len() == 1 && lines[0].ends_with(said), "{lines:?}");
    }
}

/// Anybody can cause as many refusals as they like.
#[tokio::test]
async fn no_refusal_has_a_line_unless_the_operator_asks_for_them() {
    let upstream = Upstream::start().await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let errors = directory.path().join("errors");
    let mut process = command()
        .args(["--listen", "127.0.0.1:0", "--admin", "@admin:localhost"])
        .args(["--max-body", "1"])
        .args(["--upstream", &format!("http://{}", upstream.address)])
        .arg("--database")
        .arg(directory.path().join("gateway.sqlite"))
        .stdout(std::process::Stdio::piped())
        .stderr(std::fs::File::create(&errors).expect("a file"))
        .spawn()
        .expect("the gateway starts");
    let client = Client::new(listening(&mut process, |_| {}).await);
    let locked = json!({ "locked": true });
    client.put(LOCK, "admin", locked.clone()).await.ok();
    let (would_be, always) = refused(&client);
    for (status, request, _) in would_be.into_iter().chain(always) {
        assert_eq!(client.send(request).await.status, status);
    }
    client
        .get(WHOAMI, "alice")
        .await
        .error(401, "M_USER_LOCKED");
    client
        .put(LOCK, "bridge", locked)
        .await
        .error(403, "M_FORBIDDEN");
    let log = std::fs::read_to_string(errors).expect("the log");
    assert!(
        log.contains("restricted") && !log.contains("refused"),
        "{log}"
    );
}
