//! A homeserver on axum's router with every endpoint of the table, and what its handlers would do
//! with the decoded parameters.

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
    BodyQuestion, SuspensionPolicy, USER,
};
use crate::action::Action;

pub(super) const APPEALS: &str = "!appeals:example.org";
/// The state key of the person's part in a call.
pub(super) const DEVICE: &str = "_@alice:example.org_D_m.call";
pub(super) const VERSIONS: &[&str] = &["v3", "r0", "unstable/org.matrix.msc1"];

/// A handler that was called, and with what.
#[derive(Clone, Debug)]
pub(super) struct Called {
    pub(super) action: Action,
    template: &'static str,
    parameters: Vec<(&'static str, String)>,
}

/// What the body of the request says.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) membership: &'static str,
    pub(super) redacts: &'static str,
    /// That of an event that is scheduled.
    pub(super) state_key: Option<&'static str>,
    /// Whether it is to cancel what is scheduled, to leave a call, or to invite nobody.
    pub(super) ends: bool,
}

impl Said {
    pub(super) fn body(&self, question: BodyQuestion<'_>) -> String {
        let content = |event_type: &str| match event_type {
            "m.room.redaction" => format!(r#"{{"redacts":"{}"}}"#, self.redacts),
            "m.room.member" => format!(r#"{{"membership":"{}"}}"#, self.membership),
            _ if self.ends => "{}".to_owned(),
            _ => r#"{"application":"m.call"}"#.to_owned(),
        };
        match question {
            BodyQuestion::Membership { .. } => content("m.room.member"),
            BodyQuestion::Redaction { .. } => content("m.room.redaction"),
            BodyQuestion::RedactionOf { .. } => "{}".to_owned(),
            BodyQuestion::Call => content("m.call.member"),
            BodyQuestion::DelayedEvent if self.ends => r#"{"action":"cancel"}"#.to_owned(),
            BodyQuestion::DelayedEvent => r#"{"action":"send"}"#.to_owned(),
            BodyQuestion::NewRoom if self.ends => r#"{"invite":[]}"#.to_owned(),
            BodyQuestion::NewRoom => r#"{"invite":["@bob:example.org"]}"#.to_owned(),
            BodyQuestion::NewDelayedEvent { event_type, .. } => {
                let content = content(&event_type.decode());
                let key = self.state_key.map(|key| format!(r#","state_key":"{key}""#));
                let key = key.unwrap_or_default();
                format!(r#"{{"delay_ms":1,"content":{content}{key}}}"#)
            }
        }
    }
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
                                response.extensions_mut().insert(Called {
                                    action,
                                    template,
                                    parameters,
                                });
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

/// The beginning of a path of this root.
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
        Root::MediaProxy => versioned("media_proxy"),
        Root::WellKnown => vec!["/.well-known/matrix/".to_owned()],
        Root::Administration => vec!["/_dendrite/admin/".to_owned()],
    }
}

/// Parameters by position, because axum accepts only one name in each place.
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

/// Who has sent which event.
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
        let room = match self.parameter("roomId") {
            "" => self.parameter("roomIdOrAlias"),
            room => room,
        };
        let event = |key: Option<&str>| {
            is_event_permitted(policy, said, room, self.parameter("eventType"), key)
        };
        match self.action {
            Action::JoinRoom | Action::SetTyping if room == APPEALS => true,
            Action::SendMessage
                if self.template.starts_with("delayed_events/")
                    || self.template.ends_with("/batch_send") =>
            {
                let asks = self.template == "delayed_events/{delayId}";
                match asks && said.ends {
                    true => policy.permits(Action::CancelDelayedEvent),
                    // It could be any event.
                    false => EVENTS.iter().all(|&action| policy.permits(action)),
                }
            }
            Action::SendMessage if self.template.contains("/delayed_event/") => {
                event(said.state_key)
            }
            Action::SendMessage => event(None),
            Action::SendState => event(Some(self.parameter("stateKey"))),
            Action::RedactEvent => {
                let own = match self.parameter("userId") {
                    "" => is_own_event(room, self.parameter("eventId")),
                    user => user == USER,
                };
                is_redaction_permitted(policy, own)
            }
            Action::CreateRoom => {
                policy.permits(Action::CreateRoom) && (said.ends || policy.permits(Action::Invite))
            }
            Action::SetAccountData => policy.permits(match self.parameter("type") {
                "m.tag" => Action::SetTag,
                "m.push_rules" => Action::SetPushRule,
                _ => Action::SetAccountData,
            }),
            action => policy.permits(action),
        }
    }
}

/// What an event may be that a request does not show.
const EVENTS: &[Action] = &[
    Action::SendMessage,
    Action::SendState,
    Action::JoinRoom,
    Action::KnockRoom,
    Action::Invite,
    Action::LeaveRoom,
    Action::Kick,
    Action::Ban,
    Action::Unban,
    Action::SetProfile,
    Action::LeaveCall,
    Action::RedactOwnEvent,
    Action::RedactEvent,
];

fn is_redaction_permitted(policy: &SuspensionPolicy, own: bool) -> bool {
    policy.permits(match own {
        true => Action::RedactOwnEvent,
        false => Action::RedactEvent,
    })
}

/// Whether a suspended person may send the event, now or later.
fn is_event_permitted(
    policy: &SuspensionPolicy,
    said: &Said,
    room: &str,
    event_type: &str,
    state_key: Option<&str>,
) -> bool {
    let all = |actions: &[Action]| actions.iter().all(|action| policy.permits(*action));
    match (event_type, state_key) {
        // In a room for appeals, too, because a redaction is no message.
        ("m.room.redaction", None) => {
            is_redaction_permitted(policy, is_own_event(room, said.redacts))
        }
        (_, None) if room == APPEALS => true,
        (_, None) => all(&[Action::SendMessage]),
        ("m.room.third_party_invite", _) => all(&[Action::SendState, Action::Invite]),
        (_, Some("")) => all(&[Action::SendState]),
        ("m.room.member", Some(key)) => match (said.membership, key == USER) {
            ("leave", true) => all(&[Action::LeaveRoom]),
            ("leave", false) => all(&[Action::Kick, Action::Unban]),
            ("join", true) => all(&[Action::JoinRoom, Action::SetProfile]),
            ("knock", true) => all(&[Action::KnockRoom]),
            ("invite", _) => all(&[Action::Invite]),
            ("ban", _) => all(&[Action::Ban]),
            _ => all(&[Action::SendState]),
        },
        ("m.call.member", Some(USER | DEVICE)) if said.ends => all(&[Action::LeaveCall]),
        _ => all(&[Action::SendState]),
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
