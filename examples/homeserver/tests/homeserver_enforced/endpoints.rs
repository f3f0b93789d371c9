//! Rules 1, 3, 5 and 6: what a locked account is answered on every endpoint.

use hyper::Method;
use serde_json::json;

use crate::{
    LOCKED, SYNC, Scene,
    api::{Endpoint, endpoints},
    assert_locked, only, text,
};

const LOGOUTS: [&str; 2] = ["/logout", "/logout/all"];

/// Where the specification authenticates nobody by access token, so that a token in the head is a
/// left-over: rule 6.
const UNAUTHENTICATED: [(&str, &str); 15] = [
    ("GET", "/login"),
    ("POST", "/login"),
    ("GET", "/login/sso/redirect"),
    ("GET", "/login/sso/redirect/{idpId}"),
    ("POST", "/refresh"),
    ("POST", "/register"),
    ("GET", "/register/available"),
    ("POST", "/register/email/requestToken"),
    ("POST", "/register/msisdn/requestToken"),
    ("POST", "/account/password/email/requestToken"),
    ("POST", "/account/password/msisdn/requestToken"),
    ("POST", "/account/3pid/email/requestToken"),
    ("POST", "/account/3pid/msisdn/requestToken"),
    ("GET", "/auth_metadata"),
    ("GET", "/register/m.login.registration_token/validity"),
];

fn is_logout(endpoint: &Endpoint) -> bool {
    let Endpoint { method, template } = endpoint;
    method == "POST" && rest_of(template).is_some_and(|rest| LOGOUTS.contains(&rest))
}

fn is_unauthenticated(endpoint: &Endpoint) -> bool {
    let Endpoint { method, template } = endpoint;
    rest_of(template).is_some_and(|rest| UNAUTHENTICATED.contains(&(method, rest)))
}

/// What follows the version.
fn rest_of(template: &str) -> Option<&str> {
    let versions = ["v1", "v3", "r0"];
    let rest = template.strip_prefix("/_matrix/client/")?;
    versions
        .iter()
        .find_map(|version| rest.strip_prefix(version))
}

#[tokio::test]
async fn every_endpoint_but_the_exempt_ones_answers_a_locked_account_the_401() {
    let scene = Scene::locked().await;
    let (mut refused, mut exempt) = (0, 0);
    for endpoint in endpoints() {
        if is_logout(&endpoint) {
            continue;
        }
        let (method, path) = (endpoint.method(), endpoint.path());
        let ask = async |token: &str| {
            let body = if method == Method::GET { "" } else { "{}" };
            scene
                .server
                .request(method.clone(), &path, token, body)
                .await
        };
        let answer = ask(&scene.alice).await;
        if path.starts_with("/.well-known/") || is_unauthenticated(&endpoint) {
            // The same answer as for anybody else.
            let others = ask(&scene.bob).await;
            assert_eq!(answer.status, others.status, "{}", answer.what);
            let errcode = |body: serde_json::Value| body["errcode"].clone();
            assert_eq!(
                errcode(answer.json()),
                errcode(others.json()),
                "{}",
                answer.what
            );
            assert_ne!(errcode(answer.json()), "M_USER_LOCKED", "{}", answer.what);
            exempt += 1;
        } else {
            assert_locked(&answer);
            refused += 1;
        }
    }
    // 3 well-known files; of rule 6 two under v1, and thirteen under v3 and r0 each.
    assert_eq!(exempt, 3 + 2 + 2 * 13, "exempt");
    // Whatever the table gains is refused or named above.
    assert_eq!(refused + exempt + 2 * LOGOUTS.len(), endpoints().len());
    assert!(refused > 250, "{refused} refused");
    println!("{refused} pairs of method and path refused, {exempt} exempt");
}

#[tokio::test]
async fn rule_6_what_no_server_knows_is_refused_and_so_are_the_other_apis() {
    let Scene { server, alice, .. } = &Scene::locked().await;
    for path in [
        "/",
        "/_matrix/client/v3/none",
        "/_matrix/client/v3/logout/",
        "/_matrix/client/v3//logout",
        "/_matrix/client/v3/%6Cogout",
        "/_matrix/client/v1/logout",
        "/_matrix/client/v3/logout/all/all",
        "/x/_matrix/client/v3/logout",
        "/_matrix/federation/../client/v3/account/whoami",
        "/_matrix/federation/%2E%2E/client/v3/account/whoami",
    ] {
        assert_locked(&server.post(path, alice, json!({})).await);
    }
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH] {
        let logout = "/_matrix/client/v3/logout";
        assert_locked(&server.request(method, logout, alice, "").await);
    }
    // No access token belongs there; some servers take one all the same.
    let federation = "/_matrix/federation/v1/version";
    assert!(server.get(federation, ()).await.ok()["server"].is_object());
    assert_locked(&server.get(federation, alice).await);
    assert_locked(&server.get("/_matrix/key/v2/server", alice).await);
    let key = server.get("/_matrix/key/v2/server", ()).await;
    key.error(404, "M_UNRECOGNIZED");
}

#[tokio::test]
async fn a_head_request_has_the_headers_of_the_401_and_no_body() {
    let Scene { server, alice, .. } = &Scene::locked().await;
    let answer = server.request(Method::HEAD, SYNC, alice, "").await;
    assert_eq!(answer.status, 401);
    let length = LOCKED.len().to_string();
    assert_eq!(only(&answer.headers, "content-length"), length);
    assert_eq!(only(&answer.headers, "content-type"), "application/json");
    assert!(answer.body.is_empty(), "{:?}", answer.body);
}

#[tokio::test]
async fn both_logouts_work_while_locked_and_what_is_left_works_after_it() {
    let scene = Scene::start().await;
    let server = &scene.server;
    let mut sessions = Vec::new();
    for _ in 0..2 {
        sessions.push(text(&scene.log_in("alice").await["access_token"]).to_owned());
    }
    let logout = async |path: &str, token: &str| {
        let answer = server.post(path, token, json!({})).await;
        assert_eq!(answer.ok(), json!({}), "{path}");
    };

    scene.lock("alice").await;
    logout("/_matrix/client/v3/logout", &sessions[0]).await;
    logout("/_matrix/client/r0/logout?x=y", &sessions[1]).await;
    for session in &sessions {
        // The token is unknown now, and the handler answers so.
        let answer = scene.whoami(session).await;
        answer.error(401, "M_UNKNOWN_TOKEN");
    }
    assert_locked(&scene.whoami(&scene.alice).await);

    scene.unlock("alice").await;
    let me = scene.whoami(&scene.alice).await.ok();
    assert_eq!(me["user_id"], "@alice:localhost");
    assert!(me["device_id"].is_string(), "{me}");

    for version in ["v3", "r0"] {
        let login = scene.log_in("alice").await;
        let session = text(&login["access_token"]);
        scene.lock("alice").await;
        logout(&format!("/_matrix/client/{version}/logout/all"), session).await;
        scene.unlock("alice").await;
        for token in [session, &scene.alice] {
            scene.whoami(token).await.error(401, "M_UNKNOWN_TOKEN");
        }
    }
    scene.whoami(&scene.bob).await.ok();
}

#[tokio::test]
async fn a_lock_survives_a_kill_of_the_server() {
    let mut scene = Scene::start().await;
    let lock = json!({ "locked": true, "org.example.reason": "Write to abuse@localhost" });
    scene.set_lock("alice", lock).await;
    scene.set_suspended("bob", true).await;

    scene.server = scene.server.kill_and_restart().await;
    let answer = scene.whoami(&scene.alice).await;
    let body = answer.error(401, "M_USER_LOCKED");
    assert_eq!(body["error"], "Write to abuse@localhost");
    assert_eq!(body["soft_logout"], true);
    let room = "/_matrix/client/v3/createRoom";
    let answer = scene.server.post(room, &scene.bob, json!({})).await;
    crate::assert_suspended(&answer);

    scene.unlock("alice").await;
    scene.whoami(&scene.alice).await.ok();
}
