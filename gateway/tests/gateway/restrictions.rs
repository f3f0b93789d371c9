//! What locked, deactivated and suspended accounts may do, and whether the gateway or the homeserver refuses.

use hyper::{Method, Request};
use serde_json::json;
use tokio::time::{Instant, sleep};
use tower_account_status::{
    RestrictionKind, RestrictionRecord, RestrictionStore, UserId, store::SqliteStore,
};

use crate::{SYNC, UPLOAD, WHOAMI, World, assert_locked, homeserver, room_of, text};

#[tokio::test]
async fn rules_1_to_7_a_locked_account_may_log_out_and_nothing_else_and_is_itself_again_unlocked() {
    let world = World::new().await;
    let (gateway, alice) = (&world.gateway, &world.alice);
    let room = room_of(gateway, alice).await;
    let send = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/1");
    let message = json!({ "msgtype": "m.text", "body": "tea" });
    gateway.put(&send, alice, message.clone()).await.ok();
    world.lock().await;

    assert_locked(&gateway.get(WHOAMI, alice).await);
    assert_locked(&gateway.get(SYNC, alice).await);
    assert_locked(&gateway.put(&send, alice, message).await);
    assert_locked(&gateway.post("/anything", alice, json!({})).await);
    assert_locked(&gateway.get("/_matrix/client/versions", alice).await);
    let in_query = format!("{WHOAMI}?access%5Ftoken={alice}");
    assert_locked(&gateway.get(&in_query, ()).await);
    let head = gateway.request(Method::HEAD, WHOAMI, alice, "").await;
    assert_eq!((head.status.as_u16(), head.body.len()), (401, 0));
    let preflight = gateway.request(Method::OPTIONS, WHOAMI, alice, "").await;
    assert_eq!(preflight.status, 200);
    // The homeserver knows nothing of all this.
    world.homeserver.get(WHOAMI, alice).await.ok();

    world.unlock().await;
    let me = gateway.get(WHOAMI, alice).await.ok();
    assert_eq!(me["user_id"], "@alice:localhost");
    world.lock().await;
    for path in ["/_matrix/client/v3/logout", "/_matrix/client/r0/logout/all"] {
        let answer = gateway.post(path, alice, json!({})).await;
        // The second finds no session any more, as the homeserver says.
        assert_ne!(answer.json()["errcode"], "M_USER_LOCKED", "{path}");
    }
    let gone = world.homeserver.get(WHOAMI, alice).await;
    gone.error(401, "M_UNKNOWN_TOKEN");
    // An ended session is forgotten, so that the lock does not answer its token.
    let gone = gateway.get(WHOAMI, alice).await;
    gone.error(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn rule_10_a_login_of_a_locked_account_makes_no_device_however_it_is_named() {
    let world = World::new().await;
    world.lock().await;
    let password = homeserver::password_of("alice");
    for name in ["alice", "@alice:localhost", "ALICE", "@Alice:localhost"] {
        assert_locked(&world.gateway.login(name, &password, json!({})).await);
    }
    let old = json!({ "type": "m.login.password", "user": "alice", "password": password });
    let login = "/_matrix/client/v3/login";
    assert_locked(&world.gateway.post(login, (), old).await);
    // A stray token beside somebody else's login does not count.
    world.gateway.register("bob").await;
    let bob = homeserver::password_of("bob");
    world.gateway.login("bob", &bob, json!({})).await.ok();
    world.unlock().await;
    world
        .gateway
        .login("alice", &password, json!({}))
        .await
        .ok();
}

#[tokio::test]
async fn a_refresh_is_the_homeservers_and_the_new_token_is_refused() {
    let world = World::new().await;
    let password = homeserver::password_of("alice");
    let more = json!({ "refresh_token": true });
    let session = world.gateway.login("alice", &password, more).await.ok();
    world.lock().await;
    let body = json!({ "refresh_token": session["refresh_token"] });
    let refresh = "/_matrix/client/v3/refresh";
    let refreshed = world.gateway.post(refresh, (), body).await.ok();
    let token = text(&refreshed["access_token"]).to_owned();
    assert_locked(&world.gateway.get(WHOAMI, &token).await);
}

#[tokio::test]
async fn an_expired_token_is_its_accounts_for_as_long_as_its_owner_is_remembered() {
    let world = World::with(&["--token-lifetime", "2"]).await;
    let password = homeserver::password_of("alice");
    let more = json!({ "refresh_token": true });
    let login = async || {
        let session = world.gateway.login("alice", &password, more.clone()).await;
        text(&session.ok()["access_token"]).to_owned()
    };
    let unknown = login().await;
    let deadline = Instant::now() + homeserver::BOUND;
    // A machine may be so busy that a new token has expired before its owner is asked for.
    let known = loop {
        let known = login().await;
        if world.gateway.get(WHOAMI, &known).await.status == 200 {
            break known;
        }
        assert!(Instant::now() < deadline, "no new token is one");
    };
    for token in [&known, &unknown] {
        while world.homeserver.get(WHOAMI, token).await.status == 200 {
            assert!(Instant::now() < deadline, "the token does not expire");
            sleep(std::time::Duration::from_millis(50)).await;
        }
    }
    let expired = world.gateway.get(WHOAMI, &known).await;
    assert_eq!(expired.error(401, "M_UNKNOWN_TOKEN")["soft_logout"], true);
    world.lock().await;
    assert_locked(&world.gateway.get(WHOAMI, &known).await);
    // Only the homeserver knows whose the other token was, and it does not say.
    let expired = world.gateway.get(WHOAMI, &unknown).await;
    assert_eq!(expired.error(401, "M_UNKNOWN_TOKEN")["soft_logout"], true);
}

#[tokio::test]
async fn a_suspended_account_reads_and_logs_in_and_does_not_act() {
    let world = World::new().await;
    let (gateway, alice) = (&world.gateway, &world.alice);
    let room = room_of(gateway, alice).await;
    world.set("suspend", "suspended", true).await;

    gateway.get(WHOAMI, alice).await.ok();
    gateway.get(SYNC, alice).await.ok();
    let messages = format!("/_matrix/client/v3/rooms/{room}/messages?dir=b");
    gateway.get(&messages, alice).await.ok();
    let password = homeserver::password_of("alice");
    gateway.login("alice", &password, json!({})).await.ok();

    let send = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/1");
    let refused = [
        gateway.put(&send, alice, json!({ "body": "tea" })).await,
        gateway
            .post("/_matrix/client/v3/createRoom", alice, json!({}))
            .await,
        gateway
            .post(&format!("/_matrix/client/v3/join/{room}"), alice, json!({}))
            .await,
        gateway.request(Method::POST, UPLOAD, alice, "file").await,
    ];
    for answer in refused {
        let body = answer.error(403, "M_USER_SUSPENDED");
        assert!(body.get("soft_logout").is_none(), "{body}");
    }
    world.set("suspend", "suspended", false).await;
    let message = json!({ "msgtype": "m.text", "body": "tea" });
    gateway.put(&send, alice, message).await.ok();
}

#[tokio::test]
async fn a_deactivation_by_another_process_is_heard_of() {
    let world = World::new().await;
    let store = SqliteStore::open(&world.gateway.database).await;
    let store = store.expect("the gateway's database opens");
    let record = RestrictionRecord::new(RestrictionKind::Deactivated);
    let alice = UserId::from("@alice:localhost");
    store
        .set_restriction(&alice, record)
        .await
        .expect("it is stored");

    let deadline = Instant::now() + homeserver::BOUND;
    let mut answer = world.gateway.get(WHOAMI, &world.alice).await;
    while answer.status == 200 {
        assert!(Instant::now() < deadline, "it is never heard of");
        tokio::task::yield_now().await;
        answer = world.gateway.get(WHOAMI, &world.alice).await;
    }
    let body = answer.error(403, "M_USER_DEACTIVATED");
    assert!(body.get("soft_logout").is_none(), "{body}");
    let password = homeserver::password_of("alice");
    let login = world.gateway.login("alice", &password, json!({})).await;
    login.error(403, "M_USER_DEACTIVATED");
    // Nor can an administrator lock an account that is gone.
    let lock = "/_matrix/client/v1/admin/lock/@alice:localhost";
    let answer = world.gateway.get(lock, &world.admin).await;
    answer.error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn only_the_administrators_of_the_command_line_lock_and_only_others_of_this_server() {
    let world = World::new().await;
    let lock = |user: &str| format!("/_matrix/client/v1/admin/lock/{user}");
    let body = || json!({ "locked": true });
    let gateway = &world.gateway;
    for (token, user, status, errcode) in [
        (None, "@bob:localhost", 401, "M_MISSING_TOKEN"),
        (Some("made-up"), "@bob:localhost", 401, "M_UNKNOWN_TOKEN"),
        (Some(&*world.alice), "@bob:localhost", 403, "M_FORBIDDEN"),
        (Some(&*world.admin), "@admin:localhost", 403, "M_FORBIDDEN"),
        (
            Some(&*world.admin),
            "@bob:elsewhere",
            400,
            "M_INVALID_PARAM",
        ),
    ] {
        let answer = match token {
            Some(token) => gateway.put(&lock(user), token, body()).await,
            None => gateway.put(&lock(user), (), body()).await,
        };
        answer.error(status, errcode);
    }
    // A token that was revoked past the gateway gives nobody powers, whatever the cache knows.
    let logout = "/_matrix/client/v3/logout";
    world
        .homeserver
        .post(logout, &world.admin, json!({}))
        .await
        .ok();
    let answer = gateway
        .put(&lock("@alice:localhost"), &world.admin, body())
        .await;
    answer.error(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn the_homeservers_own_restrictions_pass_as_they_are() {
    let world = World::new().await;
    let set = async |what: &str, key: &str, is: bool| {
        let path = format!("/_matrix/client/v1/admin/{what}/@alice:localhost");
        let body = json!({ key: is });
        world.homeserver.put(&path, &world.admin, body).await.ok();
    };
    let bob = world.gateway.register("bob").await;
    set("lock", "locked", true).await;
    for (path, token) in [(WHOAMI, &world.alice), (SYNC, &world.alice)] {
        let direct = world.homeserver.get(path, token).await;
        let through = world.gateway.get(path, token).await;
        assert_locked(&through);
        assert_eq!(through.body, direct.body, "{path}");
    }
    world.gateway.get(WHOAMI, &bob).await.ok();
    set("lock", "locked", false).await;
    set("suspend", "suspended", true).await;
    world.gateway.get(SYNC, &world.alice).await.ok();
    let upload = world
        .gateway
        .request(Method::POST, UPLOAD, &world.alice, "file")
        .await;
    upload.error(403, "M_USER_SUSPENDED");
}

#[tokio::test]
async fn all_sessions_are_forgotten_with_a_logout_everywhere_and_a_new_password() {
    let world = World::new().await;
    let password = homeserver::password_of("alice");
    let log_in = async || {
        let session = world.gateway.login("alice", &password, json!({})).await;
        let token = text(&session.ok()["access_token"]).to_owned();
        world.gateway.get(WHOAMI, &token).await.ok();
        token
    };
    let (first, second) = (log_in().await, log_in().await);
    let all = "/_matrix/client/v3/logout/all";
    world.gateway.post(all, &first, json!({})).await.ok();
    let (third, fourth) = (log_in().await, log_in().await);
    let auth = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": "alice" },
        "password": password,
    });
    let change = json!({ "auth": auth, "new_password": "another" });
    let path = "/_matrix/client/v3/account/password";
    world.gateway.post(path, &third, change).await.ok();
    world.lock().await;
    // If a token were still remembered, the lock would answer it.
    for token in [&world.alice, &first, &second, &fourth] {
        let answer = world.gateway.get(WHOAMI, token).await;
        answer.error(401, "M_UNKNOWN_TOKEN");
    }
    assert_locked(&world.gateway.get(WHOAMI, &third).await);
}

#[tokio::test]
async fn a_form_is_refused_before_anyone_looks_for_a_token_in_it() {
    let world = World::new().await;
    for form in [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ] {
        let request = Request::post(format!("http://{}{SYNC}", world.gateway.address))
            .header("content-type", form)
            .body(format!("access_token={}", world.alice).into())
            .expect("a request");
        let answer = world.gateway.send(request).await;
        answer.error(415, "M_UNKNOWN");
        assert_eq!(answer.headers["access-control-allow-origin"], "*");
    }
}
