//! Whose event a suspended account redacts, as the homeserver shows it to the account itself.

use serde_json::{Value, json};

use crate::{World, gateway::Gateway, room_of, text, upstream::Upstream};

#[tokio::test]
async fn a_suspended_account_redacts_its_own_events_and_no_others() {
    let world = World::new().await;
    let gateway = &world.gateway;
    let alice = &*world.alice;
    let bob = gateway.register("bob").await;
    // The creator of a room may redact everyone's events there.
    let room = room_of(gateway, alice).await;
    let join = format!("/_matrix/client/v3/join/{room}");
    gateway.post(&join, &bob, json!({})).await.ok();
    let send = async |token: &str, txn: &str| {
        let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/{txn}");
        let body = json!({ "msgtype": "m.text", "body": txn });
        let answer: Value = gateway.put(&path, token, body).await.ok();
        text(&answer["event_id"]).replace('$', "%24")
    };
    let own = [
        send(alice, "1").await,
        send(alice, "2").await,
        send(alice, "3").await,
    ];
    let others = send(&bob, "1").await;
    world.set("suspend", "suspended", true).await;

    let redact =
        |event: &str, txn: &str| format!("/_matrix/client/v3/rooms/{room}/redact/{event}/{txn}");
    let mut refused = vec![
        gateway.put(&redact(&others, "r1"), alice, json!({})).await,
        gateway
            .put(&redact("%24nothing", "r2"), alice, json!({}))
            .await,
    ];
    let in_query = format!("{}?access_token={alice}", redact(&others, "r3"));
    refused.push(gateway.put(&in_query, (), json!({})).await);
    let by_event = format!("/_matrix/client/v3/rooms/{room}/send/m.room.redaction/r4");
    let body = json!({ "redacts": others.replace("%24", "$") });
    refused.push(gateway.put(&by_event, alice, body).await);
    for answer in refused {
        answer.error(403, "M_USER_SUSPENDED");
    }
    gateway
        .put(&redact(&own[0], "r5"), alice, json!({}))
        .await
        .ok();
    let in_query = format!("{}?access_token={alice}", redact(&own[1], "r6"));
    gateway.put(&in_query, (), json!({})).await.ok();
    // An event that cannot be looked up is refused for that reason, and not because of the account.
    let killed = world.homeserver.kill().await;
    let away = gateway.put(&redact(&own[2], "r7"), alice, json!({})).await;
    away.error(503, "M_UNKNOWN");
    drop(killed);
}

#[tokio::test]
async fn rule_22_an_answer_about_no_event_or_another_one_attributes_nothing() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&upstream.address, &[]).await;
    let suspend = "/_matrix/client/v1/admin/suspend/@alice:localhost";
    let suspended = json!({ "suspended": true });
    gateway.put(suspend, "admin", suspended).await.ok();
    let redact = async |event: &str| {
        let path = format!("/_matrix/client/v3/rooms/!r:localhost/redact/%24{event}/1");
        gateway.put(&path, "alice", json!({})).await
    };
    redact("own").await.ok();
    for event in [
        "unnamed", "another", "number", "null", "unsent", "list", "nothing",
    ] {
        redact(event).await.error(403, "M_USER_SUSPENDED");
    }
}
