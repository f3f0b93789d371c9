//! One act has one verdict, whichever endpoint leads to it.

use http::Method;
use proptest::{
    collection::vec,
    sample::select,
    test_runner::{Config, TestRunner},
};

use super::{
    super::{
        judge_body, judge_redaction,
        table::{DELETE, GET, PATCH, POST, PUT, TABLE},
    },
    Judgement, SuspensionPolicy, judge, judge_line,
    table::{instance, shown, versions},
    user,
};
use crate::action::Action;

/// A request: method, path after the version, body.
type Way = (&'static str, &'static str, &'static str);

const APPEALS: &str = "!appeals:hs";

/// An act, and each way to it.
#[rustfmt::skip]
const ACTS: &[(&str, &[Way])] = &[
    ("send a message", &[
        ("PUT", "rooms/!r/send/m.room.message/1", r#"{"body":"x"}"#),
        ("POST", "rooms/!r/send/m.room.message", r#"{"body":"x"}"#),
        ("PUT", "rooms/!r/delayed_event/m.room.message/1", r#"{"delay_ms":1,"content":{"body":"x"}}"#),
    ]),
    ("send a message to a room for appeals", &[
        ("PUT", "rooms/!appeals:hs/send/m.room.message/1", r#"{"body":"x"}"#),
        ("POST", "rooms/%21appeals%3Ahs/send/m.room.message", r#"{"body":"x"}"#),
        ("PUT", "rooms/!appeals:hs/delayed_event/m.room.message/1", r#"{"delay_ms":1,"content":{"body":"x"}}"#),
    ]),
    ("set the topic", &[
        ("PUT", "rooms/!r/state/m.room.topic", r#"{"topic":"x"}"#),
        ("PUT", "rooms/!r/state/m.room.topic/", r#"{"topic":"x"}"#),
        ("PUT", "rooms/!r/delayed_event/m.room.topic/1", r#"{"delay_ms":1,"state_key":"","content":{"topic":"x"}}"#),
    ]),
    ("set the topic of a room for appeals", &[
        ("PUT", "rooms/!appeals:hs/state/m.room.topic", r#"{"topic":"x"}"#),
        ("PUT", "rooms/!appeals:hs/delayed_event/m.room.topic/1", r#"{"delay_ms":1,"state_key":"","content":{"topic":"x"}}"#),
    ]),
    ("invite somebody", &[
        ("POST", "rooms/!r/invite", r#"{"user_id":"@bob:hs"}"#),
        ("PUT", "rooms/!r/invite/1", r#"{"user_id":"@bob:hs"}"#),
        ("PUT", "rooms/!r/state/m.room.member/@bob:hs", r#"{"membership":"invite"}"#),
        ("PUT", "rooms/!r/delayed_event/m.room.member/1", r#"{"delay_ms":1,"state_key":"@bob:hs","content":{"membership":"invite"}}"#),
    ]),
    ("invite a third party by state", &[
        ("PUT", "rooms/!r/state/m.room.third_party_invite/t", "{}"),
        ("PUT", "rooms/!r/delayed_event/m.room.third_party_invite/1", r#"{"delay_ms":1,"state_key":"t","content":{}}"#),
    ]),
    ("make a room with somebody", &[
        ("POST", "createRoom", r#"{"invite":["@bob:hs"]}"#),
        ("PUT", "createRoom/1", r#"{"invite":["@bob:hs"]}"#),
        ("POST", "createRoom", r#"{"invite_3pid":[{"medium":"email","address":"b@hs"}]}"#),
        ("POST", "createRoom", r#"{"initial_state":[{"type":"m.room.member","state_key":"@bob:hs","content":{"membership":"invite"}}]}"#),
    ]),
    ("make a room for oneself", &[
        ("POST", "createRoom", "{}"),
        ("POST", "createRoom", ""),
        ("PUT", "createRoom/1", r#"{"invite":[],"visibility":"private","initial_state":[{"type":"m.room.topic","content":{"topic":"x"}}]}"#),
    ]),
    ("join a room", &[
        ("POST", "join/!r", "{}"),
        ("PUT", "join/!r/1", "{}"),
        ("POST", "rooms/!r/join", "{}"),
        ("PUT", "rooms/!r/join/1", "{}"),
    ]),
    ("join a room for appeals", &[
        ("POST", "join/!appeals:hs", "{}"),
        ("PUT", "join/!appeals:hs/1", "{}"),
        ("POST", "rooms/!appeals:hs/join", "{}"),
        ("PUT", "rooms/%21appeals:hs/join/1", "{}"),
    ]),
    ("join a room, with a profile", &[
        ("PUT", "rooms/!r/state/m.room.member/@alice:example.org", r#"{"membership":"join"}"#),
        ("PUT", "rooms/!r/delayed_event/m.room.member/1", r#"{"delay_ms":1,"state_key":"@alice:example.org","content":{"membership":"join"}}"#),
    ]),
    ("leave a room", &[
        ("POST", "rooms/!r/leave", "{}"),
        ("PUT", "rooms/!r/leave/1", "{}"),
        ("PUT", "rooms/!r/state/m.room.member/@alice:example.org", r#"{"membership":"leave"}"#),
        ("PUT", "rooms/!r/delayed_event/m.room.member/1", r#"{"delay_ms":1,"state_key":"@alice:example.org","content":{"membership":"leave"}}"#),
        ("POST", "rooms/!r/unpeek", "{}"),
    ]),
    ("forget a room", &[
        ("POST", "rooms/!r/forget", "{}"),
        ("PUT", "rooms/!r/forget/1", "{}"),
    ]),
    ("remove somebody, or lift a ban", &[
        ("PUT", "rooms/!r/state/m.room.member/@bob:hs", r#"{"membership":"leave"}"#),
        ("PUT", "rooms/!r/delayed_event/m.room.member/1", r#"{"delay_ms":1,"state_key":"@bob:hs","content":{"membership":"leave"}}"#),
    ]),
    ("remove somebody", &[
        ("POST", "rooms/!r/kick", r#"{"user_id":"@bob:hs"}"#),
        ("PUT", "rooms/!r/kick/1", r#"{"user_id":"@bob:hs"}"#),
    ]),
    ("ban somebody", &[
        ("POST", "rooms/!r/ban", r#"{"user_id":"@bob:hs"}"#),
        ("PUT", "rooms/!r/ban/1", r#"{"user_id":"@bob:hs"}"#),
        ("PUT", "rooms/!r/state/m.room.member/@bob:hs", r#"{"membership":"ban"}"#),
        ("PUT", "rooms/!r/delayed_event/m.room.member/1", r#"{"delay_ms":1,"state_key":"@bob:hs","content":{"membership":"ban"}}"#),
    ]),
    ("lift a ban", &[
        ("POST", "rooms/!r/unban", r#"{"user_id":"@bob:hs"}"#),
        ("PUT", "rooms/!r/unban/1", r#"{"user_id":"@bob:hs"}"#),
    ]),
    ("knock", &[
        ("PUT", "rooms/!r/state/m.room.member/@alice:example.org", r#"{"membership":"knock"}"#),
        ("PUT", "rooms/!r/delayed_event/m.room.member/1", r#"{"delay_ms":1,"state_key":"@alice:example.org","content":{"membership":"knock"}}"#),
        ("POST", "knock/!r", "{}"),
    ]),
    ("redact one's own event", &[
        ("PUT", "rooms/!r/redact/$own/1", "{}"),
        ("POST", "rooms/!r/redact/$own", "{}"),
        ("PUT", "rooms/!r/send/m.room.redaction/1", r#"{"redacts":"$own"}"#),
        ("POST", "rooms/!r/send/m.room.redaction", r#"{"redacts":"$own"}"#),
        ("PUT", "rooms/!r/delayed_event/m.room.redaction/1", r#"{"delay_ms":1,"content":{"redacts":"$own"}}"#),
    ]),
    ("redact all events of one's own", &[
        ("POST", "rooms/!r/redact/user/@alice:example.org", "{}"),
    ]),
    ("redact another's event", &[
        ("PUT", "rooms/!r/redact/$other/1", "{}"),
        ("POST", "rooms/!r/redact/$other", "{}"),
        ("PUT", "rooms/!r/send/m.room.redaction/1", r#"{"redacts":"$other"}"#),
        ("POST", "rooms/!r/send/m.room.redaction", r#"{"redacts":"$other"}"#),
        ("PUT", "rooms/!r/delayed_event/m.room.redaction/1", r#"{"delay_ms":1,"content":{"redacts":"$other"}}"#),
        ("POST", "rooms/!r/redact/user/@bob:hs", "{}"),
    ]),
    ("cancel what is scheduled", &[
        ("POST", "delayed_events/1/cancel", "{}"),
        ("POST", "delayed_events/1", r#"{"action":"cancel"}"#),
    ]),
    ("send what is scheduled, or put it off", &[
        ("POST", "delayed_events/1/send", "{}"),
        ("POST", "rooms/!r/batch_send", r#"{"events":[]}"#),
        ("POST", "delayed_events/1/restart", "{}"),
        ("POST", "delayed_events/1", r#"{"action":"send"}"#),
        ("POST", "delayed_events/1", r#"{"action":"restart"}"#),
        ("POST", "delayed_events/1", r#"{"action":"cancel","Action":"send"}"#),
        ("POST", "delayed_events/1", r#"{"action":null}"#),
        ("POST", "delayed_events/1", "{}"),
    ]),
    ("leave a call", &[
        ("PUT", "rooms/!r/state/org.matrix.msc3401.call.member/@alice:example.org", "{}"),
        ("PUT", "rooms/!r/state/org.matrix.msc3401.call.member/_@alice:example.org_D_m.call", " { } "),
        ("PUT", "rooms/!r/state/m.call.member/@alice:example.org_D", "{}"),
        ("PUT", "rooms/!r/delayed_event/m.rtc.member/1", r#"{"delay_ms":1,"state_key":"_@alice:example.org_D","content":{}}"#),
    ]),
    ("take part in a call", &[
        ("PUT", "rooms/!r/state/org.matrix.msc3401.call.member/@alice:example.org", r#"{"application":"m.call"}"#),
        ("PUT", "rooms/!r/state/m.call.member/@alice:example.orgs", "{}"),
        ("PUT", "rooms/!r/state/m.call.member/", "{}"),
        ("PUT", "rooms/!r/delayed_event/m.rtc.member/1", r#"{"delay_ms":1,"state_key":"_@alice:example.org_D","content":{"a":1}}"#),
    ]),
    ("tag a room", &[
        ("PUT", "user/@alice:example.org/rooms/!r/tags/m.favourite", "{}"),
        ("DELETE", "user/@alice:example.org/rooms/!r/tags/m.favourite", "{}"),
        ("PUT", "user/@alice:example.org/rooms/!r/account_data/m.tag", "{}"),
    ]),
    ("mark as read", &[
        ("POST", "rooms/!r/receipt/m.read/$e", "{}"),
        ("POST", "rooms/!r/read_markers", r#"{"m.fully_read":"$e"}"#),
        ("PUT", "user/@alice:example.org/rooms/!r/account_data/m.fully_read", "{}"),
    ]),
    ("set a push rule", &[
        ("PUT", "pushrules/global/override/x", "{}"),
        ("PUT", "pushrules/global/override/x/enabled", "{}"),
        ("PUT", "user/@alice:example.org/account_data/m.push_rules", "{}"),
    ]),
    ("upload media", &[
        ("POST", "media/upload", ""),
        ("PUT", "media/upload/hs/id", ""),
        ("POST", "media/create", ""),
        ("POST", "media/copy/hs/id", ""),
        ("POST", "/_matrix/media/{version}/upload", ""),
        ("PUT", "/_matrix/media/{version}/upload/hs/id", ""),
        ("POST", "/_matrix/media/{version}/upload/hs/id/complete", ""),
        ("GET", "/_matrix/media/{version}/local_copy/hs/id", ""),
    ]),
    ("fetch media", &[
        ("GET", "media/download/hs/id", ""),
        ("GET", "/_matrix/media/{version}/download/hs/id/name", ""),
        ("GET", "/_matrix/media_proxy/{version}/download/hs/id", ""),
        ("POST", "/_matrix/media_proxy/{version}/download_encrypted", "{}"),
        ("POST", "/_matrix/media_proxy/{version}/scan_encrypted", "{}"),
    ]),
    ("set a pusher", &[
        ("POST", "pushers/set", "{}"),
        ("POST", "pushers/ack", "{}"),
        ("GET", "pushers/remove", ""),
    ]),
    ("get a token to log in with", &[
        ("POST", "login/get_token", "{}"),
        ("POST", "login/token", "{}"),
    ]),
    ("suspend somebody as an administrator", &[
        ("PUT", "admin/suspend/@bob:hs", r#"{"suspended":true}"#),
        ("PUT", "/_synapse/admin/v1/suspend/@bob:hs", r#"{"suspend":true}"#),
        ("POST", "/_dendrite/admin/resetPassword/@bob:hs", "{}"),
        ("POST", "admin/quarantine_media/!r", "{}"),
        ("GET", "/_dendrite/admin/fulltext/reindex", ""),
        ("POST", "/_matrix/media/{version}/admin/quarantine/room/!r", "{}"),
    ]),
    ("read as an administrator", &[
        ("GET", "admin/whois/@bob:hs", ""),
        ("GET", "/_synapse/admin/v1/whois/@bob:hs", ""),
        ("GET", "/_matrix/media/{version}/admin/tasks/all", ""),
    ]),
];

/// Whether the request passes, in the end.
fn passes(policy: &SuspensionPolicy, (method, path, body): &Request) -> bool {
    let mut judgement = judge(policy, method, path, &user());
    if let Judgement::ReadBody(question) = judgement {
        judgement = judge_body(policy, question, body.as_bytes(), &user());
    }
    if let Judgement::RedactionOf(redaction) = &judgement {
        judgement = judge_redaction(policy, Some(redaction.event_id() == "$own"));
    }
    match judgement {
        Judgement::Permit => true,
        Judgement::Refuse(_) => false,
        other => panic!("{method} {path}: no verdict in the end: {other:?}"),
    }
}

/// With each of these actions inverted.
fn policy(turned: &[Action]) -> SuspensionPolicy {
    let policy = SuspensionPolicy::new().add_appeal_room(APPEALS);
    turned
        .iter()
        .fold(policy, |policy, &action| match policy.permits(action) {
            true => policy.refuse(action),
            false => policy.permit(action),
        })
}

/// Each act's ways, under each prefix.
struct Ways(Vec<(&'static str, Vec<Request>)>);

/// Method, path, body.
type Request = (Method, String, &'static str);

impl Ways {
    fn new() -> Self {
        let under_each_prefix = |&(method, path, body): &Way| {
            let method: Method = method.parse().expect("a method");
            let paths = versions(path).into_iter();
            paths.map(move |path| (method.clone(), path, body))
        };
        let all = |ways: &[Way]| ways.iter().flat_map(under_each_prefix).collect();
        Self(ACTS.iter().map(|(act, ways)| (*act, all(ways))).collect())
    }

    fn assert_alike(&self, turned: &[Action]) {
        let policy = policy(turned);
        for (act, ways) in &self.0 {
            let first = &ways[0];
            let expected = passes(&policy, first);
            for way in ways {
                assert_eq!(
                    passes(&policy, way),
                    expected,
                    "{act}, with {turned:?} turned round: {way:?}, and not {first:?}"
                );
            }
        }
    }
}

#[test]
fn rule_22_every_way_to_an_act_is_judged_alike_with_each_action_turned_round() {
    let ways = Ways::new();
    ways.assert_alike(&[]);
    for &action in Action::ALL {
        ways.assert_alike(&[action]);
        let others: Vec<_> = Action::ALL
            .iter()
            .copied()
            .filter(|&a| a != action)
            .collect();
        ways.assert_alike(&others);
    }
}

#[test]
fn rule_22_every_way_to_an_act_is_judged_alike_with_any_policy() {
    let config = Config {
        cases: Config::default().cases.max(256),
        failure_persistence: None,
        ..Config::default()
    };
    let turned = vec(select(Action::ALL), 1..30);
    let ways = Ways::new();
    let outcome = TestRunner::new(config).run(&turned, |mut turned| {
        turned.sort_unstable();
        turned.dedup();
        ways.assert_alike(&turned);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

/// Each row of the table, under each prefix, is the same act, and none is ever an unknown one.
#[test]
fn rule_22_no_prefix_makes_another_act_of_an_endpoint() {
    let bits = [
        (GET, "GET"),
        (POST, "POST"),
        (PUT, "PUT"),
        (DELETE, "DELETE"),
        (PATCH, "PATCH"),
    ];
    let mut policies: Vec<_> = Action::ALL
        .iter()
        .map(|&action| policy(&[action]))
        .collect();
    policies.push(policy(&[]));
    for (root, rows) in TABLE {
        for (methods, template, _) in *rows {
            let paths = versions(&instance(&shown(*root, template)));
            for (_, method) in bits.iter().filter(|(bit, _)| methods & bit != 0) {
                let lines: Vec<_> = paths.iter().map(|p| format!("{method} {p}")).collect();
                for policy in &policies {
                    let first = judge_line(policy, &lines[0]);
                    let unknown = [Action::Unknown, Action::UnknownRead].map(Judgement::Refuse);
                    assert!(!unknown.contains(&first), "{}", lines[0]);
                    for line in &lines {
                        assert_eq!(judge_line(policy, line), first, "{line}");
                    }
                }
            }
        }
    }
}
