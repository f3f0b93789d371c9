//! The layer as a hoop of a Salvo server: refusals, and every other answer as it is without the
//! layer.

#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use example_salvo_bridge::{
    app::{self, CLIENT},
    bridge::AccountStatusHoop,
};
use salvo::{
    FlowCtrl, Listener as _, Response, Server, Service,
    conn::{Acceptor as _, TcpListener},
    http::{Method, StatusCode},
    prelude::{Depot, Request, Router, handler},
    test::{RequestBuilder, ResponseExt as _, TestClient},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tower_account_status::{AccountStatusLayer, MemoryStore, RestrictionKind};

const ALICE: &str = "@alice:localhost";
const SYNC: &str = "http://localhost/_matrix/client/v3/sync";
const LOGIN: &str = "http://localhost/_matrix/client/v3/login";
const LOGOUT: &str = "http://localhost/_matrix/client/v3/logout";
const SOON: Duration = Duration::from_secs(30);

fn store() -> Arc<MemoryStore> {
    let store = MemoryStore::new().with_server_name("localhost");
    store.insert_access_token("alices_token", ALICE);
    Arc::new(store)
}

fn sync() -> RequestBuilder {
    TestClient::get(SYNC).bearer_auth("alices_token")
}

/// What a client receives, except the date.
type Received = (u16, BTreeMap<String, String>, String);

/// Sends a request over a connection of its own, and reads all that comes back.
async fn received(port: u16, request: &str) -> Received {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(SOON, stream.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let headers = lines.map(|line| line.split_once(": ").unwrap());
    let headers = headers.filter(|(name, _)| *name != "date");
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
    (status.parse().unwrap(), headers.collect(), body.to_owned())
}

async fn serve(service: Service) -> u16 {
    let acceptor = TcpListener::new("127.0.0.1:0").bind().await;
    let address = acceptor.holdings()[0].local_addr.clone();
    tokio::spawn(Server::new(acceptor).serve(service));
    address.into_std().unwrap().port()
}

fn request(method: &str, path: &str, headers: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn rule_13_every_answer_is_as_without_the_layer() {
    let with = serve(app::service(store())).await;
    let without = serve(app::unchecked_service()).await;
    let client = "/_matrix/client/v3";
    let token = "authorization: Bearer alices_token\r\n";
    let origin = format!("origin: {CLIENT}\r\n");
    let other_origin = "origin: https://elsewhere.example.org\r\n".to_owned();
    let preflight = format!(
        "{origin}access-control-request-method: GET\r\n\
         access-control-request-headers: authorization\r\n"
    );
    let json = "content-type: application/json\r\n";
    let xml = "accept: application/xml\r\n";
    let mut statuses = Vec::new();
    for (method, path, headers, body) in [
        ("GET", format!("{client}/sync"), token.to_owned(), ""),
        ("HEAD", format!("{client}/sync"), token.to_owned(), ""),
        (
            "GET",
            format!("{client}/sync"),
            format!("{token}{origin}"),
            "",
        ),
        (
            "GET",
            format!("{client}/sync"),
            format!("{token}{other_origin}"),
            "",
        ),
        ("OPTIONS", format!("{client}/sync"), preflight, ""),
        ("POST", format!("{client}/sync"), token.to_owned(), "{}"),
        ("GET", format!("{client}/unknown"), token.to_owned(), ""),
        (
            "GET",
            format!("{client}/unknown"),
            format!("{xml}{origin}"),
            "",
        ),
        ("POST", format!("{client}/logout"), token.to_owned(), ""),
        (
            "POST",
            format!("{client}/login"),
            json.to_owned(),
            r#"{"user":"bob"}"#,
        ),
        // The handler accepts no number as a name. This answer is not the layer's.
        (
            "POST",
            format!("{client}/login"),
            json.to_owned(),
            r#"{"user":"bob","device_id":1}"#,
        ),
        (
            "POST",
            format!("{client}/login"),
            format!("{json}{origin}"),
            r#"{"user":"b","x":[]}"#,
        ),
        ("POST", format!("{client}/logout"), json.to_owned(), r#"{"#),
    ] {
        let request = request(method, &path, &headers, body);
        let answers = (
            received(with, &request).await,
            received(without, &request).await,
        );
        assert_eq!(answers.0, answers.1, "{request}");
        let (status, headers, body) = answers.0;
        statuses.push(status);
        if status != 204 && method != "HEAD" {
            assert!(
                headers.contains_key("content-length"),
                "{request}: {headers:?}"
            );
        }
        if (status == 404 || status == 400) && method != "HEAD" {
            assert!(!body.is_empty(), "{request}");
        }
    }
    for expected in [200, 204, 400, 404, 405] {
        assert!(statuses.contains(&expected), "{expected}: {statuses:?}");
    }
}

#[tokio::test]
async fn rule_1_a_locked_account_is_refused_and_an_active_one_passes() {
    let store = store();
    let service = app::service(Arc::clone(&store));
    let log_out = || TestClient::post(LOGOUT).bearer_auth("alices_token");
    for (request, while_locked) in [
        (
            &sync as &dyn Fn() -> RequestBuilder,
            StatusCode::UNAUTHORIZED,
        ),
        (&log_out, StatusCode::OK),
    ] {
        store.lift(ALICE, RestrictionKind::Locked);
        let answer = request().send(&service).await;
        assert_eq!(answer.status_code, Some(StatusCode::OK));
        store.restrict(ALICE, RestrictionKind::Locked);
        let answer = request().send(&service).await;
        assert_eq!(answer.status_code, Some(while_locked));
    }
    let mut refused = sync().send(&service).await;
    let body: serde_json::Value = refused.take_json().await.unwrap();
    assert_eq!(body["errcode"], "M_USER_LOCKED");
    assert_eq!(body["soft_logout"], true);
    // Also where there is no route.
    let unknown = TestClient::get("http://localhost/unknown").bearer_auth("alices_token");
    let refused = unknown.send(&service).await;
    assert_eq!(refused.status_code, Some(StatusCode::UNAUTHORIZED));
    let anonymous = TestClient::get(SYNC).send(&service).await;
    assert_eq!(anonymous.status_code, Some(StatusCode::OK));
}

#[tokio::test]
async fn rule_3_a_refusal_has_its_own_headers_and_those_of_the_cors_hoop() {
    let store = store();
    store.restrict(ALICE, RestrictionKind::Locked);
    let port = serve(app::service(store)).await;
    let token = "authorization: Bearer alices_token\r\n";
    for (method, path, body, status) in [
        ("GET", "/_matrix/client/v3/sync", "", 401),
        ("HEAD", "/_matrix/client/v3/sync", "", 401),
        ("PUT", "/nowhere", "{}", 401),
        (
            "POST",
            "/_matrix/client/v3/login",
            r#"{"user":"alice"}"#,
            401,
        ),
        ("POST", "/_matrix/client/v3/login", "{", 400),
    ] {
        for (origin, allowed) in [(CLIENT, Some(CLIENT)), ("https://evil.example.org", None)] {
            let headers = format!("{token}origin: {origin}\r\n");
            let request = request(method, path, &headers, body);
            let (found, headers, body) = received(port, &request).await;
            assert_eq!(found, status, "{request}");
            let header = |name: &str| headers.get(name).map(String::as_str);
            assert_eq!(header("access-control-allow-origin"), allowed, "{request}");
            assert!(header("vary").is_some(), "{request}: {headers:?}");
            assert_eq!(header("content-type"), Some("application/json"));
            assert_eq!(header("cache-control"), Some("no-store"));
            if method != "HEAD" {
                assert_eq!(header("content-length"), Some(&*body.len().to_string()));
                assert!(body.contains("errcode"), "{request}: {body}");
            }
        }
    }
}

#[tokio::test]
async fn rule_10_a_login_is_checked_and_handed_on_byte_for_byte() {
    /// Answers with the body that it received.
    #[handler]
    async fn log_in(request: &mut Request) -> String {
        let payload = request.payload().await.expect("a body");
        String::from_utf8(payload.to_vec()).expect("text")
    }

    /// Reads the body before the layer does.
    #[handler]
    async fn audit(
        request: &mut Request,
        depot: &mut Depot,
        response: &mut Response,
        flow: &mut FlowCtrl,
    ) {
        request.payload().await.unwrap();
        flow.call_next(request, depot, response).await;
    }

    let store = store();
    store.restrict(ALICE, RestrictionKind::Deactivated);
    let router = || Router::with_path("_matrix/client/v3/login").post(log_in);
    let hoop = || AccountStatusHoop(AccountStatusLayer::new(Arc::clone(&store)));
    for service in [
        Service::new(router()).hoop(hoop()),
        Service::new(router().hoop(hoop())),
        Service::new(router()).hoop(audit).hoop(hoop()),
    ] {
        let refused = r#"{"user":"alice"}"#;
        let mut answer = TestClient::post(LOGIN)
            .raw_json(refused)
            .send(&service)
            .await;
        assert_eq!(answer.status_code, Some(StatusCode::FORBIDDEN));
        let body: serde_json::Value = answer.take_json().await.unwrap();
        assert_eq!(body["errcode"], "M_USER_DEACTIVATED");
        let text = "{ \"user\" :\n\"bob\" }";
        let mut passed = TestClient::post(LOGIN).raw_json(text).send(&service).await;
        assert_eq!(passed.status_code, Some(StatusCode::OK));
        assert_eq!(passed.take_string().await.unwrap(), text);
    }
}

#[tokio::test]
async fn rule_16_a_sync_that_waits_ends_and_leaves_nothing_of_its_answer() {
    /// Begins an answer, and waits.
    #[handler]
    async fn sync(response: &mut Response) {
        response.add_header("x-begun", "1", true).unwrap();
        response.status_code(StatusCode::ACCEPTED);
        response.render("half");
        std::future::pending::<()>().await;
    }

    /// Sees the request whole, and adds to the answer.
    #[handler]
    async fn around(
        request: &mut Request,
        depot: &mut Depot,
        response: &mut Response,
        flow: &mut FlowCtrl,
    ) {
        response.add_header("x-around", "1", true).unwrap();
        flow.call_next(request, depot, response).await;
        assert_eq!(request.method(), Method::GET);
        assert_eq!(request.headers()["authorization"], "Bearer alices_token");
    }

    let store = store();
    let layer = AccountStatusLayer::new(Arc::clone(&store));
    let router = Router::with_path("_matrix/client/v3/sync").get(sync);
    let service = Service::new(router)
        .hoop(around)
        .hoop(AccountStatusHoop(layer));
    let service = Arc::new(service);
    let waiting = tokio::spawn({
        let service = Arc::clone(&service);
        async move { self::sync().send(&*service).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!waiting.is_finished());
    store.restrict(ALICE, RestrictionKind::Locked);
    let mut ended = timeout(SOON, waiting).await.unwrap().unwrap();
    assert_eq!(ended.status_code, Some(StatusCode::UNAUTHORIZED));
    assert!(!ended.headers().contains_key("x-begun"));
    assert!(ended.headers().contains_key("x-around"));
    let body: serde_json::Value = ended.take_json().await.unwrap();
    assert_eq!(body["errcode"], "M_USER_LOCKED");
}

#[tokio::test]
async fn rule_11_behind_a_refusal_no_hoop_runs() {
    #[handler]
    async fn behind(response: &mut Response) {
        response.status_code(StatusCode::IM_A_TEAPOT);
    }

    let store = store();
    let hoop = AccountStatusHoop(AccountStatusLayer::new(Arc::clone(&store)));
    let router = Router::with_path("_matrix/client/v3/sync").get(behind);
    let service = Service::new(router).hoop(hoop).hoop(behind);
    for url in [SYNC, "http://localhost/nowhere"] {
        let request = || TestClient::get(url).bearer_auth("alices_token");
        store.lift(ALICE, RestrictionKind::Locked);
        let passed = request().send(&service).await;
        assert_eq!(passed.status_code, Some(StatusCode::IM_A_TEAPOT), "{url}");
        store.restrict(ALICE, RestrictionKind::Locked);
        let refused = request().send(&service).await;
        assert_eq!(refused.status_code, Some(StatusCode::UNAUTHORIZED), "{url}");
    }
}
