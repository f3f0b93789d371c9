//! Readiness and errors of the inner service pass unchanged, and a refusal returns the readiness that it
//! does not use (rule 13).

mod support;

use std::{
    convert::Infallible,
    future::Ready,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use support::{
    ALICE, Handler, LOGIN, SYNC, TOKEN, alices, anonymous, layer, poll_once, ready,
    scripted::{Script, ScriptedStore},
    store, store_with,
};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, limit::ConcurrencyLimitLayer};
use tower_account_status::{AccountStateStore, AccountStatusLayer, MemoryStore, RestrictionKind};

type Body = Full<Bytes>;

/// Knows Alice, who is not restricted, and has to be awaited.
fn awaited(change: impl FnOnce(&mut ScriptedStore)) -> ScriptedStore {
    let memory = MemoryStore::new();
    memory.insert_access_token(TOKEN, ALICE);
    ScriptedStore::new(memory).with(change)
}

/// `tower_test`'s mock panics when it is called without having been ready.
async fn the_ready_service_is_called<S: AccountStateStore>(
    layer: AccountStatusLayer<S>,
    request: Request<Body>,
) {
    let (mut service, mut handle) = tower_test::mock::spawn_with(
        move |mock: tower_test::mock::Mock<Request<Body>, Response<Body>>| layer.layer(mock),
    );
    handle.allow(0);
    assert!(service.poll_ready().is_pending(), "backpressure passes");
    handle.allow(1);
    assert!(matches!(service.poll_ready(), Poll::Ready(Ok(()))));
    let response = tokio::spawn(service.call(request));
    let (_, answer) = handle.next_request().await.expect("handed on");
    answer.send_response(Response::new(Full::from("inner")));
    assert_eq!(response.await.unwrap().unwrap().status(), 200);
    assert!(
        service.poll_ready().is_pending(),
        "the allowance is used up"
    );
}

#[tokio::test]
async fn rule_13_the_ready_service_is_called_and_not_its_clone() {
    let pending = Script::Pending(3);
    the_ready_service_is_called(layer(&store()), alices(Method::GET, SYNC)).await;
    the_ready_service_is_called(layer(&store()), anonymous(Method::GET, SYNC, "")).await;
    let login = || anonymous(Method::POST, LOGIN, r#"{"user":"@alice:localhost"}"#);
    the_ready_service_is_called(layer(&store()), login()).await;
    for store in [awaited(|_| {}), awaited(|store| store.account = pending)] {
        let layer = AccountStatusLayer::new(store);
        the_ready_service_is_called(layer.clone(), alices(Method::GET, SYNC)).await;
        the_ready_service_is_called(layer, login()).await;
    }
}

#[tokio::test]
async fn rule_13_errors_of_readiness_and_of_responses_pass_unchanged() {
    let store = store();
    let (mut service, mut handle) = tower_test::mock::spawn_with(
        move |mock: tower_test::mock::Mock<Request<Body>, Response<Body>>| {
            layer(&store).layer(mock)
        },
    );
    assert!(matches!(service.poll_ready(), Poll::Ready(Ok(()))));
    let response = tokio::spawn(service.call(alices(Method::GET, SYNC)));
    let (_, answer) = handle.next_request().await.expect("handed on");
    answer.send_error("the handler's own error");
    let error = response.await.unwrap().expect_err("an error");
    assert_eq!(error.to_string(), "the handler's own error");
    handle.send_error("not ready, ever");
    let Poll::Ready(Err(error)) = service.poll_ready() else {
        panic!("the error of readiness is lost");
    };
    assert_eq!(error.to_string(), "not ready, ever");
}

/// An error that is no `std::error::Error`.
#[derive(Debug, PartialEq, Eq)]
struct Plain(&'static str);

#[derive(Clone)]
struct Failing;

impl Service<Request<Body>> for Failing {
    type Response = Response<Body>;
    type Error = Plain;
    type Future = Ready<Result<Response<Body>, Plain>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Plain>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        std::future::ready(Err(Plain("out of order")))
    }
}

#[tokio::test]
async fn rule_13_an_error_may_be_any_type() {
    let expected = Err(Plain("out of order"));
    for request in [alices(Method::GET, SYNC), anonymous(Method::GET, SYNC, "")] {
        let at_once = layer(&store()).layer(Failing).oneshot(request.clone());
        assert_eq!(at_once.await.map(drop), expected);
        let awaited = AccountStatusLayer::new(awaited(|_| {})).layer(Failing);
        assert_eq!(awaited.oneshot(request).await.map(drop), expected);
    }
}

/// Sends `request` to a service with one permit, and asserts that the permit is free afterwards.
async fn gives_the_permit_back<S: AccountStateStore>(
    layer: AccountStatusLayer<S>,
    request: Request<Body>,
    status: u16,
) {
    let mut service = ServiceBuilder::new()
        .layer(layer)
        .layer(ConcurrencyLimitLayer::new(1))
        .service(Handler::default());
    let mut other = service.clone();
    let response = ready(&mut service).await.unwrap().call(request);
    // Kept, so that what it holds is held.
    let response = response.await.unwrap();
    assert_eq!(response.status(), status);
    let mut ready = pin!(ready(&mut other));
    assert!(
        poll_once(ready.as_mut()).is_ready(),
        "somebody else proceeds"
    );
    drop(service);
}

#[tokio::test(start_paused = true)]
async fn rule_13_a_refusal_gives_the_permit_back() {
    let locked = layer(&store_with(RestrictionKind::Locked));
    gives_the_permit_back(locked.clone(), alices(Method::GET, SYNC), 401).await;
    gives_the_permit_back(locked.clone(), alices(Method::HEAD, SYNC), 401).await;
    let login = anonymous(Method::POST, LOGIN, r#"{"user":"alice"}"#);
    gives_the_permit_back(locked.clone(), login, 401).await;
    let not_json = anonymous(Method::POST, LOGIN, "x");
    gives_the_permit_back(locked, not_json, 400).await;
    for script in [Script::Fail, Script::Hang, Script::PanicLater] {
        let layer = AccountStatusLayer::new(awaited(|store| store.account = script));
        gives_the_permit_back(layer, alices(Method::GET, SYNC), 503).await;
    }
}

#[tokio::test]
async fn rule_13_a_refusal_gives_the_permit_back_before_it_is_polled() {
    let mut service = ServiceBuilder::new()
        .layer(layer(&store_with(RestrictionKind::Locked)))
        .layer(ConcurrencyLimitLayer::new(1))
        .service(Handler::default());
    let mut other = service.clone();
    let response = ready(&mut service)
        .await
        .unwrap()
        .call(alices(Method::GET, SYNC));
    assert!(poll_once(pin!(ready(&mut other))).is_ready());
    assert_eq!(response.await.unwrap().status(), 401);
}

#[tokio::test(start_paused = true)]
async fn rule_13_a_hanging_store_holds_a_permit_no_longer_than_its_time_limit() {
    let layer = AccountStatusLayer::new(awaited(|store| store.account = Script::Hang));
    let mut service = ServiceBuilder::new()
        .layer(layer)
        .layer(ConcurrencyLimitLayer::new(1))
        .service(Handler::default());
    let waiting = tokio::spawn(service.clone().oneshot(alices(Method::GET, SYNC)));
    tokio::task::yield_now().await;
    assert!(
        poll_once(pin!(ready(&mut service))).is_pending(),
        "the permit is taken"
    );
    let start = tokio::time::Instant::now();
    ready(&mut service).await.unwrap();
    assert!(
        start.elapsed() <= Duration::from_millis(5001),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(waiting.await.unwrap().unwrap().status(), 503);
}

/// Counts the clones of itself that live, and answers when it is told to.
struct Counted {
    alive: Arc<AtomicUsize>,
    gate: Arc<tokio::sync::Notify>,
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.alive.fetch_add(1, Ordering::Relaxed);
        Self {
            alive: Arc::clone(&self.alive),
            gate: Arc::clone(&self.gate),
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Service<Request<Body>> for Counted {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future =
        std::pin::Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        let gate = Arc::clone(&self.gate);
        Box::pin(async move {
            gate.notified().await;
            Ok(Response::default())
        })
    }
}

async fn keeps_no_service_while_the_handler_runs<S: AccountStateStore>(
    layer: AccountStatusLayer<S>,
    request: Request<Body>,
) {
    let counted = Counted {
        alive: Arc::new(AtomicUsize::new(1)),
        gate: Arc::default(),
    };
    let (alive, gate) = (Arc::clone(&counted.alive), Arc::clone(&counted.gate));
    let mut service = layer.layer(counted);
    let mut response = pin!(ready(&mut service).await.unwrap().call(request));
    for _ in 0..10 {
        assert!(poll_once(response.as_mut()).is_pending());
    }
    assert_eq!(alive.load(Ordering::Relaxed), 1, "only the service itself");
    gate.notify_one();
    assert_eq!(response.await.unwrap().status(), 200);
}

#[tokio::test]
async fn rule_13_a_running_handler_keeps_no_clone_of_the_service() {
    keeps_no_service_while_the_handler_runs(layer(&store()), alices(Method::GET, SYNC)).await;
    let pending = Script::Pending(2);
    let layer = AccountStatusLayer::new(awaited(|store| store.account = pending));
    keeps_no_service_while_the_handler_runs(layer.clone(), alices(Method::GET, SYNC)).await;
    let login = anonymous(Method::POST, LOGIN, r#"{"user":"@alice:localhost"}"#);
    keeps_no_service_while_the_handler_runs(layer, login).await;
}
