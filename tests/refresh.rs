//! The answers to `POST /refresh` (rule 10): a client such as matrix-js-sdk takes any Matrix error there
//! for the end of the session.

mod support;

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Method, Request};
use http_body::{Body, Frame};
use support::{ALICE, TOKEN, anonymous, ask, call, layer, locked, store_with};
use tower::{Layer, service_fn};
use tower_account_status::{AccountStatusLayer, MemoryStore, RestrictionKind};

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
            Ok::<_, Infallible>(http::Response::new(http_body_util::Full::<Bytes>::default()))
        });
        let request = Request::post(REFRESH)
            .body(Endless { fails })
            .expect("a request");
        assert_plain(&call(layer.layer(inner), request).await, status);
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
