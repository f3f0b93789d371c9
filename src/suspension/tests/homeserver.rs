//! A homeserver on axum's router with every endpoint of the table, and what its handlers would do,
//! told from the decoded parameters that they are called with.

use axum::{
    Router,
    body::Body,
    extract::{Path, Request},
    response::Response,
    routing::{MethodFilter, on},
};
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt as _;

use super::{
    super::{
        path::Root,
        table::{DELETE, GET, PATCH, POST, PUT, TABLE},
    },
    SuspensionPolicy, USER,
};
use crate::action::Action;

pub(super) const APPEALS: &str = "!appeals:example.org";
pub(super) const VERSIONS: &[&str] = &["v3", "r0", "unstable/org.matrix.msc1"];

/// A handler that was called, and with what.
#[derive(Clone, Debug)]
pub(super) struct Called {
    pub(super) action: Action,
    parameters: Vec<(&'static str, String)>,
}

/// What the body of the request says.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) membership: &'static str,
    pub(super) redacts: &'static str,
}

pub(super) struct Homeserver {
    router: Router,
    runtime: Runtime,
}

impl Homeserver {
    pub(super) fn new() -> Self {
        let mut router = Router::new();
        for &(root, rows) in TABLE {
            for &(methods, template, action) in rows {
                for start in starts(root) {
                    let path = format!("{start}{}", numbered(template));
                    router = router.route(
                        &path,
                        on(
                            filter(methods),
                            move |Path(values): Path<Vec<(String, String)>>| async move {
                                let names = template
                                    .split('/')
                                    .filter_map(|p| p.strip_prefix('{')?.strip_suffix('}'));
                                let parameters = names
                                    .zip(values.into_iter().map(|(_, value)| value))
                                    .collect();
                                let mut response = Response::new(Body::empty());
                                response
                                    .extensions_mut()
                                    .insert(Called { action, parameters });
                                response
                            },
                        ),
                    );
                }
            }
        }
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        Self { router, runtime }
    }

    /// The handler that is called, if one is.
    pub(super) fn call(&self, method: &Method, path: &str) -> Option<Called> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(Body::empty())
            .ok()?;
        let answer = self.runtime.block_on(self.router.clone().oneshot(request));
        answer
            .expect("a router cannot fail")
            .extensions_mut()
            .remove()
    }
}

/// What a path of this root begins with.
pub(super) fn starts(root: Root) -> Vec<String> {
    let versioned = |api: &str| {
        VERSIONS
            .iter()
            .map(|v| format!("/_matrix/{api}/{v}/"))
            .collect()
    };
    match root {
        Root::Client => versioned("client"),
        Root::Media => versioned("media"),
        Root::ClientUnversioned => vec!["/_matrix/client/".to_owned()],
        Root::WellKnown => vec!["/.well-known/matrix/".to_owned()],
    }
}

/// Parameters by position: axum wants one name for one place.
fn numbered(template: &str) -> String {
    let parts = template
        .split('/')
        .enumerate()
        .map(|(at, part)| match part.starts_with('{') {
            true => format!("{{p{at}}}"),
            false => part.to_owned(),
        });
    parts.collect::<Vec<_>>().join("/")
}

fn filter(methods: u8) -> MethodFilter {
    let filters = [
        (GET, MethodFilter::GET),
        (POST, MethodFilter::POST),
        (PUT, MethodFilter::PUT),
        (DELETE, MethodFilter::DELETE),
        (PATCH, MethodFilter::PATCH),
    ];
    let filters = filters
        .into_iter()
        .filter(|(bit, _)| methods & bit != 0)
        .map(|(_, filter)| filter);
    filters
        .reduce(MethodFilter::or)
        .expect("a row has a method")
}

/// Who has sent which event, in this world.
pub(super) fn is_own_event(room: &str, event: &str) -> bool {
    !room.contains("foreign") && event.contains("own")
}

impl Called {
    fn parameter(&self, name: &str) -> &str {
        let found = self.parameters.iter().find(|(of, _)| *of == name);
        found.map_or("", |(_, value)| value)
    }

    /// Whether a suspended person may do what this handler is about to do.
    pub(super) fn is_permitted(&self, policy: &SuspensionPolicy, said: &Said) -> bool {
        let all = |actions: &[Action]| actions.iter().all(|action| policy.permits(*action));
        let redaction = |room: &str, event: &str| match is_own_event(room, event) {
            true => policy.permits(Action::RedactOwnEvent),
            false => policy.permits(Action::RedactEvent),
        };
        let room = match self.parameter("roomId") {
            "" => self.parameter("roomIdOrAlias"),
            room => room,
        };
        let event_type = self.parameter("eventType");
        let speaks = matches!(
            self.action,
            Action::JoinRoom | Action::SendMessage | Action::SetTyping
        );
        match self.action {
            _ if speaks && room == APPEALS => true,
            Action::SendMessage if event_type == "m.room.redaction" => {
                redaction(room, said.redacts)
            }
            Action::RedactEvent => redaction(room, self.parameter("eventId")),
            Action::SendState if event_type == "m.room.third_party_invite" => {
                all(&[Action::SendState, Action::Invite])
            }
            Action::SendState
                if event_type == "m.room.member" && !self.parameter("stateKey").is_empty() =>
            {
                match (said.membership, self.parameter("stateKey") == USER) {
                    ("leave", true) => all(&[Action::LeaveRoom]),
                    ("leave", false) => all(&[Action::Kick, Action::Unban]),
                    ("join", true) => all(&[Action::JoinRoom, Action::SetProfile]),
                    ("knock", true) => all(&[Action::KnockRoom]),
                    ("invite", _) => all(&[Action::Invite]),
                    ("ban", _) => all(&[Action::Ban]),
                    _ => all(&[Action::SendState]),
                }
            }
            action => policy.permits(action),
        }
    }
}

const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'.')
    .remove(b'-')
    .remove(b'_')
    .remove(b'~');

/// The path as other routers than axum's would read it, spelled so that axum's reads it like that.
pub(super) fn other_readings(path: &str) -> Vec<String> {
    let decoded: Vec<u8> = percent_decode_str(path).collect();
    let segment = |part: &[u8]| percent_encode(part, SEGMENT).to_string();
    let join = |parts: &[String]| format!("/{}", parts.join("/"));
    let split = |path: &[u8], at: &[u8]| -> Vec<String> {
        let path = path.strip_prefix(b"/").unwrap_or(path);
        path.split(|byte| at.contains(byte)).map(segment).collect()
    };
    let dense = |parts: &[String]| {
        parts
            .iter()
            .filter(|p| !p.is_empty())
            .cloned()
            .collect::<Vec<_>>()
    };
    let each: Vec<String> = path[1..]
        .split('/')
        .map(|part| segment(&percent_decode_str(part).collect::<Vec<_>>()))
        .collect();
    let whole = split(&decoded, b"/");
    let windows = split(&decoded, b"/\\");
    let sent: Vec<String> = path[1..].split('/').map(str::to_owned).collect();
    let mut readings = Vec::new();
    for parts in [sent, each, whole, windows] {
        readings.push(join(&parts));
        readings.push(join(&dense(&parts)));
        readings.push(join(&without_dots(&parts)));
        readings.push(join(&without_dots(&dense(&parts))));
    }
    readings.retain(|reading| reading != path);
    readings.sort();
    readings.dedup();
    readings
}

fn without_dots(parts: &[String]) -> Vec<String> {
    let mut kept = Vec::new();
    for part in parts {
        match part.as_str() {
            "." => {}
            ".." => drop(kept.pop()),
            _ => kept.push(part.clone()),
        }
    }
    kept
}
