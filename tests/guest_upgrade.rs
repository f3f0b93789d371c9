//! Rule 10: a guest whose account is upgraded by `POST /register` is named by its access token.

mod support;

use http::Method;
use support::{
    ALICE, Handler, TOKEN, anonymous, ask, call, layer, locked, passed,
    scripted::{Script, ScriptedStore},
    store, store_with, unavailable, verdict,
};
use tower::Layer;
use tower_account_status::{
    AccountGuard, AccountStatusLayer, MemoryStore, NamedAccountCheck, NamedIn, Restriction,
    RestrictionKind::{Deactivated, Locked, Suspended},
};

const REGISTER: &str = "/_matrix/client/v3/register";

fn upgrade(path: &str, token: &str) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    let body =
        format!(r#"{{"username":"new","guest_access_token":"{token}","auth":{{"session":"x"}}}}"#);
    anonymous(Method::POST, path, body)
}

#[tokio::test]
async fn rule_10_the_guest_of_an_upgrade_is_checked_before_the_handler() {
    for path in [
        REGISTER,
        "/_matrix/client/r0/register?kind=user",
        "/_matrix/client/v3/register/",
    ] {
        for (kind, expected) in [
            (Locked, locked()),
            (Deactivated, verdict(403, "M_USER_DEACTIVATED")),
            // Registering is permitted to a suspended account: it can do so without the token.
            (Suspended, passed()),
        ] {
            if kind == Suspended && path.ends_with('/') {
                continue; // an odd spelling, which a suspension refuses
            }
            let reason = Restriction::new(kind).with_reason("Spam");
            let store = store_with(reason);
            let handler = Handler::default();
            let service = layer(&store).layer(handler.clone());
            let answer = call(service, upgrade(path, TOKEN)).await;
            assert_eq!(answer.verdict(), expected, "{path} {kind}");
            let runs = handler.seen().len();
            assert_eq!(runs, usize::from(expected == passed()), "{path} {kind}");
            assert!(!answer.text().contains("Spam"), "{path} {kind}");
        }
        let unknown = ask(&layer(&store_with(Locked)), upgrade(path, "unknown")).await;
        assert_eq!(unknown.verdict(), passed(), "{path}");
        let active = ask(&layer(&store()), upgrade(path, TOKEN)).await;
        assert_eq!(active.verdict(), passed(), "{path}");
    }
}

#[tokio::test]
async fn rule_10_a_registration_without_a_guest_asks_nothing() {
    let store = ScriptedStore::new(MemoryStore::new()).with(|store| store.account = Script::Fail);
    let layer = AccountStatusLayer::new(store);
    for body in [
        "",
        "{}",
        r#"{"username":"alice","auth":{"type":"m.login.dummy"}}"#,
    ] {
        let request = anonymous(Method::POST, REGISTER, body);
        assert_eq!(ask(&layer, request).await.verdict(), passed(), "{body}");
    }
    let down = ask(&layer, upgrade(REGISTER, TOKEN)).await;
    assert_eq!(down.verdict(), unavailable());
}

#[tokio::test]
async fn rule_10_the_guest_has_a_setting_of_its_own() {
    let by_handler = layer(&store_with(Locked))
        .with_named_account_check(NamedIn::GuestUpgrade, NamedAccountCheck::ByHandler);
    let handler = Handler::default();
    let answer = call(by_handler.layer(handler.clone()), upgrade(REGISTER, TOKEN)).await;
    assert_eq!(answer.verdict(), passed());
    let request = handler.only().request;
    let guard: &AccountGuard = request.extensions().get().expect("the guard");
    assert!(guard.check(&ALICE.into()).await.is_err());
    let off = layer(&store_with(Locked))
        .with_named_account_check(NamedIn::GuestUpgrade, NamedAccountCheck::Off);
    assert_eq!(
        ask(&off, upgrade(REGISTER, TOKEN)).await.verdict(),
        passed()
    );
    let login = anonymous(Method::POST, support::LOGIN, r#"{"user":"alice"}"#);
    assert_eq!(ask(&off, login).await.verdict(), locked());
}
