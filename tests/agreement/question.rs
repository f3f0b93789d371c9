//! What is asked: random settings, endpoints, credentials and states.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Extensions, Method, Request, Uri};
use http_body_util::Full;
use proptest::{prelude::*, sample::select};
use tower_account_status::{
    AccountState, AccountStateStore, AccountStatusLayer, Action, RequestPath, Restriction,
    RestrictionKind::{self, Deactivated, Locked, Suspended},
    StoreFailure, SuspensionPolicy,
};

use crate::support::{ALICE, BOBS_TOKEN, TOKEN, anonymous, bear};

pub(crate) type Body = Full<Bytes>;
pub(crate) type Endpoint = (Method, &'static str, &'static str);

pub(crate) const BRIDGE: &str = "@bridge:localhost";
pub(crate) const SERVICES_TOKEN: &str = "services_secret";

const LEAVE: &str = r#"{"membership":"leave"}"#;
const JOIN: &str = r#"{"membership":"join"}"#;
const MEMBER: &str = "/_matrix/client/v3/rooms/!r/state/m.room.member/@alice:localhost";

/// Method, path as the client sends it, body. Where bodies name an account, it is Alice's.
pub(crate) const ENDPOINTS: &[Endpoint] = &[
    (Method::GET, "/_matrix/client/v3/sync", ""),
    (Method::GET, "/_matrix/client/r0/events", ""),
    (Method::GET, "/_matrix/client/v3/x/../sync", ""),
    (Method::GET, "/_matrix/client/v3/s%79nc", ""),
    (
        Method::POST,
        "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync",
        "{}",
    ),
    (Method::GET, "/app/v1/events", ""),
    (Method::GET, "/app/v1/x", ""),
    (Method::CONNECT, "/app/v1/ws", ""),
    (Method::GET, "/_matrix/client/v3/rooms/!r/messages", ""),
    (
        Method::PUT,
        "/_matrix/client/v3/rooms/!r/send/m.room.message/1",
        "{}",
    ),
    (Method::PUT, "/_matrix/client/v3/rooms/!r/redact/$e/1", "{}"),
    (Method::PUT, MEMBER, LEAVE),
    (Method::PUT, MEMBER, JOIN),
    (Method::PUT, MEMBER, "no JSON"),
    (Method::POST, "/_matrix/client/v3/rooms/!r/leave", "{}"),
    (Method::POST, "/_matrix/client/v3/logout", ""),
    (Method::POST, "/_matrix/client/v3/logout/", ""),
    (Method::OPTIONS, "/_matrix/client/v3/sync", ""),
    (Method::GET, "/_matrix/client/versions", ""),
    (Method::HEAD, "/_matrix/client/versions", ""),
    (Method::GET, "/_matrix/client/v3/login", ""),
    (
        Method::POST,
        "/_matrix/client/v3/login",
        r#"{"user":"alice"}"#,
    ),
    (
        Method::POST,
        "/_matrix/client/v3/refresh",
        r#"{"refresh_token":"alices"}"#,
    ),
    (Method::POST, "/_matrix/client/v3/account/deactivate", "{}"),
    (Method::DELETE, "/_matrix/client/v3/devices/x", ""),
    (Method::GET, "/_matrix/federation/v1/version", ""),
    (Method::GET, "/.well-known/matrix/support", ""),
    (Method::GET, "/unknown", ""),
    (Method::POST, "/unknown", ""),
];

/// Whose credentials a request has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sent {
    Alices,
    /// An application service's, which asserts to act for Alice.
    ServicesForAlice,
    /// An application service's, which acts for itself.
    Services,
    /// Bob's, who is active, and hers in a second header.
    AfterBobs,
    /// The same with hers in the query.
    InQueryBesideBobs,
}

pub(crate) const SENT: [Sent; 6] = [
    Sent::Alices,
    Sent::Alices,
    Sent::ServicesForAlice,
    Sent::Services,
    Sent::AfterBobs,
    Sent::InQueryBesideBobs,
];

impl Sent {
    /// Whose state decides.
    pub(crate) fn account(self) -> &'static str {
        match self {
            Self::Services => BRIDGE,
            _ => ALICE,
        }
    }

    pub(crate) fn query(self) -> String {
        match self {
            Self::ServicesForAlice => format!("?user_id={ALICE}"),
            Self::InQueryBesideBobs => format!("?a=b&access_token={TOKEN}"),
            Self::Alices | Self::Services | Self::AfterBobs => String::new(),
        }
    }

    pub(crate) fn tokens(self) -> &'static [&'static str] {
        match self {
            Self::Alices => &[TOKEN],
            Self::ServicesForAlice | Self::Services => &[SERVICES_TOKEN],
            Self::AfterBobs => &[BOBS_TOKEN, TOKEN],
            Self::InQueryBesideBobs => &[BOBS_TOKEN],
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Place {
    AsSent,
    NestedAt(&'static str),
    Below(&'static str),
    Original,
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    place: Place,
    exempt: Option<usize>,
    exempt_versions: bool,
    excludes_app: bool,
    refused: Vec<Action>,
    permitted: Vec<Action>,
    permitted_endpoint: Option<usize>,
    report_only: bool,
    lets_pass_on_failure: bool,
}

pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)
}

pub(crate) fn settings() -> impl Strategy<Value = Settings> {
    let endpoint = || prop::option::weighted(0.3, 0..ENDPOINTS.len());
    let actions = || prop::collection::vec(select(Action::ALL), 0..4);
    let place = select(vec![
        Place::AsSent,
        Place::AsSent,
        Place::NestedAt("/_matrix/client"),
        Place::NestedAt("/_matrix/client/v3"),
        Place::Below("/hs"),
        Place::Original,
    ]);
    let refused = prop_oneof![
        actions(),
        Just(vec![Action::Sync, Action::UnknownRead]),
        Just(vec![Action::Sync]),
    ];
    let rare = || prop::bool::weighted(0.1);
    let flags = (any::<bool>(), any::<bool>(), rare(), rare());
    (place, endpoint(), endpoint(), refused, actions(), flags).prop_map(
        |(place, exempt, permitted_endpoint, refused, permitted, flags)| Settings {
            place,
            exempt,
            exempt_versions: flags.0,
            excludes_app: flags.1,
            refused,
            permitted,
            permitted_endpoint,
            report_only: flags.2,
            lets_pass_on_failure: flags.3,
        },
    )
}

/// Some restrictions, which may have ended, end later, or not at all.
pub(crate) fn state() -> impl Strategy<Value = AccountState> {
    let one = |kind: RestrictionKind| {
        let end = prop_oneof![Just(None), Just(Some(-1_i64)), Just(Some(60))];
        prop::option::weighted(0.4, end).prop_map(move |end| {
            let end = end?;
            let restriction = Restriction::new(kind);
            Some(match end {
                None => restriction,
                Some(seconds) if seconds < 0 => {
                    restriction.with_until(now() - Duration::from_secs(1))
                }
                Some(_) => restriction.with_until(now() + Duration::from_secs(60)),
            })
        })
    };
    (one(Deactivated), one(Locked), one(Suspended)).prop_map(|(deactivated, locked, suspended)| {
        [deactivated, locked, suspended]
            .into_iter()
            .flatten()
            .collect()
    })
}

impl Settings {
    pub(crate) fn apply<S: AccountStateStore>(
        &self,
        layer: AccountStatusLayer<S>,
    ) -> AccountStatusLayer<S> {
        let mut policy = SuspensionPolicy::new();
        for &action in &self.permitted {
            policy = policy.permit(action);
        }
        for &action in &self.refused {
            policy = policy.refuse(action);
        }
        if let Some(endpoint) = self.permitted_endpoint {
            let (method, path, _) = ENDPOINTS[endpoint].clone();
            // These can never be permitted by themselves.
            let is_odd = path.contains("/../") || path.ends_with('/');
            if !is_odd && method != Method::CONNECT {
                policy = policy.permit_endpoint(method, path);
            }
        }
        let mut layer = layer
            .with_suspension_policy(policy)
            .with_clock(now)
            .with_request_path(match self.place {
                Place::AsSent => RequestPath::as_sent(),
                Place::NestedAt(mount) => RequestPath::nested_at(mount),
                Place::Below(prefix) => RequestPath::below(prefix),
                Place::Original => RequestPath::original_uri(Extensions::get::<Uri>),
            });
        if let Some(endpoint) = self.exempt {
            let (method, path, _) = ENDPOINTS[endpoint].clone();
            layer = layer.add_exempt(method, path);
        }
        if self.exempt_versions {
            layer = layer.with_exempt_versions();
        }
        if self.excludes_app {
            layer = layer.add_excluded_prefix("/app");
        }
        if self.report_only {
            layer = layer.with_report_only();
        }
        if self.lets_pass_on_failure {
            layer = layer.with_store_failure(StoreFailure::LetEveryoneThrough);
        }
        layer
    }

    /// The request as it reaches the layer in its place, if it does.
    pub(crate) fn request(
        &self,
        (method, path, body): &Endpoint,
        sent: Sent,
    ) -> Option<Request<Body>> {
        let seen = match self.place {
            Place::AsSent => (*path).to_owned(),
            Place::NestedAt(mount) => path.strip_prefix(mount)?.to_owned(),
            Place::Below(prefix) => format!("{prefix}{path}"),
            Place::Original => "/inner".to_owned(),
        };
        let mut request = anonymous(method.clone(), &(seen + &sent.query()), *body);
        request
            .extensions_mut()
            .insert(path.parse::<Uri>().expect("a path"));
        for token in sent.tokens() {
            bear(&mut request, token);
        }
        Some(request)
    }
}
