//! The same request gets the same answer, whenever its account is restricted and wherever it is
//! judged: at once, awaited, or while it waits.

mod support;

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use support::{
    ALICE, Answer, LOGIN, SYNC, alices, anonymous, ask, bear,
    frames::Frames,
    layer, locked, passed, poll_once,
    scripted::{Script, ScriptedStore},
    store, store_with, verdict,
};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_account_status::{
    AccountStateStore, AccountStatusLayer, Action, Denial, LongPoll, MemoryStore, RequestPath,
    RestrictionKind::{self, Locked, Suspended},
    SuspensionPolicy,
};

type Body = Full<Bytes>;
type Verdict = (u16, String);

/// Never answers.
fn waits()
-> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone
{
    service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, Infallible>>())
}

/// The answer to a request of an account that is restricted while it waits; 200 if it goes on
/// waiting.
async fn while_it_waits(
    layer: AccountStatusLayer<Arc<MemoryStore>>,
    store: &MemoryStore,
    request: Request<Body>,
    kind: RestrictionKind,
) -> Verdict {
    store.lift(ALICE, kind);
    let mut response = pin!(layer.layer(waits()).oneshot(request));
    assert!(poll_once(response.as_mut()).is_pending());
    store.restrict(ALICE, kind);
    match poll_once(response.as_mut()) {
        Poll::Pending => passed(),
        Poll::Ready(response) => {
            let Ok(response) = response;
            Answer::read(response).await.verdict()
        }
    }
}

/// The same answer in both cases.
async fn answer(
    configure: impl Fn(AccountStatusLayer<Arc<MemoryStore>>) -> AccountStatusLayer<Arc<MemoryStore>>,
    request: Request<Body>,
    kind: RestrictionKind,
) -> Verdict {
    let store = store();
    store.restrict(ALICE, kind);
    let layer = configure(layer(&store));
    let before = ask(&layer, request.clone()).await.verdict();
    let waiting = while_it_waits(layer, &store, request, kind).await;
    assert_eq!(before, waiting, "restricted before, and while it waits");
    before
}

#[tokio::test]
async fn rule_16_what_passes_whatever_the_state_is_not_ended() {
    let events = alices(Method::GET, "/app/v1/events");
    let excluded = |layer: AccountStatusLayer<_>| layer.add_excluded_prefix("/app");
    assert_eq!(answer(excluded, events.clone(), Locked).await, passed());
    let sync = alices(Method::GET, SYNC);
    let exempt = |layer: AccountStatusLayer<_>| layer.add_exempt(Method::GET, SYNC);
    assert_eq!(answer(exempt, sync.clone(), Locked).await, passed());
    // Without the settings both are refused.
    assert_eq!(answer(|layer| layer, events, Locked).await, locked());
    assert_eq!(answer(|layer| layer, sync, Locked).await, locked());
}

#[tokio::test]
async fn rule_16_a_long_poll_is_ended_exactly_when_it_would_be_refused() {
    let no_sync = || SuspensionPolicy::new().refuse(Action::Sync);
    let sync = || alices(Method::GET, SYNC);
    let refuses = move |layer: AccountStatusLayer<_>| layer.with_suspension_policy(no_sync());
    let refused = verdict(403, "M_USER_SUSPENDED");
    assert_eq!(answer(refuses, sync(), Suspended).await, refused);
    assert_eq!(answer(|layer| layer, sync(), Suspended).await, passed());
    let permits = move |layer: AccountStatusLayer<_>| {
        layer.with_suspension_policy(no_sync().permit_endpoint(Method::GET, SYNC))
    };
    assert_eq!(answer(permits, sync(), Suspended).await, passed());
    assert_eq!(answer(permits, sync(), Locked).await, locked());
    // An odd spelling may be any endpoint, and is refused where not all reads are permitted.
    let odd = || alices(Method::GET, "/_matrix/client/v3/x/../sync");
    assert_eq!(answer(refuses, odd(), Suspended).await, refused);
    assert_eq!(answer(|layer| layer, odd(), Suspended).await, passed());
}

/// In a service's long poll the same account counts as in its other requests, also in a nested router
/// and behind a cache.
#[cfg(feature = "cache")]
#[tokio::test]
async fn rule_16_a_services_long_poll_is_ended_with_the_user_that_it_asserts() {
    const SENDER: &str = "@bridge:localhost";
    let refused = verdict(401, "M_USER_LOCKED");
    for (query, user, expected) in [
        ("?user_id=@alice:localhost", ALICE, &refused),
        ("?user_id=@alice:localhost", SENDER, &passed()),
        // Some server may see no assertion.
        ("?user_id=%zz", SENDER, &refused),
        ("?user_id=@alice:localhost&x=%zz", ALICE, &refused),
        ("?user_id=@alice:localhost&x=%zz", SENDER, &refused),
        ("", SENDER, &refused),
        ("", ALICE, &passed()),
    ] {
        let store = store();
        store.insert_application_service_token("bridge", SENDER);
        let cached = tower_account_status::CachedStore::new(Arc::clone(&store));
        let layer = AccountStatusLayer::new(cached)
            .with_request_path(RequestPath::nested_at("/_matrix/client/v3"));
        let request = || {
            let mut request = anonymous(Method::GET, &format!("/sync{query}"), "");
            bear(&mut request, "bridge");
            request
        };
        let mut response = pin!(layer.layer(waits()).oneshot(request()));
        assert!(poll_once(response.as_mut()).is_pending());
        store.restrict(user, Locked);
        let waiting = match poll_once(response.as_mut()) {
            Poll::Pending => passed(),
            Poll::Ready(Ok(response)) => Answer::read(response).await.verdict(),
        };
        assert_eq!(waiting, *expected, "{query} while {user} is locked");
        let after = ask(&layer, request()).await.verdict();
        assert_eq!(after, *expected, "{query} after {user} is locked");
    }
}

#[tokio::test]
async fn rule_16_a_long_poll_is_known_by_the_path_that_the_settings_name() {
    let original = |layer: AccountStatusLayer<_>| {
        layer.with_request_path(RequestPath::original_uri(|extensions| {
            extensions.get::<Uri>()
        }))
    };
    let mut request = alices(Method::GET, "/inner");
    request.extensions_mut().insert(Uri::from_static(SYNC));
    assert_eq!(answer(original, request, Locked).await, locked());
    let nested = |layer: AccountStatusLayer<_>| {
        layer.with_request_path(RequestPath::nested_at("/_matrix/client"))
    };
    let request = alices(Method::GET, "/v3/sync");
    assert_eq!(answer(nested, request, Locked).await, locked());
    let exempt = move |layer| nested(layer).add_exempt(Method::GET, SYNC);
    let request = alices(Method::GET, "/v3/sync");
    assert_eq!(answer(exempt, request, Locked).await, passed());
}

#[tokio::test]
async fn rule_16_each_kind_of_long_poll_has_its_own_switch() {
    let sliding = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";
    for (left, sync, sliding_sync) in [
        (LongPoll::Sync, passed(), locked()),
        (LongPoll::SlidingSync, locked(), passed()),
    ] {
        for (method, path, expected) in [
            (Method::GET, SYNC, &sync),
            (Method::POST, sliding, &sliding_sync),
        ] {
            let store = store();
            let layer = layer(&store).without_ending(left);
            let request = alices(method, path);
            let waiting = while_it_waits(layer, &store, request, Locked).await;
            assert_eq!(waiting, *expected, "{left:?} {path}");
        }
    }
}

/// RFC 8441 puts a `CONNECT` with a path in the place of the `GET` that asks for an
/// upgrade.
#[tokio::test]
async fn rule_6_a_connect_with_a_path_is_judged_for_a_suspension_as_get() {
    let layer_of = |kind: RestrictionKind| layer(&store_with(kind));
    let suspended = || verdict(403, "M_USER_SUSPENDED");
    let to = |uri: &str| alices(Method::CONNECT, uri);
    let stream = "/_matrix/client/v3/sync/ws";
    for uri in [stream, "https://localhost/ws", "/ws"] {
        let answer = ask(&layer_of(Suspended), to(uri)).await;
        assert_eq!(answer.verdict(), passed(), "{uri}");
        let answer = ask(&layer_of(Locked), to(uri)).await;
        assert_eq!(answer.verdict(), locked(), "{uri}");
    }
    let no_reads = SuspensionPolicy::new().refuse(Action::UnknownRead);
    let layer = layer_of(Suspended).with_suspension_policy(no_reads);
    assert_eq!(ask(&layer, to("/ws")).await.verdict(), suspended());
    // Without a path it is a tunnel.
    let tunnel = ask(&layer_of(Suspended), to("localhost:443")).await;
    assert_eq!(tunnel.verdict(), suspended());
    // It is `GET` for nothing else.
    let versions = "/_matrix/client/versions";
    let exempt = layer_of(Locked)
        .with_exempt_versions()
        .add_exempt(Method::GET, "/ws");
    assert_eq!(ask(&exempt, to(versions)).await.verdict(), locked());
    assert_eq!(ask(&exempt, to("/ws")).await.verdict(), locked());
    let store = store();
    let plain = support::layer(&store);
    let waiting = while_it_waits(plain, &store, to(SYNC), Locked).await;
    assert_eq!(waiting, passed(), "no long poll");
}

/// What a layer's observer hears, a line each.
fn heard<S: AccountStateStore>(
    layer: AccountStatusLayer<S>,
) -> (AccountStatusLayer<S>, Arc<Mutex<Vec<String>>>) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&lines);
    let layer = layer.with_observer(move |outcome| {
        let cause = outcome.denial().map(Denial::cause);
        let line = format!("{} {} {cause:?}", outcome.decision(), outcome.endpoint());
        heard.lock().expect("not poisoned").push(line);
    });
    (layer, lines)
}

/// A body that promises 20 bytes and fails.
struct Cut;

impl http_body::Body for Cut {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, &'static str>>> {
        Poll::Ready(Some(Err("the client has gone")))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(20)
    }
}

/// The report says what happened.
#[tokio::test]
async fn rule_18_a_body_that_fails_is_told_as_refused_under_report_only() {
    let (layer, lines) = heard(layer(&store()).with_report_only());
    let layer = layer.with_wrapped_bodies();
    let request = anonymous(Method::POST, LOGIN, "").map(|_| Cut);
    let service = layer.layer(service_fn(|_: Request<_>| async {
        Ok::<_, Infallible>(Response::new(Body::default()))
    }));
    let answer = support::call(service, request).await;
    assert_eq!(answer.status, 400);
    let told = lines.lock().expect("not poisoned").clone();
    assert_eq!(told, ["refused login Some(BodyFailed)"]);
}

/// It may be longer than what can be held and handed on, and enforced it may be refused or not.
#[tokio::test]
async fn rule_18_a_body_of_unknown_length_is_told_as_unchecked_under_report_only() {
    for user in ["alice", "bob"] {
        let (layer, lines) = heard(layer(&store_with(Locked)).with_report_only());
        let layer = layer.with_wrapped_bodies();
        let body = format!(r#"{{"user":"{user}"}}"#);
        let (first, second) = body.split_at(5);
        let chunks = [first.to_owned(), second.to_owned()];
        let request =
            anonymous(Method::POST, LOGIN, "").map(|_| Frames::new(chunks).of_unknown_length());
        let service = layer.layer(service_fn(|request: Request<_>| async {
            let body = BodyExt::collect(request.into_body()).await.expect("whole");
            Ok::<_, Infallible>(Response::new(Body::from(body.to_bytes())))
        }));
        let answer = support::call(service, request).await;
        assert_eq!((answer.status, answer.text()), (StatusCode::OK, &*body));
        let told = lines.lock().expect("not poisoned").clone();
        assert_eq!(told, ["passed_unchecked login None"]);
    }
}

/// A scheme without a token is no credential.
#[tokio::test]
async fn rule_7_an_empty_token_is_no_credential() {
    for script in [Script::Answer, Script::Fail] {
        let memory = MemoryStore::new();
        memory.insert_access_token("", ALICE);
        memory.restrict(ALICE, Locked);
        let store = ScriptedStore::new(memory).with(|store| {
            (store.peek, store.glance) = (script, script);
        });
        let store = Arc::new(store);
        let layer = AccountStatusLayer::new(Arc::clone(&store));
        let mut request = anonymous(Method::GET, SYNC, "");
        bear(&mut request, "");
        assert_eq!(ask(&layer, request).await.verdict(), passed());
        assert_eq!(store.asked(), 0, "{script:?}");
    }
}

/// A layer in a nested router that was not told where it is.
#[tokio::test]
async fn rule_10_a_single_segment_may_be_what_a_nested_router_left() {
    let layer = layer(&store_with(Locked));
    for path in ["/foo/login", "/x.y/login", "/foo/account/deactivate"] {
        let body = r#"{"user":"alice","auth":{"user":"alice"}}"#;
        let body = match path.ends_with("login") {
            true => r#"{"user":"alice"}"#,
            false => body,
        };
        let answer = ask(&layer, anonymous(Method::POST, path, body)).await;
        assert_eq!(answer.verdict(), locked(), "{path}");
    }
    // The layer does not refuse another application's form.
    let mut form = anonymous(Method::POST, "/shop/login", "user=alice&password=x");
    let form_type = "application/x-www-form-urlencoded"
        .parse()
        .expect("a value");
    form.headers_mut().insert("content-type", form_type);
    assert_eq!(ask(&layer, form).await.verdict(), passed());
}

/// The same layer, whose router has a parameter in the place of the version.
#[tokio::test]
async fn rule_16_a_single_segment_before_a_long_poll_may_be_what_a_nested_router_left() {
    for path in [
        "/sync",
        "/foo/sync",
        "/foo/events",
        "/foo//sync/",
        "/org.matrix.x/sync",
        "/unstable/org.matrix.x/sync",
        "/client/foo/sync",
        "/_matrix/client/foo/sync",
    ] {
        let poll = alices(Method::GET, path);
        assert_eq!(
            answer(|layer| layer, poll, Locked).await,
            locked(),
            "{path}"
        );
    }
    let sliding = alices(Method::POST, "/org.matrix.x/sync");
    assert_eq!(answer(|layer| layer, sliding, Locked).await, locked());
    // No other request is cut short.
    for (method, path) in [
        (Method::GET, "/v3/rooms/x/events"),
        (Method::GET, "/_matrix/client/v3/rooms/x/events"),
        (Method::GET, "/foo/bar/sync"),
        (Method::POST, "/foo/events"),
        (Method::GET, "/foo/login"),
    ] {
        let store = store();
        let layer = layer(&store);
        let waiting = while_it_waits(layer, &store, alices(method, path), Locked).await;
        assert_eq!(waiting, passed(), "{path}");
    }
}

#[tokio::test]
async fn rule_5_logging_out_passes_whatever_the_policy_says() {
    let policy = SuspensionPolicy::new().refuse(Action::LogOut);
    let layer = layer(&store_with(Suspended)).with_suspension_policy(policy);
    let logout = alices(Method::POST, support::LOGOUT);
    assert_eq!(ask(&layer, logout).await.verdict(), passed());
    let guard = layer.guard();
    let own_code = guard.check_action(&ALICE.into(), Action::LogOut).await;
    assert_eq!(own_code, Ok(()));
}
