//! The homeserver is away: no answer makes a client forget its session.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    SYNC, WHOAMI, World, assert_locked,
    gateway::Gateway,
    homeserver::{BOUND, reserve},
};

#[tokio::test]
async fn rule_12_the_homeserver_is_killed_and_restarted_under_load_and_every_session_goes_on() {
    let world = World::new().await;
    let bob = world.gateway.register("bob").await;
    let stop = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..8)
        .map(|number| {
            let client = (*world.gateway).clone();
            let token = [&world.alice, &bob][number % 2].clone();
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            tokio::spawn(async move {
                let mut failed = 0;
                while !stop.load(Ordering::SeqCst) {
                    let answer = client.get([WHOAMI, SYNC][number / 2 % 2], &token).await;
                    match answer.status.as_u16() {
                        200 => drop(served.fetch_add(1, Ordering::SeqCst)),
                        // The homeserver's failure, or that of the look-up of the token.
                        502 | 503 => {
                            answer.error(answer.status.as_u16(), "M_UNKNOWN");
                            failed += 1;
                        }
                        other => panic!("{other}: {:?}", answer.body),
                    }
                }
                failed
            })
        })
        .collect();
    let reaches = async |wanted: usize| {
        let limit = timeout(BOUND, async {
            while served.load(Ordering::SeqCst) < wanted {
                sleep(Duration::from_millis(5)).await;
            }
        });
        limit.await.expect("requests are served");
    };
    reaches(50).await;
    let killed = world.homeserver.kill().await;
    let away = world.gateway.get(WHOAMI, &world.alice).await;
    let body = away.error(502, "M_UNKNOWN");
    assert!(body.get("soft_logout").is_none(), "{body}");
    assert_eq!(away.headers["access-control-allow-origin"], "*");
    // A token that is not remembered cannot be looked up.
    let unknown = world.gateway.get(WHOAMI, "somebody's").await;
    unknown.error(503, "M_UNKNOWN");
    // Nor can the moderation layer authenticate the requester.
    let lock = "/_matrix/client/v1/admin/lock/@alice:localhost";
    let refused = world
        .gateway
        .put(lock, &world.admin, json!({ "locked": true }))
        .await;
    refused.error(503, "M_UNKNOWN");

    let homeserver = killed.restart().await;
    reaches(served.load(Ordering::SeqCst) + 50).await;
    stop.store(true, Ordering::SeqCst);
    let mut failed = 0;
    for client in clients {
        failed += client.await.expect("no answer but a 200, 502 or 503");
    }
    assert!(failed > 0, "nobody noticed");
    for token in [&world.alice, &bob] {
        world.gateway.get(WHOAMI, token).await.ok();
    }
    let admin = world.gateway.login_admin().await;
    world
        .gateway
        .put(lock, &admin, json!({ "locked": true }))
        .await
        .ok();
    assert_locked(&world.gateway.get(WHOAMI, &world.alice).await);
    drop(homeserver);
}

#[tokio::test]
async fn rule_12_a_lock_holds_while_the_homeserver_is_away() {
    let world = World::new().await;
    world.lock().await;
    assert_locked(&world.gateway.get(WHOAMI, &world.alice).await);
    let killed = world.homeserver.kill().await;
    assert_locked(&world.gateway.get(WHOAMI, &world.alice).await);
    drop(killed);
}

#[tokio::test]
async fn a_gateway_whose_homeserver_is_not_up_yet_starts_and_says_so() {
    let nobody = reserve("127.0.0.1:0");
    let address = nobody.local_addr().expect("an address").to_string();
    let gateway = Gateway::start(&address, &[]).await;
    let answer = gateway.get("/_matrix/client/versions", ()).await;
    answer.error(502, "M_UNKNOWN");
    let deadline = Instant::now() + BOUND;
    while !gateway.log().contains("the homeserver does not answer yet") {
        assert!(Instant::now() < deadline, "{}", gateway.log());
        sleep(Duration::from_millis(5)).await;
    }
}
