//! Rules 16 and 17: a long poll that waits is ended as soon as its account is restricted, nothing
//! else is, and no change falls into a gap.

use std::{
    convert::Infallible,
    future::Future,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use tower::{Service, ServiceExt};
use tower_account_status::{
    AccountState, AccountStateStore, AccountStatusLayer, Changes, Credential, LongPoll,
    MemoryStore, Peek,
    RestrictionKind::{self, Deactivated, Locked, Suspended},
};
use tower_account_status::{
    forward,
    store::{Answer, StoreError},
    without,
};
use tower_layer::Layer;

const ALICE: &str = "@alice:localhost";

fn request(method: Method, path: &str) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", "Bearer t")
        .body(Full::default())
        .unwrap()
}

/// Answers nothing for a minute, and counts how often it is dropped before that.
#[derive(Clone, Default)]
struct Waits {
    dropped: Arc<AtomicUsize>,
}

struct CountDrop(Option<Arc<AtomicUsize>>);

impl CountDrop {
    fn finish(mut self) {
        self.0 = None;
    }
}

impl Drop for CountDrop {
    fn drop(&mut self) {
        if let Some(dropped) = &self.0 {
            dropped.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Waits {
    fn service(
        &self,
    ) -> impl Service<
        Request<Full<Bytes>>,
        Response = Response<Full<Bytes>>,
        Error = Infallible,
        Future: Send,
    > + Clone
    + use<> {
        let dropped = Arc::clone(&self.dropped);
        tower::service_fn(move |_| {
            let guard = CountDrop(Some(Arc::clone(&dropped)));
            async move {
                tokio::time::sleep(Duration::from_secs(60)).await;
                guard.finish();
                Ok(Response::new(Full::from("news")))
            }
        })
    }
}

fn store() -> Arc<MemoryStore> {
    let store = MemoryStore::new();
    store.insert_access_token("t", ALICE);
    Arc::new(store)
}

/// Starts a request, then changes the state, and returns the request's answer.
async fn restrict_while_waiting(method: Method, path: &str, kind: RestrictionKind) -> StatusCode {
    let (store, waits) = (store(), Waits::default());
    let service = AccountStatusLayer::new(Arc::clone(&store)).layer(waits.service());
    let mut response = pin!(service.oneshot(request(method, path)));
    assert!(poll_once(response.as_mut()).is_pending());
    store.restrict(ALICE, kind);
    let response = response.await.unwrap();
    if response.status() != StatusCode::OK {
        assert_eq!(
            waits.dropped.load(Ordering::SeqCst),
            1,
            "the inner future is dropped"
        );
    }
    response.status()
}

fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test(start_paused = true)]
async fn rule_16_sync_and_events_end_with_the_denial() {
    for path in [
        "/_matrix/client/v3/sync?timeout=30000",
        "/_matrix/client/r0/sync",
        "/_matrix/client/v3/events?from=s",
        "/_matrix/client/v3/sync/",
    ] {
        let status = restrict_while_waiting(Method::GET, path, Locked).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
        let status = restrict_while_waiting(Method::GET, path, Deactivated).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}");
    }
    let path = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";
    let status = restrict_while_waiting(Method::POST, path, Locked).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
}

#[tokio::test(start_paused = true)]
async fn rule_16_a_suspended_accounts_sync_goes_on() {
    let path = "/_matrix/client/v3/sync";
    let status = restrict_while_waiting(Method::GET, path, Suspended).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn rule_16_nothing_else_is_cut_short() {
    for (method, path) in [
        (
            Method::PUT,
            "/_matrix/client/v3/rooms/!r/send/m.room.message/1",
        ),
        (Method::POST, "/_matrix/media/v3/upload"),
        (Method::GET, "/_matrix/client/v3/initialSync"),
        (Method::GET, "/_matrix/client/v3/rooms/!r/messages"),
    ] {
        let status = restrict_while_waiting(method, path, Locked).await;
        assert_eq!(status, StatusCode::OK, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn rule_16_each_kind_of_long_poll_has_its_switch() {
    let store = store();
    let layer = AccountStatusLayer::new(Arc::clone(&store))
        .without_ending(LongPoll::Sync)
        .without_ending(LongPoll::SlidingSync);
    for (method, path) in [
        (Method::GET, "/_matrix/client/v3/sync"),
        (Method::POST, "/_matrix/client/v4/sync"),
    ] {
        store.lift(ALICE, Locked);
        let service = layer.layer(Waits::default().service());
        let mut response = pin!(service.oneshot(request(method, path)));
        assert!(poll_once(response.as_mut()).is_pending());
        store.restrict(ALICE, Locked);
        assert_eq!(response.await.unwrap().status(), StatusCode::OK);
    }
}

/// A server's own store: two awaited questions, no announcements.
#[derive(Default)]
struct Database {
    state: Mutex<AccountState>,
    /// How the state changes right after the first look-up has read it.
    next: Mutex<Option<AccountState>>,
    is_down: Mutex<bool>,
    asked: AtomicUsize,
}

impl AccountStateStore for Database {
    async fn access_token(&self, _: &str) -> Answer {
        Ok(Some(ALICE.into()))
    }

    without! { application_service, login_name, third_party, login_token, refresh_token, event_sender, changes }

    async fn state(&self, _: &str) -> Result<AccountState, StoreError> {
        tokio::task::yield_now().await;
        self.asked.fetch_add(1, Ordering::SeqCst);
        if *self.is_down.lock().unwrap() {
            return Err(StoreError::msg("the database is down"));
        }
        let state = self.state.lock().unwrap().clone();
        if let Some(next) = self.next.lock().unwrap().take() {
            *self.state.lock().unwrap() = next;
        }
        Ok(state)
    }
}

#[tokio::test(start_paused = true)]
async fn rule_16_a_server_announces_changes_of_its_own_store() {
    let database = Arc::new(Database::default());
    let layer = AccountStatusLayer::new(Arc::clone(&database));
    let changes: Changes = layer.changes();
    let service = layer.layer(Waits::default().service());
    let response = tokio::spawn(service.oneshot(request(Method::GET, "/_matrix/client/v3/sync")));
    tokio::time::sleep(Duration::from_secs(1)).await;
    *database.state.lock().unwrap() = Locked.into();
    let before = tokio::time::Instant::now();
    changes.announce(ALICE);
    let response = response.await.unwrap().unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(
        database.asked.load(Ordering::SeqCst),
        2,
        "once more after the news"
    );
}

#[tokio::test(start_paused = true)]
async fn rule_17_a_change_between_look_up_and_subscription_is_not_missed() {
    struct Announcing(Database, Changes);
    impl AccountStateStore for Announcing {
        forward! { 0 => all except state, changes }
        async fn state(&self, user: &str) -> Result<AccountState, StoreError> {
            let has_next = self.0.next.lock().unwrap().is_some();
            let state = self.0.state(user).await;
            if has_next {
                // The look-up has its answer, the change comes, and nobody has subscribed yet.
                self.1.announce(ALICE);
            }
            state
        }
        fn changes(&self) -> Option<Changes> {
            Some(self.1.clone())
        }
    }
    let database = Database::default();
    *database.next.lock().unwrap() = Some(Locked.into());
    let service = AccountStatusLayer::new(Announcing(database, Changes::new()))
        .layer(Waits::default().service());
    let before = tokio::time::Instant::now();
    let response = service
        .oneshot(request(Method::GET, "/_matrix/client/v3/sync"))
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(before.elapsed(), Duration::ZERO);
}

/// Alice is locked while the store is on its way to say that she is not.
struct LocksMeanwhile {
    memory: MemoryStore,
}

impl AccountStateStore for LocksMeanwhile {
    forward! { memory => all except peek }

    fn peek(&self, credential: Credential<'_>) -> Peek {
        let said = self.memory.peek(credential);
        self.memory.restrict(ALICE, Locked);
        said
    }
}

#[tokio::test]
async fn rule_17_a_change_while_the_store_answers_at_once_is_not_missed() {
    for before in [AccountState::ACTIVE, Suspended.into()] {
        for (method, path) in [
            (Method::GET, "/_matrix/client/v3/sync?since=s1_2"),
            (Method::GET, "/_matrix/client/v3/s%79nc"),
            (Method::GET, "/_matrix/client/v3/events"),
            (
                Method::POST,
                "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync",
            ),
        ] {
            let memory = MemoryStore::new();
            memory.insert_access_token("t", ALICE);
            memory.set_state(ALICE, before.clone());
            let layer = AccountStatusLayer::new(LocksMeanwhile { memory });
            let response = layer
                .layer(Waits::default().service())
                .oneshot(request(method, path));
            match poll_once(pin!(response)) {
                Poll::Ready(Ok(response)) => assert_eq!(response.status(), 401, "{path}"),
                _ => panic!("{path}: the lock is missed"),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn rule_17_while_the_store_fails_the_request_waits_and_is_checked_again() {
    let database = Arc::new(Database::default());
    let layer = AccountStatusLayer::new(Arc::clone(&database));
    let changes = layer.changes();
    let service = layer.layer(Waits::default().service());
    let response = tokio::spawn(service.oneshot(request(Method::GET, "/_matrix/client/v3/sync")));
    tokio::time::sleep(Duration::from_secs(1)).await;
    *database.is_down.lock().unwrap() = true;
    *database.state.lock().unwrap() = Locked.into();
    changes.announce_all();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(!response.is_finished(), "a failing store ends nothing");
    *database.is_down.lock().unwrap() = false;
    let before = tokio::time::Instant::now();
    let response = response.await.unwrap().unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(before.elapsed() <= Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn rule_16_somebody_elses_change_ends_nothing() {
    let store = store();
    let service = AccountStatusLayer::new(Arc::clone(&store)).layer(Waits::default().service());
    let response = tokio::spawn(service.oneshot(request(Method::GET, "/_matrix/client/v3/sync")));
    for other in 0..5000 {
        store.restrict(format!("@{other}:localhost"), Locked);
        tokio::task::yield_now().await;
    }
    assert_eq!(response.await.unwrap().unwrap().status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn rule_16_any_of_several_accounts_ends_it() {
    let store = store();
    store.insert_access_token("u", "@bob:localhost");
    let service = AccountStatusLayer::new(Arc::clone(&store)).layer(Waits::default().service());
    let path = "/_matrix/client/v3/sync?access_token=u";
    let response = tokio::spawn(service.oneshot(request(Method::GET, path)));
    tokio::time::sleep(Duration::from_secs(1)).await;
    store.restrict("@bob:localhost", Locked);
    assert_eq!(
        response.await.unwrap().unwrap().status(),
        StatusCode::UNAUTHORIZED
    );
}

/// Another token, for whose account the store fails, does not hide a lock.
#[tokio::test(start_paused = true)]
async fn rule_16_a_failure_for_one_of_several_accounts_saves_none_of_the_others() {
    /// Fails for one account, from some moment on.
    struct Fails(MemoryStore, Mutex<bool>);
    impl AccountStateStore for Fails {
        forward! { 0 => all except state }
        async fn state(&self, user: &str) -> Result<AccountState, StoreError> {
            match user == ALICE && *self.1.lock().unwrap() {
                true => Err(StoreError::msg("a broken record")),
                false => self.0.state(user).await,
            }
        }
    }
    let store = MemoryStore::new();
    store.insert_access_token("t", ALICE);
    store.insert_access_token("u", "@bob:localhost");
    let store = Arc::new(Fails(store, Mutex::new(false)));
    let service = AccountStatusLayer::new(Arc::clone(&store)).layer(Waits::default().service());
    let path = "/_matrix/client/v3/sync?access_token=u";
    let response = tokio::spawn(service.oneshot(request(Method::GET, path)));
    tokio::time::sleep(Duration::from_secs(1)).await;
    *store.1.lock().unwrap() = true;
    store.0.restrict("@bob:localhost", Locked);
    let response = response.await.unwrap().unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn rule_9_a_long_poll_of_nobody_is_the_inner_services() {
    let store = MemoryStore::new();
    let inner = tower::service_fn(|_: Request<Full<Bytes>>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("")))
    });
    let service = AccountStatusLayer::new(store).layer(inner);
    let response = service
        .oneshot(request(Method::GET, "/_matrix/client/v3/sync"))
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}
