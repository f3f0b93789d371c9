//! One judge: for random settings, accounts, credentials, endpoints and moments of the change, the
//! layer (at once and awaited), the guard and a long poll that waits give the same answer to the
//! same question; while the store fails, too.

#[path = "agreement/question.rs"]
mod question;
mod support;

use std::{
    convert::Infallible,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::Poll,
    time::Duration,
};

use http::{Method, Request, Response};
use proptest::{prelude::*, sample::select, test_runner::Config};
use question::{
    BRIDGE, Body, ENDPOINTS, Endpoint, SENT, SERVICES_TOKEN, Settings, settings, state,
};
use support::{
    ALICE, Answer, BOB, BOBS_TOKEN, TOKEN, ask, passed, poll_once, scripted::ScriptedStore,
};
use tower::{Layer, ServiceExt, service_fn, util::ServiceFn};
use tower_account_status::{
    AccountGuard, AccountState, AccountStateStore, AccountStatusLayer, Credential, MemoryStore,
    Peek, forward,
    store::{Answer as StoreAnswer, StoreError},
};

type Verdict = (u16, String);

/// Everyone whose state may decide has this one.
fn memory(state: AccountState) -> MemoryStore {
    let store = MemoryStore::new().with_server_name("localhost");
    store.insert_access_token(TOKEN, ALICE);
    store.insert_access_token(BOBS_TOKEN, BOB);
    store.insert_application_service_token(SERVICES_TOKEN, BRIDGE);
    store.insert_refresh_token("alices", ALICE);
    come_to(&store, state);
    store
}

fn come_to(store: &MemoryStore, state: AccountState) {
    store.set_state(ALICE, state.clone());
    store.set_state(BRIDGE, state);
}

/// Fails as long as it is told to: at once, by a panic, or when it is awaited.
struct Failing {
    memory: MemoryStore,
    fails: AtomicBool,
    at_once: bool,
}

impl Failing {
    fn new(memory: MemoryStore, at_once: bool, fails: bool) -> Self {
        Self {
            memory,
            fails: AtomicBool::new(fails),
            at_once,
        }
    }

    fn answer(&self) -> Result<(), StoreError> {
        match self.fails.load(SeqCst) {
            true => Err(StoreError::msg("told to fail")),
            false => Ok(()),
        }
    }
}

impl AccountStateStore for Failing {
    async fn access_token(&self, token: &str) -> StoreAnswer {
        self.answer()?;
        AccountStateStore::access_token(&self.memory, token).await
    }

    async fn application_service(&self, token: &str) -> StoreAnswer {
        self.answer()?;
        self.memory.application_service(token).await
    }

    async fn state(&self, user: &str) -> Result<AccountState, StoreError> {
        self.answer()?;
        AccountStateStore::state(&self.memory, user).await
    }

    forward! { memory => all except access_token, application_service, state, peek }

    fn peek(&self, credential: Credential<'_>) -> Peek {
        match (self.at_once, self.fails.load(SeqCst)) {
            (true, true) => panic!("told to fail"),
            (true, false) => self.memory.peek(credential),
            (false, _) => Peek::Ask,
        }
    }
}

type Pending = std::future::Pending<Result<Response<Body>, Infallible>>;

fn waits() -> ServiceFn<fn(Request<Body>) -> Pending> {
    service_fn(|_| std::future::pending())
}

/// What the client gets if the account's state becomes `state` while the request waits; `passed` if the
/// request goes on.
async fn while_it_waits(
    settings: &Settings,
    request: Request<Body>,
    state: AccountState,
) -> Verdict {
    let store = Arc::new(memory(AccountState::ACTIVE));
    let layer = settings.apply(AccountStatusLayer::new(Arc::clone(&store)));
    let mut response = pin!(layer.layer(waits()).oneshot(request));
    // A body may have to be read first, which takes a few polls.
    for _ in 0..4 {
        assert!(poll_once(response.as_mut()).is_pending());
    }
    come_to(&store, state);
    match poll_once(response.as_mut()) {
        Poll::Pending => passed(),
        Poll::Ready(Ok(response)) => Answer::read(response).await.verdict(),
    }
}

/// The same if the store fails from that moment on, and has recovered when it is asked again. Until
/// then nothing is ended.
async fn while_the_store_fails(
    settings: &Settings,
    request: Request<Body>,
    state: AccountState,
) -> Verdict {
    let store = Arc::new(Failing::new(memory(AccountState::ACTIVE), true, false));
    let layer = settings.apply(AccountStatusLayer::new(Arc::clone(&store)));
    let mut response = pin!(layer.layer(waits()).oneshot(request));
    for _ in 0..4 {
        assert!(poll_once(response.as_mut()).is_pending());
    }
    store.fails.store(true, SeqCst);
    come_to(&store.memory, state);
    assert!(poll_once(response.as_mut()).is_pending());
    store.fails.store(false, SeqCst);
    tokio::time::advance(Duration::from_secs(2)).await;
    match poll_once(response.as_mut()) {
        Poll::Pending => passed(),
        Poll::Ready(Ok(response)) => Answer::read(response).await.verdict(),
    }
}

/// What the guard says of the same.
async fn checked(guard: AccountGuard, user: &str, (method, path, body): &Endpoint) -> Verdict {
    match guard.check_request(&user.into(), method, path, *body).await {
        Ok(()) => passed(),
        // A HEAD has no body, and its answer no error code.
        Err(denial) if method == Method::HEAD => (denial.status().as_u16(), String::new()),
        Err(denial) => (denial.status().as_u16(), denial.errcode().to_owned()),
    }
}

fn is_long_poll((method, path, _): &Endpoint) -> bool {
    let ends = path.ends_with("sync") || path.ends_with("s%79nc");
    match *method {
        Method::GET => ends || path.ends_with("/events"),
        Method::POST => ends,
        _ => false,
    }
}

fn config() -> Config {
    // More cases than in each run of the tests.
    let times = std::env::var("AGREEMENT_TIMES").ok();
    Config {
        cases: 600 * times.map_or(1, |times| times.parse().expect("a number")),
        failure_persistence: None,
        ..Config::default()
    }
}

fn runtime() -> tokio::runtime::Runtime {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true);
    runtime.build().expect("a runtime")
}

#[test]
fn one_judge_the_layer_the_guard_and_a_waiting_poll_agree() {
    let runtime = runtime();
    let waited = std::cell::Cell::new(0);
    let strategy = (settings(), state(), 0..ENDPOINTS.len(), select(&SENT[..]));
    proptest!(config(), |((settings, state, endpoint, sent) in strategy)| {
        let endpoint = &ENDPOINTS[endpoint];
        let Some(request) = settings.request(endpoint, sent) else { return Ok(()); };
        runtime.block_on(async {
            let store = Arc::new(memory(state.clone()));
            let layer = settings.apply(AccountStatusLayer::new(store));
            let at_once = ask(&layer, request.clone()).await.verdict();
            let awaited = AccountStatusLayer::new(ScriptedStore::new(memory(state.clone())));
            let awaited = ask(&settings.apply(awaited), request.clone()).await.verdict();
            prop_assert_eq!(&at_once, &awaited, "at once and awaited");
            let checked = checked(layer.guard(), sent.account(), endpoint).await;
            prop_assert_eq!(&at_once, &checked, "the layer and the guard");
            let waiting = while_it_waits(&settings, request.clone(), state.clone()).await;
            let recovered = while_the_store_fails(&settings, request, state.clone()).await;
            if is_long_poll(endpoint) {
                prop_assert_eq!(&at_once, &waiting, "at once and while it waits");
                prop_assert_eq!(&at_once, &recovered, "at once and when the store is back");
                waited.set(waited.get() + 1);
            } else {
                prop_assert_eq!(waiting, passed(), "nothing else is cut short");
                prop_assert_eq!(recovered, passed(), "nor where the store has failed");
            }
            Ok(())
        })?;
    });
    assert!(waited.get() > 50, "{} long polls", waited.get());
}

#[test]
fn rule_12_one_judge_the_layer_and_the_guard_agree_while_the_store_fails() {
    let runtime = runtime();
    let refused = std::cell::Cell::new(0);
    let strategy = (settings(), state(), 0..ENDPOINTS.len(), select(&SENT[..]));
    proptest!(config(), |((settings, state, endpoint, sent) in strategy)| {
        let endpoint = &ENDPOINTS[endpoint];
        let Some(request) = settings.request(endpoint, sent) else { return Ok(()); };
        runtime.block_on(async {
            let failing = |at_once| Failing::new(memory(state.clone()), at_once, true);
            let layer = settings.apply(AccountStatusLayer::new(failing(true)));
            let at_once = ask(&layer, request.clone()).await.verdict();
            let awaited = settings.apply(AccountStatusLayer::new(failing(false)));
            let of_awaited = ask(&awaited, request.clone()).await.verdict();
            prop_assert_eq!(&at_once, &of_awaited, "at once and awaited");
            for layer in [layer, awaited] {
                let checked = checked(layer.guard(), sent.account(), endpoint).await;
                prop_assert_eq!(&at_once, &checked, "the layer and the guard");
            }
            prop_assert!(at_once == passed() || at_once.0 == 503, "{:?}", at_once);
            refused.set(refused.get() + u32::from(at_once.0 == 503));
            Ok(())
        })?;
    });
    assert!(refused.get() > 100, "{} refused", refused.get());
}
