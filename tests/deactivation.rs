//! What a deactivated account is answered (rule 1;
//! <https://github.com/matrix-org/matrix-spec-proposals/pull/2181>).

mod support;

use http::Method;
use support::{
    ALICE, LOGOUT, SYNC, TOKEN, alices, anonymous, ask, layer, passed, store, store_with, verdict,
};
use tower_account_status::{DenialCause, Restriction, RestrictionKind};

const DEACTIVATED_BODY: &str =
    r#"{"errcode":"M_USER_DEACTIVATED","error":"This account has been deactivated"}"#;

#[tokio::test]
async fn rule_1_403_without_soft_logout() {
    let layer = layer(&store_with(RestrictionKind::Deactivated));
    let answer = ask(&layer, alices(Method::GET, SYNC)).await;
    assert_eq!(answer.status, 403);
    assert_eq!(answer.text(), DEACTIVATED_BODY);
    let length = DEACTIVATED_BODY.len().to_string();
    assert_eq!(answer.header("content-length"), Some(length.as_str()));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.headers().len(), 6);
    let denial = answer.denial.expect("the typed reason");
    let cause = DenialCause::Restricted(RestrictionKind::Deactivated);
    assert_eq!(denial.cause(), cause);
}

#[tokio::test]
async fn rule_2_a_reason_adds_no_key() {
    let restriction = Restriction::new(RestrictionKind::Deactivated).with_reason("On request");
    let answer = ask(&layer(&store_with(restriction)), alices(Method::GET, SYNC)).await;
    assert_eq!(
        answer.json(),
        serde_json::json!({ "errcode": "M_USER_DEACTIVATED", "error": "On request" })
    );
}

#[tokio::test]
async fn rule_5_the_allow_list_serves_deactivated_accounts_too() {
    let layer = layer(&store_with(RestrictionKind::Deactivated));
    for path in [LOGOUT, "/_matrix/client/r0/logout/all"] {
        let answer = ask(&layer, alices(Method::POST, path)).await;
        assert_eq!(answer.verdict(), passed(), "{path}");
    }
    for (method, path) in [
        (Method::GET, LOGOUT),
        (Method::GET, "/_matrix/client/v3/account/whoami"),
        (
            Method::PUT,
            "/_matrix/client/v3/rooms/!a:b/send/m.room.message/1",
        ),
        (Method::POST, "/_matrix/client/v3/account/deactivate"),
        (Method::GET, "/_matrix/media/v3/config"),
        (Method::GET, "/_synapse/admin/v1/rooms"),
    ] {
        let answer = ask(&layer, alices(method.clone(), path)).await;
        let expected = verdict(403, "M_USER_DEACTIVATED");
        assert_eq!(answer.verdict(), expected, "{method} {path}");
    }
}

#[tokio::test]
async fn rule_9_the_layer_stands_behind_deleted_tokens_not_instead_of_them() {
    // The moment in which the account is deactivated and the token still there …
    let store = store_with(RestrictionKind::Deactivated);
    let layer = layer(&store);
    let answer = ask(&layer, alices(Method::GET, SYNC)).await;
    assert_eq!(answer.verdict(), verdict(403, "M_USER_DEACTIVATED"));
    // … and after it the inner service answers about an unknown token.
    assert!(store.remove_access_token(TOKEN));
    let answer = ask(&layer, alices(Method::GET, SYNC)).await;
    assert_eq!(answer.verdict(), passed());
}

#[tokio::test]
async fn rule_10_a_deactivated_account_does_not_log_in() {
    let layer = layer(&store_with(RestrictionKind::Deactivated));
    for (user, expected) in [
        (ALICE, verdict(403, "M_USER_DEACTIVATED")),
        ("alice", verdict(403, "M_USER_DEACTIVATED")),
        ("@bob:localhost", passed()),
        ("@unheard-of:localhost", passed()),
    ] {
        let body = serde_json::json!({
            "type": "m.login.password",
            "identifier": { "type": "m.id.user", "user": user },
            "password": "p",
        });
        let request = anonymous(Method::POST, support::LOGIN, body.to_string());
        assert_eq!(ask(&layer, request).await.verdict(), expected, "{user}");
    }
}

#[tokio::test]
async fn deactivation_does_not_lift_with_a_lock() {
    let store = store();
    store.restrict(ALICE, RestrictionKind::Deactivated);
    store.restrict(ALICE, RestrictionKind::Locked);
    store.lift(ALICE, RestrictionKind::Locked);
    let answer = ask(&layer(&store), alices(Method::GET, SYNC)).await;
    assert_eq!(answer.verdict(), verdict(403, "M_USER_DEACTIVATED"));
}
