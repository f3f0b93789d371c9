//! The user's code that the layer calls may panic. The panic is caught, and the request is judged.

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, SystemTime},
};

use http::Method;
use support::{
    ALICE, BOBS_TOKEN, Handler, LOGIN, LOGOUT, SYNC, alices, anonymous, ask, bear, call, layer,
    locked, passed, store, store_with, unavailable,
};
use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_account_status::{
    DenialCause, RequestPath, Restriction,
    RestrictionKind::{Locked, Suspended},
    StoreFailure,
};

#[tokio::test]
async fn rule_12_an_observer_that_panics_stops_no_request() {
    let heard = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&heard);
    let layer = layer(&store_with(Locked)).with_observer(move |_| {
        count.fetch_add(1, SeqCst);
        panic!("the observer's own");
    });
    // A buffer's worker dies with a panic, and all who come later with it.
    let service = ServiceBuilder::new()
        .buffer(4)
        .service(layer.layer(Handler::default()));
    let mut bobs = anonymous(Method::GET, SYNC, "");
    bear(&mut bobs, BOBS_TOKEN);
    for _ in 0..2 {
        let answer = service.clone().oneshot(alices(Method::GET, SYNC)).await;
        assert_eq!(answer.expect("the worker lives").status(), 401);
        let answer = service.clone().oneshot(bobs.clone()).await;
        assert_eq!(answer.expect("the worker lives").status(), 200);
    }
    assert_eq!(heard.load(SeqCst), 4);
}

fn ending() -> Restriction {
    Restriction::new(Locked).with_until(SystemTime::now() + Duration::from_secs(60))
}

#[tokio::test]
async fn rule_12_a_clock_that_panics_is_a_store_that_fails() {
    let layer = layer(&store_with(ending())).with_clock(|| panic!("the clock's own"));
    assert_eq!(
        ask(&layer, alices(Method::GET, SYNC)).await.verdict(),
        unavailable()
    );
    assert_eq!(
        ask(&layer, alices(Method::POST, LOGOUT)).await.verdict(),
        passed()
    );
    let login = anonymous(Method::POST, LOGIN, r#"{"user":"alice"}"#);
    assert_eq!(ask(&layer, login).await.verdict(), unavailable());
    let refused = layer.guard().check(&ALICE.into()).await;
    assert_eq!(
        refused.map_err(|denial| denial.cause()),
        Err(DenialCause::StoreFailed)
    );
    let layer = layer.with_store_failure(StoreFailure::LetEveryoneThrough);
    assert_eq!(
        ask(&layer, alices(Method::GET, SYNC)).await.verdict(),
        passed()
    );
    assert_eq!(layer.guard().check(&ALICE.into()).await, Ok(()));
}

#[tokio::test]
async fn rule_12_a_clock_that_panics_matters_only_where_a_restriction_ends() {
    let layer = layer(&store_with(Locked)).with_clock(|| panic!("the clock's own"));
    assert_eq!(
        ask(&layer, alices(Method::GET, SYNC)).await.verdict(),
        locked()
    );
}

#[tokio::test]
async fn rule_12_a_function_of_the_uri_that_panics_is_a_store_that_fails_and_logout_passes() {
    let panics = || RequestPath::original_uri(|_| panic!("the function's own"));
    for restriction in [Restriction::new(Locked), Restriction::new(Suspended)] {
        let layer = layer(&store_with(restriction)).with_request_path(panics());
        for (request, expected) in [
            (alices(Method::GET, SYNC), unavailable()),
            (alices(Method::POST, LOGOUT), passed()),
            (
                anonymous(Method::POST, LOGIN, r#"{"user":"alice"}"#),
                unavailable(),
            ),
            (anonymous(Method::GET, SYNC, ""), passed()),
        ] {
            let what = format!("{} {}", request.method(), request.uri());
            assert_eq!(ask(&layer, request).await.verdict(), expected, "{what}");
        }
        let layer = layer.with_store_failure(StoreFailure::LetEveryoneThrough);
        let handler = Handler::default();
        let answer = call(layer.layer(handler), alices(Method::PUT, "/x")).await;
        assert_eq!(answer.verdict(), passed());
    }
    // What the path hides may be a login.
    let login = anonymous(Method::POST, "/inner", r#"{"user":"alice"}"#);
    let answer = ask(
        &layer(&store_with(Locked)).with_request_path(panics()),
        login,
    )
    .await;
    assert_eq!(answer.verdict(), unavailable());
    // An active account's request passes, whatever its path is.
    let layer = layer(&store()).with_request_path(panics());
    assert_eq!(
        ask(&layer, alices(Method::GET, "/x")).await.verdict(),
        passed()
    );
}
