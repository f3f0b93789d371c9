//! Dropping the response future at any point loses nothing and blocks no one (rule 14).

mod support;

use std::{
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use support::{
    ALICE, BOB, BOBS_TOKEN, LOGIN, SYNC, TOKEN, alices, anonymous, bear, poll_once, ready,
    scripted::{Script, ScriptedStore},
};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, limit::ConcurrencyLimitLayer};
use tower_account_status::{AccountStatusLayer, MemoryStore, RestrictionKind};

/// Answers after `polls` polls, and counts the clones of itself, and its futures, that live.
struct Slow {
    alive: Arc<AtomicUsize>,
    polls: usize,
}

struct SlowFuture(
    usize,
    #[expect(dead_code, reason = "counted while it lives")] Alive,
);

struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(alive))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Clone for Slow {
    fn clone(&self) -> Self {
        self.alive.fetch_add(1, Ordering::Relaxed);
        Self {
            alive: Arc::clone(&self.alive),
            polls: self.polls,
        }
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<B> Service<Request<B>> for Slow {
    type Response = Response<Full<Bytes>>;
    type Error = std::convert::Infallible;
    type Future = SlowFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> SlowFuture {
        SlowFuture(self.polls, Alive::new(&self.alive))
    }
}

impl Future for SlowFuture {
    type Output = Result<Response<Full<Bytes>>, std::convert::Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.0.checked_sub(1) {
            Some(left) => {
                self.0 = left;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            None => Poll::Ready(Ok(Response::default())),
        }
    }
}

/// Alice is locked, Bob is not; each question takes two polls.
fn store() -> Arc<ScriptedStore> {
    let memory = MemoryStore::new();
    memory.insert_access_token(TOKEN, ALICE);
    memory.insert_access_token(BOBS_TOKEN, BOB);
    memory.restrict(ALICE, RestrictionKind::Locked);
    let pending = Script::Pending(2);
    let store = ScriptedStore::new(memory);
    Arc::new(store.with(|store| (store.account, store.state) = (pending, pending)))
}

fn bobs(method: Method, uri: &str, body: &'static str) -> Request<Full<Bytes>> {
    let mut request = anonymous(method, uri, body);
    bear(&mut request, BOBS_TOKEN);
    request
}

#[tokio::test]
async fn rule_14_dropped_after_any_number_of_polls_it_gives_everything_back() {
    let requests: [fn() -> Request<Full<Bytes>>; 4] = [
        || alices(Method::GET, SYNC),
        || bobs(Method::GET, SYNC, ""),
        || bobs(Method::POST, LOGIN, r#"{"user":"@bob:localhost"}"#),
        || anonymous(Method::POST, LOGIN, r#"{"user":"@alice:localhost"}"#),
    ];
    for request in requests {
        let mut polls_to_the_end = 0;
        for polls in 0..20 {
            let store = store();
            let alive = Arc::new(AtomicUsize::new(1));
            let slow = Slow {
                alive: Arc::clone(&alive),
                polls: 2,
            };
            let mut service = ServiceBuilder::new()
                .layer(AccountStatusLayer::new(Arc::clone(&store)))
                .layer(ConcurrencyLimitLayer::new(1))
                .service(slow);
            let before = Arc::strong_count(&store);
            let is_done = {
                let mut response = pin!(ready(&mut service).await.unwrap().call(request()));
                (0..polls).any(|_| poll_once(response.as_mut()).is_ready())
            };
            if is_done {
                polls_to_the_end = polls;
            }
            assert_eq!(alive.load(Ordering::Relaxed), 1, "after {polls} polls");
            assert_eq!(Arc::strong_count(&store), before, "after {polls} polls");
            // The only permit is there again, and the service works.
            let mut ready = pin!(ready(&mut service));
            let Poll::Ready(service) = poll_once(ready.as_mut()) else {
                panic!("the permit is lost after {polls} polls");
            };
            let response = service.unwrap().call(bobs(Method::GET, SYNC, "")).await;
            assert_eq!(response.unwrap().status(), 200, "after {polls} polls");
            if is_done {
                break;
            }
        }
        assert!(polls_to_the_end > 2, "every await point was visited");
    }
}

#[tokio::test]
async fn rule_14_a_future_that_is_never_polled_asks_nobody_and_calls_nobody() {
    let store = store();
    let asked = |store: &ScriptedStore| store.asked();
    let service = AccountStatusLayer::new(Arc::clone(&store)).layer(support::Handler::default());
    let before_call = asked(&store);
    let mut service = service;
    let response = ready(&mut service)
        .await
        .unwrap()
        .call(alices(Method::GET, SYNC));
    let at_once = asked(&store);
    drop(response);
    assert_eq!(asked(&store), at_once);
    assert!(
        at_once > before_call,
        "what is known at once was asked in the call"
    );
}

#[tokio::test]
#[should_panic(expected = "`ResponseFuture` polled after it was ready")]
async fn a_future_polled_after_it_was_ready_says_so() {
    let store = support::store_with(RestrictionKind::Locked);
    let service = support::layer(&store).layer(support::Handler::default());
    let mut response = pin!(service.oneshot(alices(Method::GET, SYNC)));
    let mut direct = support::layer(&store).layer(support::Handler::default());
    assert!(poll_once(response.as_mut()).is_ready());
    let mut direct = pin!(
        ready(&mut direct)
            .await
            .unwrap()
            .call(alices(Method::GET, SYNC))
    );
    assert!(poll_once(direct.as_mut()).is_ready());
    let _ = poll_once(direct.as_mut());
}

#[tokio::test]
async fn rule_14_an_aborted_task_leaves_the_service_to_others() {
    let memory = MemoryStore::new();
    memory.insert_access_token(BOBS_TOKEN, BOB);
    let store = ScriptedStore::new(memory).with(|store| store.account = Script::Hang);
    let layer = AccountStatusLayer::new(store);
    let service = ServiceBuilder::new()
        .layer(layer)
        .layer(ConcurrencyLimitLayer::new(1))
        .service(support::Handler::default());
    let waiting = tokio::spawn(service.clone().oneshot(bobs(Method::GET, SYNC, "")));
    tokio::task::yield_now().await;
    waiting.abort();
    assert!(waiting.await.expect_err("aborted").is_cancelled());
    let answer = support::call(service, anonymous(Method::GET, SYNC, "")).await;
    assert_eq!(answer.verdict(), support::passed());
}
