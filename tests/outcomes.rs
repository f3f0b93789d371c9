//! Rule 18 and what an operator sees: the observer hears the outcome of each request, and under
//! report-only nothing is refused.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt, service_fn};
use tower_account_status::{
    AccountState, AccountStateStore, AccountStatusLayer, Decision, MemoryStore,
    RestrictionKind::{Locked, Suspended},
    StoreFailure, UserId,
};
use tower_account_status::{
    store::{Answer, StoreError},
    without,
};

const ALICE: &str = "@alice:localhost";

type Body = Full<Bytes>;

fn request(method: Method, path: &str, token: &str, body: &str) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {token}"))
        .body(Body::from(body.to_owned()))
        .expect("a request")
}

async fn echo(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let body = request.into_body().collect().await?.to_bytes();
    Ok(Response::new(Body::from(body)))
}

/// What the observer heard, a line each.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    fn attach<S: AccountStateStore>(&self, layer: AccountStatusLayer<S>) -> AccountStatusLayer<S> {
        let heard = Arc::clone(&self.0);
        layer.with_observer(move |outcome| {
            let line = format!(
                "{} {} {} {} {} {}",
                outcome.decision(),
                outcome.method().map_or("-", Method::as_str),
                outcome.account().map_or("-", UserId::as_str),
                outcome
                    .denial()
                    .map_or_else(|| "-".to_owned(), ToString::to_string),
                outcome
                    .store_error()
                    .map_or_else(|| "-".to_owned(), ToString::to_string),
                match outcome.lookup_time() {
                    Some(_) => "awaited",
                    None => "at once",
                },
            );
            assert!(
                !format!("{outcome:?} {line}").contains("s3cret"),
                "{outcome:?}"
            );
            // A panic here is caught, and then the line is missing.
            let account = format!("account: {:?},", outcome.account());
            assert!(format!("{outcome:?}").contains(&account), "{outcome:?}");
            heard.lock().expect("not poisoned").push(line);
        })
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("not poisoned"))
    }
}

fn store() -> Arc<MemoryStore> {
    let store = MemoryStore::new().with_server_name("localhost");
    store.insert_access_token("s3cret", ALICE);
    store.insert_refresh_token("s3cret", ALICE);
    Arc::new(store)
}

async fn status(
    layer: &AccountStatusLayer<impl AccountStateStore>,
    request: Request<Body>,
) -> StatusCode {
    let service = layer.layer(service_fn(echo));
    service.oneshot(request).await.expect("infallible").status()
}

#[tokio::test]
async fn the_hook_hears_what_became_of_each_request() {
    let (heard, store) = (Heard::default(), store());
    let layer = heard.attach(AccountStatusLayer::new(Arc::clone(&store)));
    let whoami = "/_matrix/client/v3/account/whoami";
    status(&layer, request(Method::GET, whoami, "s3cret", "")).await;
    status(&layer, request(Method::GET, whoami, "s3cret-of-nobody", "")).await;
    store.restrict(ALICE, Locked);
    status(&layer, request(Method::GET, whoami, "s3cret", "")).await;
    let login = r#"{"identifier":{"user":"alice"},"password":"s3cret"}"#;
    status(
        &layer,
        request(Method::POST, "/_matrix/client/v3/login", "x", login),
    )
    .await;
    store.set_state(ALICE, Suspended.into());
    status(
        &layer,
        request(
            Method::POST,
            "/_matrix/client/v3/createRoom",
            "s3cret",
            "{}",
        ),
    )
    .await;
    assert_eq!(
        heard.take(),
        [
            "passed GET @alice:localhost - - at once",
            "passed GET - - - at once",
            "refused GET @alice:localhost the account is locked - at once",
            "refused POST @alice:localhost the account is locked - awaited",
            "refused POST @alice:localhost the account is suspended (create_room) - at once",
        ]
    );
}

/// Gives no answer.
#[derive(Debug)]
struct Down;

impl AccountStateStore for Down {
    async fn access_token(&self, _: &str) -> Answer {
        Err(StoreError::msg("the database is down"))
    }

    async fn state(&self, _: &str) -> Result<AccountState, StoreError> {
        Err(StoreError::msg("the database is down"))
    }

    without! { application_service, login_name, third_party, login_token, refresh_token, event_sender, changes }
}

#[tokio::test]
async fn the_hook_hears_why_the_store_gave_no_answer() {
    let heard = Heard::default();
    let layer = heard.attach(AccountStatusLayer::new(Down));
    let whoami = "/_matrix/client/v3/account/whoami";
    let refused = status(&layer, request(Method::GET, whoami, "s3cret", "")).await;
    assert_eq!(refused, StatusCode::SERVICE_UNAVAILABLE);
    let layer = layer.with_store_failure(StoreFailure::LetEveryoneThrough);
    let passed = status(&layer, request(Method::GET, whoami, "s3cret", "")).await;
    assert_eq!(passed, StatusCode::OK);
    assert_eq!(
        heard.take(),
        [
            "refused GET - the account's state is not available the database is down awaited",
            "passed_unchecked GET - - the database is down awaited",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn the_hook_hears_that_a_waiting_request_was_ended() {
    let (heard, store) = (Heard::default(), store());
    let layer = heard.attach(AccountStatusLayer::new(Arc::clone(&store)));
    let waits = service_fn(|_: Request<Body>| async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        Ok::<_, Infallible>(Response::new(Body::default()))
    });
    let sync = request(Method::GET, "/_matrix/client/v3/sync", "s3cret", "");
    let response = tokio::spawn(layer.layer(waits).oneshot(sync));
    tokio::time::sleep(Duration::from_secs(1)).await;
    store.restrict(ALICE, Locked);
    let response = response.await.expect("no panic").expect("infallible");
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        heard.take(),
        [
            "passed GET @alice:localhost - - at once",
            "ended GET @alice:localhost the account is locked - at once",
        ]
    );
}

#[tokio::test]
async fn rule_18_what_is_only_reported_passes_with_its_body() {
    let (heard, store) = (Heard::default(), store());
    store.restrict(ALICE, Locked);
    let layer = heard.attach(AccountStatusLayer::new(store).with_report_only());
    let long = "x".repeat(70_000);
    for (method, path, body) in [
        (Method::GET, "/_matrix/client/v3/account/whoami", ""),
        (Method::GET, "/_matrix/client/v3/sync", ""),
        (
            Method::POST,
            "/_matrix/client/v3/login",
            r#"{"user":"alice"}"#,
        ),
        (
            Method::POST,
            "/_matrix/client/v3/refresh",
            r#"{"refresh_token":"s3cret"}"#,
        ),
        (Method::POST, "/_matrix/client/v3/login", "not JSON"),
        (Method::POST, "/_matrix/client/v3/login", &long),
    ] {
        let service = layer.layer(service_fn(echo));
        let response = service.oneshot(request(method, path, "s3cret", body)).await;
        let response = response.expect("infallible");
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let received = response.into_body().collect().await.expect("infallible");
        assert_eq!(received.to_bytes(), body.as_bytes(), "{path}");
    }
    let heard = heard.take();
    assert_eq!(heard.len(), 6);
    for line in heard {
        assert!(line.starts_with("would_refuse"), "{line}");
    }
}

#[tokio::test]
async fn rule_18_a_failing_store_is_only_reported_too() {
    let heard = Heard::default();
    let layer = heard.attach(AccountStatusLayer::new(Down).with_report_only());
    let whoami = "/_matrix/client/v3/account/whoami";
    let passed = status(&layer, request(Method::GET, whoami, "s3cret", "")).await;
    assert_eq!(passed, StatusCode::OK);
    assert!(heard.take()[0].starts_with(&Decision::WouldRefuse.to_string()));
}
