//! Logging in, refreshing tokens, logging out.

use hyper::Method;
use serde_json::{Value, json};

use crate::{
    REFRESH, WHOAMI,
    homeserver::{Homeserver, password_of},
    text,
};

#[tokio::test]
async fn login_takes_every_way_of_naming_an_account() {
    let server = Homeserver::start().await;
    server.register("alice").await;
    let database = rusqlite::Connection::open(&server.database).expect("the server's database");
    for (medium, address) in [("email", "alice@example.org"), ("msisdn", "4930123456")] {
        database
            .execute(
                "INSERT INTO third_party_ids VALUES (?, ?, '@alice:localhost')",
                [medium, address],
            )
            .expect("a third-party id is added");
    }

    let password = password_of("alice");
    for named in [
        json!({ "identifier": { "type": "m.id.user", "user": "alice" } }),
        json!({ "identifier": { "type": "m.id.user", "user": "@alice:localhost" } }),
        json!({ "user": "alice" }),
        json!({ "identifier": {
            "type": "m.id.thirdparty", "medium": "email", "address": "alice@example.org",
        } }),
        json!({ "identifier": { "medium": "email", "address": "alice@example.org" } }),
        json!({ "medium": "email", "address": "alice@example.org" }),
        json!({ "identifier": {
            "type": "m.id.phone", "country": "DE", "phone": "+49 30 123456",
        } }),
    ] {
        let mut body = named.clone();
        body["type"] = "m.login.password".into();
        body["password"] = password.as_str().into();
        for version in ["r0", "v3"] {
            let path = format!("/_matrix/client/{version}/login");
            let answer = server.post(&path, (), body.clone()).await;
            assert_eq!(answer.ok()["user_id"], "@alice:localhost", "{named}");
        }
        body["password"] = "another".into();
        let answer = server.post("/_matrix/client/v3/login", (), body).await;
        answer.error(403, "M_FORBIDDEN");
    }

    for stranger in ["bob", "@alice:example.org", "alice:localhost", ""] {
        let answer = server.login(stranger, &password, json!({})).await;
        answer.error(403, "M_FORBIDDEN");
    }
    let unknown = json!({ "type": "m.login.unknown" });
    let answer = server.login("alice", &password, unknown).await;
    answer.error(400, "M_UNKNOWN");
    let flows = server.get("/_matrix/client/v3/login", ()).await.ok();
    assert_eq!(flows, json!({ "flows": [{ "type": "m.login.password" }] }));
}

#[tokio::test]
async fn a_login_with_a_known_device_replaces_that_devices_tokens() {
    let server = Homeserver::start().await;
    let other = server.register("alice").await;
    let device = json!({ "device_id": "PHONE", "refresh_token": true });
    let password = password_of("alice");
    let first = server.login("alice", &password, device.clone()).await.ok();
    let second = server.login("alice", &password, device).await.ok();

    let old = server.get(WHOAMI, text(&first["access_token"])).await;
    assert_eq!(old.error(401, "M_UNKNOWN_TOKEN")["soft_logout"], false);
    let body = json!({ "refresh_token": first["refresh_token"] });
    let old = server.post(REFRESH, (), body).await;
    old.error(401, "M_UNKNOWN_TOKEN");

    let me = server.get(WHOAMI, text(&second["access_token"])).await;
    assert_eq!(me.ok()["device_id"], "PHONE");
    server.get(WHOAMI, &other).await.ok();
}

#[tokio::test]
async fn a_refresh_token_is_good_until_what_it_brought_is_used() {
    let server = Homeserver::start().await;
    server.register("alice").await;
    let more = json!({ "refresh_token": true });
    let login = server.login("alice", &password_of("alice"), more).await;
    let login = login.ok();
    assert_eq!(login["expires_in_ms"], 300_000);
    let refresh = async |tokens: &Value| {
        let body = json!({ "refresh_token": tokens["refresh_token"] });
        server.post(REFRESH, (), body).await
    };

    // The first answer is lost; the client asks again, and what was lost is void.
    let lost = refresh(&login).await.ok();
    let tokens = refresh(&login).await.ok();
    let void = server.get(WHOAMI, text(&lost["access_token"])).await;
    void.error(401, "M_UNKNOWN_TOKEN");
    refresh(&lost).await.error(401, "M_UNKNOWN_TOKEN");
    server.get(WHOAMI, text(&login["access_token"])).await.ok();

    // The second is used, so the first pair is deleted.
    server.get(WHOAMI, text(&tokens["access_token"])).await.ok();
    refresh(&login).await.error(401, "M_UNKNOWN_TOKEN");
    let old = server.get(WHOAMI, text(&login["access_token"])).await;
    old.error(401, "M_UNKNOWN_TOKEN");

    // A refresh is a use, too.
    let third = refresh(&tokens).await.ok();
    let fourth = refresh(&third).await.ok();
    refresh(&tokens).await.error(401, "M_UNKNOWN_TOKEN");
    server.get(WHOAMI, text(&fourth["access_token"])).await.ok();
}

#[tokio::test]
async fn an_expired_token_is_answered_with_soft_logout_and_stays_known() {
    let server = Homeserver::start_with(&["--token-lifetime", "0"]).await;
    server.register("alice").await;
    let more = json!({ "refresh_token": true });
    let login = server.login("alice", &password_of("alice"), more).await;
    let login = login.ok();
    for _ in 0..2 {
        let answer = server.get(WHOAMI, text(&login["access_token"])).await;
        assert_eq!(answer.error(401, "M_UNKNOWN_TOKEN")["soft_logout"], true);
    }
    let body = json!({ "refresh_token": login["refresh_token"] });
    server.post(REFRESH, (), body).await.ok();
}

#[tokio::test]
async fn a_token_may_stand_in_the_header_or_in_the_query() {
    let server = Homeserver::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let in_query = format!("{WHOAMI}?access_token={alice}");
    let me = server.get(&in_query, ()).await.ok();
    assert_eq!(me["user_id"], "@alice:localhost");
    let me = server.get(&in_query, &bob).await.ok();
    assert_eq!(me["user_id"], "@bob:localhost");
    server.get(WHOAMI, ()).await.error(401, "M_MISSING_TOKEN");
    let unknown = server.get(WHOAMI, "unknown").await;
    assert_eq!(unknown.error(401, "M_UNKNOWN_TOKEN")["soft_logout"], false);

    server
        .post("/_matrix/client/r0/logout", &alice, json!({}))
        .await
        .ok();
    server
        .get(WHOAMI, &alice)
        .await
        .error(401, "M_UNKNOWN_TOKEN");
    let more = server
        .login("bob", &password_of("bob"), json!({}))
        .await
        .ok();
    let path = "/_matrix/client/v3/logout/all";
    server.request(Method::POST, path, &bob, "").await.ok();
    for token in [bob.as_str(), text(&more["access_token"])] {
        server
            .get(WHOAMI, token)
            .await
            .error(401, "M_UNKNOWN_TOKEN");
    }
}
