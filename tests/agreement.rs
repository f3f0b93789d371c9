//! One judge: for random settings, accounts, endpoints and moments of the change, the layer (at
//! once and awaited), the guard and a long poll that waits give the same answer to the same
//! question.

mod support;

use std::{
    convert::Infallible,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Extensions, Method, Request, Response, Uri};
use http_body_util::Full;
use proptest::{prelude::*, sample::select, test_runner::Config};
use support::{
    ALICE, Answer, TOKEN, anonymous, ask, bear, passed, poll_once, scripted::ScriptedStore,
};
use tower::{Layer, ServiceExt, service_fn};
use tower_account_status::{
    AccountState, AccountStateStore, AccountStatusLayer, Action, MemoryStore, RequestPath,
    Restriction,
    RestrictionKind::{self, Deactivated, Locked, Suspended},
    SuspensionPolicy,
};

type Body = Full<Bytes>;
type Verdict = (u16, String);

const LEAVE: &str = r#"{"membership":"leave"}"#;
const JOIN: &str = r#"{"membership":"join"}"#;
const MEMBER: &str = "/_matrix/client/v3/rooms/!r/state/m.room.member/@alice:localhost";

/// Method, path as the client sends it, body. Where bodies name an account, it is Alice's.
const ENDPOINTS: &[(Method, &str, &str)] = &[
    (Method::GET, "/_matrix/client/v3/sync", ""),
    (Method::GET, "/_matrix/client/r0/events", ""),
    (Method::GET, "/_matrix/client/v3/x/../sync", ""),
    (Method::GET, "/_matrix/client/v3/s%79nc", ""),
    (
        Method::POST,
        "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync",
        "{}",
    ),
    (Method::GET, "/app/v1/events", ""),
    (Method::GET, "/app/v1/x", ""),
    (Method::CONNECT, "/app/v1/ws", ""),
    (Method::GET, "/_matrix/client/v3/rooms/!r/messages", ""),
    (
        Method::PUT,
        "/_matrix/client/v3/rooms/!r/send/m.room.message/1",
        "{}",
    ),
    (Method::PUT, "/_matrix/client/v3/rooms/!r/redact/$e/1", "{}"),
    (Method::PUT, MEMBER, LEAVE),
    (Method::PUT, MEMBER, JOIN),
    (Method::PUT, MEMBER, "no JSON"),
    (Method::POST, "/_matrix/client/v3/rooms/!r/leave", "{}"),
    (Method::POST, "/_matrix/client/v3/logout", ""),
    (Method::POST, "/_matrix/client/v3/logout/", ""),
    (Method::OPTIONS, "/_matrix/client/v3/sync", ""),
    (Method::GET, "/_matrix/client/versions", ""),
    (Method::HEAD, "/_matrix/client/versions", ""),
    (Method::GET, "/_matrix/client/v3/login", ""),
    (
        Method::POST,
        "/_matrix/client/v3/login",
        r#"{"user":"alice"}"#,
    ),
    (
        Method::POST,
        "/_matrix/client/v3/refresh",
        r#"{"refresh_token":"alices"}"#,
    ),
    (Method::POST, "/_matrix/client/v3/account/deactivate", "{}"),
    (Method::DELETE, "/_matrix/client/v3/devices/x", ""),
    (Method::GET, "/_matrix/federation/v1/version", ""),
    (Method::GET, "/.well-known/matrix/support", ""),
    (Method::GET, "/unknown", ""),
    (Method::POST, "/unknown", ""),
];

#[derive(Clone, Debug)]
enum Place {
    AsSent,
    NestedAt(&'static str),
    Below(&'static str),
    Original,
}

#[derive(Clone, Debug)]
struct Settings {
    place: Place,
    exempt: Option<usize>,
    exempt_versions: bool,
    excludes_app: bool,
    refused: Vec<Action>,
    permitted: Vec<Action>,
    permitted_endpoint: Option<usize>,
    report_only: bool,
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)
}

fn settings() -> impl Strategy<Value = Settings> {
    let endpoint = || prop::option::weighted(0.3, 0..ENDPOINTS.len());
    let actions = || prop::collection::vec(select(Action::ALL), 0..4);
    let place = select(vec![
        Place::AsSent,
        Place::AsSent,
        Place::NestedAt("/_matrix/client"),
        Place::NestedAt("/_matrix/client/v3"),
        Place::Below("/hs"),
        Place::Original,
    ]);
    let refused = prop_oneof![
        actions(),
        Just(vec![Action::Sync, Action::UnknownRead]),
        Just(vec![Action::Sync]),
    ];
    let flags = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.1));
    (place, endpoint(), endpoint(), refused, actions(), flags).prop_map(
        |(place, exempt, permitted_endpoint, refused, permitted, flags)| Settings {
            place,
            exempt,
            exempt_versions: flags.0,
            excludes_app: flags.1,
            refused,
            permitted,
            permitted_endpoint,
            report_only: flags.2,
        },
    )
}

/// Some restrictions, which may have ended, end later, or not at all.
fn state() -> impl Strategy<Value = AccountState> {
    let one = |kind: RestrictionKind| {
        let end = prop_oneof![Just(None), Just(Some(-1_i64)), Just(Some(60))];
        prop::option::weighted(0.4, end).prop_map(move |end| {
            let end = end?;
            let restriction = Restriction::new(kind);
            Some(match end {
                None => restriction,
                Some(seconds) if seconds < 0 => {
                    restriction.with_until(now() - Duration::from_secs(1))
                }
                Some(_) => restriction.with_until(now() + Duration::from_secs(60)),
            })
        })
    };
    (one(Deactivated), one(Locked), one(Suspended)).prop_map(|(deactivated, locked, suspended)| {
        [deactivated, locked, suspended]
            .into_iter()
            .flatten()
            .collect()
    })
}

impl Settings {
    fn apply<S: AccountStateStore>(&self, layer: AccountStatusLayer<S>) -> AccountStatusLayer<S> {
        let mut policy = SuspensionPolicy::new();
        for &action in &self.permitted {
            policy = policy.permit(action);
        }
        for &action in &self.refused {
            policy = policy.refuse(action);
        }
        if let Some(endpoint) = self.permitted_endpoint {
            let (method, path, _) = ENDPOINTS[endpoint].clone();
            policy = policy.permit_endpoint(method, path);
        }
        let mut layer = layer
            .with_suspension_policy(policy)
            .with_clock(now)
            .with_request_path(match self.place {
                Place::AsSent => RequestPath::as_sent(),
                Place::NestedAt(mount) => RequestPath::nested_at(mount),
                Place::Below(prefix) => RequestPath::below(prefix),
                Place::Original => RequestPath::original_uri(Extensions::get::<Uri>),
            });
        if let Some(endpoint) = self.exempt {
            let (method, path, _) = ENDPOINTS[endpoint].clone();
            layer = layer.add_exempt(method, path);
        }
        if self.exempt_versions {
            layer = layer.with_exempt_versions();
        }
        if self.excludes_app {
            layer = layer.add_excluded_prefix("/app");
        }
        if self.report_only {
            layer = layer.with_report_only();
        }
        layer
    }

    /// The request as it reaches the layer in its place, if it does.
    fn request(
        &self,
        (method, path, body): &(Method, &str, &'static str),
    ) -> Option<Request<Body>> {
        let seen = match self.place {
            Place::AsSent => (*path).to_owned(),
            Place::NestedAt(mount) => path.strip_prefix(mount)?.to_owned(),
            Place::Below(prefix) => format!("{prefix}{path}"),
            Place::Original => "/inner".to_owned(),
        };
        let mut request = anonymous(method.clone(), &seen, *body);
        request
            .extensions_mut()
            .insert(path.parse::<Uri>().expect("a path"));
        bear(&mut request, TOKEN);
        Some(request)
    }
}

fn memory(state: AccountState) -> MemoryStore {
    let store = MemoryStore::new().with_server_name("localhost");
    store.insert_access_token(TOKEN, ALICE);
    store.insert_refresh_token("alices", ALICE);
    store.set_state(ALICE, state);
    store
}

/// What the client gets if the account comes to `state` while the request waits; `passed` if the
/// request goes on.
async fn while_it_waits(
    settings: &Settings,
    request: Request<Body>,
    state: AccountState,
) -> Verdict {
    let store = Arc::new(memory(AccountState::ACTIVE));
    let layer = settings.apply(AccountStatusLayer::new(Arc::clone(&store)));
    let waits =
        service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, Infallible>>());
    let mut response = pin!(layer.layer(waits).oneshot(request));
    // A body may have to be read first, which takes a few polls.
    for _ in 0..4 {
        assert!(poll_once(response.as_mut()).is_pending());
    }
    store.set_state(ALICE, state);
    match poll_once(response.as_mut()) {
        Poll::Pending => passed(),
        Poll::Ready(Ok(response)) => Answer::read(response).await.verdict(),
    }
}

fn is_long_poll((method, path, _): &(Method, &str, &str)) -> bool {
    let ends = path.ends_with("sync") || path.ends_with("s%79nc");
    match *method {
        Method::GET => ends || path.ends_with("/events"),
        Method::POST => ends,
        _ => false,
    }
}

#[test]
fn one_judge_the_layer_the_guard_and_a_waiting_poll_agree() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let config = Config {
        cases: 600,
        failure_persistence: None,
        ..Config::default()
    };
    let waited = std::cell::Cell::new(0);
    proptest!(config, |(settings in settings(), state in state(), endpoint in 0..ENDPOINTS.len())| {
        let endpoint = &ENDPOINTS[endpoint];
        let Some(request) = settings.request(endpoint) else { return Ok(()); };
        runtime.block_on(async {
            let store = Arc::new(memory(state.clone()));
            let layer = settings.apply(AccountStatusLayer::new(store));
            let at_once = ask(&layer, request.clone()).await.verdict();
            let awaited = AccountStatusLayer::new(ScriptedStore::new(memory(state.clone())));
            let awaited = ask(&settings.apply(awaited), request.clone()).await.verdict();
            prop_assert_eq!(&at_once, &awaited, "at once and awaited");
            let (method, path, body) = endpoint;
            let guard = layer.guard();
            let checked = guard.check_request(&ALICE.into(), method, path, *body).await;
            // A HEAD has no body, and its answer no error code.
            let checked = match checked {
                Ok(()) => (200, String::new()),
                Err(denial) if method == Method::HEAD => (denial.status().as_u16(), String::new()),
                Err(denial) => (denial.status().as_u16(), denial.errcode().to_owned()),
            };
            prop_assert_eq!(&at_once, &checked, "the layer and the guard");
            let waiting = while_it_waits(&settings, request, state.clone()).await;
            if is_long_poll(endpoint) {
                prop_assert_eq!(&at_once, &waiting, "at once and while it waits");
                waited.set(waited.get() + 1);
            } else {
                prop_assert_eq!(waiting, passed(), "nothing else is cut short");
            }
            Ok(())
        })?;
    });
    assert!(waited.get() > 50, "{} long polls", waited.get());
}
