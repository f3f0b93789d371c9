//! The layer as a hoop of a Salvo router: bodies are kept, since Salvo's are made from bytes.

use std::sync::Arc;

use salvo::{
    http::{ReqBody, StatusCode},
    prelude::{Request, Router, Service, TowerLayerCompat, handler},
    test::{ResponseExt, TestClient},
};
use tower_account_status::{AccountStatusLayer, MemoryStore, RestrictionKind};

const ALICE: &str = "@alice:localhost";
const SYNC: &str = "http://localhost/_matrix/client/v3/sync";
const LOGIN: &str = "http://localhost/_matrix/client/v3/login";
const LOGOUT: &str = "http://localhost/_matrix/client/v3/logout";

#[handler]
async fn handle() -> &'static str {
    "handled"
}

/// Answers with the body that it received.
#[handler]
async fn log_in(request: &mut Request) -> String {
    let payload = request.payload().await.expect("a body");
    String::from_utf8(payload.to_vec()).expect("text")
}

fn service(store: &Arc<MemoryStore>) -> Service {
    let layer = AccountStatusLayer::new(Arc::clone(store));
    let client = Router::with_path("_matrix/client/v3")
        .push(Router::with_path("sync").get(handle))
        .push(Router::with_path("logout").post(handle))
        .push(Router::with_path("login").post(log_in));
    Service::new(Router::new().hoop(layer.compat::<ReqBody>()).push(client))
}

fn store() -> Arc<MemoryStore> {
    let store = MemoryStore::new().with_server_name("localhost");
    store.insert_access_token("alices_token", ALICE);
    Arc::new(store)
}

#[tokio::test]
async fn rule_1_a_locked_account_is_refused_and_an_active_one_passes() {
    let store = store();
    let service = service(&store);
    for (url, is_post, while_locked) in [
        (SYNC, false, StatusCode::UNAUTHORIZED),
        (LOGOUT, true, StatusCode::OK),
    ] {
        let request = || {
            let request = if is_post {
                TestClient::post(url)
            } else {
                TestClient::get(url)
            };
            request.bearer_auth("alices_token")
        };
        store.lift(ALICE, RestrictionKind::Locked);
        let mut answer = request().send(&service).await;
        assert_eq!(answer.status_code, Some(StatusCode::OK), "{url}");
        assert_eq!(answer.take_string().await.unwrap(), "handled", "{url}");
        store.restrict(ALICE, RestrictionKind::Locked);
        let answer = request().send(&service).await;
        assert_eq!(answer.status_code, Some(while_locked), "{url}");
    }
    let mut refused = TestClient::get(SYNC)
        .bearer_auth("alices_token")
        .send(&service)
        .await;
    let headers = refused.headers().clone();
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(headers["access-control-allow-origin"], "*");
    assert_eq!(headers["content-length"], "85");
    let body: serde_json::Value = refused.take_json().await.unwrap();
    assert_eq!(body["errcode"], "M_USER_LOCKED");
    assert_eq!(body["soft_logout"], true);
    let anonymous = TestClient::get(SYNC).send(&service).await;
    assert_eq!(anonymous.status_code, Some(StatusCode::OK));
}

#[tokio::test]
async fn rule_10_a_login_is_checked_and_handed_on_byte_for_byte() {
    let store = store();
    store.restrict(ALICE, RestrictionKind::Deactivated);
    let service = service(&store);
    let mut refused = TestClient::post(LOGIN)
        .raw_json(r#"{"user":"alice"}"#)
        .send(&service)
        .await;
    assert_eq!(refused.status_code, Some(StatusCode::FORBIDDEN));
    let body: serde_json::Value = refused.take_json().await.unwrap();
    assert_eq!(body["errcode"], "M_USER_DEACTIVATED");
    let text = "{ \"user\" :\n\"bob\" }";
    let mut passed = TestClient::post(LOGIN).raw_json(text).send(&service).await;
    assert_eq!(passed.status_code, Some(StatusCode::OK));
    assert_eq!(passed.take_string().await.unwrap(), text);
}
