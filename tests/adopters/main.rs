//! Stores as a server's author would write them from the documentation alone. With each of them
//! restricted accounts are refused.
#![cfg(feature = "cache")]
#![allow(clippy::unwrap_used)] // a test fails by panicking

mod conduit;
mod continuwuity;
mod delegated;
mod servers;

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use servers::{
    conduit::{Appservices, Registration, Services as Conduit, Users},
    continuwuity::Services as Continuwuity,
};
use tower::{Layer, ServiceExt};
use tower_account_status::{
    AccountStateStore, AccountStatusLayer, CachedStore, Combined, MemoryStore,
    RestrictionKind::{Deactivated, Locked, Suspended},
    RestrictionStore, UserId,
};

const WHOAMI: &str = "/_matrix/client/v3/account/whoami";
const LOGIN: &str = "/_matrix/client/v3/login";

fn request(method: &Method, path: &str, token: &str, body: &str) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {token}"))
        .body(Full::from(body.to_owned()))
        .unwrap()
}

async fn send<S: AccountStateStore>(
    layer: &AccountStatusLayer<S>,
    request: Request<Full<Bytes>>,
) -> StatusCode {
    let server = tower::service_fn(async |_: Request<Full<Bytes>>| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    layer.layer(server).oneshot(request).await.unwrap().status()
}

async fn get<S: AccountStateStore>(
    layer: &AccountStatusLayer<S>,
    path: &str,
    token: &str,
) -> StatusCode {
    send(layer, request(&Method::GET, path, token, "")).await
}

async fn log_in<S: AccountStateStore>(layer: &AccountStatusLayer<S>, body: &str) -> StatusCode {
    send(layer, request(&Method::POST, LOGIN, "stray", body)).await
}

fn conduit() -> Conduit {
    let user = |name: &str| (name.to_owned(), format!("@{name}:example.org"));
    let mut users = Users([user("alice"), user("bob")].into());
    users.0.insert("corrupt".into(), "broken".into());
    let bridge = Registration {
        sender_localpart: "bridge".into(),
    };
    Conduit {
        users,
        appservice: Appservices([("bridge-token".to_owned(), bridge)].into()),
        server_name: "example.org".into(),
        jwt_secret: "secret".into(),
    }
}

type Conduits = CachedStore<Combined<Conduit, Arc<MemoryStore>>>;

fn conduits() -> (AccountStatusLayer<Conduits>, Arc<MemoryStore>) {
    let restrictions = Arc::new(MemoryStore::new());
    let store = Combined::new(conduit(), Arc::clone(&restrictions));
    (
        AccountStatusLayer::new(CachedStore::new(store)),
        restrictions,
    )
}

#[tokio::test]
async fn rule_10_a_locked_account_gets_no_device_by_name_or_by_token() {
    let (layer, restrictions) = conduits();
    let logins = [
        r#"{"type":"m.login.password","identifier":{"type":"m.id.user","user":"Alice"}}"#,
        r#"{"type":"m.login.password","user":"@alice:example.org"}"#,
        r#"{"type":"org.matrix.login.jwt","token":"secret.alice"}"#,
    ];
    for locked in [false, true] {
        let expected = match locked {
            true => StatusCode::UNAUTHORIZED,
            false => StatusCode::OK,
        };
        for login in logins {
            assert_eq!(log_in(&layer, login).await, expected, "{login}");
        }
        assert_eq!(get(&layer, WHOAMI, "alice").await, expected);
        restrictions.restrict("@alice:example.org", Locked);
    }
}

/// The tokens of application services are not in the table of tokens.
#[tokio::test]
async fn rule_8_a_locked_bot_and_a_locked_ghost_do_not_pass() {
    let (layer, restrictions) = conduits();
    let ghost = format!("{WHOAMI}?user_id=@ghost:example.org");
    assert_eq!(get(&layer, WHOAMI, "bridge-token").await, StatusCode::OK);
    assert_eq!(get(&layer, &ghost, "bridge-token").await, StatusCode::OK);
    restrictions.restrict("@ghost:example.org", Locked);
    for _ in 0..2 {
        let refused = get(&layer, &ghost, "bridge-token").await;
        assert_eq!(
            refused,
            StatusCode::UNAUTHORIZED,
            "the cache knows the token by now"
        );
        assert_eq!(get(&layer, WHOAMI, "bridge-token").await, StatusCode::OK);
    }
    restrictions.restrict("@bridge:example.org", Locked);
    let refused = get(&layer, WHOAMI, "bridge-token").await;
    assert_eq!(refused, StatusCode::UNAUTHORIZED);
    // A person's token asserts nobody.
    assert_eq!(get(&layer, &ghost, "bob").await, StatusCode::OK);
}

/// An error that is not `Sync`, by a plain `?`; the handler would say "unknown token", with a 401.
#[tokio::test]
async fn rule_12_a_broken_record_is_503_and_its_cause_is_told() {
    let heard = Arc::new(Mutex::new(String::new()));
    let hears = Arc::clone(&heard);
    let (layer, _restrictions) = conduits();
    let layer = layer.with_observer(move |outcome| {
        *hears.lock().unwrap() = outcome.store_error().unwrap().to_string();
    });
    let answer = get(&layer, WHOAMI, "corrupt").await;
    assert_eq!(answer, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(*heard.lock().unwrap(), "the record of a session is broken");
}

fn continuwuity() -> Arc<Continuwuity> {
    let server = Continuwuity {
        server_name: "example.org".into(),
        ..Continuwuity::default()
    };
    server.users.tokens.insert("alice", "@alice:example.org");
    server
        .users
        .login_tokens
        .insert("once", "@alice:example.org");
    server
        .threepid
        .insert("alice@mail.org", "@alice:example.org");
    server.appservice.insert("bridge-token", "bridge");
    server.timeline.insert("$own", "@alice:example.org");
    server.timeline.insert("$other", "@bob:example.org");
    Arc::new(server)
}

fn set(server: &Continuwuity, flag: &'static str) {
    let user = "@alice:example.org";
    server
        .users
        .flags
        .lock()
        .unwrap()
        .insert((user.into(), flag));
    server.changes.announce(user);
}

/// A server with restrictions of its own, which adds ends and reasons by a ready-made store.
#[tokio::test]
async fn rule_4_a_servers_own_flags_and_a_ready_made_store_are_one_state() {
    let (server, restrictions) = (continuwuity(), Arc::new(MemoryStore::new()));
    let store = Combined::new(Arc::clone(&server), Arc::clone(&restrictions));
    let layer = AccountStatusLayer::new(CachedStore::new(store));
    restrictions.restrict("@alice:example.org", Suspended);
    let send_message = "/_matrix/client/v3/rooms/!r:x/send/m.room.message/1";
    let put = || request(&Method::PUT, send_message, "alice", "{}");
    assert_eq!(send(&layer, put()).await, StatusCode::FORBIDDEN);
    set(&server, "locked");
    assert_eq!(send(&layer, put()).await, StatusCode::UNAUTHORIZED);
    set(&server, "deactivated");
    assert_eq!(send(&layer, put()).await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn rule_10_every_way_to_log_in_is_checked_and_uses_nothing_up() {
    let server = continuwuity();
    let layer = AccountStatusLayer::new(CachedStore::new(Arc::clone(&server)));
    let by_email =
        r#"{"identifier":{"type":"m.id.thirdparty","medium":"email","address":"Alice@Mail.org"}}"#;
    let by_token = r#"{"type":"m.login.token","token":"once"}"#;
    for _ in 0..2 {
        assert_eq!(log_in(&layer, by_email).await, StatusCode::OK);
        assert_eq!(log_in(&layer, by_token).await, StatusCode::OK);
    }
    set(&server, "locked");
    assert_eq!(log_in(&layer, by_email).await, StatusCode::UNAUTHORIZED);
    assert_eq!(log_in(&layer, by_token).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_suspended_account_redacts_its_own_events() {
    let server = continuwuity();
    let layer = AccountStatusLayer::new(CachedStore::new(Arc::clone(&server)));
    set(&server, "suspended");
    for (event, expected) in [("$own", StatusCode::OK), ("$other", StatusCode::FORBIDDEN)] {
        let path = format!("/_matrix/client/v3/rooms/!r:x/redact/{event}/1");
        let answer = send(&layer, request(&Method::PUT, &path, "alice", "{}")).await;
        assert_eq!(answer, expected, "{event}");
    }
}

/// An operator finds the record that is broken by the name of its account.
#[tokio::test]
async fn rule_12_the_warning_names_the_account() {
    let server = continuwuity();
    let broken = "@alice:example.org".to_owned();
    server.users.broken.lock().unwrap().insert(broken);
    let heard = Arc::new(Mutex::new(String::new()));
    let hears = Arc::clone(&heard);
    let layer = AccountStatusLayer::new(server).with_observer(move |outcome| {
        *hears.lock().unwrap() = outcome.store_error().unwrap().to_string();
    });
    let answer = get(&layer, WHOAMI, "alice").await;
    assert_eq!(answer, StatusCode::SERVICE_UNAVAILABLE);
    let expected = "the state of @alice:example.org: the database is away";
    assert_eq!(*heard.lock().unwrap(), expected);
}

/// The guard owns the store. A server that is the store, and keeps the guard, gives the layer a weak
/// pointer to itself.
#[tokio::test]
async fn a_guard_in_the_servers_own_state_is_no_circle() {
    let server = continuwuity();
    let layer = AccountStatusLayer::new(Arc::downgrade(&server));
    assert!(server.guard.set(layer.guard()).is_ok());
    set(&server, "locked");
    assert_eq!(get(&layer, WHOAMI, "alice").await, StatusCode::UNAUTHORIZED);
    let alice = UserId::from("@alice:example.org");
    assert!(server.guard.get().unwrap().check(&alice).await.is_err());
    let freed = Arc::downgrade(&server);
    drop(server);
    assert!(freed.upgrade().is_none(), "nobody else owns it");
    let gone = get(&layer, WHOAMI, "alice").await;
    assert_eq!(gone, StatusCode::SERVICE_UNAVAILABLE, "and never a 401");
}

/// With both traits in scope, and behind a pointer, every call finds the right method.
#[tokio::test]
async fn the_methods_of_the_two_traits_and_of_the_memory_store_do_not_clash() {
    let store = Arc::new(MemoryStore::new());
    let alice = UserId::from("@alice:example.org");
    store.restrict("@alice:example.org", Deactivated);
    store.set_restriction(&alice, Locked.into()).await.unwrap();
    store.lift("@alice:example.org", Deactivated);
    assert_eq!(store.state(&alice).await.unwrap(), Locked.into());
    assert_eq!(store.state_of(&alice).await.unwrap(), Locked.into());
    assert!(store.changes().is_some() && store.restriction_changes().is_some());
    assert_eq!(store.peek_state(&alice), store.peek_state_of(&alice));
}

#[test]
fn the_stores_are_as_short_as_they_were_promised() {
    for (source, most) in [
        (include_str!("conduit.rs"), 45),
        (include_str!("continuwuity.rs"), 65),
    ] {
        let (_, store) = source.split_once("// The store begins here.\n").unwrap();
        let (store, _) = store.split_once("// The store ends here.").unwrap();
        let lines = store.lines().filter(|line| !line.trim().is_empty()).count();
        assert!(lines <= most, "{lines} lines");
    }
}

/// The page's table says how many lines its code has, and the example has the lines that matter.
#[test]
fn the_page_on_conduit_counts_right_and_is_what_the_example_compiles() {
    let page = include_str!("../../docs/adopting/conduit.md");
    let mut blocks = page.split("```").skip(1).step_by(2);
    let mut next = || {
        let block = blocks.next().unwrap();
        let lines = block.lines().skip(1).map(str::trim);
        lines.filter(|line| !line.is_empty()).collect::<Vec<_>>()
    };
    let [dependency, store, place, deactivation] = [next(), next(), next(), next()];
    let new = deactivation
        .iter()
        .filter(|line| line.contains(" new"))
        .count();
    // One more declares the module.
    let count = dependency.len() + store.len() + 1 + place.len() + new;
    assert!(
        page.contains(&format!("are recorded | {count} |")),
        "{count}"
    );
    assert!(count <= 50, "{count}");
    let example = include_str!("../../examples/global-services/src/account_status.rs");
    for line in [
        "impl AccountStateStore for Services {",
        "async fn access_token(&self, token: &str) -> Answer {",
        "Ok(self.users.find_from_token(token)?.map(|(id, _)| id.into()))",
        "async fn application_service(&self, token: &str) -> Answer {",
        "Ok(Some(local(&name.to_lowercase())))",
        "async fn login_token(&self, token: &str, _: Option<&str>) -> Answer {",
        "without! { third_party, refresh_token, event_sender, state, changes }",
        "let set = RESTRICTIONS.blocking_set(user, RestrictionKind::Deactivated, deactivated);",
    ] {
        assert!(store.contains(&line), "the page: {line}");
        assert!(
            example.lines().any(|own| own.trim() == line),
            "the example: {line}"
        );
    }
}

/// The service says that a locked account's token is inactive, as it says of an unknown one. A
/// client that is answered `M_UNKNOWN_TOKEN` deletes its keys.
#[tokio::test]
async fn rule_1_an_account_that_the_authentication_service_has_locked_is_not_an_unknown_token() {
    let service = Arc::new(delegated::Service {
        tokens: [("alice", "alice"), ("bob", "bob")].into(),
        ..delegated::Service::default()
    });
    let restrictions = Arc::new(MemoryStore::new());
    let homeserver = delegated::Homeserver {
        delegation: Arc::clone(&service),
    };
    let layer = AccountStatusLayer::new(Combined::new(homeserver, Arc::clone(&restrictions)));
    assert_eq!(get(&layer, WHOAMI, "alice").await, StatusCode::OK);
    // Locked by the operators, in the service and beside it.
    service.inactive.lock().unwrap().push("alice");
    restrictions.restrict("@alice:example.org", Locked);
    assert_eq!(get(&layer, WHOAMI, "alice").await, StatusCode::UNAUTHORIZED);
    assert_eq!(get(&layer, WHOAMI, "bob").await, StatusCode::OK);
    assert_eq!(
        get(&layer, WHOAMI, "made-up").await,
        StatusCode::OK,
        "the handler's to answer"
    );
    let ghost = format!("{WHOAMI}?user_id=@alice:example.org");
    let refused = get(&layer, &ghost, "bridge-token").await;
    assert_eq!(refused, StatusCode::UNAUTHORIZED);
    *service.is_away.lock().unwrap() = true;
    let answer = get(&layer, WHOAMI, "bob").await;
    assert_eq!(answer, StatusCode::SERVICE_UNAVAILABLE);
}
