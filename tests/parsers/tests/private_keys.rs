//! Keys by which a parser changes what a value is (rule 10). Each feature of `serde_json` that knows
//! such keys is enabled here, and handlers read bodies with ruma's types.

use std::convert::Infallible;

use axum::{Router, body::Bytes, routing::post};
use http::{Method, Request, StatusCode, header::AUTHORIZATION};
use http_body_util::BodyExt;
use ruma_client_api::{
    session::login::v3::{LoginInfo, Request as Login},
    uiaa::UserIdentifier,
};
use ruma_common::api::IncomingRequestExt as _;
use serde_json::Value;
use tower::{Layer, ServiceExt};
use tower_account_status::{
    AccountDirectory, AccountModerationLayer, AccountStatusLayer, Authentication, MemoryStore,
    RestrictionKind, UserId,
};

const ALICE: &str = "@alice:localhost";
const TOKEN: &str = "alices_token";
const LOGIN: &str = "/_matrix/client/v3/login";
const RAW: &str = "$serde_json::private::RawValue";
const NUMBER: &str = "$serde_json::private::Number";

/// Whom a handler that takes a [`Value`] logs in.
async fn log_in_by_value(body: Bytes) -> String {
    let login: Value = serde_json::from_slice(&body).unwrap_or_default();
    let user = login.pointer("/identifier/user").or(login.get("user"));
    user.and_then(Value::as_str).unwrap_or("nobody").to_owned()
}

/// Whom a handler that takes ruma's type logs in.
async fn log_in_by_ruma(body: Bytes) -> String {
    let request = Request::post(LOGIN).body(&body[..]).expect("a request");
    let login = Login::try_from_http_request(request, &[] as &[&str]);
    match login.map(|login| login.login_info) {
        Ok(LoginInfo::Password(password)) => match password.identifier {
            Some(UserIdentifier::Matrix(matrix)) => matrix.user,
            _ => "nobody".to_owned(),
        },
        _ => "nobody".to_owned(),
    }
}

fn locked() -> MemoryStore {
    let store = MemoryStore::new().with_server_name("localhost");
    store.insert_access_token(TOKEN, ALICE);
    store.restrict(ALICE, RestrictionKind::Locked);
    store
}

async fn send<S>(app: S, request: Request<axum::body::Body>) -> (StatusCode, String)
where
    S: tower::Service<
            Request<axum::body::Body>,
            Response = axum::response::Response,
            Error = Infallible,
        >,
{
    let Ok(answer) = app.oneshot(request).await;
    let status = answer.status();
    let body = answer.into_body().collect().await.expect("a body");
    (
        status,
        String::from_utf8_lossy(&body.to_bytes()).into_owned(),
    )
}

async fn log_in(app: &Router, body: &str) -> (StatusCode, String) {
    let request = Request::post(LOGIN).body(body.to_owned().into());
    let app = AccountStatusLayer::new(locked()).layer(app.clone());
    send(app, request.expect("a request")).await
}

fn routers() -> [Router; 2] {
    [
        Router::new().route(LOGIN, post(log_in_by_value)),
        Router::new().route(LOGIN, post(log_in_by_ruma)),
    ]
}

/// `value` behind a key that makes it another one.
fn hidden(key: &str, value: &str) -> String {
    serde_json::json!({ key: value }).to_string()
}

/// The features are enabled and have this effect. Otherwise the tests below would prove nothing.
#[tokio::test]
async fn a_handler_unwraps_what_is_hidden() {
    let alice = hidden(RAW, r#"{"type":"m.id.user","user":"alice"}"#);
    let body = format!(r#"{{"type":"m.login.password","password":"x","identifier":{alice}}}"#);
    for router in routers() {
        let request = Request::post(LOGIN).body(body.clone().into());
        let (_, user) = send(router, request.expect("a request")).await;
        assert_eq!(user, "alice");
    }
    let number: Value = serde_json::from_str(&hidden(NUMBER, "7")).expect("a number");
    assert!(number.is_number());
}

#[tokio::test]
async fn rule_10_nobody_is_named_behind_a_key_that_changes_what_a_value_is() {
    let whole = hidden(
        RAW,
        r#"{"type":"m.login.password","password":"x","identifier":{"type":"m.id.user","user":"alice"}}"#,
    );
    let identifier = hidden(RAW, r#"{"type":"m.id.user","user":"alice"}"#);
    let user = hidden(RAW, r#""alice""#);
    for body in [
        whole,
        format!(r#"{{"type":"m.login.password","password":"x","identifier":{identifier}}}"#),
        format!(
            r#"{{"type":"m.login.password","password":"x","identifier":{{"type":"m.id.user","user":{user}}}}}"#
        ),
        format!(r#"{{"type":"m.login.password","password":"x","user":{user}}}"#),
        format!(
            r#"{{"type":"m.login.password","password":"x","identifier":{}}}"#,
            identifier.replace("private", r"pr\u0069vate")
        ),
    ] {
        for router in routers() {
            let (status, user) = log_in(&router, &body).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{body}: {user}");
        }
    }
}

#[tokio::test]
async fn rule_10_whoever_is_named_plainly_is_found_with_any_feature() {
    let alice = r#"{"type":"m.login.password","password":"x","identifier":{"type":"m.id.user","user":"alice"},"n":[1,2.5e3,-0]}"#;
    let bob = alice.replace("alice", "bob");
    for router in routers() {
        assert_eq!(log_in(&router, alice).await.0, StatusCode::UNAUTHORIZED);
        assert_eq!(
            log_in(&router, &bob).await,
            (StatusCode::OK, "bob".to_owned())
        );
        // A number is a number with arbitrary precision, too. It names no account, and is no object.
        for body in ["7", "1.5", r#"{"identifier":7}"#, r#"{"user":1e3}"#] {
            let (status, user) = log_in(&router, body).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{body}: {user}");
        }
    }
}

#[tokio::test]
async fn a_suspended_account_hides_no_membership() {
    let path = "/_matrix/client/v3/rooms/!r:localhost/state/m.room.member/@alice:localhost";
    let store = locked();
    store.lift(ALICE, RestrictionKind::Locked);
    store.restrict(ALICE, RestrictionKind::Suspended);
    let app = AccountStatusLayer::new(store).layer(Router::new().fallback(|| async { "{}" }));
    let leave = hidden(RAW, r#""leave""#);
    for (body, status) in [
        (r#"{"membership":"leave"}"#.to_owned(), StatusCode::OK),
        (
            format!(r#"{{"membership":{leave}}}"#),
            StatusCode::FORBIDDEN,
        ),
        (
            hidden(RAW, r#"{"membership":"leave"}"#),
            StatusCode::FORBIDDEN,
        ),
        (
            format!(
                r#"{{"membership":"leave","reason":{}}}"#,
                hidden(NUMBER, "7")
            ),
            StatusCode::FORBIDDEN,
        ),
    ] {
        let request = Request::put(path).header(AUTHORIZATION, format!("Bearer {TOKEN}"));
        let request = request.body(body.clone().into()).expect("a request");
        assert_eq!(send(app.clone(), request).await.0, status, "{body}");
    }
}

struct Everyone;

impl AccountDirectory for Everyone {
    type Error = Infallible;

    async fn authenticate(&self, _: &str) -> Result<Authentication, Infallible> {
        Ok(Authentication::User("@admin:localhost".into()))
    }

    async fn is_administrator(&self, user: &UserId) -> Result<bool, Infallible> {
        Ok(user.as_str() == "@admin:localhost")
    }

    fn is_local(&self, _: &UserId) -> bool {
        true
    }

    async fn exists(&self, _: &UserId) -> Result<bool, Infallible> {
        Ok(true)
    }
}

#[tokio::test]
async fn msc4323_a_boolean_is_written_as_one() {
    let path = "/_matrix/client/v1/admin/lock/@bob:localhost";
    let yes = hidden(RAW, "true");
    for (body, status) in [
        (r#"{"locked":true,"n":7.5}"#.to_owned(), StatusCode::OK),
        (format!(r#"{{"locked":{yes}}}"#), StatusCode::BAD_REQUEST),
        (hidden(RAW, r#"{"locked":true}"#), StatusCode::BAD_REQUEST),
        (r#"{"locked":1}"#.to_owned(), StatusCode::BAD_REQUEST),
    ] {
        let moderation = AccountModerationLayer::new(Everyone, MemoryStore::new());
        let app = moderation.layer(Router::new());
        let request = Request::builder().method(Method::PUT).uri(path);
        let request = request.header(AUTHORIZATION, "Bearer admin");
        let request = request.body(body.clone().into()).expect("a request");
        let (answered, text) = send(app, request).await;
        assert_eq!(answered, status, "{body}: {text}");
    }
}
