//! A store in every form that a server may have it, on every kind of runtime.

mod support;

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

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
    DynAccountStateStore, MemoryStore, Peek, RestrictionKind, UserId,
};

/// What a server has to write: two methods, and no `Clone` or `Debug`.
struct TwoMethods;

fn owner_of(credential: Credential<'_>) -> Option<UserId> {
    match credential {
        Credential::AccessToken(access) => match access.token().expose_str()? {
            TOKEN => Some(ALICE.into()),
            BOBS_TOKEN => Some(BOB.into()),
            _ => None,
        },
        _ => None,
    }
}

fn state_of(user: &str) -> AccountState {
    match user {
        ALICE => RestrictionKind::Locked.into(),
        _ => AccountState::ACTIVE,
    }
}

impl AccountStateStore for TwoMethods {
    type Error = Infallible;

    async fn account(&self, credential: Credential<'_>) -> Result<Option<UserId>, Infallible> {
        tokio::task::yield_now().await;
        Ok(owner_of(credential))
    }

    async fn state(&self, user: &UserId) -> Result<AccountState, Infallible> {
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
}

impl AccountStateStore for AllMethods {
    type Error = std::io::Error;

    async fn account(&self, credential: Credential<'_>) -> std::io::Result<Option<UserId>> {
        self.note("account");
        Ok(owner_of(credential))
    }

    async fn state(&self, user: &UserId) -> std::io::Result<AccountState> {
        self.note("state");
        Ok(state_of(user))
    }

    async fn account_and_state(
        &self,
        credential: Credential<'_>,
    ) -> std::io::Result<Option<Account>> {
        self.note("account_and_state");
        Ok(owner_of(credential).map(|user| {
            let state = state_of(&user);
            Account::new(user, state)
        }))
    }

    fn peek(&self, _: Credential<'_>) -> Peek {
        self.note("peek");
        Peek::Ask
    }

    fn peek_state(&self, _: &UserId) -> Option<AccountState> {
        self.note("peek_state");
        None
    }

    fn is_active(&self, _: Credential<'_>) -> bool {
        self.note("is_active");
        false
    }

    fn changes(&self) -> Option<Changes> {
        self.note("changes");
        Some(Changes::new())
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
    static STORE: TwoMethods = TwoMethods;
    let erased = DynAccountStateStore::new(TwoMethods);
    enforces("owned", TwoMethods).await;
    enforces("Arc", Arc::new(TwoMethods)).await;
    enforces("Box", Box::new(TwoMethods)).await;
    enforces("&'static", &STORE).await;
    enforces("Arc of Box", Arc::new(Box::new(TwoMethods))).await;
    enforces("erased", erased.clone()).await;
    enforces("erased in Arc", Arc::new(erased.clone())).await;
    enforces(
        "erased Arc",
        DynAccountStateStore::new(Arc::new(TwoMethods)),
    )
    .await;
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
    let credential = Credential::RefreshToken(TOKEN.into());
    let alice = UserId::from(ALICE);
    assert!(store.account(credential).await.is_ok());
    assert!(store.state(&alice).await.is_ok());
    assert!(store.account_and_state(credential).await.is_ok());
    assert_eq!(store.peek(credential), Peek::Ask);
    assert_eq!(store.peek_state(&alice), None);
    assert!(!store.is_active(credential));
    assert!(store.changes().is_some());
    let calls = calls.lock().expect("not poisoned");
    calls.clone()
}

#[tokio::test]
async fn every_method_that_a_store_overrides_is_called_through_every_pointer() {
    let expected = [
        "account",
        "state",
        "account_and_state",
        "peek",
        "peek_state",
        "is_active",
        "changes",
    ];
    assert_eq!(calls(|store| store).await, expected);
    assert_eq!(calls(Arc::new).await, expected);
    assert_eq!(calls(Box::new).await, expected);
    assert_eq!(calls(|store| &*Box::leak(Box::new(store))).await, expected);
    assert_eq!(calls(DynAccountStateStore::new).await, expected);
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
        .filter(|call| ["account", "state", "account_and_state"].contains(call))
        .collect();
    assert_eq!(awaited, [&"account_and_state"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_response_future_moves_between_threads_though_the_body_is_not_sync() {
    let service = AccountStatusLayer::new(TwoMethods)
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
    let layer = AccountStatusLayer::new(TwoMethods);
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
    let layer = AccountStatusLayer::new(TwoMethods);
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
