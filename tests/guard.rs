//! The guard answers a server's own code what the layer answers requests.

mod support;

use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use http::{Method, Response};
use http_body_util::Full;
use support::{
    ALICE, BOB, Handler, LOGIN, alices, anonymous, ask, call, layer, locked, passed,
    scripted::{Script, ScriptedStore},
    store_with,
};
use tower::Layer;
use tower_account_status::{
    AccountGuard, AccountStateStore, AccountStatusLayer, Action, Combined, Denial, DenialCause,
    MemoryStore, NamedAccountCheck, NamedIn,
    RestrictionKind::{Deactivated, Locked, Suspended},
    StoreFailure, SuspensionPolicy, UserId, forward,
    store::Answer,
    without,
};

fn alice() -> UserId {
    ALICE.into()
}

/// Status and error code of a check's answer.
async fn verdict(checked: Result<(), Denial>) -> (u16, String) {
    match checked {
        Ok(()) => passed(),
        Err(denial) => {
            let response: Response<Full<Bytes>> = denial.into_response();
            support::Answer::read(response).await.verdict()
        }
    }
}

/// What a layer's observer hears, a line each.
type Lines = Arc<Mutex<Vec<String>>>;

fn heard<S: AccountStateStore>(layer: AccountStatusLayer<S>) -> (AccountStatusLayer<S>, Lines) {
    let lines = Lines::default();
    let heard = Arc::clone(&lines);
    let layer = layer.with_observer(move |outcome| {
        let line = format!(
            "{} {} {} {}",
            outcome.decision(),
            outcome.method().map_or("-", Method::as_str),
            outcome.endpoint(),
            outcome.account().map_or("-", UserId::as_str),
        );
        heard.lock().expect("not poisoned").push(line);
    });
    (layer, lines)
}

fn take(lines: &Lines) -> Vec<String> {
    std::mem::take(&mut lines.lock().expect("not poisoned"))
}

/// Under report-only nothing is refused, and the observer hears what would be.
#[tokio::test]
async fn rule_18_under_report_only_the_guard_refuses_nothing_and_tells() {
    let layer = layer(&store_with(Locked))
        .with_named_account_check(NamedIn::Login, NamedAccountCheck::ByHandler)
        .with_report_only();
    let (layer, lines) = heard(layer);
    let handler = Handler::default();
    let login = anonymous(Method::POST, LOGIN, r#"{"user":"alice"}"#);
    let answer = call(layer.layer(handler.clone()), login).await;
    assert_eq!(answer.verdict(), passed());
    assert_eq!(take(&lines), ["passed POST login -"]);
    let request = handler.only().request;
    let guard: &AccountGuard = request.extensions().get().expect("the guard");
    assert_eq!(guard.check(&alice()).await, Ok(()));
    assert_eq!(take(&lines), ["would_refuse - log_in @alice:localhost"]);
    let own = layer.guard();
    assert_eq!(own.check_action(&alice(), Action::Sync).await, Ok(()));
    assert_eq!(take(&lines), ["would_refuse - sync @alice:localhost"]);
    assert_eq!(own.check(&BOB.into()).await, Ok(()));
    assert_eq!(take(&lines), [""; 0], "the layer tells of the request");
}

#[tokio::test]
async fn the_observer_hears_what_the_guard_refuses() {
    let (layer, lines) = heard(layer(&store_with(Locked)));
    let checked = layer.guard().check(&alice()).await;
    assert_eq!(verdict(checked).await, locked());
    let path = "/_matrix/client/v3/rooms/!r/leave";
    let (guard, alice) = (layer.guard(), alice());
    let checked = guard.check_request(&alice, &Method::POST, path, "").await;
    assert_eq!(verdict(checked).await, locked());
    assert_eq!(
        take(&lines),
        [
            "refused - log_in @alice:localhost",
            "refused POST rooms/{roomId}/leave @alice:localhost",
        ]
    );
}

/// The setting says that the store's failure refuses nobody, and the guard heeds it.
#[tokio::test]
async fn rule_12_the_guard_heeds_the_setting_while_the_store_fails() {
    for script in [Script::Fail, Script::Panic, Script::Hang] {
        let store = ScriptedStore::new(MemoryStore::new()).with(|store| store.state = script);
        let layer =
            AccountStatusLayer::new(store).with_store_timeout(std::time::Duration::from_millis(1));
        let (layer, lines) = heard(layer);
        let refused = layer.guard().check(&alice()).await;
        assert_eq!(
            refused.map_err(|denial| denial.cause()),
            Err(DenialCause::StoreFailed)
        );
        assert_eq!(take(&lines), ["refused - log_in -"], "{script:?}");
        let layer = layer.with_store_failure(StoreFailure::LetEveryoneThrough);
        let guard = layer.guard();
        assert_eq!(guard.check(&alice()).await, Ok(()));
        assert_eq!(take(&lines), ["passed_unchecked - log_in -"], "{script:?}");
        let state = guard.state(&alice()).await;
        assert!(state.is_err(), "it cannot say what it does not know");
    }
}

/// A server's own tokens, in a closure.
struct Tokens<F>(F);

impl<F: Fn(&str) -> Option<UserId> + Send + Sync + 'static> AccountStateStore for Tokens<F> {
    async fn access_token(&self, token: &str) -> Answer {
        Ok((self.0)(token))
    }

    without! {
        application_service, login_name, third_party, login_token, refresh_token, event_sender, state, changes
    }
}

/// The type of a store that holds a closure has no name, and the guard does not need it.
#[tokio::test]
async fn the_guard_of_a_store_without_a_name_can_be_named() {
    struct State {
        guard: AccountGuard,
    }
    let restrictions = Arc::new(MemoryStore::new());
    restrictions.restrict(ALICE, Locked);
    let tokens = Tokens(|_: &str| None);
    let layer = AccountStatusLayer::new(Combined::new(tokens, restrictions));
    let state = State {
        guard: layer.guard(),
    };
    assert_eq!(verdict(state.guard.check(&alice()).await).await, locked());
}

/// A server's state that is the store and keeps the guard.
#[derive(Default)]
struct Server {
    memory: MemoryStore,
    guard: OnceLock<AccountGuard>,
}

impl AccountStateStore for Server {
    forward! { memory => all }
}

#[tokio::test]
async fn a_guard_in_the_state_that_is_the_store_keeps_nothing_alive_and_fails_closed() {
    let server = Arc::new(Server::default());
    let layer = AccountStatusLayer::new(Arc::clone(&server));
    // Settings that are changed later, with services of before and after, take nothing from it.
    server.guard.set(layer.guard()).expect("set once");
    let layer = layer.with_exempt_versions().without_cors_headers();
    let guard = || server.guard.get().expect("set above");
    assert_eq!(guard().check(&alice()).await, Ok(()));
    let service = layer.layer(Handler::default());
    drop(layer);
    assert_eq!(guard().check(&alice()).await, Ok(()), "a service lives");
    drop(service);
    assert_eq!(Arc::strong_count(&server), 1, "nobody else holds the store");
    let refused = guard()
        .check(&alice())
        .await
        .expect_err("the layer is gone");
    assert_eq!(refused.cause(), DenialCause::LayerGone);
    let text = refused.to_string();
    assert!(text.contains("were dropped"), "{text}");
    let (status, _) = verdict(Err(refused)).await;
    assert_eq!(status, 503);
    assert!(guard().state(&alice()).await.is_err());
    assert!(format!("{:?}", guard()).contains("dropped"));
}

/// What a handler found in its request works as long as the handler needs it.
#[tokio::test]
async fn a_guard_from_a_request_outlives_the_service() {
    let layer = layer(&store_with(Locked))
        .with_named_account_check(NamedIn::Login, NamedAccountCheck::ByHandler);
    let handler = Handler::default();
    let login = anonymous(Method::POST, LOGIN, r#"{"user":"alice"}"#);
    call(layer.layer(handler.clone()), login).await;
    drop(layer);
    let request = handler.only().request;
    let guard: AccountGuard = request.extensions().get().cloned().expect("the guard");
    assert_eq!(verdict(guard.check(&alice()).await).await, locked());
}

/// An event in a room for appeals, and one that a body decides.
#[tokio::test]
async fn rule_22_an_event_is_judged_as_the_request_that_would_send_it() {
    let policy = SuspensionPolicy::new().add_appeal_room("!appeals:localhost");
    let layer = layer(&store_with(Suspended)).with_suspension_policy(policy);
    let guard = layer.guard();
    let own = Some(ALICE);
    for (room, event_type, state_key, content, passes) in [
        (
            "!appeals:localhost",
            "m.room.message",
            None,
            r#"{"body":"x"}"#,
            true,
        ),
        (
            "!other:localhost",
            "m.room.message",
            None,
            r#"{"body":"x"}"#,
            false,
        ),
        ("!appeals:localhost", "m.room.name", Some(""), "{}", false),
        (
            "!r",
            "m.room.member",
            own,
            r#"{"membership":"leave"}"#,
            true,
        ),
        (
            "!r",
            "m.room.member",
            own,
            r#"{"membership":"join"}"#,
            false,
        ),
        (
            "!r",
            "m.room.member",
            Some(BOB),
            r#"{"membership":"leave"}"#,
            false,
        ),
        ("!r", "m.room.member", own, "no JSON", false),
        ("!r", "m.room.member", own, "", false),
        ("!r/../x", "m.room.message", None, "{}", false),
    ] {
        let checked = guard
            .check_event(&alice(), room, event_type, state_key, content.as_bytes())
            .await;
        let path = match state_key {
            None => format!("rooms/{room}/send/{event_type}/0"),
            Some(key) => format!("rooms/{room}/state/{event_type}/{key}"),
        };
        let what = format!("{path} {content}");
        assert_eq!(checked.is_ok(), passes, "{what}");
        if !room.contains("..") && state_key != Some("") {
            let mut request = alices(Method::PUT, &format!("/_matrix/client/v3/{path}"));
            *request.body_mut() = Full::from(content);
            let answer = ask(&layer, request).await;
            assert_eq!(verdict(checked).await, answer.verdict(), "{what}");
        }
    }
}

#[tokio::test]
async fn the_guard_lets_pass_what_the_layer_lets_pass_whatever_the_state() {
    for kind in [Locked, Deactivated, Suspended] {
        let layer = layer(&store_with(kind))
            .add_excluded_prefix("/oauth2")
            .add_exempt(Method::GET, "/health");
        let guard = layer.guard();
        for (method, path) in [
            (Method::POST, support::LOGOUT),
            (Method::POST, "/oauth2/token"),
            (Method::GET, "/health"),
            (Method::OPTIONS, support::SYNC),
            (Method::GET, LOGIN),
        ] {
            let checked = guard.check_request(&alice(), &method, path, "").await;
            assert_eq!(checked, Ok(()), "{kind} {path}");
            let answer = ask(&layer, alices(method, path)).await;
            assert_eq!(answer.verdict(), passed(), "{kind} {path}");
        }
    }
}
