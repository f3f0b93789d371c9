//! Rooms, their events, and syncs that wait for them.

use serde_json::{Value, json};

use crate::{homeserver::Homeserver, room_of, text};

#[tokio::test]
async fn people_join_talk_take_back_and_leave() {
    let server = Homeserver::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let room = room_of(&server, &alice).await;
    let rooms = format!("/_matrix/client/v3/rooms/{room}");

    let directory = server.get("/_matrix/client/r0/publicRooms", ()).await.ok();
    let [listed] = &directory["chunk"].as_array().expect("a list")[..] else {
        panic!("one room, not {directory}");
    };
    assert_eq!(listed["room_id"], *room);
    assert_eq!(listed["name"], "Tea party");
    assert_eq!(listed["canonical_alias"], "#tea:localhost");
    assert_eq!(listed["num_joined_members"], 1);
    let search = json!({ "filter": { "generic_search_term": "coffee" } });
    let path = "/_matrix/client/v3/publicRooms";
    let found = server.post(path, &bob, search.clone()).await.ok();
    assert_eq!(found["chunk"], json!([]));
    server
        .post(path, (), search)
        .await
        .error(401, "M_MISSING_TOKEN");

    let message = json!({ "msgtype": "m.text", "body": "Hello" });
    let send = format!("{rooms}/send/m.room.message/1");
    server
        .put(&send, &bob, message.clone())
        .await
        .error(403, "M_FORBIDDEN");
    let joined = server
        .post(
            "/_matrix/client/v3/join/%23tea%3Alocalhost",
            &bob,
            json!({}),
        )
        .await;
    assert_eq!(joined.ok()["room_id"], *room);
    server
        .post(&format!("{rooms}/join"), &bob, json!({}))
        .await
        .ok();

    let sent = server.put(&send, &bob, message.clone()).await.ok();
    assert_eq!(
        server.put(&send, &bob, message.clone()).await.ok(),
        sent,
        "the same transaction"
    );
    let other = server.put(&send, &alice, message.clone()).await.ok();
    assert_ne!(other, sent, "another device's transaction");

    let newest = server
        .get(&format!("{rooms}/messages?dir=b&limit=2"), &alice)
        .await
        .ok();
    let ids: Vec<_> = newest["chunk"].as_array().expect("a list").iter().collect();
    assert_eq!(ids[0]["event_id"], other["event_id"]);
    assert_eq!(ids[1]["event_id"], sent["event_id"]);
    assert_eq!(ids[1]["content"], message);
    let end = text(&newest["end"]);
    let path = format!("{rooms}/messages?dir=f&limit=1&from={end}");
    let forth = server.get(&path, &alice).await.ok();
    assert_eq!(forth["chunk"][0]["event_id"], sent["event_id"]);
    let path = format!("{rooms}/messages?dir=b&limit=1&from={end}");
    let back = server.get(&path, &alice).await.ok();
    assert_eq!(back["chunk"][0]["type"], "m.room.member");
    assert_eq!(back["chunk"][0]["state_key"], "@bob:localhost");

    let redact = |event: &Value| format!("{rooms}/redact/{}/1", text(&event["event_id"]));
    let reason = json!({ "reason": "Wrong room" });
    server
        .put(&redact(&other), &bob, reason.clone())
        .await
        .error(403, "M_FORBIDDEN");
    server
        .put(&redact(&json!({ "event_id": "$none" })), &bob, json!({}))
        .await
        .error(404, "M_NOT_FOUND");
    server.put(&redact(&sent), &bob, reason.clone()).await.ok();
    let forth = server
        .get(
            &format!("{rooms}/messages?dir=f&limit=1&from={end}"),
            &alice,
        )
        .await
        .ok();
    let redacted = &forth["chunk"][0];
    assert_eq!(redacted["content"], json!({}));
    assert_eq!(redacted["unsigned"]["redacted_because"]["content"], reason);

    for _ in 0..2 {
        server
            .post(&format!("{rooms}/leave"), &bob, json!({}))
            .await
            .ok();
    }
    server
        .put(&format!("{rooms}/send/m.room.message/2"), &bob, message)
        .await
        .error(403, "M_FORBIDDEN");
    server
        .get(&format!("{rooms}/messages?dir=b"), &bob)
        .await
        .error(403, "M_FORBIDDEN");
    let nowhere = server
        .post("/_matrix/client/v3/join/!none:localhost", &bob, json!({}))
        .await;
    nowhere.error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn a_private_room_is_for_those_who_are_invited() {
    let server = Homeserver::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let carol = server.register("carol").await;
    let body = json!({ "invite": ["@bob:localhost"], "name": "Secret" });
    let room = server
        .post("/_matrix/client/v3/createRoom", &alice, body)
        .await
        .ok();
    let room = text(&room["room_id"]);
    let sync = server.get("/_matrix/client/v3/sync", &bob).await.ok();
    let state = &sync["rooms"]["invite"][room]["invite_state"]["events"];
    let has_name = |event: &Value| event["content"]["name"] == "Secret";
    assert!(
        state.as_array().expect("a list").iter().any(has_name),
        "{sync}"
    );
    let join = format!("/_matrix/client/v3/rooms/{room}/join");
    server
        .post(&join, &carol, json!({}))
        .await
        .error(403, "M_FORBIDDEN");
    server.post(&join, &bob, json!({})).await.ok();
    let directory = server.get("/_matrix/client/v3/publicRooms", ()).await.ok();
    assert_eq!(directory["chunk"], json!([]));
}

#[tokio::test]
async fn a_sync_waits_until_something_happens() {
    let server = Homeserver::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let room = room_of(&server, &alice).await;
    let first = server
        .get("/_matrix/client/v3/sync?timeout=30000", &alice)
        .await
        .ok();
    let timeline = &first["rooms"]["join"][&room]["timeline"]["events"];
    assert_eq!(timeline[0]["type"], "m.room.create");

    let since = text(&first["next_batch"]);
    let nothing = server
        .get(
            &format!("/_matrix/client/r0/sync?timeout=1&since={since}"),
            &alice,
        )
        .await;
    let nothing = nothing.ok();
    assert_eq!(
        nothing["rooms"],
        json!({ "join": {}, "invite": {}, "leave": {} })
    );

    let path = format!("/_matrix/client/v3/sync?timeout=60000&since={since}");
    let wait = async {
        let answer = server.get(&path, &alice).await;
        answer.ok()
    };
    let mut wait = std::pin::pin!(wait);
    let talk = async {
        // What others do elsewhere does not end it: the room is not theirs.
        let body = json!({ "name": "Elsewhere" });
        for _ in 0..5 {
            server
                .post("/_matrix/client/v3/createRoom", &bob, body.clone())
                .await
                .ok();
        }
    };
    tokio::select! {
        biased;
        early = &mut wait => panic!("ended without news: {early}"),
        () = talk => {}
    }
    server
        .post(
            "/_matrix/client/v3/join/%23tea%3Alocalhost",
            &bob,
            json!({}),
        )
        .await
        .ok();
    let news = wait.await;
    let events = &news["rooms"]["join"][&room]["timeline"]["events"];
    assert_eq!(events.as_array().map(Vec::len), Some(1), "{news}");
    assert_eq!(events[0]["state_key"], "@bob:localhost");

    let bad = server
        .get("/_matrix/client/v3/sync?since=yesterday", &alice)
        .await;
    bad.error(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn a_long_timeline_is_cut_and_the_rest_is_paged() {
    let server = Homeserver::start().await;
    let alice = server.register("alice").await;
    let room = room_of(&server, &alice).await;
    for txn in 0..30 {
        let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/{txn}");
        server.put(&path, &alice, json!({ "body": txn })).await.ok();
    }
    let sync = server.get("/_matrix/client/v3/sync", &alice).await.ok();
    let joined = &sync["rooms"]["join"][&room];
    assert_eq!(joined["timeline"]["limited"], true);
    let timeline = joined["timeline"]["events"].as_array().expect("a list");
    assert_eq!(timeline[0]["content"]["body"], 10);
    let state = joined["state"]["events"].as_array().expect("a list");
    assert!(
        state.iter().any(|event| event["type"] == "m.room.create"),
        "{joined}"
    );
    let from = text(&joined["timeline"]["prev_batch"]);
    let path = format!("/_matrix/client/v3/rooms/{room}/messages?dir=b&limit=3&from={from}");
    let before = server.get(&path, &alice).await.ok();
    assert_eq!(before["chunk"][0]["content"]["body"], 9);
    assert_eq!(before["chunk"].as_array().map(Vec::len), Some(3));
}
