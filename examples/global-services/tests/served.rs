//! The server over HTTP: what is refused, and what passes. One server serves all tests, because its
//! services are global; each test has users of its own.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{LazyLock, mpsc},
    time::Duration,
};

use bytes::Bytes;
use global_services::{Config, Registration, jwt, router, services, start};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

const SECRET: &str = "between the two systems";
const BRIDGE: &str = "bridge-token";

/// Long enough for a busy machine. A request that is not ended waits longer than this.
const SOON: Duration = Duration::from_secs(60);

static SERVER: LazyLock<SocketAddr> = LazyLock::new(|| {
    let (sender, address) = mpsc::channel();
    std::thread::spawn(move || {
        let folder = tempfile::tempdir().expect("a folder");
        let bridge = Registration {
            sender_localpart: "bridge".to_owned(),
            namespace: "@bridge_".to_owned(),
        };
        let config = Config {
            server_name: "localhost".to_owned(),
            folder: folder.path().to_owned(),
            jwt_secret: SECRET.to_owned(),
            admin: "@admin:localhost".to_owned(),
            registrations: HashMap::from([(BRIDGE.to_owned(), bridge)]),
        };
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            start(config).expect("the services start");
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address");
            sender.send(address).expect("somebody waits");
            axum::serve(listener, router()).await.expect("it serves");
        });
    });
    address.recv().expect("the server starts")
});

#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    json: Value,
    cors: Vec<String>,
}

impl Answer {
    /// Status and error code, which is empty for 200.
    fn verdict(&self) -> (u16, &str) {
        (
            self.status,
            self.json["errcode"].as_str().unwrap_or_default(),
        )
    }
}

async fn ask(method: Method, path: &str, token: &str, body: Value) -> Answer {
    let body = match &body {
        Value::Null => Bytes::new(),
        body => Bytes::from(body.to_string()),
    };
    send(method, path, token, "application/json", body).await
}

async fn send(method: Method, path: &str, token: &str, content_type: &str, body: Bytes) -> Answer {
    let stream = TcpStream::connect(*SERVER).await.expect("a connection");
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.expect("HTTP");
    tokio::spawn(connection);
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .header("content-type", content_type);
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request = request.body(Full::new(body)).expect("a request");
    let response = sender.send_request(request).await.expect("a response");
    let (head, body) = response.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let cors = head.headers.get_all("access-control-allow-origin");
    let cors = cors.iter().filter_map(|value| value.to_str().ok());
    Answer {
        status: head.status.as_u16(),
        json: serde_json::from_slice(&body).unwrap_or(Value::Null),
        cors: cors.map(str::to_owned).collect(),
    }
}

async fn get(path: &str, token: &str) -> Answer {
    ask(Method::GET, path, token, Value::Null).await
}

async fn post(path: &str, token: &str, body: Value) -> Answer {
    let path = format!("/_matrix/client/v3/{path}");
    ask(Method::POST, &path, token, body).await
}

const WHOAMI: &str = "/_matrix/client/v3/account/whoami";

async fn whoami(token: &str) -> Answer {
    get(WHOAMI, token).await
}

/// A new user with the password "pw"; the token of the first device.
async fn user(name: &str) -> String {
    let new = json!({ "username": name, "password": "pw" });
    let answer = post("register", "", new).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json["access_token"]
        .as_str()
        .expect("a token")
        .to_owned()
}

async fn by_password(name: &str) -> Answer {
    let identifier = json!({ "type": "m.id.user", "user": name });
    let login = json!({ "type": "m.login.password", "identifier": identifier, "password": "pw" });
    post("login", "", login).await
}

async fn by_jwt(login_type: &str, name: &str) -> Answer {
    let token = jwt::encode(&json!({ "sub": name, "exp": 4_000_000_000_u64 }), SECRET);
    post("login", "", json!({ "type": login_type, "token": token })).await
}

async fn by_service(name: &str) -> Answer {
    let identifier = json!({ "type": "m.id.user", "user": name });
    let login = json!({ "type": "m.login.application_service", "identifier": identifier });
    post("login", BRIDGE, login).await
}

/// The administrator's token. The first test that needs it makes the device.
async fn admin() -> String {
    static ADMIN: tokio::sync::OnceCell<String> = tokio::sync::OnceCell::const_new();
    ADMIN.get_or_init(|| user("admin")).await.clone()
}

async fn set(kind: &str, user: &str, on: bool) {
    let (name, key) = match kind {
        "locked" => ("lock", "locked"),
        _ => ("suspend", "suspended"),
    };
    let path = format!("/_matrix/client/v1/admin/{name}/{user}");
    let answer = ask(Method::PUT, &path, &admin().await, json!({ key: on })).await;
    assert_eq!((answer.status, &answer.json), (200, &json!({ key: on })));
}

async fn devices(user: &str) -> Value {
    let answer = get(&format!("/_example/devices/{user}"), &admin().await).await;
    answer.json["devices"].clone()
}

const PASSED: (u16, &str) = (200, "");
const LOCKED: (u16, &str) = (401, "M_USER_LOCKED");
const DEACTIVATED: (u16, &str) = (403, "M_USER_DEACTIVATED");

#[tokio::test]
async fn rule_1_a_locked_account_is_refused_by_token_and_by_every_login() {
    let token = user("alice").await;
    let logins = async || {
        [
            by_password("alice").await,
            by_password("@alice:localhost").await,
            by_password("ALICE").await,
            by_jwt("org.matrix.login.jwt", "alice").await,
            by_jwt("m.login.token", "Alice").await,
        ]
    };
    for answer in logins().await {
        assert_eq!(answer.verdict(), PASSED);
    }
    set("locked", "@alice:localhost", true).await;
    let before = devices("@alice:localhost").await;
    let refused = whoami(&token).await;
    assert_eq!(refused.verdict(), LOCKED);
    assert_eq!(refused.json["soft_logout"], true);
    assert_eq!(
        refused.cors,
        ["*"],
        "once, under the server's own CORS layer"
    );
    for answer in logins().await {
        assert_eq!(answer.verdict(), LOCKED);
    }
    assert_eq!(
        devices("@alice:localhost").await,
        before,
        "no device was made"
    );
    set("locked", "@alice:localhost", false).await;
    assert_eq!(
        whoami(&token).await.verdict(),
        PASSED,
        "the same session goes on"
    );
    let answer = post("logout", &token, json!({})).await;
    assert_eq!(answer.verdict(), PASSED);
}

/// The login's body is a form at the server's own path, which the layer does not read.
#[tokio::test]
async fn a_web_form_that_shares_the_login_asks_the_guard() {
    user("walter").await;
    let form = async |password: &str| {
        let body = Bytes::from(format!("user=walter&password={password}"));
        let form = "application/x-www-form-urlencoded";
        send(Method::POST, "/web/login", "", form, body).await
    };
    assert_eq!(form("pw").await.verdict(), PASSED);
    set("locked", "@walter:localhost", true).await;
    let before = devices("@walter:localhost").await;
    let refused = form("pw").await;
    assert_eq!(refused.verdict(), LOCKED);
    assert_eq!(refused.json["soft_logout"], true);
    assert_eq!(
        form("wrong").await.verdict(),
        (403, "M_FORBIDDEN"),
        "a stranger learns nothing"
    );
    assert_eq!(
        devices("@walter:localhost").await,
        before,
        "no device was made"
    );
}

#[tokio::test]
async fn rule_9_what_names_nobody_is_the_servers_to_answer() {
    assert_eq!(whoami("unknown").await.verdict(), (401, "M_UNKNOWN_TOKEN"));
    assert_eq!(whoami("").await.verdict(), (401, "M_MISSING_TOKEN"));
    let forged = jwt::encode(&json!({ "sub": "nobody" }), "another secret");
    let login = json!({ "type": "org.matrix.login.jwt", "token": forged });
    assert_eq!(
        post("login", "", login).await.verdict(),
        (403, "M_FORBIDDEN")
    );
}

/// Its token is in its registration, and not in the table of tokens.
#[tokio::test]
async fn rule_8_an_application_service_is_refused_as_itself_and_as_whom_it_asserts() {
    for ghost in ["bridge_one", "bridge_two"] {
        assert_eq!(by_service(ghost).await.verdict(), PASSED);
    }
    let as_ghost = |ghost| async move {
        let path = format!("{WHOAMI}?user_id=@{ghost}:localhost");
        get(&path, BRIDGE).await
    };
    let one = as_ghost("bridge_one").await;
    assert_eq!(
        (one.verdict(), &one.json["user_id"]),
        (PASSED, &json!("@bridge_one:localhost"))
    );
    set("locked", "@bridge_one:localhost", true).await;
    assert_eq!(as_ghost("bridge_one").await.verdict(), LOCKED);
    assert_eq!(by_service("bridge_one").await.verdict(), LOCKED);
    assert_eq!(as_ghost("bridge_two").await.verdict(), PASSED);
    assert_eq!(whoami(BRIDGE).await.verdict(), PASSED);
    // An application service is no administrator, whomever it asserts.
    let path = "/_matrix/client/v1/admin/lock/@bridge_two:localhost?user_id=@admin:localhost";
    let answer = ask(Method::PUT, path, BRIDGE, json!({ "locked": true })).await;
    assert_eq!(answer.status, 401, "{answer:?}");
}

#[tokio::test]
async fn rule_6_a_guest_is_an_account_like_others() {
    let guest = post("register?kind=guest", "", json!({})).await;
    let name = guest.json["user_id"].as_str().expect("a user").to_owned();
    let token = guest.json["access_token"]
        .as_str()
        .expect("a token")
        .to_owned();
    assert_eq!(
        whoami(&token).await.verdict(),
        PASSED,
        "no password is no deactivation"
    );
    set("locked", &name, true).await;
    assert_eq!(whoami(&token).await.verdict(), LOCKED);
    set("locked", &name, false).await;
    assert_eq!(whoami(&token).await.verdict(), PASSED);
}

#[tokio::test]
async fn a_deactivation_is_recorded_and_ends_what_waits() {
    let (first, second) = (user("gone").await, by_password("gone").await);
    let second = second.json["access_token"]
        .as_str()
        .expect("a token")
        .to_owned();
    let before = services().syncs_begun();
    let waits =
        tokio::spawn(async move { get("/_matrix/client/v3/sync?timeout=600000", &second).await });
    while services().syncs_begun() == before {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let answer = post("account/deactivate", &first, json!({})).await;
    assert_eq!(answer.verdict(), PASSED, "{answer:?}");
    let ended = tokio::time::timeout(SOON, waits).await;
    let ended = ended.expect("it ended").expect("an answer");
    assert_eq!(ended.verdict(), DEACTIVATED, "{ended:?}");
    // Every way to log in, including those that the server itself leaves open.
    for answer in [
        by_password("gone").await,
        by_jwt("org.matrix.login.jwt", "gone").await,
        by_jwt("m.login.token", "@gone:localhost").await,
    ] {
        assert_eq!(answer.verdict(), DEACTIVATED);
    }
    // The administrator makes the account active again.
    let path = "/_example/password/@gone:localhost";
    let answer = ask(
        Method::PUT,
        path,
        &admin().await,
        json!({ "password": "pw" }),
    )
    .await;
    assert_eq!(answer.verdict(), PASSED);
    assert_eq!(by_password("gone").await.verdict(), PASSED);
}

#[tokio::test]
async fn an_application_services_user_is_deactivated_for_the_service_too() {
    assert_eq!(by_service("bridge_gone").await.verdict(), PASSED);
    let path = "account/deactivate?user_id=@bridge_gone:localhost";
    assert_eq!(post(path, BRIDGE, json!({})).await.verdict(), PASSED);
    assert_eq!(by_service("bridge_gone").await.verdict(), DEACTIVATED);
    let asserted = format!("{WHOAMI}?user_id=@bridge_gone:localhost");
    assert_eq!(get(&asserted, BRIDGE).await.verdict(), DEACTIVATED);
}
