//! What the layer allocates beyond a stack without it: nothing for healthy requests.

mod support;

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use axum::{Router, body::Body as AxumBody, routing::get};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use support::{
    ALICE, SYNC, TOKEN, alices, anonymous, layer, poll_once,
    scripted::{Script, ScriptedStore},
    store, store_with,
};
use tower::{Layer, Service, layer::util::Identity};
use tower_account_status::{
    AccountState, AccountStateStore, AccountStatusLayer, MemoryStore, Restriction, RestrictionKind,
    UserId,
};
use tower_account_status::{
    store::{Answer, StoreError},
    without,
};

/// An endpoint whose requests do not wait.
const ROOMS: &str = "/_matrix/client/v3/joined_rooms";

/// Answers at once, without an allocation of its own.
#[derive(Clone)]
struct Free;

impl<B> Service<Request<B>> for Free {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        ready(Ok(Response::default()))
    }
}

/// Allocations from the call to the response, which is kept until the count is taken; and that
/// response's status.
fn count<S, B, ResB>(service: &mut S, request: Request<B>) -> (u64, u16)
where
    S: Service<Request<B>, Response = Response<ResB>, Error = Infallible>,
{
    let mut context = Context::from_waker(std::task::Waker::noop());
    assert!(service.poll_ready(&mut context).is_ready());
    let mut response = None;
    let counted = allocation_counter::measure(|| {
        let mut future = pin!(service.call(request));
        for _ in 0..10 {
            if let Poll::Ready(Ok(ready)) = poll_once(future.as_mut()) {
                response = Some(ready);
                return;
            }
        }
    });
    let response = response.expect("an answer within ten polls");
    (counted.count_total, response.status().as_u16())
}

/// The same for the second of two equal requests: the first fills what is made only once.
fn settled<S, B, ResB>(service: &mut S, request: impl Fn() -> Request<B>) -> (u64, u16)
where
    S: Service<Request<B>, Response = Response<ResB>, Error = Infallible>,
{
    count(service, request());
    count(service, request())
}

fn healthy() -> [(&'static str, Request<Full<Bytes>>); 6] {
    let post = |uri| alices(Method::POST, uri);
    [
        ("no credential", anonymous(Method::GET, ROOMS, "")),
        ("active account", alices(Method::GET, ROOMS)),
        (
            "active account posts",
            post("/_matrix/client/v3/createRoom"),
        ),
        (
            "query without a token",
            alices(Method::GET, &format!("{ROOMS}?since=x")),
        ),
        (
            "token in the query",
            anonymous(Method::GET, &format!("{ROOMS}?access_token={TOKEN}"), ""),
        ),
        ("logout", post(support::LOGOUT)),
    ]
}

#[test]
fn speed_a_healthy_request_allocates_nothing_in_a_plain_stack() {
    let mut ours = layer(&store()).layer(Free);
    let mut wrapped = layer(&store()).with_wrapped_bodies().layer(Free);
    let mut identity = Identity::new().layer(Free);
    for (what, request) in healthy() {
        let expected = settled(&mut identity, || request.clone());
        assert_eq!(expected.1, 200);
        assert_eq!(settled(&mut ours, || request.clone()), expected, "{what}");
        assert_eq!(
            settled(&mut wrapped, || request.clone()),
            expected,
            "{what}, wrapped"
        );
    }
}

fn router() -> Router {
    // Whatever is asked for finds a route.
    Router::new()
        .route("/_matrix/{*rest}", get(|| async {}).post(|| async {}))
        .with_state(())
}

#[tokio::test]
async fn speed_a_healthy_request_allocates_nothing_more_in_axum() {
    let mut around = layer(&store()).layer(router());
    let mut bare = router();
    let mut within = router().layer(layer(&store())).with_state::<()>(());
    #[cfg(feature = "axum")]
    let mut axums = layer(&store()).with_axum_bodies().layer(router());
    let mut identity = router().layer(Identity::new()).with_state::<()>(());
    for (what, request) in healthy() {
        let request = || request.clone().map(AxumBody::new);
        let bare = settled(&mut bare, request);
        assert_eq!(bare.1, 200, "{what}");
        assert_eq!(
            settled(&mut around, request),
            bare,
            "{what}, around the router"
        );
        #[cfg(feature = "axum")]
        assert_eq!(
            settled(&mut axums, request),
            bare,
            "{what}, with axum's bodies"
        );
        let identity = settled(&mut identity, request);
        assert_eq!(
            settled(&mut within, request),
            identity,
            "{what}, `Router::layer`"
        );
    }
}

/// Is pending at first.
#[derive(Clone)]
struct Late;

impl<B> Service<Request<B>> for Late {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = LateFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> LateFuture {
        LateFuture { has_waited: false }
    }
}

struct LateFuture {
    has_waited: bool,
}

impl Future for LateFuture {
    type Output = Result<Response<Full<Bytes>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        match std::mem::replace(&mut self.has_waited, true) {
            true => Poll::Ready(Ok(Response::default())),
            false => Poll::Pending,
        }
    }
}

#[tokio::test]
async fn speed_a_long_poll_costs_one_box_only_if_it_waits() {
    let mut at_once = layer(&store()).layer(Free);
    let mut waits = layer(&store()).layer(Late);
    let mut wrapped = layer(&store()).with_wrapped_bodies().layer(Free);
    for (method, uri) in [
        (Method::GET, SYNC),
        (
            Method::GET,
            "/_matrix/client/v3/sync?since=s1_2_3&timeout=30000",
        ),
        (Method::GET, "/_matrix/client/r0/sync?since=x&timeout=30000"),
        (
            Method::POST,
            "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync?pos=1",
        ),
    ] {
        let request = || alices(method.clone(), uri);
        assert_eq!(settled(&mut at_once, request), (0, 200), "{uri}");
        assert_eq!(settled(&mut wrapped, request), (0, 200), "{uri}");
        assert_eq!(settled(&mut waits, request), (1, 200), "{uri}");
        // An unknown account is not watched.
        let nobodys = || anonymous(method.clone(), uri, "");
        assert_eq!(settled(&mut at_once, nobodys), (0, 200), "{uri}");
        assert_eq!(settled(&mut waits, nobodys), (0, 200), "{uri}");
    }
    // In an odd spelling the path is kept.
    let odd = || alices(Method::GET, "/_matrix/client/v3/s%79nc");
    assert_eq!(settled(&mut at_once, odd), (2, 200));
    assert_eq!(settled(&mut waits, odd), (3, 200));
}

#[test]
fn speed_a_refusal_allocates_five_times_at_most() {
    let mut locked = layer(&store_with(RestrictionKind::Locked)).layer(Free);
    let (allocations, status) = settled(&mut locked, || alices(Method::GET, ROOMS));
    assert_eq!(status, 401);
    assert!(allocations <= 5, "{allocations}");
    let (allocations, status) = settled(&mut locked, || alices(Method::HEAD, ROOMS));
    assert_eq!(status, 401);
    assert!(allocations <= 5, "{allocations}");
    let mut deactivated = layer(&store_with(RestrictionKind::Deactivated))
        .with_wrapped_bodies()
        .layer(Free);
    let (allocations, status) = settled(&mut deactivated, || alices(Method::GET, ROOMS));
    assert_eq!(status, 403);
    assert!(allocations <= 5, "{allocations}");
    // A reason is serialized each time.
    let reason = Restriction::new(RestrictionKind::Locked).with_reason("Spam");
    let mut told = layer(&store_with(reason)).layer(Free);
    let (allocations, status) = settled(&mut told, || alices(Method::GET, ROOMS));
    assert_eq!(status, 401);
    assert!(allocations <= 20, "{allocations}");
}

/// Has to be awaited, and allocates nothing itself.
struct Awaited(UserId, AccountState);

impl AccountStateStore for Awaited {
    async fn access_token(&self, _: &str) -> Answer {
        Ok(Some(self.0.clone()))
    }

    async fn state(&self, _: &str) -> Result<AccountState, StoreError> {
        Ok(self.1.clone())
    }

    without! { application_service, login_name, third_party, login_token, refresh_token, event_sender, changes }
}

#[tokio::test]
async fn speed_an_awaited_look_up_costs_one_box() {
    let active = Awaited(ALICE.into(), AccountState::ACTIVE);
    let active = AccountStatusLayer::new(active);
    let request = || alices(Method::GET, ROOMS);
    assert_eq!(settled(&mut active.layer(Free), request), (1, 200));
    let mut wrapped = active.with_wrapped_bodies().layer(Free);
    assert_eq!(settled(&mut wrapped, request), (1, 200));
    let locked = Awaited(ALICE.into(), RestrictionKind::Locked.into());
    let (allocations, status) = settled(&mut AccountStatusLayer::new(locked).layer(Free), request);
    assert_eq!(status, 401);
    assert!(allocations <= 6, "{allocations}");
}

#[tokio::test]
async fn speed_waiting_for_the_store_allocates_nothing_more() {
    let memory = MemoryStore::new();
    memory.insert_access_token(TOKEN, ALICE);
    let pending = Script::Pending(3);
    let store = ScriptedStore::new(memory).with(|store| store.account = pending);
    let mut service = AccountStatusLayer::new(Arc::new(store)).layer(Free);
    assert_eq!(
        settled(&mut service, || alices(Method::GET, ROOMS)),
        (1, 200)
    );
}

#[test]
fn speed_the_future_is_little_larger_than_the_inner_one() {
    let mut service = layer(&store()).layer(Free);
    let inner = size_of_val(&Free.call(anonymous(Method::GET, ROOMS, "")));
    let ours = size_of_val(&service.call(anonymous(Method::GET, ROOMS, "")));
    assert!(ours <= inner + 64, "{ours} bytes over {inner}");
}
