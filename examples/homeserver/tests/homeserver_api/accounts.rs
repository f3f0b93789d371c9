//! Registering, changing and deactivating accounts, and what administrators set.

use serde_json::json;

use crate::{
    WHOAMI,
    homeserver::{self, Homeserver, password_of},
    password_auth, text,
};

#[tokio::test]
async fn registration_asks_for_a_stage_and_then_makes_an_account() {
    let server = Homeserver::start().await;
    for version in ["v3", "r0"] {
        let path = format!("/_matrix/client/{version}/register");
        let mut body = json!({ "username": version, "password": "secret" });
        let challenge = server.post(&path, (), body.clone()).await;
        assert_eq!(challenge.status, 401);
        let challenge = challenge.json();
        assert_eq!(challenge["flows"], json!([{ "stages": ["m.login.dummy"] }]));

        let session = &challenge["session"];
        body["auth"] = json!({ "type": "m.login.dummy", "session": session });
        let account = server.post(&path, (), body.clone()).await.ok();
        assert_eq!(account["user_id"], format!("@{version}:localhost"));
        let token = text(&account["access_token"]);
        let me = server.get(WHOAMI, token).await.ok();
        assert_eq!(me["device_id"], account["device_id"]);

        let again = server.post(&path, (), body).await;
        again.error(400, "M_USER_IN_USE");
    }

    let auth = json!({ "type": "m.login.dummy" });
    for bad in ["", "Alice", "a b", "ä", &"a".repeat(250)] {
        let body = json!({ "auth": auth, "username": bad, "password": "secret" });
        let answer = server.post("/_matrix/client/v3/register", (), body).await;
        answer.error(400, "M_INVALID_USERNAME");
    }

    let body = json!({ "auth": auth, "password": "secret", "inhibit_login": true });
    let account = server.post("/_matrix/client/v3/register", (), body).await;
    let account = account.ok();
    assert_eq!(account.get("access_token"), None);
    assert!(text(&account["user_id"]).ends_with(":localhost"));
}

#[tokio::test]
async fn a_new_password_logs_the_other_devices_out() {
    let server = Homeserver::start().await;
    let path = "/_matrix/client/v3/account/password";
    let first = server.register("alice").await;
    let more = server
        .login("alice", &password_of("alice"), json!({}))
        .await;
    let second = text(&more.ok()["access_token"]).to_owned();

    let mut body = json!({ "new_password": "new", "logout_devices": false });
    let challenge = server.post(path, &first, body.clone()).await;
    assert_eq!(challenge.status, 401);
    assert_eq!(
        challenge.json()["flows"],
        json!([{ "stages": ["m.login.password"] }])
    );

    body["auth"] = json!({ "type": "m.login.password", "user": "alice", "password": "wrong" });
    let challenge = server.post(path, &first, body.clone()).await;
    let challenge = challenge.error(401, "M_FORBIDDEN");
    assert!(challenge["flows"].is_array(), "{challenge}");

    server.register("bob").await;
    body["auth"] = password_auth("bob");
    server
        .post(path, &first, body.clone())
        .await
        .error(403, "M_FORBIDDEN");

    body["auth"] = password_auth("alice");
    server.post(path, &first, body.clone()).await.ok();
    server.get(WHOAMI, &second).await.ok();
    server
        .login("alice", &password_of("alice"), json!({}))
        .await
        .error(403, "M_FORBIDDEN");
    server.login("alice", "new", json!({})).await.ok();

    body["auth"]["password"] = "new".into();
    body["new_password"] = password_of("alice").into();
    body["logout_devices"] = true.into();
    server.post(path, &first, body.clone()).await.ok();
    server.get(WHOAMI, &first).await.ok();
    server
        .get(WHOAMI, &second)
        .await
        .error(401, "M_UNKNOWN_TOKEN");

    // Without a token `auth` alone says whose password it is.
    body["auth"] = password_auth("alice");
    server.post(path, (), body).await.ok();
    server
        .get(WHOAMI, &first)
        .await
        .error(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn deactivation_sets_a_flag_and_deletes_the_tokens() {
    let server = Homeserver::start().await;
    let path = "/_matrix/client/v3/account/deactivate";
    let admin = server.login_admin().await;
    let alice = server.register("alice").await;
    let challenge = server.post(path, &alice, json!({})).await;
    assert_eq!(challenge.status, 401);
    let body = json!({ "auth": password_auth("alice") });
    server.post(path, &alice, body).await.ok();
    server
        .get(WHOAMI, &alice)
        .await
        .error(401, "M_UNKNOWN_TOKEN");
    let lock = "/_matrix/client/v1/admin/lock/@alice:localhost";
    server.get(lock, &admin).await.error(404, "M_NOT_FOUND");
    let database = rusqlite::Connection::open(&server.database).expect("the server's database");
    let deactivated: bool = database
        .query_row(
            "SELECT deactivated FROM accounts WHERE user_id = '@alice:localhost'",
            [],
            |row| row.get(0),
        )
        .expect("the account's row");
    assert!(deactivated);

    // And without a token.
    server.register("bob").await;
    let body = json!({ "auth": password_auth("bob") });
    server.post(path, (), body).await.ok();
    server
        .login("bob", &password_of("bob"), json!({}))
        .await
        .error(403, "M_USER_DEACTIVATED");
}

#[tokio::test]
async fn msc4323_an_administrator_sets_locks_and_suspensions() {
    let server = Homeserver::start().await;
    let admin = server.login_admin().await;
    let alice = server.register("alice").await;
    for (endpoint, key) in [("lock", "locked"), ("suspend", "suspended")] {
        let path = |user: &str| format!("/_matrix/client/v1/admin/{endpoint}/{user}");
        let theirs = path("%40alice%3Alocalhost");
        for state in [false, true, true, false] {
            let body = json!({ key: state });
            assert_eq!(server.put(&theirs, &admin, body.clone()).await.ok(), body);
            assert_eq!(server.get(&theirs, &admin).await.ok(), body);
        }
        // Others than administrators learn nothing of accounts, or of the body.
        for user in ["@alice:localhost", "@nobody:localhost", "@bob:example.org"] {
            server
                .get(&path(user), &alice)
                .await
                .error(403, "M_FORBIDDEN");
            server
                .put(&path(user), &alice, json!({}))
                .await
                .error(403, "M_FORBIDDEN");
        }
        server.get(&theirs, ()).await.error(401, "M_MISSING_TOKEN");

        let own = path("@admin:localhost");
        assert_eq!(server.get(&own, &admin).await.ok(), json!({ key: false }));
        let set = json!({ key: true });
        server
            .put(&own, &admin, set.clone())
            .await
            .error(403, "M_FORBIDDEN");
        let elsewhere = path("@alice:example.org");
        server
            .put(&elsewhere, &admin, set.clone())
            .await
            .error(400, "M_INVALID_PARAM");
        let nobodys = path("@nobody:localhost");
        server
            .put(&nobodys, &admin, set)
            .await
            .error(404, "M_NOT_FOUND");
        server
            .put(&theirs, &admin, json!({}))
            .await
            .error(400, "M_BAD_JSON");
    }

    // The reason and the end of a restriction are kept, and an unknown key is refused.
    let suspend = "/_matrix/client/v1/admin/suspend/@alice:localhost";
    let past = json!({
        "suspended": true, "org.example.reason": "Spam", "org.example.until_ts": 1000,
    });
    let answer = server.put(suspend, &admin, past).await;
    assert_eq!(answer.ok(), json!({ "suspended": false }));
    for (what, key) in [("lock", "locked"), ("suspend", "suspended")] {
        let path = format!("/_matrix/client/v1/admin/{what}/@alice:localhost");
        for more in ["reason", "until", "org.example.until", "suspended ", "x"] {
            let body = json!({ key: true, more: 1 });
            let answer = server.put(&path, &admin, body).await;
            answer.error(400, "M_INVALID_PARAM");
        }
        let both = json!({ "locked": true, "suspended": true });
        let answer = server.put(&path, &admin, both).await;
        answer.error(400, "M_INVALID_PARAM");
        let answer = server.get(&path, &admin).await;
        assert_eq!(answer.ok(), json!({ key: false }));
    }

    let lock = "/_matrix/client/v1/admin/lock/@alice:localhost";
    let past = json!({ "locked": true, "org.example.until_ts": 1000 });
    let answer = server.put(lock, &admin, past).await;
    assert_eq!(answer.ok(), json!({ "locked": false }));

    let path = "/_matrix/client/v3/capabilities";
    let capabilities = server.get(path, &admin).await.ok();
    let moderation = &capabilities["capabilities"]["m.account_moderation"];
    assert_eq!(*moderation, json!({ "lock": true, "suspend": true }));
    let capabilities = server.get(path, &alice).await.ok();
    assert_eq!(
        capabilities["capabilities"].get("m.account_moderation"),
        None
    );
}

#[tokio::test]
async fn a_profile_is_its_owners_to_change() {
    let server = Homeserver::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let path = "/_matrix/client/v3/profile/@alice:localhost/displayname";
    server.get(path, ()).await.error(404, "M_NOT_FOUND");
    let name = json!({ "displayname": "Alice" });
    server.put(path, &alice, name.clone()).await.ok();
    server
        .put(path, &bob, json!({ "displayname": "Bob" }))
        .await
        .error(403, "M_FORBIDDEN");
    server
        .put(path, &alice, json!({ "other": 1 }))
        .await
        .error(400, "M_MISSING_PARAM");
    server
        .put(path, &alice, json!({ "displayname": 1 }))
        .await
        .error(400, "M_INVALID_PARAM");
    assert_eq!(server.get(path, ()).await.ok(), name);
}

#[tokio::test]
async fn no_secret_stands_in_the_database() {
    let server = Homeserver::start().await;
    server.register("alice").await;
    let more = json!({ "refresh_token": true });
    let login = server
        .login("alice", &password_of("alice"), more)
        .await
        .ok();
    let directory = server.database.parent().expect("the database's directory");
    for file in std::fs::read_dir(directory).expect("the directory's files") {
        let path = file.expect("a file").path();
        let content = std::fs::read(&path).expect("a file's content");
        let contains = |secret: &str| {
            content
                .windows(secret.len())
                .any(|part| part == secret.as_bytes())
        };
        for secret in [
            text(&login["access_token"]),
            text(&login["refresh_token"]),
            &password_of("alice"),
            homeserver::ADMIN_PASSWORD,
        ] {
            assert!(!contains(secret), "{} has a secret in it", path.display());
        }
    }
}
