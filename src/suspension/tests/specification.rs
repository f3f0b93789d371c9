//! The specification's two lists, and what clients use beside it.

use super::{Judgement, SuspensionPolicy, assert_permitted, judge_line};

/// [Account suspension](https://spec.matrix.org/v1.18/client-server-api/#account-suspension),
/// copied from the specification and not from the table.
#[test]
fn the_specifications_two_lists() {
    let permitted = [
        "GET login",
        "POST login",
        "POST login/get_token",
        "GET login/sso/redirect/x",
        "POST refresh",
        "GET sync",
        "GET rooms/!r/messages",
        "GET rooms/!r/context/$e",
        "POST keys/query",
        "POST search",
        "POST keys/device_signing/upload",
        "POST keys/signatures/upload",
        "POST keys/upload",
        "POST keys/claim",
        "PUT sendToDevice/m.key.verification.start/1",
        "PUT sendToDevice/m.room.encrypted/1",
        "PUT user/@alice:example.org/account_data/m.secret_storage.default_key",
        "POST room_keys/version",
        "PUT room_keys/version/1",
        "PUT room_keys/keys",
        "PUT room_keys/keys/!r",
        "PUT room_keys/keys/!r/s",
        "POST rooms/!r/leave",
        "POST rooms/!r/forget",
        "POST logout",
        "POST logout/all",
        "DELETE devices/D",
        "POST delete_devices",
        "POST account/deactivate",
        "POST account/3pid",
        "POST account/3pid/add",
        "POST account/3pid/email/requestToken",
        "POST account/3pid/msisdn/requestToken",
    ];
    let refused = [
        "POST join/!r",
        "POST rooms/!r/join",
        "POST knock/!r",
        "POST rooms/!r/invite",
        "PUT rooms/!r/send/m.room.message/1",
        "PUT rooms/!r/send/m.room.encrypted/1",
        "PUT rooms/!r/send/m.reaction/1",
        "PUT rooms/!r/state/m.room.member/@bob:example.org",
        "PUT profile/@alice:example.org/displayname",
        "PUT profile/@alice:example.org/avatar_url",
        "DELETE profile/@alice:example.org/m.tz",
        "POST account/3pid/delete",
    ];
    let policy = SuspensionPolicy::new();
    for (lines, pass) in [(&permitted[..], true), (&refused[..], false)] {
        for line in lines {
            let line = line.replacen(' ', " /_matrix/client/v3/", 1);
            assert_eq!(
                judge_line(&policy, &line) == Judgement::Permit,
                pass,
                "{line}"
            );
        }
    }
}

#[test]
fn what_clients_use_beside_the_specification() {
    for line in [
        "POST /_matrix/client/v4/sync",
        "POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync",
        "POST /_matrix/client/unstable/org.matrix.msc3575/sync",
        "POST /_matrix/client/unstable/org.matrix.msc4108/rendezvous",
        "PUT /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device",
        "DELETE /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device",
        "POST /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device/D/events",
    ] {
        assert_permitted(&SuspensionPolicy::new(), line);
    }
}
