//! Who checks the accounts that bodies name: the layer, the handler with the guard, or nobody
//! (rule 10).

mod support;

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use support::{
    ALICE, Answer, BOB, BOBS_TOKEN, Handler, LOGIN, TOKEN, anonymous, ask, bear, call, layer,
    locked, passed,
    scripted::{Script, ScriptedStore},
    store_with,
};
use tower::Layer;
use tower_account_status::{
    AccountGuard, AccountStateStore, AccountStatusLayer, MemoryStore, NamedAccountCheck, NamedIn,
    RequestPath, Restriction, RestrictionKind, StoreFailure,
};

const REFRESH: &str = "/_matrix/client/v3/refresh";
const PASSWORD: &str = "/_matrix/client/v3/account/password";
const DEACTIVATE: &str = "/_matrix/client/v3/account/deactivate";
const LOGIN_BODY: &str = r#"{"user":"alice"}"#;
const REFRESH_BODY: &str = r#"{"refresh_token":"alices_refresh"}"#;
const AUTH_BODY: &str = r#"{"auth":{"user":"alice"}}"#;

/// Sends a request with Bob's token, or with none, and says whether the handler found a guard that
/// refuses Alice with her details.
async fn guard_is_found<S>(layer: AccountStatusLayer<S>, request: Request<Full<Bytes>>) -> bool
where
    S: AccountStateStore,
{
    let handler = Handler::default();
    let answer = call(layer.layer(handler.clone()), request).await;
    assert_eq!(answer.verdict(), passed());
    let seen = handler.only().request;
    let Some(guard) = seen.extensions().get::<AccountGuard>() else {
        return false;
    };
    assert_eq!(guard.check(&BOB.into()).await, Ok(()));
    let denial = guard
        .check(&ALICE.into())
        .await
        .expect_err("Alice is locked");
    let answer = Answer::read(denial.into_response::<Full<Bytes>>()).await;
    assert_eq!(answer.verdict(), locked());
    assert_eq!(answer.json()["error"], "Spam", "the password was right");
    true
}

#[tokio::test]
async fn rule_10_by_the_handler_with_the_guard_or_off() {
    let reason = Restriction::new(RestrictionKind::Locked).with_reason("Spam");
    for (path, body) in [
        (LOGIN, LOGIN_BODY),
        (REFRESH, REFRESH_BODY),
        (PASSWORD, AUTH_BODY),
        (DEACTIVATE, AUTH_BODY),
    ] {
        for check in [NamedAccountCheck::ByHandler, NamedAccountCheck::Off] {
            for token in [None, Some("nobodys"), Some(BOBS_TOKEN)] {
                let mut request = anonymous(Method::POST, path, body);
                if let Some(token) = token {
                    bear(&mut request, token);
                }
                let at_once = with_check(layer(&store_with(reason.clone())), check);
                let memory = MemoryStore::new();
                memory.insert_access_token(BOBS_TOKEN, BOB);
                memory.restrict(ALICE, reason.clone());
                let awaited =
                    with_check(AccountStatusLayer::new(ScriptedStore::new(memory)), check);
                let expected = check == NamedAccountCheck::ByHandler;
                let what = format!("{path} {check:?} {token:?}");
                assert_eq!(
                    guard_is_found(at_once, request.clone()).await,
                    expected,
                    "{what}"
                );
                assert_eq!(
                    guard_is_found(awaited, request).await,
                    expected,
                    "{what}, awaited"
                );
            }
        }
    }
}

fn with_check<S>(layer: AccountStatusLayer<S>, check: NamedAccountCheck) -> AccountStatusLayer<S> {
    layer
        .with_named_account_check(NamedIn::Login, check)
        .with_named_account_check(NamedIn::Refresh, check)
        .with_named_account_check(NamedIn::Reauthentication, check)
}

/// A handler that extracts the guard would otherwise answer 500 to a request that passes.
#[tokio::test]
async fn rule_18_the_handler_has_the_guard_on_every_way_on_which_the_request_passes() {
    let restricted = || {
        let store = store_with(RestrictionKind::Locked);
        store.insert_application_service_token("service", ALICE);
        store
    };
    let asked = || ScriptedStore::new(Arc::into_inner(restricted()).expect("the only one"));
    let failing = || asked().with(|store| store.account = Script::Fail);
    let post = |path, token: Option<&str>, body| {
        let mut request = anonymous(Method::POST, path, body);
        if let Some(token) = token {
            bear(&mut request, token);
        }
        request
    };
    let of_alice = || post(DEACTIVATE, Some(TOKEN), "{}");
    let of_service = || post(LOGIN, Some("service"), "{}");
    let mut of_five = post(LOGIN, None, "{}");
    for name in ["a", "b", "c", "d", "e"] {
        let token = format!("Bearer {name}").parse().expect("a value");
        of_five.headers_mut().append("authorization", token);
    }
    let panics = RequestPath::original_uri(|_| panic!("told to panic"));

    let at_once = by_handler(layer(&restricted()).with_report_only());
    let awaited = by_handler(AccountStatusLayer::new(asked()).with_report_only());
    for request in [of_alice(), of_service(), of_five] {
        let what = request.uri().clone();
        assert!(has_guard(&at_once, request.clone()).await, "{what}");
        assert!(has_guard(&awaited, request).await, "{what}, awaited");
    }
    let report_only = by_handler(AccountStatusLayer::new(failing()).with_report_only());
    assert!(has_guard(&report_only, of_alice()).await, "the store fails");
    let open = by_handler(
        AccountStatusLayer::new(failing()).with_store_failure(StoreFailure::LetEveryoneThrough),
    );
    assert!(has_guard(&open, of_alice()).await, "the store fails");
    let unseen = open.with_request_path(panics);
    let login = || anonymous(Method::POST, LOGIN, LOGIN_BODY);
    let odd = || anonymous(Method::POST, "/x", LOGIN_BODY);
    assert!(has_guard(&unseen, odd()).await, "it may be any path");
    assert!(has_guard(&unseen, login()).await, "the path is not known");
    let exempt = by_handler(layer(&restricted()).add_exempt(Method::POST, LOGIN));
    assert!(has_guard(&exempt, login()).await, "exempt");
    let excluded = by_handler(layer(&restricted()).add_excluded_prefix("/_matrix/client/v3"));
    assert!(has_guard(&excluded, login()).await, "excluded");
    // The others have none.
    let login_alone = layer(&restricted())
        .with_named_account_check(NamedIn::Login, NamedAccountCheck::ByHandler)
        .with_report_only();
    assert!(has_guard(&login_alone, login()).await);
    assert!(!has_guard(&login_alone, of_alice()).await);
}

fn by_handler<S>(layer: AccountStatusLayer<S>) -> AccountStatusLayer<S> {
    with_check(layer, NamedAccountCheck::ByHandler)
}

async fn has_guard<S>(layer: &AccountStatusLayer<S>, request: Request<Full<Bytes>>) -> bool
where
    S: AccountStateStore,
{
    let handler = Handler::default();
    let answer = call(layer.layer(handler.clone()), request).await;
    assert_eq!(answer.verdict(), passed());
    let seen = handler.only().request;
    seen.extensions().get::<AccountGuard>().is_some()
}

#[tokio::test]
async fn rule_10_each_setting_is_its_own() {
    let store = store_with(RestrictionKind::Locked);
    store.insert_refresh_token("alices_refresh", ALICE);
    let layer = layer(&store).with_named_account_check(NamedIn::Login, NamedAccountCheck::Off);
    let login = anonymous(Method::POST, LOGIN, LOGIN_BODY);
    assert_eq!(ask(&layer, login).await.verdict(), passed());
    let refresh = anonymous(Method::POST, REFRESH, REFRESH_BODY);
    assert_eq!(ask(&layer, refresh).await.verdict(), locked());
    let password = anonymous(Method::POST, PASSWORD, AUTH_BODY);
    assert_eq!(ask(&layer, password).await.verdict(), locked());
}

/// Finding 4 of `docs/trust.md`: servers that overlook the token beside it go by the body.
#[tokio::test]
async fn rule_10_a_token_that_some_servers_overlook_hides_no_account_in_the_body() {
    let query = |query: &str| (format!("?{query}"), Vec::new());
    let header = |header: &str| (String::new(), vec![header.to_owned()]);
    let plain = format!("Bearer {BOBS_TOKEN}");
    let overlooked = [
        query(&format!("access_token={BOBS_TOKEN}")),
        query(&format!("x=y;access_token={BOBS_TOKEN}")),
        query(&format!("access%5Ftoken={BOBS_TOKEN}")),
        header(&format!("bearer {BOBS_TOKEN}")),
        header(&format!("BEARER {BOBS_TOKEN}")),
        header(&format!("Bearer  {BOBS_TOKEN}")),
        header(&format!("Bearer\t{BOBS_TOKEN}")),
        header(&format!("Bearer{BOBS_TOKEN}")),
        header(&format!("Basic eDp5, Bearer {BOBS_TOKEN}")),
        header(&format!("Bearer {BOBS_TOKEN}, x")),
        (String::new(), vec!["Bearer nobodys".into(), plain.clone()]),
        (
            "?access_token=nobodys".to_owned(),
            vec!["Bearer other".into(), plain.clone()],
        ),
    ];
    for path in [PASSWORD, DEACTIVATE] {
        for ((query, headers), is_overlooked) in overlooked
            .iter()
            .map(|odd| (odd, true))
            .chain([(&(String::new(), vec![plain.clone()]), false)])
        {
            for (named, is_locked) in [("alice", is_overlooked), ("bob", false)] {
                let body = format!(r#"{{"auth":{{"user":"{named}"}}}}"#);
                let mut request = anonymous(Method::POST, &format!("{path}{query}"), body);
                for header in headers {
                    let value = header.parse().expect("a header");
                    request.headers_mut().append("authorization", value);
                }
                let store = store_with(RestrictionKind::Locked);
                let at_once = ask(&layer(&store), request.clone()).await;
                let memory = MemoryStore::new().with_server_name("localhost");
                memory.insert_access_token(BOBS_TOKEN, BOB);
                memory.restrict(ALICE, RestrictionKind::Locked);
                let awaited = AccountStatusLayer::new(ScriptedStore::new(memory));
                let awaited = ask(&awaited, request).await;
                let expected = if is_locked { locked() } else { passed() };
                let what = format!("{path}{query} {headers:?}, {named} in the body");
                assert_eq!(at_once.verdict(), expected, "{what}");
                assert_eq!(awaited.verdict(), expected, "{what}, awaited");
            }
        }
    }
}
