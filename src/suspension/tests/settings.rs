//! What a policy can change, and paths that can be read in two ways.

use super::{Judgement, SuspensionPolicy, assert_permitted, assert_refused, judge_line};
use crate::action::Action;

const CLIENT: &str = "/_matrix/client/v3";

#[test]
fn each_action_is_permitted_and_refused_by_itself() {
    for &action in Action::ALL {
        assert!(
            SuspensionPolicy::new().permit(action).permits(action),
            "{action}"
        );
        assert!(
            !SuspensionPolicy::new().refuse(action).permits(action),
            "{action}"
        );
        let default = SuspensionPolicy::default();
        assert_eq!(
            default.permits(action),
            action.is_permitted_by_default(),
            "{action}"
        );
    }
}

#[test]
fn in_a_room_for_appeals_one_may_speak() {
    let policy = SuspensionPolicy::new().add_appeal_room("!appeals:example.org");
    for room in ["!appeals:example.org", "%21appeals%3aexample.org"] {
        for line in [
            format!("PUT {CLIENT}/rooms/{room}/send/m.room.message/1"),
            format!("PUT {CLIENT}/rooms/{room}/send/m.room.encrypted/1"),
            format!("PUT {CLIENT}/rooms/{room}/typing/@alice:example.org"),
            format!("POST {CLIENT}/rooms/{room}/join"),
            format!("POST {CLIENT}/join/{room}"),
        ] {
            assert_permitted(&policy, &line);
        }
        assert_refused(
            &policy,
            &format!("PUT {CLIENT}/rooms/{room}/state/m.room.name/"),
            Action::SendState,
        );
        assert_refused(
            &policy,
            &format!("POST {CLIENT}/rooms/{room}/invite"),
            Action::Invite,
        );
        assert_refused(
            &policy,
            &format!("POST {CLIENT}/knock/{room}"),
            Action::KnockRoom,
        );
    }
    for room in [
        "!appeals:example.or",
        "%2521appeals:example.org",
        "!appeals:example.org%2F",
        "!Appeals:example.org",
    ] {
        assert_refused(
            &policy,
            &format!("PUT {CLIENT}/rooms/{room}/send/m.room.message/1"),
            Action::SendMessage,
        );
    }
}

#[test]
fn a_single_endpoint_is_permitted_by_method_and_path() {
    let policy = SuspensionPolicy::new()
        .permit_endpoint(http::Method::POST, "/_example/appeal")
        .permit_endpoint(
            http::Method::PUT,
            "/_matrix/client/v3/profile/{userId}/m.tz",
        );
    for line in [
        "POST /_example/appeal",
        "PUT /_matrix/client/v3/profile/@alice:example.org/m.tz",
    ] {
        assert_permitted(&policy, line);
        assert_ne!(
            judge_line(&SuspensionPolicy::new(), line),
            Judgement::Permit,
            "{line}"
        );
    }
    for line in [
        "PUT /_example/appeal",
        "POST /_example/appeal/",
        "POST /_example//appeal",
        "POST /_example/%61ppeal",
        "POST /_example/appeal/x",
        "PUT /_matrix/client/v3/profile//m.tz",
        "PUT /_matrix/client/v3/profile/../m.tz",
        "PUT /_matrix/client/v3/profile/@a%2Fdisplayname/m.tz",
        "PUT /_matrix/client/v3/profile/@a%5Cdisplayname/m.tz",
        "PUT /_matrix/client/r0/profile/@a/m.tz",
    ] {
        assert!(
            matches!(judge_line(&policy, line), Judgement::Refuse(_)),
            "{line}"
        );
    }
}

#[test]
fn what_the_table_does_not_know_is_refused_if_it_can_change_something() {
    let policy = SuspensionPolicy::new();
    for path in [
        "/_matrix/client/v3/vendor",
        "/_synapse/admin/v1/x",
        "/",
        "/sync",
        "/_matrix/client/vx/sync",
    ] {
        for method in ["GET", "HEAD", "OPTIONS"] {
            assert_permitted(&policy, &format!("{method} {path}"));
        }
        for method in [
            "POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "PROPFIND",
        ] {
            let line = format!("{method} {path}");
            assert!(
                matches!(judge_line(&policy, &line), Judgement::Refuse(_)),
                "{line}"
            );
        }
    }
    assert_refused(&policy, "POST /_matrix/client/v3/vendor", Action::Unknown);
    assert_permitted(
        &policy.clone().permit(Action::Unknown),
        "POST /_matrix/client/v3/vendor",
    );
    assert_refused(
        &policy.refuse(Action::UnknownRead),
        "GET /_matrix/client/v3/vendor",
        Action::UnknownRead,
    );
}

#[test]
fn the_refusal_names_the_action_in_odd_spellings_too() {
    let policy = SuspensionPolicy::new();
    for (line, action) in [
        (
            "PUT /_matrix/client/v3/rooms/!r/se%6Ed/m.room.message/1",
            Action::SendMessage,
        ),
        ("POST /_matrix/client/v3/createRoom/", Action::CreateRoom),
        ("POST //_matrix//client/v3//createRoom", Action::CreateRoom),
        ("PUT /rooms/!r/send/m.room.message/1", Action::SendMessage),
        ("POST /v3/rooms/!r/join", Action::JoinRoom),
        ("POST /_matrix/client/v3/a/../createRoom", Action::Unknown),
        ("POST /rooms/!r/leave", Action::Unknown),
        ("POST /_matrix/client/v3/rooms/!r/le%61ve", Action::Unknown),
    ] {
        assert_refused(&policy, line, action);
    }
}

#[test]
fn no_spelling_dodges_a_read_that_the_policy_refuses() {
    let policy = SuspensionPolicy::new().refuse(Action::Sync);
    for line in [
        "GET /_matrix/client/v3/sync",
        "HEAD /_matrix/client/v3/sync",
        "GET /_matrix/client/v3/s%79nc",
        "GET /_matrix/client/v3/sync/",
        "GET /_matrix%2Fclient/v3/sync",
        "GET /_matrix/client/unstable//org.matrix.msc1/sync",
        "GET /_matrix/client/unstable/org%2Ematrix.msc1/sync",
        "GET /v3/sync",
        "GET /sync",
    ] {
        assert_refused(&policy, line, Action::Sync);
    }
    for line in [
        "GET /_matrix/client/v3/x/../sync",
        "GET /_matrix/client/v3\\sync",
    ] {
        assert_refused(&policy, line, Action::Unknown);
        assert_permitted(&SuspensionPolicy::new(), line);
    }
    assert_permitted(&policy, "GET /_matrix/client/v3/capabilities");
    let file = "GET /_matrix/client/v1/media/download/hs/id/a%5Cb.png";
    assert_permitted(&policy, file);
    for line in [
        "GET /_matrix/media/unstable/local_copy/hs/%2E%2E%5Cx",
        "GET /_matrix/media/unstable/x/../local%5Fcopy/hs/x",
        "GET /_matrix/media/unstable/x/../local%255Fcopy/hs/x",
    ] {
        assert_refused(&SuspensionPolicy::new(), line, Action::Unknown);
    }

    let policy = SuspensionPolicy::new().refuse(Action::ReadAccount);
    let both = "GET /_matrix/client/v3/user/@a%2Fb:hs/account_data/m.direct/";
    assert_refused(&policy, both, Action::ReadAccount);
}

#[test]
fn a_parameter_with_an_encoded_slash_is_one_parameter_and_no_way_round() {
    let policy = SuspensionPolicy::new();
    for line in [
        "PUT /_matrix/client/v3/room_keys/keys/!r:hs/ab%2Fc%2F%2Fd+e",
        "DELETE /_matrix/client/v3/room_keys/keys/!r:hs/profile%2Fx%2Fy",
        "PUT /_matrix/client/v3/user/%40irc%2Falice:hs/account_data/m.direct",
        "POST /_matrix/client/v3/rooms/!a%2Fb:hs/leave",
        "POST /_matrix/client/v3/rooms/!r:hs/receipt/m.read/$a%2Fb",
    ] {
        assert_permitted(&policy, line);
    }
    // To a router that decodes first, these speak.
    for (line, action) in [
        (
            "POST /_matrix/client/v3/rooms/!r%2Fsend/leave",
            Action::SendMessage,
        ),
        (
            "POST /_matrix/client/v3/rooms/!r%2fsend/report",
            Action::SendMessage,
        ),
        (
            "POST /_matrix/client/v3/rooms/!r%2F%2Fsend/forget",
            Action::SendMessage,
        ),
        (
            "POST /_matrix/client/v3/rooms/!r%2Fredact/leave",
            Action::RedactEvent,
        ),
        (
            "POST /_matrix/client/v3/rooms/%2E%2E%2Fcreate/leave",
            Action::Unknown,
        ),
        (
            "POST /_matrix/client/v3/rooms/!r%5Csend/leave",
            Action::Unknown,
        ),
    ] {
        assert_refused(&policy, line, action);
    }
}
