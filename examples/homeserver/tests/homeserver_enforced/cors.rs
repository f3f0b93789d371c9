//! Rule 3: a browser sees every answer, the layer's and the server's. Each has the CORS headers
//! once.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, header};
use serde_json::json;

use crate::{
    LOGIN, REFRESH, SYNC, Scene, WHOAMI,
    api::{Endpoint, endpoints},
    homeserver::Answer,
    only,
};

const ALLOW_ORIGIN: &str = "access-control-allow-origin";
const PREFLIGHT_ANSWERS: [&str; 2] = [
    "access-control-allow-methods",
    "access-control-allow-headers",
];

impl Scene {
    /// As a browser sends it for a page of another origin.
    async fn ask_as_browser(&self, method: &str, path: &str, token: &str, body: &str) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.server.address))
            .header(header::ORIGIN, "https://client.example.org");
        if !token.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = Full::<Bytes>::from(body.to_owned());
        self.server
            .send(request.body(body).expect("a request"))
            .await
    }

    async fn preflight(&self, path: &str, token: &str) -> Answer {
        let mut request = Request::builder()
            .method(Method::OPTIONS)
            .uri(format!("http://{}{path}", self.server.address))
            .header(header::ORIGIN, "https://client.example.org")
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, "PUT")
            .header(
                header::ACCESS_CONTROL_REQUEST_HEADERS,
                "authorization,content-type",
            );
        if !token.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::<Bytes>::default());
        self.server.send(request.expect("a request")).await
    }
}

/// `is_layers` is whether the layer has answered.
#[track_caller]
fn assert_cors(answer: &Answer, is_layers: bool) {
    let what = &answer.what;
    assert_eq!(only(&answer.headers, ALLOW_ORIGIN), "*", "{what}");
    for name in PREFLIGHT_ANSWERS {
        // A server has to send them in answer to a preflight only; the layer always does.
        let count = answer.headers.get_all(name).iter().count();
        assert_eq!(count, usize::from(is_layers), "{what}: {name}");
    }
}

#[tokio::test]
async fn every_answer_has_the_headers_once_whoever_gives_it() {
    let scene = Scene::start().await;
    scene.server.register("carol").await;
    let carol = scene.log_in("carol").await;
    let carol = crate::text(&carol["access_token"]);
    scene.lock("alice").await;
    scene.set_suspended("carol", true).await;
    let (alice, bob) = (scene.alice.as_str(), scene.bob.as_str());
    let five = "/_matrix/client/v3/sync?access_token=1&access_token=2&access_token=3\
                &access_token=4&access_token=5";
    let long = json!({ "user": "x".repeat(70_000) }).to_string();
    let names_alice = r#"{"type":"m.login.password","user":"alice","password":"x"}"#;
    for (method, path, token, body, status, is_layers) in [
        ("GET", WHOAMI, bob, "", 200, false),
        ("GET", WHOAMI, "", "", 401, false),
        ("GET", "/none", bob, "", 404, false),
        ("DELETE", WHOAMI, bob, "", 405, false),
        ("HEAD", WHOAMI, bob, "", 200, false),
        ("POST", LOGIN, "", "{}", 400, false),
        ("GET", LOGIN, alice, "", 200, false),
        ("GET", WHOAMI, carol, "", 200, false),
        ("GET", WHOAMI, alice, "", 401, true),
        ("HEAD", SYNC, alice, "", 401, true),
        ("GET", "/none", alice, "", 401, true),
        ("POST", LOGIN, "", names_alice, 401, true),
        ("POST", REFRESH, "", "{", 400, true),
        ("GET", five, "", "", 400, true),
        (
            "POST",
            "/_matrix/client/v3/createRoom",
            carol,
            "{}",
            403,
            true,
        ),
        ("POST", "/_matrix/client/v3/logout", alice, "{}", 200, false),
        // The last one, because the server closes the connection instead of reading the rest.
        ("POST", LOGIN, "", &long, 413, true),
    ] {
        let answer = scene.ask_as_browser(method, path, token, body).await;
        assert_eq!(answer.status, status, "{}: {:?}", answer.what, answer.body);
        assert_cors(&answer, is_layers);
    }
}

#[tokio::test]
async fn preflights_pass_on_every_endpoint_for_locked_accounts_too() {
    let scene = Scene::locked().await;
    let mut paths: Vec<_> = endpoints().iter().map(Endpoint::path).collect();
    paths.dedup();
    for path in paths {
        for token in ["", &scene.alice] {
            let answer = scene.preflight(&path, token).await;
            assert_eq!(answer.status, 200, "{path}");
            assert_cors(&answer, true);
        }
        let in_query = format!("{path}?access_token={}", scene.alice);
        let answer = scene.preflight(&in_query, "").await;
        assert_eq!(answer.status, 200, "{path}");
    }
}
