//! The accounts that the bodies of login, refresh, password and deactivate name (rule 10).

mod support;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::Method;
use serde_json::json;
use support::{
    ALICE, Answer, BOB, BOBS_TOKEN, Handler, LOGIN, TOKEN, anonymous, ask, bear, call, layer,
    locked, passed,
    scripted::{Script, ScriptedStore},
    store_with, verdict,
};
use tower::Layer;
use tower_account_status::{
    AccountGuard, AccountStatusLayer, MemoryStore, Restriction, RestrictionKind,
};

const REFRESH: &str = "/_matrix/client/v3/refresh";
const PASSWORD: &str = "/_matrix/client/v3/account/password";
const DEACTIVATE: &str = "/_matrix/client/v3/account/deactivate";

/// Alice is locked, and can be named in every way that there is.
fn names() -> Arc<MemoryStore> {
    let store = store_with(RestrictionKind::Locked);
    store.insert_refresh_token("alices_refresh", ALICE);
    store.insert_refresh_token("bobs_refresh", BOB);
    store.insert_login_token("alices_login", ALICE);
    store.insert_login_token("bobs_login", BOB);
    store.insert_third_party_id("email", "alice@example.org", ALICE);
    store.insert_third_party_id("msisdn", "447700900000", ALICE);
    store
}

async fn post(path: &str, body: &str) -> Answer {
    ask(
        &layer(&names()),
        anonymous(Method::POST, path, body.to_owned()),
    )
    .await
}

fn login_of(user: &str) -> String {
    let identifier = json!({ "type": "m.id.user", "user": user });
    json!({ "type": "m.login.password", "identifier": identifier, "password": "p" }).to_string()
}

fn auth_of(user: &str) -> String {
    let identifier = json!({ "type": "m.id.user", "user": user });
    let auth = json!({ "type": "m.login.password", "identifier": identifier, "session": "s" });
    json!({ "new_password": "n", "auth": auth }).to_string()
}

#[tokio::test]
async fn rule_10_a_login_is_refused_however_it_names_a_locked_account() {
    for body in [
        r#"{"identifier":{"type":"m.id.user","user":"@alice:localhost"}}"#,
        r#"{"identifier":{"type":"m.id.user","user":"alice"}}"#,
        r#"{"identifier":{"user":"alice"}}"#,
        r#"{"identifier":{"type":"org.example.new","user":"alice"}}"#,
        r#"{"type":"m.login.password","user":"alice","password":"p"}"#,
        r#"{"identifier":{"type":"m.id.thirdparty","medium":"email","address":"alice@example.org"}}"#,
        r#"{"medium":"email","address":"alice@example.org"}"#,
        r#"{"identifier":{"type":"m.id.phone","country":"GB","phone":"+447700900000"}}"#,
        r#"{"identifier":{"type":"m.id.phone","country":"GB","number":"447700900000"}}"#,
        r#"{"type":"m.login.token","token":"alices_login"}"#,
        r#"{"type":"org.example.login","token":"alices_login"}"#,
        r#"{"token":"alices_login"}"#,
        r#"{"type":"m.login.application_service","identifier":{"user":"alice"}}"#,
        // Whichever a parser takes of a repeated key:
        r#"{"user":"bob","user":"alice"}"#,
        r#"{"user":"alice","user":"bob"}"#,
        r#"{"identifier":{"user":"alice"},"identifier":{"user":"bob"}}"#,
        r#"{"identifier":{"user":"bob","user":"alice"}}"#,
        r#"{"identifier":{"user":"bob"},"user":"alice"}"#,
        r#"{"type":"m.login.token","token":"alices_login","user":"bob"}"#,
        r#"{"\u0075ser":"\u0061lice"}"#,
        "  {\"user\" :\n\"alice\"}  ",
    ] {
        assert_eq!(post(LOGIN, body).await.verdict(), locked(), "{body}");
    }
}

#[tokio::test]
async fn rule_10_a_login_that_names_no_locked_account_passes() {
    for body in [
        "",
        "{}",
        r#"{"identifier":{"type":"m.id.user","user":"bob"},"password":"alice"}"#,
        r#"{"user":"unheard-of","initial_device_display_name":"alice"}"#,
        r#"{"type":"m.login.token","token":"bobs_login"}"#,
        r#"{"type":"m.login.token","token":"alices_refresh"}"#,
        r#"{"identifier":null,"user":null,"token":null}"#,
        r#"{"refresh_token":"alices_refresh"}"#,
        r#"{"other":{"user":"alice"}}"#,
    ] {
        assert_eq!(post(LOGIN, body).await.verdict(), passed(), "{body}");
    }
}

#[tokio::test]
async fn rule_10_the_owner_of_a_refresh_token() {
    for (body, expected) in [
        (r#"{"refresh_token":"alices_refresh"}"#, locked()),
        (
            r#"{"refresh_token":"x","refresh_token":"alices_refresh"}"#,
            locked(),
        ),
        (r#"{"refresh_token":"bobs_refresh"}"#, passed()),
        (r#"{"refresh_token":"nobodys"}"#, passed()),
        (r#"{"user":"alice"}"#, passed()),
        ("", passed()),
    ] {
        assert_eq!(post(REFRESH, body).await.verdict(), expected, "{body}");
    }
}

#[tokio::test]
async fn rule_10_the_account_in_auth_counts_where_no_token_is_anyones() {
    let layer = layer(&names());
    for path in [PASSWORD, DEACTIVATE, "/_matrix/client/r0/account/password"] {
        for (token, user, expected) in [
            (None, ALICE, locked()),
            (None, "alice", locked()),
            (None, BOB, passed()),
            (Some("nobodys"), ALICE, locked()),
            (Some("nobodys"), BOB, passed()),
            // The token says whose the request is.
            (Some(BOBS_TOKEN), ALICE, passed()),
            (Some(TOKEN), BOB, locked()),
        ] {
            let mut request = anonymous(Method::POST, path, auth_of(user));
            if let Some(token) = token {
                bear(&mut request, token);
            }
            let verdict = ask(&layer, request).await.verdict();
            assert_eq!(verdict, expected, "{path} {token:?} {user}");
        }
        let other = anonymous(Method::POST, path, r#"{"user":"alice"}"#);
        assert_eq!(
            ask(&layer, other).await.verdict(),
            passed(),
            "not in `auth`"
        );
    }
}

#[tokio::test]
async fn rule_10_every_prefix_and_spelling_of_the_endpoints_is_looked_at() {
    let (login, refresh) = (login_of(ALICE), r#"{"refresh_token":"alices_refresh"}"#);
    for prefix in [
        "/_matrix/client/v3",
        "/_matrix/client/r0",
        "/_matrix/client/v1",
        "/_matrix/client/v99",
        "/_matrix/client/api/v1",
        "/_matrix/client/unstable",
        "/_matrix/client/unstable/org.example",
        "/homeserver/_matrix/client/v3",
        "/v3",
        "/client/v3",
        // What a nested router has left, perhaps.
        "/foo",
        "",
        "/_matrix/client/v3/",
        "/_matrix//client/v3",
        "/_matrix/client/v3/x/..",
        "/_matrix%2Fclient/v3",
    ] {
        for (end, body) in [
            ("/login", &*login),
            ("/refresh", refresh),
            ("/account/password", &auth_of(ALICE)),
            ("/account/deactivate", &auth_of(ALICE)),
            ("/%6cogin", &login),
            ("/login/", &login),
            ("/Login", &login),
        ] {
            let path = format!("{prefix}{end}");
            // It may be a login, which has no `auth`.
            let expected = match prefix.ends_with("..") && body.contains("auth") {
                true => verdict(400, "M_BAD_JSON"),
                false => locked(),
            };
            assert_eq!(post(&path, body).await.verdict(), expected, "{path}");
        }
    }
    // A server may decode these, or cut them, after the layer has looked.
    for path in [
        "/_matrix/client/v3/login%3Fx=1",
        "/_matrix/client/v3/login%23",
        "/_matrix/client/v3/login%00.png",
        "/_matrix/client/v3/login%20",
        "/_matrix/client/v3/login/%23x",
        "/_matrix/client/v3%c0%aflogin",
        "/_matrix/client/v3%u002flogin",
        "/_matrix/client/%c0%ae%c0%ae/v3/login",
    ] {
        assert_eq!(post(path, &login).await.verdict(), locked(), "{path}");
    }
    for path in [
        "/_matrix/client/v3/logins",
        "/_matrix/client/v3/login/get_token",
        "/oauth2/v/login",
    ] {
        assert_eq!(post(path, &login).await.verdict(), passed(), "{path}");
    }
}

#[tokio::test]
async fn rule_6_a_stray_token_does_not_count_on_the_exact_paths_and_does_on_odd_ones() {
    let layer = layer(&names());
    for (path, body, expected) in [
        (LOGIN, login_of(BOB), passed()),
        ("/_matrix/client/r0/login", login_of(BOB), passed()),
        (
            REFRESH,
            r#"{"refresh_token":"bobs_refresh"}"#.to_owned(),
            passed(),
        ),
        ("/_matrix/client/v3/login/", login_of(BOB), locked()),
        ("/_matrix/client/v3/%6cogin", login_of(BOB), locked()),
        ("/_matrix/client/v3//login", login_of(BOB), locked()),
        ("/login", login_of(BOB), locked()),
    ] {
        let mut request = anonymous(Method::POST, path, body);
        bear(&mut request, TOKEN);
        assert_eq!(ask(&layer, request).await.verdict(), expected, "{path}");
    }
}

#[tokio::test]
async fn rule_10_before_the_handler_means_that_the_handler_never_hears_of_it() {
    let handler = Handler::default();
    let service = layer(&names()).layer(handler.clone());
    call(
        service.clone(),
        anonymous(Method::POST, LOGIN, login_of(ALICE)),
    )
    .await;
    assert!(handler.seen().is_empty());
    call(service, anonymous(Method::POST, LOGIN, login_of(BOB))).await;
    let seen = handler.only().request;
    assert!(seen.extensions().get::<AccountGuard>().is_none());
}

#[tokio::test]
async fn rule_2_a_refusal_before_the_proof_tells_no_details() {
    let restriction = Restriction::new(RestrictionKind::Locked)
        .with_reason("Spam in #cats")
        .with_until(SystemTime::now() + Duration::from_secs(3600));
    let store = store_with(restriction);
    store.insert_refresh_token("alices_refresh", ALICE);
    for (path, body) in [
        (LOGIN, login_of(ALICE)),
        (REFRESH, r#"{"refresh_token":"alices_refresh"}"#.to_owned()),
        (PASSWORD, auth_of(ALICE)),
    ] {
        let answer = ask(&layer(&store), anonymous(Method::POST, path, body)).await;
        assert_eq!(answer.verdict(), locked(), "{path}");
        assert_eq!(
            answer.json()["error"],
            "This account has been locked",
            "{path}"
        );
        assert_eq!(answer.header("retry-after"), None, "{path}");
    }
}

#[tokio::test]
async fn rule_10_suspended_accounts_log_in_and_refresh() {
    let store = store_with(RestrictionKind::Suspended);
    store.insert_refresh_token("alices_refresh", ALICE);
    let layer = layer(&store);
    let login = anonymous(Method::POST, LOGIN, login_of(ALICE));
    assert_eq!(ask(&layer, login).await.verdict(), passed());
    let refresh = anonymous(
        Method::POST,
        REFRESH,
        r#"{"refresh_token":"alices_refresh"}"#,
    );
    assert_eq!(ask(&layer, refresh).await.verdict(), passed());
}

#[tokio::test]
async fn rule_10_an_awaited_store_is_asked_too() {
    let memory = MemoryStore::new().with_server_name("localhost");
    memory.restrict(ALICE, RestrictionKind::Deactivated);
    let store = ScriptedStore::new(memory).with(|store| store.state = Script::Pending(2));
    let layer = AccountStatusLayer::new(store);
    let alice = anonymous(Method::POST, LOGIN, login_of(ALICE));
    assert_eq!(
        ask(&layer, alice).await.verdict(),
        verdict(403, "M_USER_DEACTIVATED")
    );
    let bob = anonymous(Method::POST, LOGIN, login_of(BOB));
    assert_eq!(ask(&layer, bob).await.verdict(), passed());
}

/// Nobody's name, address or token is empty.
#[tokio::test]
async fn rule_10_an_empty_name_or_token_asks_the_store_for_nothing() {
    let memory = MemoryStore::new().with_server_name("localhost");
    memory.insert_access_token("", ALICE);
    memory.insert_refresh_token("", ALICE);
    memory.insert_login_token("", ALICE);
    memory.insert_third_party_id("email", "", ALICE);
    memory.restrict(ALICE, RestrictionKind::Locked);
    let store = ScriptedStore::new(memory).with(|store| {
        (store.peek, store.glance) = (Script::Answer, Script::Answer);
    });
    let store = Arc::new(store);
    let layer = layer(&store);
    for (path, body) in [
        (LOGIN, json!({ "user": "" })),
        (LOGIN, json!({ "identifier": { "user": "" } })),
        (LOGIN, json!({ "type": "m.login.token", "token": "" })),
        (LOGIN, json!({ "token": "" })),
        (LOGIN, json!({ "medium": "email", "address": "" })),
        (
            LOGIN,
            json!({ "identifier": { "medium": "", "address": "" } }),
        ),
        (
            LOGIN,
            json!({ "identifier": { "country": "GB", "phone": "" } }),
        ),
        (
            LOGIN,
            json!({ "identifier": { "country": "", "number": "" } }),
        ),
        (REFRESH, json!({ "refresh_token": "" })),
        (
            "/_matrix/client/v3/register",
            json!({ "guest_access_token": "" }),
        ),
        (DEACTIVATE, json!({ "auth": { "user": "" } })),
        (
            PASSWORD,
            json!({ "auth": { "identifier": { "user": "" } } }),
        ),
        (PASSWORD, json!({ "auth": { "token": "" } })),
        (
            "/_matrix/client/v3/x/../login",
            json!({ "user": "", "refresh_token": "", "guest_access_token": "" }),
        ),
    ] {
        let answer = ask(&layer, anonymous(Method::POST, path, body.to_string())).await;
        assert_eq!(answer.verdict(), passed(), "{path} {body}");
        assert_eq!(store.asked(), 0, "{path} {body}");
    }
    // Beside one that is not, it hides nothing.
    let body = r#"{"user":"","user":"alice","token":""}"#;
    let answer = ask(&layer, anonymous(Method::POST, LOGIN, body)).await;
    assert_eq!(answer.verdict(), locked());
}
