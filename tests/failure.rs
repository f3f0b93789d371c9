//! A store that fails, hangs or panics (rules 12 and 14).

mod support;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, header::AUTHORIZATION};
use http_body_util::Full;
use support::{
    ALICE, Answer, BOB, LOGIN, LOGOUT, SYNC, TOKEN, alices, anonymous, ask, bear, locked, passed,
    scripted::{Script, ScriptedStore},
    unavailable, verdict,
};
use tower_account_status::{
    AccountStatusLayer, DenialCause, MemoryStore, RestrictionKind, StoreFailure,
};

const REFRESH: &str = "/_matrix/client/v3/refresh";
const PASSWORD: &str = "/_matrix/client/v3/account/password";

/// Alice is locked, and has a refresh token; the store has to be asked for everything.
fn scripted(change: impl FnOnce(&mut ScriptedStore)) -> ScriptedStore {
    let memory = MemoryStore::new().with_server_name("localhost");
    memory.insert_access_token(TOKEN, ALICE);
    memory.insert_refresh_token("alices_refresh", ALICE);
    memory.restrict(ALICE, RestrictionKind::Locked);
    ScriptedStore::new(memory).with(change)
}

type Change = fn(&mut ScriptedStore);

/// Every way in which a store can give no answer about an access token.
const FAILURES: [(&str, Change); 11] = [
    ("account fails", |store| store.account = Script::Fail),
    ("account hangs", |store| store.account = Script::Hang),
    ("account panics", |store| store.account = Script::Panic),
    ("account panics later", |store| {
        store.account = Script::PanicLater;
    }),
    ("state fails", |store| store.state = Script::Fail),
    ("state hangs", |store| store.state = Script::Hang),
    ("state panics", |store| store.state = Script::Panic),
    ("state panics later", |store| {
        store.state = Script::PanicLater;
    }),
    ("glance and peek panic", |store| {
        (store.glance, store.peek) = (Script::Panic, Script::Panic);
    }),
    ("all fail", |store| {
        (store.account, store.state) = (Script::Fail, Script::Fail);
    }),
    ("glance and account panic", |store| {
        (store.glance, store.account) = (Script::Panic, Script::Panic);
    }),
];

/// Keeps intended panics out of the tests' output.
fn quiet() {
    std::panic::set_hook(Box::new(|info| {
        let payload = info.payload();
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref().copied());
        if !text.is_some_and(|text| text.contains("told to panic")) {
            eprintln!("{info}");
        }
    }));
}

#[tokio::test(start_paused = true)]
async fn rule_12_no_answer_is_503_and_never_401_403_or_200() {
    quiet();
    for (what, failure) in FAILURES {
        let layer = AccountStatusLayer::new(scripted(failure));
        for (method, path) in [
            (Method::GET, SYNC),
            (
                Method::PUT,
                "/_matrix/client/v3/rooms/!a:b/send/m.room.message/1",
            ),
            (Method::POST, PASSWORD),
            (Method::GET, "/anything"),
        ] {
            let answer = ask(&layer, alices(method.clone(), path)).await;
            assert_eq!(answer.verdict(), unavailable(), "{what}: {method} {path}");
            assert_eq!(answer.header("retry-after"), Some("5"), "{what}");
            let exposed = answer.header("access-control-expose-headers");
            assert_eq!(exposed, Some("Retry-After"), "{what}");
            assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            assert!(answer.json().get("soft_logout").is_none(), "{what}");
            assert!(!answer.text().contains("database"), "{what}: {answer:?}");
            let cause = answer
                .denial
                .as_ref()
                .map(tower_account_status::Denial::cause);
            assert_eq!(cause, Some(DenialCause::StoreFailed));
        }
        let head = ask(&layer, alices(Method::HEAD, SYNC)).await;
        assert_eq!((head.status.as_u16(), &head.body[..]), (503, &b""[..]));
    }
}

#[tokio::test(start_paused = true)]
async fn rules_5_and_12_logout_and_whoever_has_no_token_pass_while_the_store_is_down() {
    quiet();
    for (what, failure) in FAILURES {
        let layer = AccountStatusLayer::new(scripted(failure));
        for request in [
            alices(Method::POST, LOGOUT),
            alices(Method::POST, "/_matrix/client/r0/logout/all"),
            alices(Method::OPTIONS, SYNC),
            anonymous(Method::GET, SYNC, ""),
            anonymous(Method::GET, "/_matrix/client/versions", ""),
            alices(Method::GET, LOGIN),
        ] {
            let (method, uri) = (request.method().clone(), request.uri().clone());
            let start = tokio::time::Instant::now();
            let answer = ask(&layer, request).await;
            assert_eq!(answer.verdict(), passed(), "{what}: {method} {uri}");
            assert_eq!(
                start.elapsed(),
                Duration::ZERO,
                "{what}: nothing is waited for"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn rule_12_a_hanging_store_has_failed_after_the_time_limit() {
    for (store, limit) in [
        (scripted(|store| store.account = Script::Hang), None),
        (scripted(|store| store.state = Script::Hang), None),
        (
            scripted(|store| store.state = Script::Hang),
            Some(Duration::from_millis(250)),
        ),
    ] {
        let mut layer = AccountStatusLayer::new(store);
        if let Some(limit) = limit {
            layer = layer.with_store_timeout(limit);
        }
        let limit = limit.unwrap_or(Duration::from_secs(5));
        let start = tokio::time::Instant::now();
        let answer = ask(&layer, alices(Method::GET, SYNC)).await;
        assert_eq!(answer.verdict(), unavailable());
        let waited = start.elapsed();
        assert!(waited >= limit, "{waited:?}");
        assert!(waited < limit + Duration::from_millis(10), "{waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn rule_12_the_time_limit_is_for_all_credentials_of_a_request_together() {
    let layer = AccountStatusLayer::new(scripted(|store| store.account = Script::Hang));
    let mut request = alices(Method::GET, SYNC);
    bear(&mut request, "second");
    bear(&mut request, "third");
    let start = tokio::time::Instant::now();
    assert_eq!(ask(&layer, request).await.verdict(), unavailable());
    assert!(
        start.elapsed() < Duration::from_secs(6),
        "{:?}",
        start.elapsed()
    );
}

/// As somebody would write it who wants none.
#[tokio::test(start_paused = true)]
async fn rule_12_a_time_limit_beyond_what_clocks_can_tell_is_none() {
    let store = scripted(|store| store.account = Script::Pending(3));
    let layer = AccountStatusLayer::new(store)
        .with_store_timeout(Duration::MAX)
        .with_body_timeout(Duration::MAX);
    let answer = ask(&layer, alices(Method::GET, SYNC)).await;
    assert_eq!(answer.verdict(), locked());
    let answer = ask(&layer, named(LOGIN)).await;
    assert_eq!(answer.verdict(), locked());
}

#[tokio::test(start_paused = true)]
async fn rule_12_a_slow_store_is_waited_for() {
    for polls in [1, 2, 50] {
        let pending = Script::Pending(polls);
        let store = scripted(|store| (store.account, store.state) = (pending, pending));
        let layer = AccountStatusLayer::new(store);
        assert_eq!(
            ask(&layer, alices(Method::GET, SYNC)).await.verdict(),
            locked()
        );
    }
}

fn named(path: &str) -> Request<Full<Bytes>> {
    let body = match path {
        LOGIN => r#"{"user":"alice"}"#,
        REFRESH => r#"{"refresh_token":"alices_refresh"}"#,
        PASSWORD => r#"{"auth":{"user":"alice"}}"#,
        _ => unreachable!("{path} names nobody"),
    };
    anonymous(Method::POST, path, body)
}

#[tokio::test(start_paused = true)]
async fn rule_12_on_refresh_a_failure_passes_and_on_login_it_does_not() {
    quiet();
    for (what, failure) in FAILURES {
        let layer = AccountStatusLayer::new(scripted(failure));
        for (path, expected) in [
            (LOGIN, unavailable()),
            (PASSWORD, unavailable()),
            (REFRESH, passed()),
            ("/_matrix/client/r0/refresh", passed()),
            ("/_matrix/client/v1/refresh", passed()),
            ("/_matrix/client/unstable/refresh", passed()),
            (
                "/_matrix/client/unstable/org.matrix.msc2918/refresh",
                passed(),
            ),
        ] {
            let mut request = named(if path.ends_with("refresh") {
                REFRESH
            } else {
                path
            });
            *request.uri_mut() = path.parse().unwrap();
            if path.ends_with("refresh") {
                // The expired token, which the client sends along.
                let headers = request.headers_mut();
                headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer expired"));
            }
            assert_eq!(
                ask(&layer, request).await.verdict(),
                expected,
                "{what}: {path}"
            );
        }
    }
    // It is the failure that passes, not the account.
    let healthy = AccountStatusLayer::new(scripted(|_| {}));
    assert_eq!(ask(&healthy, named(REFRESH)).await.verdict(), locked());
}

#[tokio::test(start_paused = true)]
async fn rule_12_passing_everywhere_is_a_setting() {
    quiet();
    for (what, failure) in FAILURES {
        let layer = AccountStatusLayer::new(scripted(failure))
            .with_store_failure(StoreFailure::LetEveryoneThrough);
        for request in [
            alices(Method::GET, SYNC),
            named(LOGIN),
            named(REFRESH),
            named(PASSWORD),
        ] {
            let uri = request.uri().clone();
            assert_eq!(
                ask(&layer, request).await.verdict(),
                passed(),
                "{what}: {uri}"
            );
        }
    }
    // While the store answers, its answers count, and other errors are refused.
    let healthy = AccountStatusLayer::new(scripted(|_| {}))
        .with_store_failure(StoreFailure::LetEveryoneThrough);
    assert_eq!(
        ask(&healthy, alices(Method::GET, SYNC)).await.verdict(),
        locked()
    );
    let no_json = anonymous(Method::POST, LOGIN, "x");
    assert_eq!(
        ask(&healthy, no_json).await.verdict(),
        verdict(400, "M_NOT_JSON")
    );
}

#[tokio::test]
async fn rule_12_a_shortcut_that_panics_is_no_answer_and_the_store_is_asked() {
    quiet();
    let store = scripted(|store| (store.glance, store.peek) = (Script::Panic, Script::Answer));
    let layer = AccountStatusLayer::new(store);
    assert_eq!(
        ask(&layer, alices(Method::GET, SYNC)).await.verdict(),
        locked()
    );
}

#[tokio::test(start_paused = true)]
async fn rule_12_the_guard_fails_in_the_same_way() {
    quiet();
    for script in [
        Script::Fail,
        Script::Hang,
        Script::Panic,
        Script::PanicLater,
    ] {
        let layer = AccountStatusLayer::new(scripted(|store| store.state = script));
        let denial = layer
            .guard()
            .check(&BOB.into())
            .await
            .expect_err("no answer");
        assert_eq!(denial.cause(), DenialCause::StoreFailed, "{script:?}");
        let answer = Answer::read(denial.into_response::<Full<Bytes>>()).await;
        assert_eq!(answer.verdict(), unavailable());
        let denial = layer
            .guard()
            .state(&BOB.into())
            .await
            .expect_err("no answer");
        assert_eq!(denial.cause(), DenialCause::StoreFailed, "{script:?}");
        let through = layer.with_store_failure(StoreFailure::LetEveryoneThrough);
        assert_eq!(
            through.guard().check(&BOB.into()).await,
            Ok(()),
            "{script:?}"
        );
    }
}
