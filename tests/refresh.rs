//! The answers to `POST /refresh` (rule 10): a client such as matrix-js-sdk takes any Matrix error there
//! for the end of the session.

mod support;

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::SystemTime,
};

use bytes::Bytes;
use http::{Method, Request};
use http_body::{Body, Frame};
use http_body_util::Full;
use support::{ALICE, TOKEN, anonymous, ask, call, layer, locked, store_with};
use tower::{Layer, service_fn};
use tower_account_status::{
    AccountGuard, AccountState, AccountStateStore, AccountStatusLayer, DenialCause,
    DynAccountStateStore, MemoryStore, NamedAccountCheck, NamedIn, Restriction, RestrictionKind,
    store::{Answer, StoreError},
    without,
};

const REFRESH: &str = "/_matrix/client/v3/refresh";

/// A body that fails, or never ends.
struct Endless {
    fails: bool,
}

impl Body for Endless {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.fails {
            true => Poll::Ready(Some(Err(io::Error::other("gone")))),
            false => Poll::Pending,
        }
    }
}

#[track_caller]
fn assert_plain(answer: &support::Answer, status: u16) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    let length = answer.text().len().to_string();
    assert_eq!(answer.header("content-length"), Some(&*length));
    assert!(!answer.text().is_empty());
    assert!(serde_json::from_str::<serde_json::Value>(answer.text()).is_err());
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
}

#[tokio::test]
async fn rule_10_what_refuses_no_account_is_no_json_on_refresh() {
    let store = store_with(RestrictionKind::Locked);
    let layer = layer(&store);
    let five: String = (0..5)
        .map(|number| format!(r#""refresh_token":"{number}","#))
        .collect();
    for (status, body) in [
        (400, "{".to_owned()),
        (400, "[]".to_owned()),
        (400, format!("{{{five}\"x\":1}}")),
        (413, format!(r#"{{"x":"{}"}}"#, "x".repeat(100_000))),
    ] {
        let request = anonymous(Method::POST, REFRESH, body);
        assert_plain(&ask(&layer, request).await, status);
    }
    // The same on any other endpoint is a Matrix error.
    let login = anonymous(Method::POST, "/_matrix/client/v3/login", "{");
    assert_eq!(ask(&layer, login).await.verdict().0, 400);
}

#[tokio::test(start_paused = true)]
async fn rule_10_a_body_that_fails_or_never_ends_is_no_json_on_refresh() {
    let layer = AccountStatusLayer::new(MemoryStore::new()).with_wrapped_bodies();
    for (fails, status) in [(true, 400), (false, 408)] {
        let inner = service_fn(async |_| {
            Ok::<_, Infallible>(http::Response::new(Full::<Bytes>::default()))
        });
        let request = Request::post(REFRESH)
            .body(Endless { fails })
            .expect("a request");
        assert_plain(&call(layer.layer(inner), request).await, status);
    }
}

/// A store that is down.
struct Down;

impl AccountStateStore for Down {
    async fn access_token(&self, _: &str) -> Answer {
        Err(StoreError::msg("down"))
    }

    async fn state(&self, _: &str) -> Result<AccountState, StoreError> {
        Err(StoreError::msg("down"))
    }

    without! { application_service, login_name, third_party, login_token, refresh_token, event_sender, changes }
}

/// A handler that is left the check, and asks the request's guard, or one of the server's own.
async fn refresh_by_handler(
    layer: &AccountStatusLayer<impl AccountStateStore>,
    asks_own: bool,
) -> support::Answer {
    let own = layer.guard();
    let inner = service_fn(async |request: Request<Full<Bytes>>| {
        let guard = request.extensions().get::<AccountGuard>().expect("a guard");
        let checked = match asks_own {
            true => own.check_refresh(&ALICE.into()).await,
            false => guard.check(&ALICE.into()).await,
        };
        Ok::<http::Response<Full<Bytes>>, Infallible>(match checked {
            Ok(()) => http::Response::new(Full::default()),
            Err(denial) => denial.into_response(),
        })
    });
    let request = anonymous(Method::POST, REFRESH, r#"{"refresh_token":"r"}"#);
    call(layer.layer(inner), request).await
}

#[tokio::test]
async fn rule_12_a_refresh_that_the_handler_checks_passes_while_the_store_is_down() {
    let by_handler = |layer: AccountStatusLayer<_>| {
        layer.with_named_account_check(NamedIn::Refresh, NamedAccountCheck::ByHandler)
    };
    let layer = by_handler(AccountStatusLayer::new(DynAccountStateStore::new(Down)));
    for asks_own in [true, false] {
        assert_eq!(refresh_by_handler(&layer, asks_own).await.status, 200);
    }
    let locked_store = DynAccountStateStore::new(store_with(RestrictionKind::Locked));
    let layer = by_handler(AccountStatusLayer::new(locked_store));
    for asks_own in [true, false] {
        let answer = refresh_by_handler(&layer, asks_own).await;
        assert_eq!(answer.verdict(), locked());
    }
}

#[tokio::test]
async fn rule_10_a_denial_of_a_refresh_that_refuses_no_account_is_no_json() {
    let guard = AccountStatusLayer::new(MemoryStore::new()).guard();
    let denial = guard.check_refresh(&ALICE.into()).await;
    let denial = denial.expect_err("the layer is gone");
    assert_eq!(denial.cause(), DenialCause::LayerGone);
    let response: http::Response<Full<Bytes>> = denial.into_response();
    assert_eq!(
        response.headers()["content-type"],
        "text/plain; charset=utf-8"
    );
    let clock = || -> SystemTime { panic!("the clock is a bad one") };
    let store =
        store_with(Restriction::new(RestrictionKind::Locked).with_until(SystemTime::UNIX_EPOCH));
    let layer = AccountStatusLayer::new(store).with_clock(clock);
    let path = "/_matrix/client/unstable/org.matrix.msc2918/refresh";
    for path in [REFRESH, path] {
        let (guard, alice) = (layer.guard(), ALICE.into());
        let checked = guard.check_request(&alice, &Method::POST, path, "{}");
        let denial = checked.await.expect_err("there is no time");
        let response: http::Response<Full<Bytes>> = denial.into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(
            response.headers()["content-type"],
            "text/plain; charset=utf-8"
        );
    }
}

#[tokio::test]
async fn rule_10_a_refusal_is_a_matrix_error_on_refresh_too() {
    let store = store_with(RestrictionKind::Locked);
    store.insert_refresh_token("alices_refresh", ALICE);
    let body = r#"{"refresh_token":"alices_refresh"}"#;
    let request = anonymous(Method::POST, REFRESH, body);
    assert_eq!(ask(&layer(&store), request).await.verdict(), locked());
    // A locked token on a path that only looks like it is still refused.
    let mut request = anonymous(Method::POST, "/x/refresh", "");
    support::bear(&mut request, TOKEN);
    assert_eq!(ask(&layer(&store), request).await.verdict(), locked());
}
