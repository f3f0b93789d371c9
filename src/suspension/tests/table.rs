//! Endpoint by endpoint: the documented table against the code and against the list of all
//! endpoints.

use std::{collections::HashSet, fmt::Write as _};

use super::{
    super::{
        path::Root,
        table::{DELETE, GET, PATCH, POST, PUT, TABLE},
    },
    Judgement, SuspensionPolicy, assert_permitted, judge_line,
};
use crate::action::Action;

const DOCUMENTED: &str = include_str!("../table.md");
const ENDPOINTS: &str = include_str!("../../../tests/data/cs-endpoints.tsv");

const VERSIONS: &[&str] = &[
    "r0",
    "v1",
    "v2",
    "v3",
    "v4",
    "unstable",
    "unstable/org.matrix.msc1",
    "api/v1",
    "v2_alpha",
];

/// A row of the documentation.
#[derive(Debug)]
struct Documented {
    methods: Vec<&'static str>,
    path: &'static str,
    action: Action,
    default: &'static str,
}

fn documented() -> Vec<Documented> {
    let rows = DOCUMENTED.lines().skip(2).map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [methods, path, action, default, _why] = cells[..] else {
            panic!("not a row of the table: {line}");
        };
        let name = action.trim_matches('`');
        Documented {
            methods: methods.split(' ').collect(),
            path: path.trim_matches('`'),
            action: *Action::ALL.iter().find(|a| a.as_str() == name).expect(name),
            default,
        }
    });
    rows.collect()
}

pub(super) fn shown(root: Root, path: &str) -> String {
    match root {
        Root::Client => path.to_owned(),
        Root::ClientUnversioned => format!("/_matrix/client/{path}"),
        Root::Media => format!("/_matrix/media/{{version}}/{path}"),
        Root::MediaProxy => format!("/_matrix/media_proxy/{{version}}/{path}"),
        Root::WellKnown => format!("/.well-known/matrix/{path}"),
        Root::Administration => format!("/_dendrite/admin/{path}"),
    }
}

/// A template for each version that `path` may be of.
pub(super) fn versions(path: &str) -> Vec<String> {
    let with = |start: &str, tail: &str| {
        VERSIONS
            .iter()
            .map(|v| format!("{start}{v}/{tail}"))
            .collect()
    };
    for start in [
        "/_matrix/client/",
        "/_matrix/media/",
        "/_matrix/media_proxy/",
    ] {
        let versioned = path
            .strip_prefix(start)
            .and_then(|rest| rest.split_once('/'));
        if let Some((_, tail)) = versioned {
            return with(start, tail);
        }
    }
    match path.starts_with('/') {
        true => vec![path.to_owned()],
        false => with("/_matrix/client/", path),
    }
}

pub(super) fn instance(path: &str) -> String {
    let segments = path.split('/').map(|segment| match segment {
        "{userId}" | "{stateKey}" => "%40alice%3Aexample.org",
        "{roomId}" | "{roomIdOrAlias}" => "!room:example.org",
        "{roomAlias}" => "%23a%2Fb:example.org",
        "{eventType}" => "m.room.topic",
        "{sessionId}" | "{eventId}" => "$a%2Fb+c",
        parameter if parameter.starts_with('{') => "x",
        literal => literal,
    });
    segments.collect::<Vec<_>>().join("/")
}

/// Whether the documented path is the endpoint's, which may have a literal for a parameter.
fn covers(documented: &str, endpoint: &str) -> bool {
    let parts = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
    let (documented, endpoint) = (parts(documented), parts(endpoint));
    let mut pairs = documented.iter().zip(&endpoint);
    documented.len() == endpoint.len()
        && pairs.all(|(d, e)| d == e || d.starts_with('{') && !e.is_empty())
}

pub(super) fn everything() -> SuspensionPolicy {
    let all = Action::ALL.iter().copied();
    all.fold(SuspensionPolicy::new(), SuspensionPolicy::permit)
}

/// Every version of the endpoint is decided as the row says, and is the row's action.
fn assert_decided(row: &Documented, method: &str, endpoint: &str) {
    for path in versions(endpoint) {
        let line = format!("{method} {}", instance(&path));
        let default = judge_line(&SuspensionPolicy::new(), &line);
        let action = row.action;
        if row.default == "permitted" {
            assert_eq!(default, Judgement::Permit, "{line}");
            let policy = SuspensionPolicy::new().refuse(action);
            assert_eq!(
                judge_line(&policy, &line),
                Judgement::Refuse(action),
                "{line}"
            );
            continue;
        }
        let depends = !matches!(default, Judgement::Refuse(_));
        let refused = default == Judgement::Refuse(action);
        assert!(
            refused || depends && row.default.contains("but for"),
            "{line}: {default:?}"
        );
        let permitted = judge_line(&SuspensionPolicy::new().permit(action), &line);
        let alone = permitted == Judgement::Permit;
        // Others depend on the body, or on other actions.
        let depends = matches!(action, Action::CreateRoom | Action::RedactEvent);
        let any_event = path.contains("delayed_event") || path.ends_with("/batch_send");
        assert!(alone || depends || any_event, "{line}: {permitted:?}");
        assert_permitted(&everything(), &line);
    }
}

#[test]
fn the_documented_table_is_the_code() {
    let mut table =
        String::from("| Method | Path | Action | Default | Why |\n|---|---|---|---|---|\n");
    for (root, rows) in TABLE {
        for &(methods, path, action) in *rows {
            let bits = [
                (GET, "GET"),
                (POST, "POST"),
                (PUT, "PUT"),
                (DELETE, "DELETE"),
                (PATCH, "PATCH"),
            ];
            let methods: Vec<_> = bits
                .iter()
                .filter(|(bit, _)| methods & bit != 0)
                .map(|b| b.1)
                .collect();
            let path = shown(*root, path);
            let default = match (
                action,
                path.contains("{eventType}"),
                action.is_permitted_by_default(),
            ) {
                (Action::SendState, ..) => "refused, but for one's own leave",
                (Action::SendMessage, true, _) if path.contains("delayed_event/") => {
                    "refused, but for what may be sent at once"
                }
                (Action::SendMessage, ..) if path == "delayed_events/{delayId}" => {
                    "refused, but for `cancel`"
                }
                (Action::SendMessage, ..)
                    if path.starts_with("delayed_events/") || path.ends_with("/batch_send") =>
                {
                    "refused, unless every event is permitted"
                }
                (Action::CreateRoom, ..) => {
                    "refused; where it is permitted, so has to be whatever else it does"
                }
                (Action::SendMessage, true, _) => "refused, but for redactions of one's own events",
                (Action::RedactEvent, ..) => "refused, but for one's own events",
                (_, _, true) => "permitted",
                (_, _, false) => "refused",
            };
            let why = action.reason();
            writeln!(
                table,
                "| {} | `{path}` | `{action}` | {default} | {why} |",
                methods.join(" ")
            )
            .unwrap();
        }
    }
    if DOCUMENTED != table {
        let file = std::env::temp_dir().join("suspension-table.md");
        std::fs::write(&file, table).unwrap();
        panic!(
            "src/suspension/table.md is not what the code says, which is now in {}",
            file.display()
        );
    }
}

#[test]
fn every_row_is_decided_as_documented_for_every_version() {
    for row in documented() {
        for method in &row.methods {
            assert_decided(&row, method, row.path);
        }
    }
}

#[test]
fn every_endpoint_of_the_specification_is_in_the_table_and_decided_by_it() {
    let rows = documented();
    let mut endpoints = 0;
    for line in ENDPOINTS.lines().skip(1) {
        let cells: Vec<_> = line.split('\t').collect();
        let [method, path, _auth, r0] = cells[..] else {
            panic!("not an endpoint: {line}");
        };
        endpoints += 1;
        let old = r0.split(',').filter(|path| *path != "-");
        for path in old.chain([path]) {
            let documents = |row: &&Documented| {
                row.methods.contains(&method)
                    && versions(row.path)
                        .iter()
                        .zip(versions(path))
                        .all(|(d, e)| covers(d, &e))
            };
            let matching: Vec<_> = rows.iter().filter(documents).collect();
            let [row] = matching[..] else {
                panic!("{method} {path} is documented by {matching:?}");
            };
            assert_decided(row, method, path);
        }
    }
    assert_eq!(endpoints, 168);
}

#[test]
fn no_two_rows_are_the_same_endpoint() {
    let mut seen = HashSet::new();
    for row in documented() {
        for method in row.methods {
            let same = |part: &'static str| if part.starts_with('{') { "{}" } else { part };
            let shape: Vec<_> = row.path.split('/').map(same).collect();
            assert!(seen.insert((method, shape)), "{method} {}", row.path);
        }
    }
}
