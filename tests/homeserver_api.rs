//! The example homeserver does what it says, without any restriction in force.

#[path = "support/homeserver.rs"]
mod homeserver;

use bytes::Bytes;
use homeserver::{Homeserver, password_of};
use hyper::{Method, header};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const WHOAMI: &str = "/_matrix/client/v3/account/whoami";
const REFRESH: &str = "/_matrix/client/v3/refresh";

fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("a string, not {value}"))
}

fn password_auth(user: &str) -> Value {
    json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": user },
        "password": password_of(user),
    })
}

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

    // The second is used: the first pair goes.
    server.get(WHOAMI, text(&tokens["access_token"])).await.ok();
    refresh(&login).await.error(401, "M_UNKNOWN_TOKEN");
    let old = server.get(WHOAMI, text(&login["access_token"])).await;
    old.error(401, "M_UNKNOWN_TOKEN");

    // To refresh is to use, too.
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
        .error(403, "M_FORBIDDEN");
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
        // Whoever is not an administrator hears nothing of accounts, or of the body.
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

async fn room_of(server: &Homeserver, token: &str) -> String {
    let body = json!({
        "visibility": "public", "room_alias_name": "tea", "name": "Tea party", "topic": "Tea",
    });
    let answer = server
        .post("/_matrix/client/v3/createRoom", token, body)
        .await;
    text(&answer.ok()["room_id"]).to_owned()
}

#[tokio::test]
async fn people_join_talk_take_back_and_leave() {
    let server = Homeserver::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let room = room_of(&server, &alice).await;
    let rooms = format!("/_matrix/client/v3/rooms/{room}");

    let directory = server.get("/_matrix/client/r0/publicRooms", ()).await.ok();
    let [listed] = &directory["chunk"].as_array().expect("a list")[..] else {
        panic!("one room, not {directory}");
    };
    assert_eq!(listed["room_id"], *room);
    assert_eq!(listed["name"], "Tea party");
    assert_eq!(listed["canonical_alias"], "#tea:localhost");
    assert_eq!(listed["num_joined_members"], 1);
    let search = json!({ "filter": { "generic_search_term": "coffee" } });
    let path = "/_matrix/client/v3/publicRooms";
    let found = server.post(path, &bob, search.clone()).await.ok();
    assert_eq!(found["chunk"], json!([]));
    server
        .post(path, (), search)
        .await
        .error(401, "M_MISSING_TOKEN");

    let message = json!({ "msgtype": "m.text", "body": "Hello" });
    let send = format!("{rooms}/send/m.room.message/1");
    server
        .put(&send, &bob, message.clone())
        .await
        .error(403, "M_FORBIDDEN");
    let joined = server
        .post(
            "/_matrix/client/v3/join/%23tea%3Alocalhost",
            &bob,
            json!({}),
        )
        .await;
    assert_eq!(joined.ok()["room_id"], *room);
    server
        .post(&format!("{rooms}/join"), &bob, json!({}))
        .await
        .ok();

    let sent = server.put(&send, &bob, message.clone()).await.ok();
    assert_eq!(
        server.put(&send, &bob, message.clone()).await.ok(),
        sent,
        "the same transaction"
    );
    let other = server.put(&send, &alice, message.clone()).await.ok();
    assert_ne!(other, sent, "another device's transaction");

    let newest = server
        .get(&format!("{rooms}/messages?dir=b&limit=2"), &alice)
        .await
        .ok();
    let ids: Vec<_> = newest["chunk"].as_array().expect("a list").iter().collect();
    assert_eq!(ids[0]["event_id"], other["event_id"]);
    assert_eq!(ids[1]["event_id"], sent["event_id"]);
    assert_eq!(ids[1]["content"], message);
    let end = text(&newest["end"]);
    let path = format!("{rooms}/messages?dir=f&limit=1&from={end}");
    let forth = server.get(&path, &alice).await.ok();
    assert_eq!(forth["chunk"][0]["event_id"], sent["event_id"]);
    let path = format!("{rooms}/messages?dir=b&limit=1&from={end}");
    let back = server.get(&path, &alice).await.ok();
    assert_eq!(back["chunk"][0]["type"], "m.room.member");
    assert_eq!(back["chunk"][0]["state_key"], "@bob:localhost");

    let redact = |event: &Value| format!("{rooms}/redact/{}/1", text(&event["event_id"]));
    let reason = json!({ "reason": "Wrong room" });
    server
        .put(&redact(&other), &bob, reason.clone())
        .await
        .error(403, "M_FORBIDDEN");
    server
        .put(&redact(&json!({ "event_id": "$none" })), &bob, json!({}))
        .await
        .error(404, "M_NOT_FOUND");
    server.put(&redact(&sent), &bob, reason.clone()).await.ok();
    let forth = server
        .get(
            &format!("{rooms}/messages?dir=f&limit=1&from={end}"),
            &alice,
        )
        .await
        .ok();
    let redacted = &forth["chunk"][0];
    assert_eq!(redacted["content"], json!({}));
    assert_eq!(redacted["unsigned"]["redacted_because"]["content"], reason);

    for _ in 0..2 {
        server
            .post(&format!("{rooms}/leave"), &bob, json!({}))
            .await
            .ok();
    }
    server
        .put(&format!("{rooms}/send/m.room.message/2"), &bob, message)
        .await
        .error(403, "M_FORBIDDEN");
    server
        .get(&format!("{rooms}/messages?dir=b"), &bob)
        .await
        .error(403, "M_FORBIDDEN");
    let nowhere = server
        .post("/_matrix/client/v3/join/!none:localhost", &bob, json!({}))
        .await;
    nowhere.error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn a_private_room_is_for_those_who_are_invited() {
    let server = Homeserver::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let carol = server.register("carol").await;
    let body = json!({ "invite": ["@bob:localhost"], "name": "Secret" });
    let room = server
        .post("/_matrix/client/v3/createRoom", &alice, body)
        .await
        .ok();
    let room = text(&room["room_id"]);
    let sync = server.get("/_matrix/client/v3/sync", &bob).await.ok();
    let state = &sync["rooms"]["invite"][room]["invite_state"]["events"];
    let has_name = |event: &Value| event["content"]["name"] == "Secret";
    assert!(
        state.as_array().expect("a list").iter().any(has_name),
        "{sync}"
    );
    let join = format!("/_matrix/client/v3/rooms/{room}/join");
    server
        .post(&join, &carol, json!({}))
        .await
        .error(403, "M_FORBIDDEN");
    server.post(&join, &bob, json!({})).await.ok();
    let directory = server.get("/_matrix/client/v3/publicRooms", ()).await.ok();
    assert_eq!(directory["chunk"], json!([]));
}

#[tokio::test]
async fn a_sync_waits_until_something_happens() {
    let server = Homeserver::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let room = room_of(&server, &alice).await;
    let first = server
        .get("/_matrix/client/v3/sync?timeout=30000", &alice)
        .await
        .ok();
    let timeline = &first["rooms"]["join"][&room]["timeline"]["events"];
    assert_eq!(timeline[0]["type"], "m.room.create");

    let since = text(&first["next_batch"]);
    let nothing = server
        .get(
            &format!("/_matrix/client/r0/sync?timeout=1&since={since}"),
            &alice,
        )
        .await;
    let nothing = nothing.ok();
    assert_eq!(
        nothing["rooms"],
        json!({ "join": {}, "invite": {}, "leave": {} })
    );

    let path = format!("/_matrix/client/v3/sync?timeout=60000&since={since}");
    let wait = async {
        let answer = server.get(&path, &alice).await;
        answer.ok()
    };
    let mut wait = std::pin::pin!(wait);
    let talk = async {
        // What others do elsewhere does not end it: the room is not theirs.
        let body = json!({ "name": "Elsewhere" });
        for _ in 0..5 {
            server
                .post("/_matrix/client/v3/createRoom", &bob, body.clone())
                .await
                .ok();
        }
    };
    tokio::select! {
        biased;
        early = &mut wait => panic!("ended without news: {early}"),
        () = talk => {}
    }
    server
        .post(
            "/_matrix/client/v3/join/%23tea%3Alocalhost",
            &bob,
            json!({}),
        )
        .await
        .ok();
    let news = wait.await;
    let events = &news["rooms"]["join"][&room]["timeline"]["events"];
    assert_eq!(events.as_array().map(Vec::len), Some(1), "{news}");
    assert_eq!(events[0]["state_key"], "@bob:localhost");

    let bad = server
        .get("/_matrix/client/v3/sync?since=yesterday", &alice)
        .await;
    bad.error(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn a_long_timeline_is_cut_and_the_rest_is_paged() {
    let server = Homeserver::start().await;
    let alice = server.register("alice").await;
    let room = room_of(&server, &alice).await;
    for txn in 0..30 {
        let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/{txn}");
        server.put(&path, &alice, json!({ "body": txn })).await.ok();
    }
    let sync = server.get("/_matrix/client/v3/sync", &alice).await.ok();
    let joined = &sync["rooms"]["join"][&room];
    assert_eq!(joined["timeline"]["limited"], true);
    let timeline = joined["timeline"]["events"].as_array().expect("a list");
    assert_eq!(timeline[0]["content"]["body"], 10);
    let state = joined["state"]["events"].as_array().expect("a list");
    assert!(
        state.iter().any(|event| event["type"] == "m.room.create"),
        "{joined}"
    );
    let from = text(&joined["timeline"]["prev_batch"]);
    let path = format!("/_matrix/client/v3/rooms/{room}/messages?dir=b&limit=3&from={from}");
    let before = server.get(&path, &alice).await.ok();
    assert_eq!(before["chunk"][0]["content"]["body"], 9);
    assert_eq!(before["chunk"].as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn a_file_comes_back_as_it_was_and_a_long_one_is_refused_on_its_head() {
    let server = Homeserver::start().await;
    let alice = server.register("alice").await;
    let content = Bytes::from_iter((0..=255_u8).cycle().take(300_000));
    for version in ["v3", "r0"] {
        let path = format!("/_matrix/media/{version}/upload?filename=a%20b.bin");
        server
            .request(Method::POST, &path, (), content.clone())
            .await
            .error(401, "M_MISSING_TOKEN");
        let uploaded = server
            .request(Method::POST, &path, &alice, content.clone())
            .await
            .ok();
        let file = text(&uploaded["content_uri"])
            .strip_prefix("mxc://")
            .expect("a URI");

        let legacy = format!("/_matrix/media/{version}/download/{file}");
        let got = server.get(&legacy, ()).await;
        assert_eq!(got.status, 200);
        assert!(got.body == content, "{} bytes", got.body.len());
        let got = server
            .get(
                &format!("/_matrix/client/v1/media/download/{file}/c.bin"),
                &alice,
            )
            .await;
        assert!(got.body == content, "{} bytes", got.body.len());
        assert_eq!(
            got.headers[header::CONTENT_DISPOSITION],
            "attachment; filename*=utf-8''c%2Ebin"
        );
        assert_eq!(
            got.headers[header::CONTENT_TYPE],
            "application/octet-stream"
        );
        let authenticated = format!("/_matrix/client/v1/media/download/{file}");
        server
            .get(&authenticated, ())
            .await
            .error(401, "M_MISSING_TOKEN");
    }
    let elsewhere = "/_matrix/client/v1/media/download/example.org/file";
    server
        .get(elsewhere, &alice)
        .await
        .error(404, "M_NOT_FOUND");

    let mut connection = TcpStream::connect(&server.address)
        .await
        .expect("a connection");
    let head = format!(
        "POST /_matrix/media/v3/upload HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         authorization: Bearer {alice}\r\ncontent-length: 20971521\r\n\r\n"
    );
    connection
        .write_all(head.as_bytes())
        .await
        .expect("the head is sent");
    let mut answer = String::new();
    timeout(homeserver::BOUND, connection.read_to_string(&mut answer))
        .await
        .expect("an answer without a body sent")
        .expect("a whole answer");
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("M_TOO_LARGE"), "{answer}");
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
async fn what_goes_wrong_is_said_in_matrix_errors() {
    let server = Homeserver::start().await;
    let alice = server.register("alice").await;
    for path in [
        "/",
        "/_matrix/client/v3/none",
        "/_matrix/client/r0/refresh",
        "/_matrix/x",
    ] {
        let answer = server.get(path, ()).await;
        answer.error(404, "M_UNRECOGNIZED");
        assert_eq!(answer.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    }
    for path in [
        REFRESH,
        "/_matrix/client/v3/logout",
        "/_matrix/client/v3/createRoom",
    ] {
        server.get(path, ()).await.error(405, "M_UNRECOGNIZED");
    }
    let profile = "/_matrix/client/v3/profile/%FF/displayname";
    server.get(profile, ()).await.error(400, "M_INVALID_PARAM");
    for (body, errcode) in [
        ("{", "M_NOT_JSON"),
        ("[]", "M_BAD_JSON"),
        ("", "M_BAD_JSON"),
    ] {
        server
            .request(Method::POST, REFRESH, (), body)
            .await
            .error(400, errcode);
    }
    // Were an array an object, or one of two names of an account passed over, a layer that reads
    // the body for the account's name could read another one than the handler does.
    let names = r#""type": "m.login.password", "password": "x""#;
    let login = "/_matrix/client/v3/login";
    for (path, body) in [
        (REFRESH, r#"["token"]"#.to_owned()),
        (
            login,
            format!(r#"{{ {names}, "identifier": ["m.id.user", "alice"] }}"#),
        ),
        (
            login,
            format!(r#"{{ {names}, "user": "bob", "user": "alice" }}"#),
        ),
    ] {
        let answer = server.request(Method::POST, path, (), body).await;
        answer.error(400, "M_BAD_JSON");
    }
    let long = json!({ "refresh_token": "x".repeat(70_000) });
    server
        .post(REFRESH, (), long)
        .await
        .error(413, "M_TOO_LARGE");

    let preflight = server.request(Method::OPTIONS, WHOAMI, &alice, "").await;
    assert_eq!(preflight.status, 200);
    let methods = &preflight.headers[header::ACCESS_CONTROL_ALLOW_METHODS];
    assert_eq!(methods, "GET,POST,PUT,DELETE,OPTIONS");
}

#[tokio::test]
async fn the_server_says_what_it_is() {
    let server = Homeserver::start().await;
    let versions = server.get("/_matrix/client/versions", ()).await.ok();
    assert!(versions["versions"].is_array(), "{versions}");
    let well_known = server.get("/.well-known/matrix/client", ()).await.ok();
    let base = format!("http://{}", server.address);
    assert_eq!(well_known, json!({ "m.homeserver": { "base_url": base } }));
    let version = server.get("/_matrix/federation/v1/version", ()).await.ok();
    assert_eq!(version["server"]["version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn everything_survives_a_kill() {
    let server = Homeserver::start().await;
    let admin = server.login_admin().await;
    let alice = server.register("alice").await;
    let room = room_of(&server, &alice).await;
    let lock = "/_matrix/client/v1/admin/lock/@alice:localhost";
    server
        .put(lock, &admin, json!({ "locked": true }))
        .await
        .ok();

    let server = server.kill_and_restart().await;
    assert_eq!(
        server.get(lock, &admin).await.ok(),
        json!({ "locked": true })
    );
    server
        .put(lock, &admin, json!({ "locked": false }))
        .await
        .ok();
    let me = server.get(WHOAMI, &alice).await.ok();
    assert_eq!(me["user_id"], "@alice:localhost");
    let sync = server.get("/_matrix/client/v3/sync", &alice).await.ok();
    assert!(sync["rooms"]["join"].get(&room).is_some(), "{sync}");
    server.login_admin().await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_server_that_is_told_to_stop_ends_its_waiting_syncs_and_stops() {
    let mut server = Homeserver::start().await;
    let alice = server.register("alice").await;
    let first = server.get("/_matrix/client/v3/sync", &alice).await.ok();
    let since = text(&first["next_batch"]);
    let mut sync = TcpStream::connect(&server.address)
        .await
        .expect("a connection");
    let head = format!(
        "GET /_matrix/client/v3/sync?timeout=60000&since={since} HTTP/1.1\r\nhost: localhost\r\n\
         authorization: Bearer {alice}\r\n\r\n"
    );
    sync.write_all(head.as_bytes())
        .await
        .expect("the head is sent");
    // The server has read the first request by the time that it has answered later ones.
    for _ in 0..5 {
        server.get(WHOAMI, &alice).await.ok();
    }
    let status = server.terminate().await;
    assert!(status.success(), "{status}");
    let mut answer = String::new();
    sync.read_to_string(&mut answer)
        .await
        .expect("a whole answer");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains(since), "{answer}");
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
