//! Account suspension (specification v1.13, MSC3823) as the layer enforces it: 403
//! `M_USER_SUSPENDED` on a part of the actions. Which part is tested in the policy's own tests.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt, service_fn};
use tower_account_status::{
    Account, AccountGuard, AccountState, AccountStateStore, AccountStatusLayer, Action, Denial,
    DenialCause, MemoryStore,
    RestrictionKind::{self, Locked, Suspended},
    SuspensionPolicy, UserId,
};
use tower_account_status::{
    store::{Answer, StoreError},
    without,
};

const ALICE: &str = "@alice:localhost";
const ROOM: &str = "/_matrix/client/v3/rooms/!room:localhost";

type Body = Full<Bytes>;

fn request(method: Method, path: &str, body: &str) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", "Bearer t")
        .body(Body::from(body.to_owned()))
        .expect("a request")
}

/// Answers with the body that it receives.
async fn echo(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let body = request.into_body().collect().await?.to_bytes();
    Ok(Response::new(Body::from(body)))
}

fn store() -> Arc<MemoryStore> {
    let store = MemoryStore::new();
    store.insert_access_token("t", ALICE);
    store.restrict(ALICE, Suspended);
    Arc::new(store)
}

async fn answer(
    layer: &AccountStatusLayer<impl AccountStateStore>,
    request: Request<Body>,
) -> Response<Body> {
    let service = layer.layer(service_fn(echo));
    service.oneshot(request).await.expect("infallible")
}

async fn text(response: Response<Body>) -> String {
    let body = response.into_body().collect().await.expect("infallible");
    String::from_utf8(body.to_bytes().to_vec()).expect("text")
}

#[tokio::test]
async fn rule_1_a_refused_action_answers_403_without_soft_logout() {
    let layer = AccountStatusLayer::new(store());
    let path = format!("{ROOM}/send/m.room.message/1");
    let response = answer(&layer, request(Method::PUT, &path, "{}")).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    let denial = response.extensions().get::<Denial>().expect("the reason");
    assert_eq!(denial.cause(), DenialCause::Restricted(Suspended));
    assert_eq!(denial.action(), Some(Action::SendMessage));
    assert_eq!(
        denial.to_string(),
        "the account is suspended (send_message)"
    );
    assert_eq!(
        text(response).await,
        r#"{"errcode":"M_USER_SUSPENDED","error":"Not possible while this account is suspended"}"#
    );
}

#[tokio::test]
async fn a_permitted_action_passes_and_lifting_restores_everything() {
    let store = store();
    let layer = AccountStatusLayer::new(Arc::clone(&store));
    for (method, path) in [
        (Method::GET, "/_matrix/client/v3/sync".to_owned()),
        (Method::POST, format!("{ROOM}/leave")),
        (Method::POST, "/_matrix/client/v3/logout".to_owned()),
        (Method::POST, "/_matrix/client/v3/keys/upload".to_owned()),
    ] {
        let response = answer(&layer, request(method, &path, "{}")).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
    }
    let send = || request(Method::PUT, &format!("{ROOM}/send/m.room.message/1"), "{}");
    assert_eq!(answer(&layer, send()).await.status(), StatusCode::FORBIDDEN);
    store.lift(ALICE, Suspended);
    assert_eq!(answer(&layer, send()).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn rule_4_a_lock_is_answered_before_a_suspension_and_leaves_it_standing() {
    let store = store();
    store.restrict(ALICE, Locked);
    let layer = AccountStatusLayer::new(Arc::clone(&store));
    let send = || request(Method::PUT, &format!("{ROOM}/send/m.room.message/1"), "{}");
    assert_eq!(
        answer(&layer, send()).await.status(),
        StatusCode::UNAUTHORIZED
    );
    store.lift(ALICE, Locked);
    assert_eq!(answer(&layer, send()).await.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_membership_is_read_from_the_body_which_the_handler_then_receives() {
    let layer = AccountStatusLayer::new(store());
    let path = format!("{ROOM}/state/m.room.member/{ALICE}");
    for (body, status) in [
        (r#" {"membership": "leave"} "#, StatusCode::OK),
        (r#"{"membership":"join"}"#, StatusCode::FORBIDDEN),
        (
            r#"{"membership":"leave","membership":"join"}"#,
            StatusCode::FORBIDDEN,
        ),
        (r#"{"membership":1}"#, StatusCode::FORBIDDEN),
        ("", StatusCode::FORBIDDEN),
        ("not JSON", StatusCode::FORBIDDEN),
    ] {
        let response = answer(&layer, request(Method::PUT, &path, body)).await;
        assert_eq!(response.status(), status, "{body}");
        if status == StatusCode::OK {
            assert_eq!(text(response).await, body);
        }
    }
    let large = format!(
        "{{\"membership\":\"leave\",\"x\":\"{}\"}}",
        "x".repeat(65_536)
    );
    let response = answer(&layer, request(Method::PUT, &path, &large)).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_policy_can_be_adjusted_by_the_name_of_an_action() {
    let policy = SuspensionPolicy::new()
        .permit(Action::SendMessage)
        .refuse(Action::Sync);
    let layer = AccountStatusLayer::new(store()).with_suspension_policy(policy);
    let path = format!("{ROOM}/send/m.room.message/1");
    let response = answer(&layer, request(Method::PUT, &path, "{}")).await;
    assert_eq!(response.status(), StatusCode::OK);
    let response = answer(&layer, request(Method::GET, "/_matrix/client/v3/sync", "")).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
}

/// Knows who has sent which event, and answers nothing at once.
#[derive(Debug)]
struct WithEvents;

impl AccountStateStore for WithEvents {
    async fn access_token(&self, _: &str) -> Answer {
        Ok(Some(ALICE.into()))
    }

    without! { application_service, login_name, third_party, login_token, refresh_token, changes }

    async fn state(&self, _: &str) -> Result<AccountState, StoreError> {
        Ok(Suspended.into())
    }

    async fn event_sender(&self, room: &str, event: &str) -> Answer {
        assert_eq!(room, "!room:localhost");
        tokio::task::yield_now().await;
        match event {
            "$own" => Ok(Some(ALICE.into())),
            "$others" => Ok(Some("@bob:localhost".into())),
            "$unknown" => Ok(None),
            _ => Err(StoreError::msg("the database is down")),
        }
    }
}

#[tokio::test]
async fn a_redaction_of_ones_own_event_passes_and_of_another_does_not() {
    let layer = AccountStatusLayer::new(WithEvents);
    for (event, status) in [
        ("$own", StatusCode::OK),
        ("%24own", StatusCode::OK),
        ("$others", StatusCode::FORBIDDEN),
        ("$unknown", StatusCode::OK),
        ("$fails", StatusCode::SERVICE_UNAVAILABLE),
    ] {
        let path = format!("{ROOM}/redact/{event}/1");
        let response = answer(&layer, request(Method::PUT, &path, "{}")).await;
        assert_eq!(response.status(), status, "{event}");
    }
    let path = format!("{ROOM}/send/m.room.redaction/1");
    for (body, status) in [
        (r#"{"redacts":"$own"}"#, StatusCode::OK),
        (r#"{"redacts":"$others"}"#, StatusCode::FORBIDDEN),
        (
            r#"{"redacts":"$own","redacts":"$others"}"#,
            StatusCode::FORBIDDEN,
        ),
        (r#"{"redacts":"$fails"}"#, StatusCode::SERVICE_UNAVAILABLE),
    ] {
        let response = answer(&layer, request(Method::PUT, &path, body)).await;
        assert_eq!(response.status(), status, "{body}");
    }
}

#[tokio::test]
async fn what_a_suspended_account_may_do_carries_nothing_else() {
    let layer = AccountStatusLayer::new(WithEvents);
    let redact = format!("{ROOM}/redact/$own/1");
    let send = format!("{ROOM}/send/m.room.redaction/1");
    let leave = format!("{ROOM}/state/m.room.member/{ALICE}");
    for (path, body, status) in [
        (&redact, r#"{"reason":"typo"}"#, StatusCode::OK),
        (&redact, "", StatusCode::OK),
        (
            &redact,
            r#"{"body":"hello","msgtype":"m.text"}"#,
            StatusCode::FORBIDDEN,
        ),
        (
            &redact,
            r#"{"org.matrix.msc3912.with_relations":["*"]}"#,
            StatusCode::FORBIDDEN,
        ),
        (
            &send,
            r#"{"redacts":"$own","reason":"typo"}"#,
            StatusCode::OK,
        ),
        (
            &send,
            r#"{"redacts":"$own","body":"hello","msgtype":"m.text"}"#,
            StatusCode::FORBIDDEN,
        ),
        (
            &leave,
            r#"{"membership":"leave","reason":"bye"}"#,
            StatusCode::OK,
        ),
        (
            &leave,
            r#"{"membership":"leave","body":"hello"}"#,
            StatusCode::FORBIDDEN,
        ),
        (
            &leave,
            r#"{"membership":"leave","displayname":"buy here"}"#,
            StatusCode::FORBIDDEN,
        ),
    ] {
        let response = answer(&layer, request(Method::PUT, path, body)).await;
        assert_eq!(response.status(), status, "{path} {body}");
        if status == StatusCode::OK {
            assert_eq!(text(response).await, body);
        }
    }
}

/// A server that keeps the first body of a session of user-interactive authentication fills up a later body with
/// it: with whom to invite, for example.
#[tokio::test]
async fn rule_22_a_body_that_decides_continues_no_session() {
    let default = SuspensionPolicy::new;
    let all_events = [
        Action::SendMessage,
        Action::SendState,
        Action::JoinRoom,
        Action::KnockRoom,
        Action::Invite,
        Action::LeaveRoom,
        Action::Kick,
        Action::Ban,
        Action::Unban,
        Action::SetProfile,
        Action::LeaveCall,
        Action::RedactOwnEvent,
        Action::RedactEvent,
    ];
    let all_events = all_events
        .into_iter()
        .fold(default(), SuspensionPolicy::permit);
    let others_events = default()
        .permit(Action::SendMessage)
        .permit(Action::RedactEvent)
        .refuse(Action::RedactOwnEvent);
    let (member, call) = ("m.room.member", "m.call.member");
    for (policy, method, path, body) in [
        (
            default().permit(Action::CreateRoom),
            Method::POST,
            "/_matrix/client/v3/createRoom".to_owned(),
            "{",
        ),
        (
            default().permit(Action::SendMessage),
            Method::PUT,
            format!("{ROOM}/delayed_event/m.room.topic/1"),
            r#"{"content":{"topic":"x"}"#,
        ),
        (
            default(),
            Method::POST,
            "/_matrix/client/v1/delayed_events/1".to_owned(),
            r#"{"action":"cancel""#,
        ),
        (
            all_events.refuse(Action::CancelDelayedEvent),
            Method::POST,
            "/_matrix/client/v1/delayed_events/1".to_owned(),
            r#"{"action":"send""#,
        ),
        (
            default().permit(Action::SendState),
            Method::PUT,
            format!("{ROOM}/state/{member}/{ALICE}"),
            r#"{"membership":"leave""#,
        ),
        (
            default(),
            Method::PUT,
            format!("{ROOM}/state/{call}/{ALICE}"),
            "{",
        ),
        (
            default()
                .permit(Action::SendState)
                .refuse(Action::LeaveCall),
            Method::PUT,
            format!("{ROOM}/state/{call}/{ALICE}"),
            r#"{"m":1"#,
        ),
        (
            others_events.clone(),
            Method::PUT,
            format!("{ROOM}/redact/$e/1"),
            r#"{"reason":"x""#,
        ),
        (
            others_events,
            Method::PUT,
            format!("{ROOM}/send/m.room.redaction/1"),
            r#"{"redacts":"$e""#,
        ),
    ] {
        let layer = AccountStatusLayer::new(store()).with_suspension_policy(policy);
        let comma = if body == "{" { "" } else { "," };
        for (auth, status) in [
            (r#""auth":{"session":"S"}"#, StatusCode::FORBIDDEN),
            (r#""Auth":{"session":"S"}"#, StatusCode::FORBIDDEN),
            (r#""auth":null,"auth":{}"#, StatusCode::FORBIDDEN),
            (r#""auth":"S""#, StatusCode::FORBIDDEN),
            ("", StatusCode::OK),
        ] {
            let comma = if auth.is_empty() { "" } else { comma };
            let body = format!("{body}{comma}{auth}}}");
            let response = answer(&layer, request(method.clone(), &path, &body)).await;
            assert_eq!(response.status(), status, "{method} {path} {body}");
        }
    }
    // What an event says is its own: only the body of a request continues a session.
    let layer = AccountStatusLayer::new(store()).with_suspension_policy(
        default()
            .permit(Action::SendMessage)
            .permit(Action::RedactEvent),
    );
    let path = format!("{ROOM}/delayed_event/m.room.redaction/1");
    let body = r#"{"content":{"redacts":"$e","auth":{"session":"S"}}}"#;
    let response = answer(&layer, request(Method::PUT, &path, body)).await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn where_nobody_knows_whose_an_event_is_the_handler_finds_the_guard() {
    type Guard = AccountGuard;
    let handler = service_fn(|request: Request<Body>| async move {
        let guard = request
            .extensions()
            .get::<Guard>()
            .expect("the guard")
            .clone();
        // The handler finds out that the event is somebody else's.
        let verdict = guard.check_action(&ALICE.into(), Action::RedactEvent).await;
        Ok::<_, Infallible>(match verdict {
            Ok(()) => Response::new(Body::default()),
            Err(denial) => denial.into_response(),
        })
    });
    let service = AccountStatusLayer::new(store()).layer(handler);
    let path = format!("{ROOM}/redact/$event/1");
    let response = service
        .oneshot(request(Method::PUT, &path, "{}"))
        .await
        .expect("infallible");
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert!(text(response).await.contains("M_USER_SUSPENDED"));
}

#[tokio::test]
async fn the_guard_tells_what_each_state_may_do() {
    let store = store();
    let layer = AccountStatusLayer::new(Arc::clone(&store));
    let (guard, alice) = (layer.guard(), UserId::from(ALICE));
    assert_eq!(
        guard.check(&alice).await,
        Ok(()),
        "a suspended person may log in"
    );
    let refused = guard.check_action(&alice, Action::JoinRoom).await;
    assert_eq!(
        refused.map_err(|denial| denial.errcode()),
        Err("M_USER_SUSPENDED")
    );
    for (kind, errcode) in [
        (Locked, "M_USER_LOCKED"),
        (RestrictionKind::Deactivated, "M_USER_DEACTIVATED"),
    ] {
        store.set_state(ALICE, kind.into());
        let refused = guard.check(&alice).await;
        assert_eq!(refused.map_err(|denial| denial.errcode()), Err(errcode));
    }
    let account = Account::new(alice, AccountState::ACTIVE);
    store.set_state(account.user().clone(), account.state().clone());
    assert_eq!(guard.check(account.user()).await, Ok(()));
}
