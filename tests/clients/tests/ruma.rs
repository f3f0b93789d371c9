//! ruma, which the Rust clients use, reads every answer correctly (rules 1 and 12).

use http_body_util::BodyExt;
use ruma_client_api::{message::send_message_event, session::login, sync::sync_events};
use ruma_common::api::{
    IncomingResponse, IncomingResponseExt,
    error::{Error, ErrorBody, ErrorKind, FromHttpResponseError},
};
use tower::{Layer, ServiceExt};
use tower_account_status::{AccountStatusLayer, MemoryStore, Restriction, RestrictionKind};

const ALICE: &str = "@alice:localhost";

/// The layer's answer to this request of Alice's, as ruma reads it.
async fn read<R>(restriction: Restriction, request: http::request::Builder, body: &str) -> Error
where
    R: IncomingResponse<EndpointError = Error> + std::fmt::Debug,
{
    let store = MemoryStore::new().with_server_name("localhost");
    store.insert_access_token("alices_token", ALICE);
    store.restrict(ALICE, restriction);
    let app = axum::Router::new().fallback(|| async { "{}" });
    let app = AccountStatusLayer::new(store).layer(app);
    let request = request.body(axum::body::Body::from(body.to_owned()));
    let Ok(answer) = app.oneshot(request.expect("a request")).await;
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let answer = http::Response::from_parts(parts, &body[..]);
    match R::try_from_http_response(answer) {
        Err(FromHttpResponseError::Server(error)) => error,
        other => panic!("not an error of the server: {other:?}"),
    }
}

fn alices(method: &str, path: &str) -> http::request::Builder {
    http::Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", "Bearer alices_token")
}

fn message(error: &Error) -> &str {
    match &error.body {
        ErrorBody::Standard(standard) => &standard.message,
        other => panic!("not a standard error: {other:?}"),
    }
}

#[tokio::test]
async fn rule_1_a_lock() {
    let restriction = Restriction::new(RestrictionKind::Locked).with_reason("See your \"mail\"");
    let request = alices("GET", "/_matrix/client/v3/sync");
    let error = read::<sync_events::v3::Response>(restriction, request, "").await;
    assert_eq!(error.status_code, 401);
    assert_eq!(error.error_kind(), Some(&ErrorKind::UserLocked));
    assert_eq!(message(&error), "See your \"mail\"");
}

#[tokio::test]
async fn rule_1_a_deactivation() {
    let restriction = || Restriction::new(RestrictionKind::Deactivated);
    let request = alices("GET", "/_matrix/client/v3/sync");
    let error = read::<sync_events::v3::Response>(restriction(), request, "").await;
    assert_eq!(error.status_code, 403);
    assert_eq!(error.error_kind(), Some(&ErrorKind::UserDeactivated));
    assert_eq!(message(&error), "This account has been deactivated");
    let request = http::Request::post("/_matrix/client/v3/login");
    let error = read::<login::v3::Response>(restriction(), request, r#"{"user":"alice"}"#).await;
    assert_eq!(error.error_kind(), Some(&ErrorKind::UserDeactivated));
}

#[tokio::test]
async fn rule_1_a_suspension() {
    let restriction = Restriction::new(RestrictionKind::Suspended);
    let path = "/_matrix/client/v3/rooms/!room:localhost/send/m.room.message/1";
    let request = alices("PUT", path);
    let error = read::<send_message_event::v3::Response>(restriction, request, "{}").await;
    assert_eq!(error.status_code, 403);
    assert_eq!(error.error_kind(), Some(&ErrorKind::UserSuspended));
    assert_ne!(message(&error), "");
}

#[tokio::test]
async fn rule_10_a_body_that_is_no_json() {
    let restriction = Restriction::new(RestrictionKind::Locked);
    let request = http::Request::post("/_matrix/client/v3/login");
    let error = read::<login::v3::Response>(restriction, request, "x").await;
    assert_eq!(error.status_code, 400);
    assert_eq!(error.error_kind(), Some(&ErrorKind::NotJson));
}
