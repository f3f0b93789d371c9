//! Rule 22: one act has one verdict, whichever endpoint leads to it, and to withdraw, leave or end
//! something of one's own is not refused with the act that began it. Whole requests of a suspended
//! account, through the layer.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use tower::{Layer, ServiceExt, service_fn};
use tower_account_status::{
    AccountStatusLayer, Action, MemoryStore, RestrictionKind::Suspended, SuspensionPolicy,
};

const CLIENT: &str = "/_matrix/client";

type Body = Full<Bytes>;

/// Whether the request of a suspended person passes under the policy.
async fn passes(policy: &SuspensionPolicy, line: &str, body: &str) -> bool {
    let store = MemoryStore::new();
    store.insert_access_token("t", "@alice:hs");
    store.restrict("@alice:hs", Suspended);
    let layer = AccountStatusLayer::new(Arc::new(store)).with_suspension_policy(policy.clone());
    let inner = |_: Request<Body>| async { Ok::<_, Infallible>(Response::new(Body::default())) };
    let (method, path) = line.split_once(' ').expect("a method and a path");
    let request = Request::builder()
        .method(method.parse::<Method>().expect("a method"))
        .uri(path)
        .header("authorization", "Bearer t")
        .body(Body::from(body.to_owned()))
        .expect("a request");
    let response = layer.layer(service_fn(inner)).oneshot(request);
    match response.await.expect("infallible").status() {
        StatusCode::OK => true,
        StatusCode::FORBIDDEN => false,
        other => panic!("{line}: {other}"),
    }
}

async fn assert_all(policy: &SuspensionPolicy, pass: bool, requests: &[(&str, &str)]) {
    for (line, body) in requests {
        let line = line.replacen(" client", &format!(" {CLIENT}"), 1);
        assert_eq!(passes(policy, &line, body).await, pass, "{line} {body}");
    }
}

#[tokio::test]
async fn rule_22_what_is_scheduled_can_be_cancelled_and_not_sent() {
    let default = SuspensionPolicy::new();
    let cancels = [
        ("POST client/v1/delayed_events/1/cancel", "{}"),
        (
            "POST client/unstable/org.matrix.msc4140/delayed_events/1/cancel",
            "{}",
        ),
        (
            "POST client/unstable/org.matrix.msc4140/delayed_events/1",
            r#"{"action":"cancel"}"#,
        ),
    ];
    assert_all(&default, true, &cancels).await;
    let sends = [
        ("POST client/v1/delayed_events/1/send", "{}"),
        ("POST client/v1/delayed_events/1/restart", "{}"),
        ("POST client/v1/delayed_events/1/c%61ncel", "{}"),
        ("POST client/v1/delayed_events/1/other", "{}"),
        ("POST client/v1/delayed_events/1", r#"{"action":"send"}"#),
        ("POST client/v1/delayed_events/1", r#"{"action":"restart"}"#),
        (
            "POST client/v1/delayed_events/1",
            r#"{"action":"cancel","action":"send"}"#,
        ),
        (
            "POST client/v1/delayed_events/1",
            r#"{"action":["cancel"]}"#,
        ),
        ("POST client/v1/delayed_events/1", "{}"),
        ("POST client/v1/delayed_events/1", ""),
        // Sends many, of any types.
        (
            "POST client/unstable/org.matrix.msc2716/rooms/!r/batch_send?prev_event_id=$e",
            r#"{"events":[],"state_events_at_start":[]}"#,
        ),
    ];
    assert_all(&default, false, &sends).await;
    let unknown = default.clone().permit(Action::Unknown);
    assert_all(&unknown, false, &sends[sends.len() - 1..]).await;
    // What is scheduled may be an invitation.
    let speaks = default.clone().permit(Action::SendMessage);
    assert_all(&speaks, false, &sends).await;
}

#[tokio::test]
async fn rule_22_to_leave_and_to_end_something_of_ones_own_is_permitted() {
    let ends = [
        ("PUT client/r0/rooms/!r/leave/1", "{}"),
        ("PUT client/r0/rooms/!r/forget/1", "{}"),
        ("POST client/v3/rooms/!r/unpeek", "{}"),
        (
            "PUT client/v3/rooms/!r/state/org.matrix.msc3401.call.member/_@alice:hs_D_m.call",
            "{}",
        ),
        (
            "PUT client/v3/rooms/!r/delayed_event/m.call.member/1",
            r#"{"delay_ms":1,"state_key":"@alice:hs_D","content":{}}"#,
        ),
        (
            "PUT client/v3/rooms/!r/delayed_event/m.room.member/1",
            r#"{"delay_ms":1,"state_key":"@alice:hs","content":{"membership":"leave"}}"#,
        ),
        ("POST client/v3/account/3pid/unbind", "{}"),
        ("DELETE /_matrix/media/unstable/download/hs/id", ""),
        ("GET client/unstable/pushers/remove", ""),
    ];
    assert_all(&SuspensionPolicy::new(), true, &ends).await;
    let call = "PUT client/v3/rooms/!r/state/org.matrix.msc3401.call.member";
    let says = [
        (&*format!("{call}/_@alice:hs_D_m.call"), r#"{"m":1}"#),
        (&*format!("{call}/_@bob:hs_D_m.call"), "{}"),
        (&*format!("{call}/_@alice:hsx"), "{}"),
        (&*format!("{call}/"), "{}"),
        ("PUT client/v3/rooms/!r/state/other/@alice:hs", "{}"),
    ];
    assert_all(&SuspensionPolicy::new(), false, &says).await;
}

#[tokio::test]
async fn rule_22_an_event_is_the_same_act_when_it_is_scheduled() {
    let path = |room: &str, of: &str| format!("PUT client/v1/rooms/{room}/delayed_event/{of}/1");
    let message = path("!r", "m.room.message");
    let says = r#"{"delay_ms":1,"content":{"body":"x"}}"#;
    let topic = path("!r", "m.room.topic");
    let sets = r#"{"delay_ms":1,"state_key":"","content":{"topic":"x"}}"#;
    let member = path("!r", "m.room.member");
    let invites = r#"{"delay_ms":1,"state_key":"@bob:hs","content":{"membership":"invite"}}"#;
    let all = [(&*message, says), (&*topic, sets), (&*member, invites)];
    assert_all(&SuspensionPolicy::new(), false, &all).await;
    // It is never unknown.
    let unknown = SuspensionPolicy::new().permit(Action::Unknown);
    assert_all(&unknown, false, &all).await;
    for (action, passing) in [
        (Action::SendMessage, 0),
        (Action::SendState, 1),
        (Action::Invite, 2),
    ] {
        let policy = SuspensionPolicy::new().permit(action);
        for (at, request) in all.iter().enumerate() {
            assert_all(&policy, at == passing, &[*request]).await;
        }
    }
    let appeals = SuspensionPolicy::new().add_appeal_room("!a:hs");
    let (message, topic) = (
        path("!a:hs", "m.room.message"),
        path("%21a:hs", "m.room.topic"),
    );
    assert_all(&appeals, true, &[(&message, says)]).await;
    assert_all(&appeals, false, &[(&topic, sets)]).await;
}

#[tokio::test]
async fn rule_22_every_occurrence_of_what_makes_an_event_counts() {
    let line = "PUT client/v1/rooms/!r/delayed_event/m.room.member/1";
    let bodies = [
        r#"{"state_key":"@alice:hs","content":{"membership":"leave"},"content":{"membership":"join"}}"#,
        r#"{"state_key":"@alice:hs","state_key":"@bob:hs","content":{"membership":"leave"}}"#,
        r#"{"state_key":"@alice:hs","State_Key":"@bob:hs","content":{"membership":"leave"}}"#,
        r#"{"state_key":"@alice:hs","content":{"membership":"leave","membership":"ban"}}"#,
        r#"{"state_key":"@alice:hs","content":{"membership":"leave","body":"hello"}}"#,
        r#"{"state_key":null,"content":{"membership":"leave"}}"#,
        r#"{"state_key":7,"content":{"membership":"leave"}}"#,
        r#"{"state_key":"@alice:hs","content":null}"#,
        r#"{"state_key":"@alice:hs"}"#,
        r#"{"content":{"membership":"leave"}}"#,
        "[]",
        "",
    ];
    for body in bodies {
        assert_all(&SuspensionPolicy::new(), false, &[(line, body)]).await;
    }
}

#[tokio::test]
async fn rule_22_a_room_that_is_created_invites_nobody_who_may_not_be_invited() {
    let policy = SuspensionPolicy::new().permit(Action::CreateRoom);
    let create = "POST client/v3/createRoom";
    let alone = [
        (create, "{}"),
        (create, ""),
        (
            create,
            r#"{"invite":[ ],"visibility":"private","name":"x"}"#,
        ),
        (
            create,
            r#"{"initial_state":[{"type":"m.room.topic","content":{"topic":"x"}}]}"#,
        ),
    ];
    assert_all(&policy, true, &alone).await;
    let others = [
        (create, r#"{"invite":["@bob:hs"]}"#),
        (create, r#"{"invite":[],"Invite":["@bob:hs"]}"#),
        (create, r#"{"invite_3pid":[{"medium":"email"}]}"#),
        (create, r#"{"visibility":"public"}"#),
        (create, r#"{"room_alias_name":"x"}"#),
        (
            create,
            r#"{"initial_state":[{"type":"m.room.third_party_invite","state_key":"t"}]}"#,
        ),
        (create, "[]"),
        ("PUT client/r0/createRoom/1", r#"{"invite":["@bob:hs"]}"#),
    ];
    assert_all(&policy, false, &others).await;
    let invites = policy.permit(Action::Invite);
    assert_all(&invites, true, &others[..3]).await;
}

#[tokio::test]
async fn rule_22_what_only_reads_or_concerns_oneself_alone_passes_with_post_too() {
    let requests = [
        (
            "POST /_matrix/media_proxy/unstable/download_encrypted",
            "{}",
        ),
        ("POST /_matrix/media_proxy/unstable/scan_encrypted", "{}"),
        ("POST client/unstable/org.matrix.msc3882/login/token", "{}"),
        ("POST client/unstable/org.matrix.msc4174/pushers/ack", "{}"),
        (
            "POST client/unstable/org.matrix.msc3720/account_status",
            "{}",
        ),
        ("POST client/unstable/event_relationships", "{}"),
        ("POST client/v3/account_validity/send_mail", "{}"),
    ];
    assert_all(&SuspensionPolicy::new(), true, &requests).await;
}

#[tokio::test]
async fn rule_22_a_get_that_acts_is_what_it_does() {
    let copies = [("GET /_matrix/media/unstable/local_copy/hs/id", "")];
    assert_all(&SuspensionPolicy::new(), false, &copies).await;
    let uploads = SuspensionPolicy::new().permit(Action::UploadMedia);
    assert_all(&uploads, true, &copies).await;
    let reindexes = [("GET /_dendrite/admin/fulltext/reindex", "")];
    assert_all(&SuspensionPolicy::new(), false, &reindexes).await;
}

/// A binding needs a token that `openid/request_token` gives.
#[tokio::test]
async fn rule_22_two_steps_of_one_act_do_not_contradict_each_other() {
    let both = [
        ("POST client/v3/user/@alice:hs/openid/request_token", "{}"),
        ("POST client/v3/account/3pid/bind", "{}"),
    ];
    assert_all(&SuspensionPolicy::new(), false, &both).await;
    let adds = [("POST client/v3/account/3pid/add", "{}")];
    assert_all(&SuspensionPolicy::new(), true, &adds).await;
}

#[tokio::test]
async fn rule_22_an_administrators_act_is_one_whatever_the_server() {
    let acts = [
        (
            "PUT client/v1/admin/suspend/@alice:hs",
            r#"{"suspended":false}"#,
        ),
        (
            "PUT /_synapse/admin/v1/suspend/@alice:hs",
            r#"{"suspend":false}"#,
        ),
        ("POST /_dendrite/admin/resetPassword/@bob:hs", "{}"),
        ("POST /_matrix/media/unstable/admin/purge/hs/id", "{}"),
    ];
    for unknown in [
        SuspensionPolicy::new(),
        SuspensionPolicy::new().permit(Action::Unknown),
    ] {
        assert_all(&unknown, false, &acts).await;
    }
    let administers = SuspensionPolicy::new().permit(Action::Administer);
    assert_all(&administers, true, &acts).await;
}

#[tokio::test]
async fn rule_22_account_data_is_no_way_round_what_other_endpoints_set() {
    for (action, of) in [
        (Action::SetTag, "rooms/!r/account_data/m.tag"),
        (Action::SetPushRule, "account_data/m.push_rules"),
        (Action::SendReceipt, "rooms/!r/account_data/m.fully_read"),
    ] {
        let line = format!("PUT client/v3/user/@alice:hs/{of}");
        let policy = SuspensionPolicy::new();
        assert_all(&policy, true, &[(&line, "{}")]).await;
        assert_all(&policy.refuse(action), false, &[(&line, "{}")]).await;
        let spelled = line.replace("m.", "m%2E");
        let data = SuspensionPolicy::new().refuse(Action::SetAccountData);
        assert_all(&data, true, &[(&line, "{}")]).await;
        assert_all(&data, false, &[(&spelled, "{}")]).await;
    }
}
