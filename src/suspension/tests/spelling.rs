//! Requests in every spelling that a client, or an attacker, may choose.

use std::fmt::Write as _;

use http::Method;
use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
};

use super::{
    super::{
        path::Root,
        table::{DELETE, GET, PATCH, POST, PUT, Row, TABLE},
    },
    SuspensionPolicy, USER,
    homeserver::{APPEALS, DEVICE, Said, VERSIONS, starts},
};
use crate::action::Action;

/// Values of a parameter: usual ones, and pieces of other endpoints.
const VALUES: &[&str] = &[
    USER,
    "@bob:example.org",
    APPEALS,
    "!room:example.org",
    "!foreign:example.org",
    "$own",
    "$other",
    "$own/+a",
    "m.room.member",
    "m.room.redaction",
    "m.room.message",
    "m.room.third_party_invite",
    "m.room.topic",
    "m.call.member",
    DEVICE,
    "m.tag",
    "m.push_rules",
    "1",
    "x",
    "!r/send",
    "!r/send/m.room.message/1",
    "!r/state/m.room.member",
    "!r/redact",
    "send",
    "state",
    "redact",
    "join",
    "../join",
    "..",
    ".",
    "a/../../createRoom",
    "a\\b",
    "/",
    "a//b",
    "%2F",
    "%2e%2e%2f",
    "m%2Eroom%2Emember",
    "ä",
    "!appeals:example.org/",
    "/!appeals:example.org",
    "sync",
    "leave",
    "rooms",
    "profile",
    "org.matrix/rooms",
];

/// What is written over a slash, or at the end.
const EDITS: &[&str] = &[
    "%2F", "%2f", "//", "/./", "/../", "/x/../", "/%2e%2E/", "\\", "%5C", "%252F", "/%2F", "%2F/",
    "%2F%2F", "/.;/",
];

/// How a path is spelled.
#[derive(Clone, Debug)]
struct Spelling {
    literals: Vec<u8>,
    parameters: Vec<u8>,
    edits: Vec<(Index, &'static str)>,
    end: &'static str,
}

#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) start: String,
    row: Row,
    values: Vec<&'static str>,
    spelling: Spelling,
    method: Option<Method>,
    /// Actions whose default is inverted.
    turned: Vec<Action>,
    pub(super) said: Said,
}

pub(super) fn case() -> impl Strategy<Value = Case> {
    let rows = TABLE
        .iter()
        .flat_map(|(root, rows)| rows.iter().map(|row| (*root, *row)));
    let all: Vec<(Root, Row)> = rows.collect();
    let special = |(_, (_, _, action)): &(Root, Row)| {
        matches!(
            action,
            Action::SendState | Action::SendMessage | Action::RedactEvent | Action::JoinRoom
        )
    };
    let some: Vec<_> = all.iter().copied().filter(special).collect();
    let row = prop_oneof![2 => select(all), 1 => select(some)];
    let noise = || prop_oneof![3 => Just(vec![9]), 1 => vec(any::<u8>(), 1..40)];
    let edits = prop_oneof![3 => Just(vec![]), 1 => vec((any::<Index>(), select(EDITS)), 1..3)];
    let end = prop_oneof![9 => Just(""), 1 => select(&["/", "//", "%2F", "/.", "/..", "%00"][..])];
    let spelling =
        (noise(), noise(), edits, end).prop_map(|(literals, parameters, edits, end)| Spelling {
            literals,
            parameters,
            edits,
            end,
        });
    let other = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::PATCH,
    ];
    let method = prop_oneof![9 => Just(None), 1 => select(other.to_vec()).prop_map(Some)];
    let turned = prop_oneof![1 => Just(vec![]), 1 => vec(select(Action::ALL), 1..20)];
    let said = (
        select(&["leave", "join", "knock", "invite", "ban", "other"][..]),
        select(&["$own", "$other"][..]),
        select(
            &[
                None,
                Some(""),
                Some(USER),
                Some("@bob:example.org"),
                Some(DEVICE),
            ][..],
        ),
        any::<bool>(),
    );
    let said = said.prop_map(|(membership, redacts, state_key, ends)| Said {
        membership,
        redacts,
        state_key,
        ends,
    });
    (
        row,
        0..VERSIONS.len(),
        vec(select(VALUES), 4),
        spelling,
        method,
        turned,
        said,
    )
        .prop_map(
            |((root, row), version, values, spelling, method, turned, said)| {
                let mut starts = starts(root);
                let start = starts.swap_remove(version % starts.len());
                Case {
                    start,
                    row,
                    values,
                    spelling,
                    method,
                    turned,
                    said,
                }
            },
        )
}

/// Writes `text`, percent-encoding what `noise` picks and what could not be sent otherwise.
fn spell(path: &mut String, text: &str, noise: &[u8]) {
    for (at, byte) in text.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte);
        match noise[at % noise.len()] % 8 {
            0 => write!(path, "%{byte:02X}").unwrap(),
            2 => write!(path, "%{byte:02x}").unwrap(),
            _ if plain => path.push(byte.into()),
            _ => write!(path, "%{byte:02X}").unwrap(),
        }
    }
}

impl Case {
    pub(super) fn path(&self) -> String {
        let Spelling {
            literals,
            parameters,
            edits,
            end,
        } = &self.spelling;
        let mut path = String::new();
        let mut values = self.values.iter();
        for (at, part) in format!("{}{}", self.start, self.row.1)
            .split('/')
            .enumerate()
        {
            if at > 0 {
                path.push('/');
            }
            match part.starts_with('{') {
                true => spell(
                    &mut path,
                    values.next().expect("at most four parameters"),
                    parameters,
                ),
                false => spell(&mut path, part, literals),
            }
        }
        for (at, edit) in edits {
            let slashes: Vec<usize> = path.match_indices('/').map(|(at, _)| at).skip(1).collect();
            if !slashes.is_empty() {
                let at = slashes[at.index(slashes.len())];
                path.replace_range(at..=at, edit);
            }
        }
        path + end
    }

    pub(super) fn method(&self) -> Method {
        let bits = [
            (GET, Method::GET),
            (POST, Method::POST),
            (PUT, Method::PUT),
            (DELETE, Method::DELETE),
            (PATCH, Method::PATCH),
        ];
        let of_row = bits.into_iter().find(|(bit, _)| self.row.0 & bit != 0);
        self.method
            .clone()
            .unwrap_or_else(|| of_row.expect("a row has a method").1)
    }

    pub(super) fn policy(&self) -> SuspensionPolicy {
        let policy = SuspensionPolicy::new().add_appeal_room(APPEALS);
        self.turned
            .iter()
            .fold(policy, |policy, &action| match policy.permits(action) {
                true => policy.refuse(action),
                false => policy.permit(action),
            })
    }

    /// Whether it is what a client sends: nothing is encoded that a client would not, and no
    /// parameter can be read in two ways.
    pub(super) fn is_usual(&self) -> bool {
        let parameters = self.row.1.matches('{').count();
        let usual = |value: &&str| {
            !value.is_empty() && !value.contains(['\\', '%', '/']) && !matches!(*value, "." | "..")
        };
        self.spelling.literals == [9]
            && self.spelling.edits.is_empty()
            && self.spelling.end.is_empty()
            && self.values[..parameters].iter().all(usual)
            && (self.spelling.parameters == [9] || !decides(self.row.1))
    }
}

/// Whether a parameter of the path decides, so that its spelling does, too.
fn decides(template: &str) -> bool {
    ["{eventType}", "account_data/{type}"]
        .iter()
        .any(|parameter| template.contains(parameter))
}
