//! Rule 8: a `user_id` parameter counts only beside an application service's token.

use std::time::Instant;

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
    let began = Instant::now();
    for number in 0..100 {
        let path = format!("/x?user_id=@made-up-{number}:localhost");
        gateway.get(&path, "alice").await.ok();
    }
    // With the first name, which is ignored; twice for what proves a person; and without a name. What is
    // not known is asked for again after a second.
    let most = 4 * (1 + usize::try_from(began.elapsed().as_secs()).expect("a few"));
    let asked = upstream.whoamis() - asked;
    assert!((4..=most).contains(&asked), "{asked}, and not {most}");
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

#[tokio::test]
async fn rule_8_a_device_is_no_proof_of_a_person() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&upstream.address, &[]).await;
    // An assertion that the homeserver does not read, as the application service chooses it.
    for unread in ["%40%3Alocalhost", "@:localhost"] {
        let path = format!("/x?user_id={unread}");
        gateway.get(&path, "dendrite").await.ok();
    }
    let lock = format!("{LOCK}/@ghost:localhost");
    let locked = json!({ "locked": true });
    gateway.put(&lock, "admin", locked).await.ok();
    let ghost = "/x?user_id=@ghost:localhost";
    assert_locked(&gateway.get(ghost, "dendrite").await);
    gateway
        .get("/x?user_id=@other:localhost", "dendrite")
        .await
        .ok();
    gateway.get("/x", "dendrite").await.ok();
}

#[tokio::test]
async fn rule_8_a_user_for_whom_a_service_may_not_act_counts_as_the_one_who_acts() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&upstream.address, &[]).await;
    // The homeserver itself refuses it.
    let path = "/x?user_id=@stranger:localhost";
    gateway.get(path, "dendrite").await.ok();
    assert_eq!(upstream.take_heads().len(), 1);
}

#[tokio::test]
async fn rule_8_a_person_whose_assertion_is_refused_is_still_that_person() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&upstream.address, &[]).await;
    let lock = format!("{LOCK}/@alice:localhost");
    let locked = json!({ "locked": true });
    gateway.put(&lock, "admin", locked).await.ok();
    let path = "/x?user_id=%40%3Cx%3E%3Alocalhost";
    assert_locked(&gateway.get(path, "alice").await);
}

#[tokio::test]
async fn rule_9_only_an_answer_that_says_so_means_that_a_token_is_unknown() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&upstream.address, &[]).await;
    for token in ["guest", "filtered", "suspended"] {
        for path in ["/x", "/x?user_id=@ghost:localhost"] {
            let answer = gateway.get(path, token).await;
            answer.error(503, "M_UNKNOWN");
        }
    }
    assert!(upstream.take_heads().is_empty());
    gateway.get("/x", "made-up").await.ok();
    assert_eq!(upstream.take_heads().len(), 1);
}
