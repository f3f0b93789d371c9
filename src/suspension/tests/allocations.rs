//! A verdict that needs no body costs no allocation.

use allocation_counter::measure;
use http::Method;

use super::{
    super::{Judgement, SuspensionPolicy, judge},
    USER,
};
use crate::account::UserId;

#[test]
fn judging_a_request_allocates_nothing() {
    let policy = SuspensionPolicy::new()
        .add_appeal_room("!appeals:example.org")
        .permit_endpoint(Method::POST, "/_example/{case}/appeal");
    let user = UserId::from(USER);
    let v3 = "/_matrix/client/v3";
    let requests = [
        (Method::GET, format!("{v3}/sync")),
        (
            Method::PUT,
            format!("{v3}/rooms/%21r%3Ahs/send/m.room.message/1"),
        ),
        (
            Method::PUT,
            format!("{v3}/rooms/%21appeals%3Aexample.org/send/m.room.message/1"),
        ),
        (
            Method::PUT,
            format!("{v3}/rooms/%21r%3Ahs/send/m.room.redaction/1"),
        ),
        (Method::PUT, format!("{v3}/rooms/%21r%3Ahs/redact/%24e/1")),
        (
            Method::PUT,
            format!("{v3}/rooms/%21r%3Ahs/state/m.room.member/%40alice%3Aexample.org"),
        ),
        (Method::POST, format!("{v3}/rooms/%21r%3Ahs/leave")),
        (Method::POST, format!("{v3}/createRoom")),
        (Method::POST, format!("{v3}/delayed_events/1")),
        (Method::POST, format!("{v3}/delayed_events/1/send")),
        (
            Method::PUT,
            format!("{v3}/rooms/%21appeals%3Aexample.org/delayed_event/m.room.message/1"),
        ),
        (
            Method::PUT,
            format!("{v3}/rooms/%21r%3Ahs/delayed_event/m.room.member/1"),
        ),
        (
            Method::PUT,
            format!("{v3}/rooms/%21r%3Ahs/state/m.call.member/_%40alice%3Aexample.org_D"),
        ),
        (
            Method::PUT,
            format!("{v3}/user/%40alice%3Aexample.org/account_data/m.push_rules"),
        ),
        (
            Method::PUT,
            "/_synapse/admin/v1/suspend/@alice:example.org".to_owned(),
        ),
        (
            Method::GET,
            "/_matrix/media/v3/download/hs/id/a%5Cb".to_owned(),
        ),
        (Method::PUT, format!("{v3}/room_keys/keys/!r/a%2Fb%2Fc")),
        (Method::POST, "/_example/1/appeal".to_owned()),
        (Method::POST, "/_matrix%2Fclient/../v3/sync".to_owned()),
        (Method::POST, "/rooms/!r/send/m.room.message".to_owned()),
        (Method::DELETE, "/a".repeat(1000)),
    ];
    for (method, path) in &requests {
        let allocations = measure(|| {
            let judgement = judge(&policy, method, path, &user);
            assert_ne!(judgement, Judgement::PermitUnattributed);
        });
        assert_eq!(allocations.count_total, 0, "{method} {path}");
    }
    let counted = measure(|| drop(std::hint::black_box(String::from("the counter counts"))));
    assert_eq!(counted.count_total, 1);
}
