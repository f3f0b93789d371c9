//! Rule 8: a `user_id` parameter counts beside an application service's token, and beside no
//! other.

use serde_json::json;

use crate::{WHOAMI, assert_locked, gateway::Gateway, upstream::Upstream};

const LOCK: &str = "/_matrix/client/v1/admin/lock";

#[tokio::test]
async fn rule_8_a_locked_user_is_locked_for_the_application_service_that_acts_for_it() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&upstream.address, &[]).await;
    let path = |user: &str| format!("/x?user_id=%40{user}%3Alocalhost");
    for user in ["ghost", "other"] {
        gateway.get(&path(user), "bridge").await.ok();
    }
    let locked = json!({ "locked": true });
    let lock = format!("{LOCK}/@ghost:localhost");
    gateway.put(&lock, "admin", locked.clone()).await.ok();
    assert_locked(&gateway.get(&path("ghost"), "bridge").await);
    gateway.get(&path("other"), "bridge").await.ok();
    gateway.get("/x", "bridge").await.ok();

    let lock = format!("{LOCK}/@bridge:localhost");
    gateway.put(&lock, "admin", locked).await.ok();
    assert_locked(&gateway.get("/x", "bridge").await);
    gateway.get(&path("other"), "bridge").await.ok();
}

#[tokio::test]
async fn a_person_who_makes_names_up_is_asked_for_once_and_stays_who_they_are() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&upstream.address, &[]).await;
    let asked = upstream.whoamis();
    for number in 0..100 {
        let path = format!("/x?user_id=@made-up-{number}:localhost");
        gateway.get(&path, "alice").await.ok();
    }
    // Once with the first name, which is ignored, and once without any.
    assert_eq!(upstream.whoamis() - asked, 2);
    let lock = format!("{LOCK}/@alice:localhost");
    gateway
        .put(&lock, "admin", json!({ "locked": true }))
        .await
        .ok();
    assert_locked(
        &gateway
            .get("/x?user_id=@made-up-1:localhost", "alice")
            .await,
    );
    assert_locked(&gateway.get("/x?user_id=@new:localhost", "alice").await);
    assert_locked(&gateway.get(WHOAMI, "alice").await);
}
