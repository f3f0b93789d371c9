//! Who can be locked: only an account that exists, by exactly the name that the homeserver has for it.
//! A lock of any other name would be answered `{"locked":true}` and restrict nobody.

use serde_json::json;

use crate::{WHOAMI, World, assert_locked, gateway::Gateway, upstream::Upstream};

fn lock(user: &str) -> String {
    format!("/_matrix/client/v1/admin/lock/{user}")
}

#[tokio::test]
async fn an_account_in_other_letter_cases_is_no_account() {
    let world = World::new().await;
    let locked = json!({ "locked": true });
    for (user, status) in [
        ("@ALICE:localhost", 404),
        ("@Alice:localhost", 404),
        ("@nobody:localhost", 404),
        ("@:localhost", 404),
        ("@alice :localhost", 404),
        ("@al%2569ce:localhost", 404),
        ("@alice:LOCALHOST", 400),
        ("@alice:localhost:80", 400),
        ("@alice:localhost.", 400),
        ("alice", 400),
    ] {
        let path = lock(&user.replace(' ', "%20"));
        let answer = world.gateway.put(&path, &world.admin, locked.clone()).await;
        assert_eq!(answer.status, status, "{user}: {:?}", answer.body);
    }
    world.gateway.get(WHOAMI, &world.alice).await.ok();
    // That its name is known now does not make other spellings known.
    let path = lock("@ALICE:localhost");
    let answer = world.gateway.put(&path, &world.admin, locked.clone()).await;
    answer.error(404, "M_NOT_FOUND");
    world.lock().await;
    assert_locked(&world.gateway.get(WHOAMI, &world.alice).await);
}

#[tokio::test]
async fn a_homeserver_that_folds_names_or_does_not_tell_gives_no_false_assurance() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&upstream.address, &[]).await;
    for (user, status) in [
        // An account of its own, because no other spelling is one.
        ("@Legacy:localhost", 200),
        ("@legacy:localhost", 404),
        ("@LEGACY:localhost", 404),
        ("@folded:localhost", 200),
        // Every spelling has this profile, and the account has one of them.
        ("@Folded:localhost", 404),
        ("@FOLDED:localhost", 404),
        ("@hidden:localhost", 503),
    ] {
        let answer = gateway
            .put(&lock(user), "admin", json!({ "locked": true }))
            .await;
        assert_eq!(answer.status, status, "{user}: {:?}", answer.body);
    }
}
