//! Rules 16 and 17: a sync that waits is ended by a lock, over HTTP/1.1 and HTTP/2.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper_util::{client::legacy, rt::TokioExecutor};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::{
    SYNC, World, assert_locked, gateway::Gateway, homeserver::BOUND, text, upstream::Upstream,
};

#[tokio::test]
async fn a_sync_that_waits_is_ended_by_a_lock() {
    for is_http2 in [false, true] {
        let world = World::new().await;
        let first = world.gateway.get(SYNC, &world.alice).await.ok();
        let since = text(&first["next_batch"]).to_owned();
        let uri = format!(
            "http://{}{SYNC}?timeout=60000&since={since}",
            world.gateway.address
        );
        let client = legacy::Client::builder(TokioExecutor::new())
            .http2_only(is_http2)
            .build_http::<Empty<Bytes>>();
        let request = Request::get(uri)
            .header("authorization", format!("Bearer {}", world.alice))
            .body(Empty::new())
            .expect("a request");
        let mut sync = tokio::spawn(client.request(request));
        // There are no events, so it is not answered at once.
        let waits = timeout(Duration::from_millis(300), &mut sync).await;
        assert!(waits.is_err(), "the sync does not wait");
        world.lock().await;
        let answer = timeout(BOUND / 2, sync).await.expect("the sync is ended");
        let answer = answer.expect("no panic").expect("an answer");
        assert_eq!(answer.status(), 401);
        let body = answer.into_body().collect().await.expect("a body");
        let body: Value = serde_json::from_slice(&body.to_bytes()).expect("JSON");
        assert_eq!(body["errcode"], "M_USER_LOCKED");
        assert_eq!(body["soft_logout"], true);
    }
}

#[tokio::test]
async fn the_homeserver_sees_that_nobody_waits_any_more() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&upstream.address, &[]).await;
    let sync = tokio::spawn({
        let client = (*gateway).clone();
        async move { client.get(&format!("{SYNC}?timeout=60000"), "alice").await }
    });
    let reaches = async |waiting: usize| {
        let limit = timeout(BOUND, async {
            while upstream.waiting() != waiting {
                sleep(Duration::from_millis(5)).await;
            }
        });
        limit
            .await
            .expect("the sync reaches the homeserver, and leaves it");
    };
    reaches(1).await;
    let lock = "/_matrix/client/v1/admin/lock/@alice:localhost";
    let locked = json!({ "locked": true });
    gateway.put(lock, "admin", locked).await.ok();
    assert_locked(&sync.await.expect("no panic"));
    reaches(0).await;
    let log = gateway.log();
    assert!(log.contains(r#"ended endpoint="sync""#), "{log}");
}

#[tokio::test]
async fn a_suspended_accounts_sync_goes_on_and_brings_what_happens() {
    let world = World::new().await;
    let first = world.gateway.get(SYNC, &world.alice).await.ok();
    let path = format!("{SYNC}?timeout=60000&since={}", text(&first["next_batch"]));
    let sync = tokio::spawn({
        let (client, alice) = ((*world.gateway).clone(), world.alice.clone());
        async move { client.get(&path, &alice).await.ok() }
    });
    world.set("suspend", "suspended", true).await;
    // Past the gateway, which does not let a suspended account join.
    let body = json!({ "name": "Tea party" });
    let create = "/_matrix/client/v3/createRoom";
    let room = world.homeserver.post(create, &world.alice, body).await.ok();
    let synced = sync.await.expect("no panic");
    let room = text(&room["room_id"]);
    assert!(synced["rooms"]["join"].get(room).is_some(), "{synced}");
}
