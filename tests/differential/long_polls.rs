//! Rule 16: no spelling of the path keeps a long poll from being ended.

use std::{
    future::Future,
    pin::pin,
    sync::LazyLock,
    task::{Context, Poll, Waker},
};

use axum::body::Body;
use http::{Method, Request};
use proptest::prelude::*;
use tower::ServiceExt as _;
use tower_account_status::{AccountStatusLayer, Denial, MemoryStore, RestrictionKind};
use tower_layer::Layer as _;

use crate::{
    cases,
    endpoints::{ENDPOINTS, Endpoint},
    harness::{RUNTIME, Ran},
    requests, routers,
};

fn waits(endpoint: &Endpoint) -> bool {
    endpoint.method == Some(Method::GET)
        && (endpoint.path.ends_with("/sync")
            || endpoint.path.ends_with("3/events")
            || endpoint.path.ends_with("0/events"))
}

fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

proptest! {
    #![proptest_config(cases(15_000))]

    #[test]
    fn rule_16_no_path_leads_a_long_poll_past_its_end(
        // What ends the path ends the wait: a server that drops what follows may wait on.
        behind in routers::behind().prop_filter("dropped ends", |behind| !behind.drops_ends()),
        (_, uri) in requests::aimed_at(waits),
    ) {
        static STORE: LazyLock<MemoryStore> = LazyLock::new(|| {
            let store = MemoryStore::new();
            store.insert_access_token("t", "@a:example.org");
            store
        });
        let _runtime = RUNTIME.enter();
        let request = || {
            let request = Request::get(uri.clone()).header("authorization", "Bearer t");
            request.body(Body::empty()).expect("a request")
        };
        let Poll::Ready(Ok(found)) = poll_once(pin!(behind.router().oneshot(request()))) else {
            panic!("the routers of these tests answer at once");
        };
        let Some(&Ran(index)) = found.extensions().get::<Ran>() else { return Ok(()) };
        prop_assume!(waits(&ENDPOINTS[index]));

        STORE.lift("@a:example.org", RestrictionKind::Locked);
        let service = AccountStatusLayer::new(&*STORE).layer(behind.waiting());
        let mut response = pin!(service.oneshot(request()));
        prop_assert!(poll_once(response.as_mut()).is_pending());
        STORE.restrict("@a:example.org", RestrictionKind::Locked);
        let Poll::Ready(Ok(response)) = poll_once(response.as_mut()) else {
            return Err(TestCaseError::fail(format!("{uri} still waits at {:?}", ENDPOINTS[index])));
        };
        prop_assert!(response.extensions().get::<Denial>().is_some());
    }
}
