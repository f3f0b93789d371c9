//! What the body decides: memberships and redactions.

use super::{
    super::{BodyQuestion, UnattributedRedactions, judge_body, judge_redaction},
    Judgement, SuspensionPolicy, assert_permitted, assert_refused, judge_line, user,
};
use crate::action::Action;

const ROOM: &str = "PUT /_matrix/client/v3/rooms/%21r%3Ahs";

fn membership(policy: &SuspensionPolicy, state_key: &str, body: &str) -> Judgement<'static> {
    let line = format!("{ROOM}/state/m.room.member/{state_key}");
    match judge_line(policy, &line) {
        Judgement::ReadBody(BodyQuestion::Membership { own }) => judge_body(
            policy,
            BodyQuestion::Membership { own },
            body.as_bytes(),
            &user(),
        ),
        Judgement::Permit => Judgement::Permit,
        Judgement::Refuse(action) => Judgement::Refuse(action),
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn a_member_event_is_what_its_membership_makes_it() {
    let policy = SuspensionPolicy::new();
    for key in ["@alice:example.org", "%40alice%3Aexample%2eorg"] {
        let of = |membership_: &str| membership(&policy, key, membership_);
        assert_eq!(
            of(r#"{"membership":"leave","reason":"bye"}"#),
            Judgement::Permit
        );
        for (body, action) in [
            (r#"{"membership":"join"}"#, Action::JoinRoom),
            (r#"{"membership":"knock"}"#, Action::KnockRoom),
            (r#"{"membership":"invite"}"#, Action::Invite),
            (r#"{"membership":"ban"}"#, Action::Ban),
            (r#"{"membership":"Leave"}"#, Action::SendState),
        ] {
            assert_eq!(of(body), Judgement::Refuse(action), "{body}");
        }
    }
}

#[test]
fn every_occurrence_of_the_membership_counts() {
    let policy = SuspensionPolicy::new();
    for body in [
        r#"{"membership":"leave","membership":"join"}"#,
        r#"{"membership":"join","membership":"leave"}"#,
        r#"{"membership":"leave","m\u0065mbership":"join"}"#,
        r#"{"membership":"leave","Membership":"join"}"#,
    ] {
        let judged = membership(&policy, "@alice:example.org", body);
        assert_eq!(judged, Judgement::Refuse(Action::JoinRoom), "{body}");
    }
    let twice = r#"{"membership":"leave","membership":"leave"}"#;
    assert_eq!(
        membership(&policy, "@alice:example.org", twice),
        Judgement::Permit
    );
}

#[test]
fn a_body_that_names_no_membership_is_refused() {
    let policy = SuspensionPolicy::new();
    let deep = format!(
        r#"{{"a":{}{},"membership":"leave"}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    for body in [
        "",
        "{}",
        "null",
        "[]",
        "leave",
        r#""leave""#,
        r#"{"membership":null}"#,
        r#"{"membership":["leave"]}"#,
        r#"{"membership":"leave"} {}"#,
        r#"{"membership":"leave""#,
        r#"{"content":{"membership":"leave"}}"#,
        "\u{feff}{\"membership\":\"leave\"}",
        &deep,
    ] {
        let judged = membership(&policy, "@alice:example.org", body);
        assert_eq!(judged, Judgement::Refuse(Action::SendState), "{body}");
    }
    let latin1 = b"{\"membership\":\"leave\",\"reason\":\"\xe4\"}";
    let question = BodyQuestion::Membership { own: true };
    assert_eq!(
        judge_body(&policy, question, latin1, &user()),
        Judgement::Refuse(Action::SendState)
    );
}

#[test]
fn an_event_type_that_is_special_only_when_decoded_is_any_other_type_too() {
    let redaction = format!("{ROOM}/send/m%2Eroom%2Eredaction/1");
    let member = format!("{ROOM}/state/m.room%2emember/@alice:example.org");
    let policy = SuspensionPolicy::new();
    assert_refused(&policy, &redaction, Action::SendMessage);
    assert_refused(&policy, &member, Action::SendState);
    let policy = policy.permit(Action::SendMessage).permit(Action::SendState);
    for line in [&redaction, &member] {
        let judged = judge_line(&policy, line);
        assert!(
            matches!(judged, Judgement::ReadBody(_)),
            "{line}: {judged:?}"
        );
    }
}

#[test]
fn the_body_is_not_asked_for_where_it_changes_nothing() {
    let policy = SuspensionPolicy::new();
    for key in [
        "/@bob:example.org",
        "/",
        "",
        "/%2540alice:example.org",
        "/@Alice:example.org",
    ] {
        let line = format!("{ROOM}/state/m.room.member{key}");
        assert_refused(&policy, &line, Action::SendState);
    }
    let own = format!("{ROOM}/state/m.room.member/@alice:example.org");
    assert_refused(&policy.refuse(Action::LeaveRoom), &own, Action::SendState);
    let all = Action::ALL
        .iter()
        .fold(SuspensionPolicy::new(), |policy, action| {
            policy.permit(*action)
        });
    assert_permitted(&all, &own);
    assert_permitted(&all, &format!("{ROOM}/redact/$e/1"));
    assert_permitted(&all, &format!("{ROOM}/send/m.room.redaction/1"));
}

#[test]
fn memberships_of_others_follow_the_policy() {
    let leave = r#"{"membership":"leave"}"#;
    let kick = SuspensionPolicy::new()
        .permit(Action::Kick)
        .permit(Action::Ban);
    let of = |policy: &SuspensionPolicy, body| membership(policy, "@bob:example.org", body);
    assert_eq!(of(&kick, r#"{"membership":"ban"}"#), Judgement::Permit);
    // It may be a ban that is lifted.
    assert_eq!(of(&kick, leave), Judgement::Refuse(Action::Unban));
    assert_eq!(of(&kick.permit(Action::Unban), leave), Judgement::Permit);
    let join = SuspensionPolicy::new().permit(Action::JoinRoom);
    let own = |policy: &SuspensionPolicy| {
        membership(policy, "@alice:example.org", r#"{"membership":"join"}"#)
    };
    assert_eq!(own(&join), Judgement::Refuse(Action::SetProfile));
    assert_eq!(own(&join.permit(Action::SetProfile)), Judgement::Permit);
}

#[test]
fn permitting_state_permits_no_invite() {
    let policy = SuspensionPolicy::new().permit(Action::SendState);
    assert_permitted(&policy, &format!("{ROOM}/state/m.room.topic/"));
    for event_type in ["m.room.third_party_invite", "m.room.third%5Fparty_invite"] {
        let line = format!("{ROOM}/state/{event_type}/token");
        assert_refused(&policy, &line, Action::Invite);
    }
    let judged = membership(&policy, "@bob:example.org", r#"{"membership":"invite"}"#);
    assert_eq!(judged, Judgement::Refuse(Action::Invite));
}

#[test]
fn a_redaction_depends_on_who_has_sent_the_event() {
    let policy = SuspensionPolicy::new();
    let line = format!("{ROOM}/redact/%24e%2Fé/1");
    let Judgement::ReadBody(question) = judge_line(&policy, &line) else {
        panic!("{line}: does not ask for the body");
    };
    let Judgement::RedactionOf(redaction) = judge_body(&policy, question, b"{}", &user()) else {
        panic!("{line}: not a redaction");
    };
    assert_eq!(
        (&*redaction.room_id(), &*redaction.event_id()),
        ("!r:hs", "$e/é")
    );

    assert_eq!(judge_redaction(&policy, Some(true)), Judgement::Permit);
    assert_eq!(
        judge_redaction(&policy, Some(false)),
        Judgement::Refuse(Action::RedactEvent)
    );
    assert_eq!(
        judge_redaction(&policy, None),
        Judgement::PermitUnattributed
    );
    let strict = policy.with_unattributed_redactions(UnattributedRedactions::Refuse);
    assert_eq!(
        judge_redaction(&strict, None),
        Judgement::Refuse(Action::RedactEvent)
    );
    assert_eq!(judge_redaction(&strict, Some(true)), Judgement::Permit);
    let none = strict.refuse(Action::RedactOwnEvent);
    assert_refused(&none, &line, Action::RedactEvent);
    assert_refused(
        &none,
        &format!("{ROOM}/send/m.room.redaction/1"),
        Action::RedactEvent,
    );
}

#[test]
fn a_redaction_that_is_sent_names_its_event_in_the_body() {
    let policy = SuspensionPolicy::new();
    let line = format!("{ROOM}/send/m.room.redaction/1");
    let Judgement::ReadBody(question) = judge_line(&policy, &line) else {
        panic!("{line}: does not ask for the body");
    };
    for body in [
        r#"{"redacts":"$e","reason":"typo"}"#,
        r#"{"redacts":"$e","r\u0065dacts":"\u0024e"}"#,
    ] {
        let Judgement::RedactionOf(redaction) =
            judge_body(&policy, question, body.as_bytes(), &user())
        else {
            panic!("{body}: not a redaction");
        };
        assert_eq!(
            (&*redaction.room_id(), &*redaction.event_id()),
            ("!r:hs", "$e")
        );
    }
    for body in [
        "",
        "{}",
        r#"{"redacts":null}"#,
        r#"{"redacts":["$e"]}"#,
        r#"{"redacts":"$e","redacts":"$f"}"#,
        r#"{"redacts":"$e","redacts":1}"#,
        r#"{"redacts":"$e","Redacts":"$f"}"#,
        r#"{"reason":"hello, world"}"#,
        r#"{"redacts":"$e"}{}"#,
    ] {
        let judged = judge_body(&policy, question, body.as_bytes(), &user());
        assert_eq!(judged, Judgement::Refuse(Action::RedactEvent), "{body}");
    }
}

fn judge<'p>(policy: &SuspensionPolicy, line: &'p str, body: &str) -> Judgement<'p> {
    let Judgement::ReadBody(question) = judge_line(policy, line) else {
        panic!("{line}: does not ask for the body");
    };
    judge_body(policy, question, body.as_bytes(), &user())
}

/// What a suspended person may do must not carry what he may not.
#[test]
fn a_redaction_says_nothing_else() {
    let policy = SuspensionPolicy::new();
    let by_path = format!("{ROOM}/redact/%24e/1");
    let by_body = format!("{ROOM}/send/m.room.redaction/1");
    let more = [
        r#""body":"hello","msgtype":"m.text""#,
        r#""org.matrix.msc3912.with_relations":["m.*"]"#,
        r#""reason":{"body":"hello"}"#,
        r#""reason":7"#,
        r#""Reasons":null"#,
    ];
    for (line, body) in [
        (&by_path, ""),
        (&by_path, "{}"),
        (&by_path, r#"{"reason":"typo"}"#),
        (&by_path, r#"{"Reason":null,"redacts":"$e"}"#),
        (&by_body, r#"{"redacts":"$e","reason":"typo"}"#),
    ] {
        let judged = judge(&policy, line, body);
        assert!(
            matches!(judged, Judgement::RedactionOf(_)),
            "{body}: {judged:?}"
        );
    }
    for more in more {
        let bodies = [
            (&by_path, format!("{{{more}}}")),
            (&by_body, format!("{{\"redacts\":\"$e\",{more}}}")),
        ];
        for (line, body) in bodies {
            let judged = judge(&policy, line, &body);
            assert_eq!(judged, Judgement::Refuse(Action::SendMessage), "{body}");
            let moderates = policy.clone().permit(Action::RedactEvent);
            let judged = judge(&moderates, line, &body);
            assert_eq!(judged, Judgement::Refuse(Action::SendMessage), "{body}");
            let judged = judge(&moderates, line, r#"{"redacts":"$e"}"#);
            assert_eq!(judged, Judgement::Permit, "{line}");
            // It may redact what is related, whoever has sent it.
            let speaks = policy.clone().permit(Action::SendMessage);
            let judged = judge(&speaks, line, &body);
            assert_eq!(judged, Judgement::Refuse(Action::RedactEvent), "{body}");
        }
    }
    for body in [
        "x",
        "[]",
        r#"{"reason":"a"} {}"#,
        r#"{"$ref":"a"}"#,
        r#"{"redacts":"$f"}"#,
        r#"{"redacts":["$e"]}"#,
    ] {
        let judged = judge(&policy, &by_path, body);
        assert_eq!(judged, Judgement::Refuse(Action::RedactEvent), "{body}");
    }
}

#[test]
fn a_membership_says_nothing_else() {
    let policy = SuspensionPolicy::new();
    let own = |policy: &SuspensionPolicy, more: &str| {
        let body = format!("{{\"membership\":\"leave\",{more}}}");
        membership(policy, "@alice:example.org", &body)
    };
    for more in [
        r#""reason":"bye""#,
        r#""displayname":null"#,
        r#""is_direct":true"#,
    ] {
        assert_eq!(own(&policy, more), Judgement::Permit, "{more}");
    }
    for (more, action) in [
        (r#""displayname":"buy here""#, Action::SetProfile),
        (r#""Avatar_URL":"mxc://a/b""#, Action::SetProfile),
        (
            r#""third_party_invite":{"display_name":"x"}"#,
            Action::Invite,
        ),
        (
            r#""join_authorised_via_users_server":"@x:y""#,
            Action::JoinRoom,
        ),
        (r#""body":"hello","msgtype":"m.text""#, Action::SendState),
        (r#""reason":{"body":"hello"}"#, Action::SendState),
        (r#""displayname":["x"]"#, Action::SendState),
    ] {
        assert_eq!(own(&policy, more), Judgement::Refuse(action), "{more}");
        let policy = policy.clone().permit(action);
        assert_eq!(own(&policy, more), Judgement::Permit, "{more}");
    }
}

#[test]
fn in_a_room_for_appeals_a_redaction_is_judged_as_everywhere() {
    let policy = SuspensionPolicy::new().add_appeal_room("!r:hs");
    assert_permitted(&policy, &format!("{ROOM}/send/m.room.message/1"));
    let line = format!("{ROOM}/send/m.room.redaction/1");
    let judged = judge_line(&policy, &line);
    assert!(matches!(judged, Judgement::ReadBody(_)), "{judged:?}");
}

#[test]
fn every_occurrence_of_what_is_done_to_a_scheduled_event_counts() {
    let all = Action::ALL.iter().copied();
    let all = all.fold(SuspensionPolicy::new(), SuspensionPolicy::permit);
    let only = |refused| all.clone().refuse(refused);
    let judged = |policy: &SuspensionPolicy, body: &str| {
        judge_body(policy, BodyQuestion::DelayedEvent, body.as_bytes(), &user())
    };
    for (body, cancels, sends) in [
        (r#"{"action":"cancel"}"#, true, false),
        (r#"{"action":"send"}"#, false, true),
        (r#"{"action":"cancel","action":"send"}"#, true, true),
        (r#"{"action":"send","Action":"cancel"}"#, true, true),
        ("{}", true, true),
        ("[]", true, true),
        ("", true, true),
    ] {
        let passes = |action| judged(&only(action), body) == Judgement::Permit;
        assert_eq!(passes(Action::CancelDelayedEvent), !cancels, "{body}");
        assert_eq!(passes(Action::SendMessage), !sends, "{body}");
    }
}
