//! Rules 12 to 14: a store that fails in any way, at any point, and a client that leaves at any
//! point. No restricted account passes, nobody is refused wrongly, nothing is left behind.

mod clock;
mod faulty;
mod http1;

use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Waker},
    time::Duration,
};

use faulty::{CACHED, Counter, FAULTS, Fault, Faulty, PLACES, Place, get, handler};
use http::{Request, StatusCode};
use http_body_util::Full;
use tower::{Service, ServiceExt as _, limit::ConcurrencyLimit};
use tower_account_status::{AccountStatusLayer, StoreFailure};
use tower_layer::Layer as _;

/// The answer to a request with the token that meets the fault.
fn expected(fault: Fault, place: Place, is_cached: bool) -> StatusCode {
    match (fault, place) {
        // Panics at once are the only fault of what answers at once; a shortcut that fails is only a
        // detour; and what answers at once in front of a cache is the cache.
        (_, Place::Glance) => StatusCode::OK,
        (_, Place::AtOnce) if is_cached => StatusCode::OK,
        (Fault::Elsewhere, place) if place != Place::AtOnce => StatusCode::OK,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

#[tokio::test(start_paused = true)]
async fn rule_12_whatever_goes_wrong_anywhere_it_is_503_and_nothing_is_left() {
    for (fault, place, is_cached) in everything() {
        let (store, handled) = (Faulty::new(fault, place), Counter::default());
        let inner = ConcurrencyLimit::new(handler(&handled), 1);
        let service = AccountStatusLayer::new(store.behind(is_cached)).layer(inner);
        let what = format!("{fault:?} {place:?}, cached: {is_cached}");
        for round in 0..4 {
            let is_well = round == 3;
            if is_well {
                store.recover();
                // A cache has forgotten the failure by then.
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            let of_bad = match is_well {
                true => StatusCode::OK,
                false => expected(fault, place, is_cached),
            };
            for (first, second, expected) in [
                ("bad", None, of_bad),
                ("good", None, StatusCode::OK),
                ("locked", None, StatusCode::UNAUTHORIZED),
                ("good", Some("locked"), StatusCode::UNAUTHORIZED),
                ("unknown", None, StatusCode::OK),
            ] {
                let response = service.clone().oneshot(get(first, second)).await;
                let status = response.unwrap_or_else(|never| match never {}).status();
                assert_eq!(status, expected, "{what}: {first} {second:?}");
            }
        }
        assert_eq!((store.under_way.now(), handled.now()), (0, 0), "{what}");
    }
}

fn everything() -> impl Iterator<Item = (Fault, Place, bool)> {
    FAULTS.into_iter().flat_map(|fault| {
        let places = PLACES.into_iter();
        places.flat_map(move |place| {
            CACHED
                .iter()
                .map(move |&is_cached| (fault, place, is_cached))
        })
    })
}

/// A token that a store fails on (a database may not like a zero byte) once hid the locked
/// account's token beside it from a layer that lets everyone pass while its store is down.
#[tokio::test(start_paused = true)]
async fn rule_12_a_look_up_that_fails_hides_no_other() {
    for (fault, place, is_cached) in everything().filter(|&(_, place, _)| place != Place::Glance) {
        let handled = Counter::default();
        let layer = AccountStatusLayer::new(Faulty::new(fault, place).behind(is_cached))
            .with_store_failure(StoreFailure::LetEveryoneThrough);
        let service = layer.layer(handler(&handled));
        for (first, second, expected) in [
            ("bad", "locked", StatusCode::UNAUTHORIZED),
            ("locked", "bad", StatusCode::UNAUTHORIZED),
            ("bad", "good", StatusCode::OK),
        ] {
            let response = service.clone().oneshot(get(first, Some(second))).await;
            let status = response.unwrap_or_else(|never| match never {}).status();
            // A store that takes all of the time limit leaves none for the next question.
            if !(matches!(fault, Fault::Hangs | Fault::Late)
                && first == "bad"
                && second == "locked")
            {
                let what = format!("{fault:?} {place:?}, cached: {is_cached}");
                assert_eq!(status, expected, "{what}: {first} {second}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn rule_10_a_refresh_token_that_fails_hides_no_other() {
    for (fault, _, is_cached) in everything().filter(|&(_, place, _)| place == Place::Account) {
        let handled = Counter::default();
        let store = Faulty::new(fault, Place::Account).behind(is_cached);
        let service = AccountStatusLayer::new(store).layer(handler(&handled));
        for (body, expected) in [
            (
                r#"{"refresh_token":"locked","refresh_token":"bad"}"#,
                StatusCode::UNAUTHORIZED,
            ),
            // Rule 12: clients sign out when a refresh fails, so it is left to the handler.
            (r#"{"refresh_token":"bad"}"#, StatusCode::OK),
        ] {
            let request = Request::post("/_matrix/client/v3/refresh")
                .body(Full::from(body))
                .expect("a request");
            let response = service.clone().oneshot(request).await;
            let status = response.unwrap_or_else(|never| match never {}).status();
            assert_eq!(status, expected, "{fault:?} {body}, cached: {is_cached}");
        }
    }
}

#[tokio::test]
async fn rule_14_a_client_that_leaves_at_any_await_point_leaves_nothing_behind() {
    for &is_cached in CACHED {
        let handled = Counter::default();
        let store = Faulty::new(Fault::Error, Place::AfterState);
        for token in ["good", "locked", "bad", "unknown"] {
            let mut was_ready = false;
            for times in 0..20 {
                let inner = ConcurrencyLimit::new(handler(&handled), 1);
                // Each time a cache that knows nothing yet, so that the store is asked.
                let layer = AccountStatusLayer::new(store.behind(is_cached));
                let service = layer.layer(inner);
                let mut ready = service.clone();
                std::future::poll_fn(|context| ready.poll_ready(context))
                    .await
                    .unwrap_or_else(|never| match never {});
                // Somebody else waits for the same answer, and goes on waiting.
                let mut other = layer.layer(handler(&handled));
                let mut other = pin!(other.call(get(token, None)));
                let mut leaves = Box::pin(ready.call(get(token, None)));
                was_ready |= poll_times(leaves.as_mut(), times);
                let other_is_ready = poll_times(other.as_mut(), 1);
                drop((leaves, ready));
                let what = format!("{token} {times}, cached: {is_cached}");
                if !other_is_ready {
                    let response = other.await.unwrap_or_else(|never| match never {});
                    assert_eq!(response.status(), of(token), "{what}");
                }
                assert_eq!((store.under_way.now(), handled.now()), (0, 0), "{what}");
                // The one permit that there is, is there.
                let response = service.oneshot(get("good", None)).await;
                let status = response.unwrap_or_else(|never| match never {}).status();
                assert_eq!(status, StatusCode::OK, "{what}");
            }
            assert!(was_ready, "{token}: all await points were passed");
        }
    }
}

/// The answer to a token of a store that fails on the bad one.
fn of(token: &str) -> StatusCode {
    match token {
        "locked" => StatusCode::UNAUTHORIZED,
        "bad" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    }
}

/// Polls a future a number of times, or until it is ready.
fn poll_times<F: Future>(mut future: Pin<&mut F>, times: usize) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    (0..times).any(|_| future.as_mut().poll(&mut context).is_ready())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rule_14_many_clients_that_leave_at_random_leave_nothing_behind() {
    let places = [Place::AfterAccount, Place::State];
    for (fault, place, is_cached) in everything().filter(|(_, place, _)| places.contains(place)) {
        let clients = if fault == Fault::Hangs { 2_000 } else { 300 };
        let what = format!("{fault:?} {place:?}, cached: {is_cached}");
        many_clients_leave(fault, place, is_cached, clients, &what).await;
    }
}

async fn many_clients_leave(fault: Fault, place: Place, is_cached: bool, clients: u64, what: &str) {
    let (store, handled) = (Faulty::new(fault, place), Counter::default());
    let inner = ConcurrencyLimit::new(handler(&handled), 4);
    let behind = store.behind(is_cached);
    let layer = AccountStatusLayer::new(behind.clone());
    let hurried = layer.clone().with_store_timeout(Duration::from_millis(5));
    let service = hurried.layer(inner.clone());
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..clients {
        let (service, what) = (service.clone(), what.to_owned());
        tasks.spawn(async move {
            let (name, expected) = [
                ("good", StatusCode::OK),
                ("locked", StatusCode::UNAUTHORIZED),
                ("bad", expected(fault, place, is_cached)),
            ][usize::try_from(number % 3).unwrap_or_default()];
            let patience = Duration::from_micros(number * 7919 % 20_000);
            let answer = tokio::time::timeout(patience, service.oneshot(get(name, None))).await;
            if let Ok(response) = answer {
                let status = response.unwrap_or_else(|never| match never {}).status();
                // A machine under load may take longer than the limit; that is never a 401.
                let is_late = status == StatusCode::SERVICE_UNAVAILABLE;
                assert!(status == expected || is_late, "{what}, {name}: {status}");
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no request panics");
    }
    let nothing_is_left = async {
        // What goes on elsewhere ends a little later.
        while (store.under_way.now(), handled.now()) != (0, 0) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(10), nothing_is_left).await;
    let left = (store.under_way.now(), handled.now());
    assert!(ended.is_ok(), "{what}: look-ups, handlers: {left:?}");
    // And no request is stuck, and no token has a wrong owner.
    store.recover();
    tokio::time::sleep(Duration::from_millis(10)).await;
    let service = layer.layer(inner);
    for name in ["good", "locked", "bad"] {
        let response = service.clone().oneshot(get(name, None)).await;
        let status = response.unwrap_or_else(|never| match never {}).status();
        let expected = if name == "locked" {
            of(name)
        } else {
            StatusCode::OK
        };
        assert_eq!(status, expected, "{what}: {name}, when the store is well");
    }
}
