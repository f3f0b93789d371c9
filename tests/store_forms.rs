//! A store in every form in which a server may have it, on every kind of runtime.

mod support;

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use support::{
    ALICE, BOB, BOBS_TOKEN, Handler, SYNC, TOKEN, alices, anonymous, ask, bear, call,
    frames::Frames, locked, passed,
};
use tower::{Layer, Service, ServiceExt};
use tower_account_status::{
    Account, AccountState, AccountStateStore, AccountStatusLayer, Changes, Credential,
    DynAccountStateStore, Logout, MemoryStore, Peek, RestrictionKind, ThirdParty, UserId, forward,
    store::{Answer, StoreError},
    without,
};

/// Only what a server has to write, without `Clone` and `Debug`.
struct Required;

fn owner_of(token: &str) -> Option<UserId> {
    match token {
        TOKEN => Some(ALICE.into()),
        BOBS_TOKEN => Some(BOB.into()),
        _ => None,
    }
}

fn state_of(user: &str) -> AccountState {
    match user {
        ALICE => RestrictionKind::Locked.into(),
        _ => AccountState::ACTIVE,
    }
}

impl AccountStateStore for Required {
    async fn access_token(&self, token: &str) -> Answer {
        tokio::task::yield_now().await;
        Ok(owner_of(token))
    }

    without! { application_service, login_name, third_party, login_token, refresh_token, event_sender, changes }

    async fn state(&self, user: &str) -> Result<AccountState, StoreError> {
        tokio::task::yield_now().await;
        Ok(state_of(user))
    }
}

/// Overrides every provided method, and remembers which was called.
#[derive(Default)]
struct AllMethods(Arc<Mutex<Vec<&'static str>>>);

impl AllMethods {
    fn note(&self, method: &'static str) {
        self.0.lock().expect("not poisoned").push(method);
    }

    fn unknown(&self, method: &'static str) -> Answer {
        self.note(method);
        Ok(None)
    }
}

impl AccountStateStore for AllMethods {
    async fn access_token(&self, token: &str) -> Answer {
        self.note("access_token");
        Ok(owner_of(token))
    }

    async fn application_service(&self, _: &str) -> Answer {
        self.unknown("application_service")
    }

    async fn login_name(&self, _: &str) -> Answer {
        self.unknown("login_name")
    }

    async fn third_party(&self, _: ThirdParty<'_>) -> Answer {
        self.unknown("third_party")
    }

    async fn login_token(&self, _: &str, _: Option<&str>) -> Answer {
        self.unknown("login_token")
    }

    async fn refresh_token(&self, _: &str) -> Answer {
        self.unknown("refresh_token")
    }

    async fn state(&self, user: &str) -> Result<AccountState, StoreError> {
        self.note("state");
        Ok(state_of(user))
    }

    fn changes(&self) -> Option<Changes> {
        self.note("changes");
        Some(Changes::new())
    }

    async fn access_token_and_state(&self, token: &str) -> Result<Option<Account>, StoreError> {
        self.note("access_token_and_state");
        Ok(owner_of(token).map(|user| {
            let state = state_of(&user);
            Account::new(user, state)
        }))
    }

    async fn event_sender(&self, _: &str, _: &str) -> Answer {
        self.unknown("event_sender")
    }

    async fn states(&self, users: &[UserId]) -> Vec<Result<AccountState, StoreError>> {
        self.note("states");
        users.iter().map(|user| Ok(state_of(user))).collect()
    }

    fn logged_out(&self, _: &str, _: Logout) {
        self.note("logged_out");
    }

    fn peek(&self, _: Credential<'_>) -> Peek {
        self.note("peek");
        Peek::Ask
    }

    fn peek_state(&self, _: &str) -> Option<AccountState> {
        self.note("peek_state");
        None
    }

    fn glance(&self, _: Credential<'_>) -> Option<Peek> {
        self.note("glance");
        Some(Peek::Ask)
    }
}

/// Passes everything on.
struct Forwards<S> {
    inner: S,
}

impl<S: AccountStateStore> AccountStateStore for Forwards<S> {
    forward! { inner => all }
}

/// Answers one question itself, by asking.
struct OwnTokens<S> {
    inner: S,
}

impl<S: AccountStateStore> AccountStateStore for OwnTokens<S> {
    forward! { inner => all except access_token }

    async fn access_token(&self, token: &str) -> Answer {
        self.inner.access_token(token).await
    }
}

/// Answers no credential.
struct OnlyStates<S> {
    inner: S,
}

impl<S: AccountStateStore> AccountStateStore for OnlyStates<S> {
    forward! { inner => all except credentials, logged_out }
    without! { application_service, login_name, third_party, login_token, refresh_token }

    async fn access_token(&self, _: &str) -> Answer {
        Ok(None)
    }
}

async fn enforces<S: AccountStateStore>(form: &str, store: S) {
    let layer = AccountStatusLayer::new(store);
    let refused = ask(&layer, alices(Method::GET, SYNC)).await;
    assert_eq!(refused.verdict(), locked(), "{form}");
    let mut bobs = anonymous(Method::GET, SYNC, "");
    bear(&mut bobs, BOBS_TOKEN);
    assert_eq!(ask(&layer, bobs).await.verdict(), passed(), "{form}");
    let mut nobodys = anonymous(Method::GET, SYNC, "");
    bear(&mut nobodys, "nobodys");
    assert_eq!(ask(&layer, nobodys).await.verdict(), passed(), "{form}");
}

#[tokio::test]
async fn a_store_may_be_owned_shared_boxed_borrowed_or_chosen_at_run_time() {
    static STORE: Required = Required;
    let erased = DynAccountStateStore::new(Required);
    enforces("owned", Required).await;
    enforces("Arc", Arc::new(Required)).await;
    enforces("Box", Box::new(Required)).await;
    enforces("&'static", &STORE).await;
    enforces("Arc of Box", Arc::new(Box::new(Required))).await;
    enforces("erased", erased.clone()).await;
    enforces("erased in Arc", Arc::new(erased.clone())).await;
    enforces("erased Arc", DynAccountStateStore::new(Arc::new(Required))).await;
    enforces("erased twice", DynAccountStateStore::new(erased)).await;
    enforces("all methods", AllMethods::default()).await;
    let memory = MemoryStore::new();
    memory.insert_access_token(TOKEN, ALICE);
    memory.restrict(ALICE, RestrictionKind::Locked);
    let memory = Arc::new(memory);
    enforces("memory", Arc::clone(&memory)).await;
    enforces("erased memory", DynAccountStateStore::new(memory)).await;
}

/// Calls every method, and says which arrived.
async fn calls<S>(wrap: impl FnOnce(AllMethods) -> S) -> Vec<&'static str>
where
    S: AccountStateStore,
{
    let inner = AllMethods::default();
    let calls = Arc::clone(&inner.0);
    let store = wrap(inner);
    assert!(store.access_token(TOKEN).await.is_ok());
    assert!(store.application_service(TOKEN).await.is_ok());
    assert!(store.login_name("alice").await.is_ok());
    let email = ThirdParty::Address {
        medium: "email",
        address: "alice@example.org",
    };
    assert!(store.third_party(email).await.is_ok());
    assert!(store.login_token(TOKEN, None).await.is_ok());
    assert!(store.refresh_token(TOKEN).await.is_ok());
    assert!(store.state(ALICE).await.is_ok());
    assert!(store.access_token_and_state(TOKEN).await.is_ok());
    assert!(store.event_sender("!room:x", "$event").await.is_ok());
    assert_eq!(store.states(&[ALICE.into()]).await.len(), 1);
    store.logged_out(TOKEN, Logout::AllSessions);
    let credential = Credential::RefreshToken(TOKEN.into());
    assert_eq!(store.peek(credential), Peek::Ask);
    assert_eq!(store.peek_state(ALICE), None);
    assert_eq!(store.glance(credential), Some(Peek::Ask));
    assert!(store.changes().is_some());
    let calls = calls.lock().expect("not poisoned");
    calls.clone()
}

#[tokio::test]
async fn every_method_that_a_store_overrides_is_called_through_every_pointer() {
    let expected = [
        "access_token",
        "application_service",
        "login_name",
        "third_party",
        "login_token",
        "refresh_token",
        "state",
        "access_token_and_state",
        "event_sender",
        "states",
        "logged_out",
        "peek",
        "peek_state",
        "glance",
        "changes",
    ];
    assert_eq!(calls(|store| store).await, expected);
    assert_eq!(calls(Arc::new).await, expected);
    assert_eq!(calls(Box::new).await, expected);
    assert_eq!(calls(|store| &*Box::leak(Box::new(store))).await, expected);
    assert_eq!(calls(|store| Arc::downgrade(leak(store))).await, expected);
    assert_eq!(calls(DynAccountStateStore::new).await, expected);
    assert_eq!(calls(|inner| Forwards { inner }).await, expected);
}

/// What is not excepted is forwarded, and what would bypass an exception is not.
#[tokio::test]
async fn a_wrapper_forwards_all_that_it_does_not_except() {
    let own_tokens = [
        "access_token",
        "application_service",
        "login_name",
        "third_party",
        "login_token",
        "refresh_token",
        "state",
        // The joint question.
        "access_token",
        "state",
        "event_sender",
        // The states of several.
        "state",
        "logged_out",
        "changes",
    ];
    assert_eq!(calls(|inner| OwnTokens { inner }).await, own_tokens);
    let only_states = calls(|inner| OnlyStates { inner }).await;
    assert_eq!(only_states, ["state", "event_sender", "state", "changes"]);
}

fn leak(store: AllMethods) -> &'static Arc<AllMethods> {
    Box::leak(Box::new(Arc::new(store)))
}

#[tokio::test]
async fn one_query_answers_both_questions_where_the_store_says_so() {
    let store = AllMethods::default();
    let calls = Arc::clone(&store.0);
    let layer = AccountStatusLayer::new(store);
    calls.lock().unwrap().clear();
    assert_eq!(
        ask(&layer, alices(Method::GET, SYNC)).await.verdict(),
        locked()
    );
    let calls = calls.lock().unwrap();
    let awaited: Vec<_> = calls
        .iter()
        .filter(|call| ["access_token", "state", "access_token_and_state"].contains(call))
        .collect();
    assert_eq!(awaited, [&"access_token_and_state"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_response_future_moves_between_threads_though_the_body_is_not_sync() {
    let service = AccountStatusLayer::new(Required)
        .with_wrapped_bodies()
        .layer(Handler::default());
    let tasks: Vec<_> = (0..64)
        .map(|number| {
            let mut request = Request::new(Frames::new(["x"]));
            bear(
                &mut request,
                if number % 2 == 0 { TOKEN } else { BOBS_TOKEN },
            );
            tokio::spawn(call(service.clone(), request))
        })
        .collect();
    for (number, task) in tasks.into_iter().enumerate() {
        let expected = if number % 2 == 0 { locked() } else { passed() };
        assert_eq!(task.await.unwrap().verdict(), expected);
    }
}

#[test]
fn everything_that_servers_share_is_send_and_sync() {
    fn shared<T: Clone + Send + Sync + Unpin + 'static>(_: &T) {}
    let layer = AccountStatusLayer::new(Required);
    shared(&layer);
    shared(&layer.guard());
    shared(&layer.changes());
    shared(&layer.layer(Handler::default()));
    shared(
        &layer
            .clone()
            .with_wrapped_bodies()
            .layer(Handler::default())
            .into_make_service(),
    );
    fn send<T: Send>(_: T) {}
    let mut service = layer.layer(Handler::default());
    send(service.call(Request::new(Full::<Bytes>::default())));
    send(service.oneshot(Request::new(Frames::new(["x"]))));
}

/// axum may call `Layer::layer` for every request.
#[tokio::test]
async fn every_service_that_a_layer_makes_has_the_same_state() {
    let store = AllMethods::default();
    let calls = Arc::clone(&store.0);
    let layer = AccountStatusLayer::new(store);
    for _ in 0..100 {
        let _ = layer.layer(Handler::default()).clone();
        let _ = layer.clone();
    }
    assert_eq!(
        *calls.lock().unwrap(),
        ["changes"],
        "asked once, by the constructor"
    );
    let word = size_of::<usize>();
    assert_eq!(size_of_val(&layer), word, "one pointer");
    assert_eq!(size_of_val(&layer.layer(())), word);
    let changes = layer.changes();
    let mut subscription = layer.clone().changes().subscribe(ALICE);
    changes.announce(ALICE);
    subscription.changed().await;
}

#[tokio::test]
async fn a_setting_of_a_clone_is_the_clones_own() {
    let layer = AccountStatusLayer::new(Required);
    let exempting = layer.clone().add_exempt(Method::GET, SYNC);
    assert_eq!(
        ask(&layer, alices(Method::GET, SYNC)).await.verdict(),
        locked()
    );
    assert_eq!(
        ask(&exempting, alices(Method::GET, SYNC)).await.verdict(),
        passed()
    );
}
