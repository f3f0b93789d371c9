//! No secret in a log, a Debug output, an error or an answer (rule 15).

mod support;

use std::fmt::Debug;

use http::Method;
use support::{
    ALICE, Handler, LOGIN, SYNC, alices, anonymous, bear, call, layer, ready,
    scripted::{Script, ScriptedStore},
    store,
};
use tower::{Layer, Service};
use tower_account_status::ThirdParty;
use tower_account_status::{
    AccessToken, AccountStateStore, AccountStatusLayer, CheckedAccounts, Credential, Denial,
    DynAccountStateStore, LoginToken, MemoryStore, RestrictionKind, Secret,
};

const SECRET: &str = "syt_hidden_token";

fn assert_hidden(what: &str, shown: &str) {
    for part in [SECRET, "hidden", "alice@example.org", "7700900"] {
        assert!(!shown.contains(part), "{what} shows {part}: {shown}");
    }
    // Nor the token's bytes as numbers.
    assert!(!shown.contains("115, 121, 116"), "{what}: {shown}");
}

fn assert_hides(value: &impl Debug) {
    let what = std::any::type_name_of_val(value);
    assert_hidden(what, &format!("{value:?}"));
    assert_hidden(what, &format!("{value:#?}"));
}

/// Alice, who is locked, with the secret as her token of every kind.
fn knowing() -> MemoryStore {
    let store = MemoryStore::new().with_server_name("localhost");
    store.insert_access_token(SECRET, ALICE);
    store.insert_refresh_token(SECRET, ALICE);
    store.insert_login_token(SECRET, ALICE);
    store.insert_application_service_token("syt_hidden_token_2", ALICE);
    store.insert_third_party_id("email", "alice@example.org", ALICE);
    store.restrict(ALICE, RestrictionKind::Locked);
    store
}

#[test]
fn rule_15_credentials_show_their_kind_only() {
    let access = AccessToken::new(SECRET);
    let login = LoginToken::new(SECRET, Some("m.login.token"));
    assert_hides(&Secret::from(SECRET));
    assert_hides(&Secret::from(SECRET.as_bytes()));
    assert_hides(&access);
    assert_hides(&access.with_asserted_user(ALICE));
    assert_hides(&login);
    for credential in [
        Credential::AccessToken(access.token()),
        Credential::ApplicationService(access.token()),
        Credential::RefreshToken(SECRET.into()),
        Credential::LoginToken(login),
        Credential::LoginName("hidden"),
        Credential::ThirdParty(ThirdParty::Address {
            medium: "email",
            address: "alice@example.org",
        }),
        Credential::ThirdParty(ThirdParty::Phone {
            country: "GB",
            phone: "+447700900000",
        }),
    ] {
        assert_hides(&credential);
        assert!(!format!("{credential:?}").is_empty());
    }
}

#[tokio::test]
async fn rule_15_stores_layers_services_and_futures_show_no_token() {
    let memory = knowing();
    assert_hides(&memory);
    assert_hides(&memory.peek(Credential::AccessToken(SECRET.into())));
    let store = ScriptedStore::new(memory).with(|store| store.account = Script::Pending(2));
    let layer = AccountStatusLayer::new(store);
    assert_hides(&layer);
    assert_hides(&layer.guard());
    assert_hides(&layer.changes());
    assert_hides(&layer.changes().subscribe(SECRET));
    assert_hides(&DynAccountStateStore::new(knowing()));
    let mut service = layer.layer(Handler::default());
    assert_hides(&service);
    assert_hides(&service.clone().into_make_service());
    for at_once in [false, true] {
        let mut request = anonymous(Method::GET, SYNC, "");
        bear(&mut request, SECRET);
        if at_once {
            let mut service = AccountStatusLayer::new(knowing()).layer(Handler::default());
            assert_hides(&ready(&mut service).await.unwrap().call(request));
        } else {
            assert_hides(&ready(&mut service).await.unwrap().call(request));
        }
    }
}

#[tokio::test]
async fn rule_15_answers_and_denials_show_no_token() {
    let fine = AccountStatusLayer::new(knowing());
    let failing = ScriptedStore::new(knowing()).with(|store| store.state = Script::Fail);
    let failing = AccountStatusLayer::new(failing);
    let login = format!(r#"{{"type":"m.login.token","token":"{SECRET}"}}"#);
    let broken = format!(r#"{{"token":"{SECRET}"#);
    let number = format!(r#"{{"token":["{SECRET}"]}}"#);
    let mut seen = Vec::new();
    for body in [login, broken, number] {
        for uri in [LOGIN.to_owned(), format!("{SYNC}?access_token={SECRET}")] {
            let request = || anonymous(Method::POST, &uri, body.clone());
            for answer in [
                support::ask(&fine, request()).await,
                support::ask(&failing, request()).await,
            ] {
                assert_hides(&answer);
                if let Some(denial) = answer.denial {
                    assert_hidden("Display", &denial.to_string());
                    seen.push(denial.cause());
                }
            }
        }
    }
    seen.dedup();
    assert!(seen.len() > 3, "different refusals: {seen:?}");
    let _: &dyn std::error::Error = &denial().await;
}

async fn denial() -> Denial {
    let layer = AccountStatusLayer::new(knowing());
    let denial = layer.guard().check(&ALICE.into()).await;
    denial.expect_err("Alice is locked")
}

#[tokio::test]
async fn rule_15_what_is_handed_on_shows_no_token() {
    let handler = Handler::default();
    let service = layer(&store())
        .with_checked_accounts()
        .layer(handler.clone());
    call(service, alices(Method::GET, SYNC)).await;
    let seen = handler.only().request;
    let checked = seen
        .extensions()
        .get::<CheckedAccounts>()
        .expect("accounts");
    let shown = format!("{checked:?}");
    assert!(
        shown.contains(ALICE) && !shown.contains(support::TOKEN),
        "{shown}"
    );
}
