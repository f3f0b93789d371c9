//! A change through one process takes effect in both.

use http::StatusCode;
use serde_json::json;

use crate::{SYNC, TwoProcesses, WHOAMI, homeserver::password_of, postgres::Cluster, until_not};

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_set_through_one_process_is_enforced_by_the_other() {
    let cluster = Cluster::shared();
    let processes = TwoProcesses::start(&cluster).await;
    let TwoProcesses { one, other, .. } = &processes;
    let alice = one.register("alice").await;
    let bob = other.register("bob").await;
    // Either process has both in its cache now.
    for process in [one, other] {
        for token in [&alice, &bob] {
            process.get(WHOAMI, token).await.ok();
        }
    }

    for (setter, follower) in [(one, other), (other, one)] {
        processes.set_lock(setter, "alice", true).await;
        // In the process that acknowledged it, it takes effect at once.
        let refused = setter.get(WHOAMI, &alice).await;
        assert_eq!(refused.error(401, "M_USER_LOCKED")["soft_logout"], true);
        let refused = until_not(StatusCode::OK, async || follower.get(WHOAMI, &alice).await).await;
        refused.error(401, "M_USER_LOCKED");
        for process in [one, other] {
            let login = process
                .login("alice", &password_of("alice"), json!({}))
                .await;
            login.error(401, "M_USER_LOCKED");
            process.get(WHOAMI, &bob).await.ok();
        }

        processes.set_lock(setter, "alice", false).await;
        setter.get(WHOAMI, &alice).await.ok();
        let locked = StatusCode::UNAUTHORIZED;
        until_not(locked, async || follower.get(WHOAMI, &alice).await)
            .await
            .ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_and_a_deactivation_are_enforced_by_the_other_too() {
    let cluster = Cluster::shared();
    let processes = TwoProcesses::start(&cluster).await;
    let TwoProcesses {
        one, other, admin, ..
    } = &processes;
    let alice = one.register("alice").await;
    let create = "/_matrix/client/v3/createRoom";
    other.post(create, &alice, json!({})).await.ok();

    let suspend = "/_matrix/client/v1/admin/suspend/@alice:localhost";
    one.put(suspend, admin, json!({ "suspended": true }))
        .await
        .ok();
    let refused = until_not(StatusCode::OK, async || {
        other.post(create, &alice, json!({})).await
    });
    refused.await.error(403, "M_USER_SUSPENDED");
    // Reading and syncing go on.
    other.get(WHOAMI, &alice).await.ok();
    other.get(SYNC, &alice).await.ok();
    assert_eq!(other.get(suspend, admin).await.ok()["suspended"], true);

    // The person does this, so only PostgreSQL tells the other process.
    let deactivate = "/_matrix/client/v3/account/deactivate";
    let bob = one.register("bob").await;
    other.get(WHOAMI, &bob).await.ok();
    let auth = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": "bob" },
        "password": password_of("bob"),
    });
    one.post(deactivate, &bob, json!({ "auth": auth }))
        .await
        .ok();
    // Whose the token was is still in the other's cache, and the token is unknown from now on.
    let refused = until_not(StatusCode::UNAUTHORIZED, async || {
        other.get(WHOAMI, &bob).await
    });
    refused.await.error(403, "M_USER_DEACTIVATED");
    let login = other.login("bob", &password_of("bob"), json!({})).await;
    login.error(403, "M_USER_DEACTIVATED");
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_16_a_sync_at_one_process_ends_when_the_account_is_locked_through_the_other() {
    let cluster = Cluster::shared();
    let processes = TwoProcesses::start(&cluster).await;
    let TwoProcesses { one, other, .. } = &processes;
    let alice = one.register("alice").await;
    one.register("bob").await;
    for (waited_on, setter) in [(one, other), (other, one), (one, one)] {
        let alices = TwoProcesses::wait_in_sync(waited_on, "alice").await;
        let bobs = TwoProcesses::wait_in_sync(waited_on, "bob").await;
        processes.set_lock(setter, "alice", true).await;
        let (answer, _) = alices.answer().await;
        assert_eq!(answer.error(401, "M_USER_LOCKED")["soft_logout"], true);
        assert!(!bobs.0.is_finished(), "nobody else's sync ends");
        bobs.0.abort();
        processes.set_lock(setter, "alice", false).await;
        let locked = StatusCode::UNAUTHORIZED;
        until_not(locked, async || waited_on.get(WHOAMI, &alice).await)
            .await
            .ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn msc4323_administrators_alone_are_told_that_they_may_moderate() {
    let cluster = Cluster::shared();
    let processes = TwoProcesses::start(&cluster).await;
    let alice = processes.one.register("alice").await;
    let capabilities = "/_matrix/client/v3/capabilities";
    for process in [&processes.one, &processes.other] {
        let told = process.get(capabilities, &processes.admin).await.ok();
        let offer = json!({ "lock": true, "suspend": true });
        assert_eq!(told["capabilities"]["m.account_moderation"], offer);
        let told = process.get(capabilities, &alice).await.ok();
        assert_eq!(told["capabilities"].get("m.account_moderation"), None);
        let lock = "/_matrix/client/v1/admin/lock/@alice:localhost";
        process.get(lock, &alice).await.error(403, "M_FORBIDDEN");
    }
}
