//! Rule 10: an account that a body names is refused before the handler runs. No device is made, and no
//! token is given out or used up: every row of the database is unchanged.

use hyper::Method;
use serde_json::{Value, json};

use crate::{
    DEACTIVATED, LOCKED, LOGIN, REFRESH, Scene, assert_deactivated, assert_locked, assert_refused,
    contents,
    homeserver::{Answer, password_of},
    open, text,
};

/// Every way of naming alice in a login, the specification's and the deprecated ones.
fn names() -> Vec<Value> {
    vec![
        json!({ "identifier": { "type": "m.id.user", "user": "alice" } }),
        json!({ "identifier": { "type": "m.id.user", "user": "@alice:localhost" } }),
        json!({ "user": "alice" }),
        json!({ "user": "@alice:localhost" }),
        json!({ "identifier": {
            "type": "m.id.thirdparty", "medium": "email", "address": "alice@example.org",
        } }),
        json!({ "medium": "email", "address": "alice@example.org" }),
        json!({ "identifier": {
            "type": "m.id.phone", "country": "DE", "phone": "+49 30 123456",
        } }),
    ]
}

/// Alice with an e-mail address and a phone number, and a session that can be refreshed.
async fn scene() -> (Scene, Value) {
    let scene = Scene::start().await;
    let database = open(&scene.server.database);
    for (medium, address) in [("email", "alice@example.org"), ("msisdn", "4930123456")] {
        database
            .execute(
                "INSERT INTO third_party_ids VALUES (?, ?, '@alice:localhost')",
                [medium, address],
            )
            .expect("a third-party id is added");
    }
    let session = scene.log_in("alice").await;
    (scene, session)
}

/// Sets the flag and deletes nothing, as a server does that stops half-way.
fn flag_as_deactivated(scene: &Scene) {
    let sql = "UPDATE accounts SET deactivated = 1 WHERE user_id = '@alice:localhost'";
    let changed = open(&scene.server.database).execute(sql, []);
    assert_eq!(changed.expect("the flag is set"), 1);
}

impl Scene {
    /// Every login and refresh that names alice is answered `status` and `body`, and leaves the
    /// database as it is.
    async fn assert_no_way_in(&self, session: &Value, status: u16, body: &str) {
        let before = contents(&self.server.database);
        for named in names() {
            for version in ["v3", "r0"] {
                let path = format!("/_matrix/client/{version}/login");
                // The right password, a wrong one, none: it is the same to the layer.
                for password in [json!(password_of("alice")), json!("wrong"), Value::Null] {
                    let mut login = named.clone();
                    login["type"] = "m.login.password".into();
                    login["password"] = password;
                    login["refresh_token"] = true.into();
                    let mut answer = self.server.post(&path, (), login).await;
                    answer.what = format!("{path} {named}");
                    assert_refused(&answer, status, body);
                }
            }
        }
        for path in [REFRESH, "/_matrix/client/r0/refresh"] {
            let refresh = json!({ "refresh_token": session["refresh_token"] });
            for token in ["", text(&session["access_token"]), self.bob.as_str()] {
                let answer = match token {
                    "" => self.server.post(path, (), refresh.clone()).await,
                    token => self.server.post(path, token, refresh.clone()).await,
                };
                assert_refused(&answer, status, body);
            }
        }
        let after = contents(&self.server.database);
        assert!(before == after, "the database has changed");
    }

    /// Sends a body unchanged.
    async fn post_text(&self, path: &str, body: &str) -> Answer {
        let post = Method::POST;
        let mut answer = self.server.request(post, path, (), body.to_owned()).await;
        answer.what = format!("{path} {body}");
        answer
    }
}

#[tokio::test]
async fn a_locked_account_gets_neither_a_device_nor_a_token() {
    let (scene, session) = scene().await;
    scene.lock("alice").await;
    scene.assert_no_way_in(&session, 401, LOCKED).await;

    // The refresh token is still valid.
    scene.unlock("alice").await;
    let refresh = json!({ "refresh_token": session["refresh_token"] });
    let refreshed = scene.server.post(REFRESH, (), refresh).await.ok();
    scene.whoami(text(&refreshed["access_token"])).await.ok();
    let login = scene.log_in("alice").await;
    assert_eq!(login["user_id"], "@alice:localhost");
}

#[tokio::test]
async fn a_deactivated_account_gets_neither_though_its_tokens_are_still_there() {
    let (scene, session) = scene().await;
    flag_as_deactivated(&scene);
    scene.assert_no_way_in(&session, 403, DEACTIVATED).await;
    assert_deactivated(&scene.whoami(&scene.alice).await);
}

#[tokio::test]
async fn an_account_that_deactivated_itself_is_told_so_at_the_login() {
    let (scene, session) = scene().await;
    let body = json!({ "auth": password_auth() });
    let path = "/_matrix/client/v3/account/deactivate";
    scene.server.post(path, &scene.alice, body).await.ok();

    let before = contents(&scene.server.database);
    let password = password_of("alice");
    assert_deactivated(&scene.server.login("alice", &password, json!({})).await);
    // Its tokens are deleted: they are unknown now.
    let refresh = json!({ "refresh_token": session["refresh_token"] });
    let answer = scene.server.post(REFRESH, (), refresh).await;
    answer.error(401, "M_UNKNOWN_TOKEN");
    scene
        .whoami(&scene.alice)
        .await
        .error(401, "M_UNKNOWN_TOKEN");
    assert!(before == contents(&scene.server.database));
}

#[tokio::test]
async fn every_account_in_a_login_counts_not_the_first_nor_the_last() {
    let (scene, _) = scene().await;
    scene.lock("alice").await;
    let before = contents(&scene.server.database);
    let password = password_of("bob");
    let head = format!(r#""type":"m.login.password","password":"{password}""#);
    let alice = r#"{"type":"m.id.user","user":"alice"}"#;
    let bob = r#"{"type":"m.id.user","user":"bob"}"#;
    for named in [
        format!(r#""identifier":{bob},"user":"alice""#),
        format!(r#""user":"alice","identifier":{bob}"#),
        format!(r#""identifier":{alice},"identifier":{bob}"#),
        format!(r#""identifier":{bob},"identifier":{alice}"#),
        r#""user":"alice","user":"bob""#.to_owned(),
        r#""identifier":{"type":"m.id.user","user":"bob","user":"alice"}"#.to_owned(),
        format!(r#""identi\u0066ier":{alice}"#),
        r#""user":"\u0061lice""#.to_owned(),
    ] {
        let body = format!("{{{head},{named}}}");
        assert_locked(&scene.post_text(LOGIN, &body).await);
    }
    for body in [
        format!(r#"{{{head},"identifier":["m.id.user","alice"]}}"#),
        format!(r#"{{{head},"user":["alice"]}}"#),
    ] {
        scene.post_text(LOGIN, &body).await.error(400, "M_BAD_JSON");
    }
    assert!(before == contents(&scene.server.database));
}

/// Clients send the token of the account before along with the new account's login.
#[tokio::test]
async fn a_left_over_token_does_not_keep_another_account_from_logging_in() {
    let (scene, _) = scene().await;
    scene.lock("alice").await;
    let body = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": "bob" },
        "password": password_of("bob"),
    });
    let answer = scene.server.post(LOGIN, &scene.alice, body).await;
    assert_eq!(answer.ok()["user_id"], "@bob:localhost");
    let session = scene.log_in("bob").await;
    let refresh = json!({ "refresh_token": session["refresh_token"] });
    scene.server.post(REFRESH, &scene.alice, refresh).await.ok();
}

fn password_auth() -> Value {
    json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": "alice" },
        "password": password_of("alice"),
    })
}

#[tokio::test]
async fn without_a_token_neither_password_nor_account_of_a_locked_account_is_changed() {
    let (scene, _) = scene().await;
    let bodies = |auth: Value| {
        [
            ("password", json!({ "auth": auth, "new_password": "new" })),
            ("deactivate", json!({ "auth": auth, "erase": true })),
        ]
    };
    scene.lock("alice").await;
    let before = contents(&scene.server.database);
    for version in ["v3", "r0"] {
        for mut named in names() {
            named["type"] = "m.login.password".into();
            named["password"] = password_of("alice").into();
            for (endpoint, body) in bodies(named) {
                let path = format!("/_matrix/client/{version}/account/{endpoint}");
                assert_locked(&scene.server.post(&path, (), body.clone()).await);
                // An unknown token does not help.
                assert_locked(&scene.server.post(&path, "nobodys", body).await);
            }
        }
    }
    assert!(before == contents(&scene.server.database));

    // The session starts without `auth`: it names nobody, and the handler says what there is to do.
    let path = "/_matrix/client/v3/account/password";
    let answer = scene
        .server
        .post(path, (), json!({ "new_password": "new" }));
    assert!(answer.await.json()["flows"].is_array());

    flag_as_deactivated(&scene);
    for (endpoint, body) in bodies(password_auth()) {
        let path = format!("/_matrix/client/v3/account/{endpoint}");
        assert_deactivated(&scene.server.post(&path, (), body).await);
    }
}

#[tokio::test]
async fn without_a_lock_the_same_requests_change_the_password() {
    let (scene, _) = scene().await;
    scene.lock("alice").await;
    scene.unlock("alice").await;
    let body = json!({ "auth": password_auth(), "new_password": "new" });
    let path = "/_matrix/client/v3/account/password";
    scene.server.post(path, (), body).await.ok();
    let login = scene.server.login("alice", "new", json!({})).await;
    assert_eq!(login.ok()["user_id"], "@alice:localhost");
}
