//! The table of cases. Every row is run for both endpoints and their unstable twins.

use std::time::Duration;

use http::Method;
use serde_json::json;
use tower_account_status::{
    Restriction,
    RestrictionKind::{self, Deactivated, Locked, Suspended},
};

use crate::world::{ADMIN, ALICE, GONE, OTHER_ADMIN, SLASH, now};

/// One of the four paths, and what it is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Endpoint {
    pub(crate) path: &'static str,
    pub(crate) kind: RestrictionKind,
    pub(crate) key: &'static str,
}

pub(crate) const ENDPOINTS: [Endpoint; 4] = [
    Endpoint {
        path: "/_matrix/client/v1/admin/lock/",
        kind: Locked,
        key: "locked",
    },
    Endpoint {
        path: "/_matrix/client/v1/admin/suspend/",
        kind: Suspended,
        key: "suspended",
    },
    Endpoint {
        path: "/_matrix/client/unstable/uk.timedout.msc4323/admin/lock/",
        kind: Locked,
        key: "locked",
    },
    Endpoint {
        path: "/_matrix/client/unstable/uk.timedout.msc4323/admin/suspend/",
        kind: Suspended,
        key: "suspended",
    },
];

pub(crate) struct Row {
    /// Which section of the specification, or which row of the MSC, and what it says.
    pub(crate) name: &'static str,
    pub(crate) method: Method,
    /// After the endpoint's path.
    pub(crate) target: String,
    pub(crate) authorization: Vec<&'static str>,
    pub(crate) body: String,
    /// Who is restricted before.
    pub(crate) before: Vec<(&'static str, Restriction)>,
    pub(crate) expected: Expected,
    /// Who is restricted by what after, as far as the row says so.
    pub(crate) after: Vec<(&'static str, Vec<RestrictionKind>)>,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Expected {
    /// 200 with this value under the endpoint's key.
    Says(bool),
    /// The same without a body, to HEAD.
    SaysWithoutBody(bool),
    /// A standard error response.
    Refused(u16, &'static str),
    /// A standard error response, before anything was looked up about the target.
    RefusedUnseen(u16, &'static str),
    /// The same, with `soft_logout: true`.
    LoggedOutSoftly,
    /// The answer to a preflight, before anything was looked up at all.
    Preflight,
    /// The inner service answers.
    Inner,
}

use Expected::{Inner, LoggedOutSoftly, Preflight, Refused, RefusedUnseen, Says, SaysWithoutBody};

impl Row {
    fn new(name: &'static str, method: Method, target: &str) -> Self {
        Self {
            name,
            method,
            target: target.to_owned(),
            authorization: vec!["Bearer admin"],
            body: String::new(),
            before: Vec::new(),
            expected: Inner,
            after: Vec::new(),
        }
    }

    fn get(name: &'static str, target: &str) -> Self {
        Self::new(name, Method::GET, target)
    }

    fn put(name: &'static str, target: &str, body: String) -> Self {
        Self {
            body,
            ..Self::new(name, Method::PUT, target)
        }
    }

    fn with_raw_body(mut self, body: impl Into<String>) -> Self {
        self.body = body.into();
        self
    }

    fn by(mut self, authorization: &[&'static str]) -> Self {
        self.authorization = authorization.to_vec();
        self
    }

    fn when(mut self, user: &'static str, restriction: impl Into<Restriction>) -> Self {
        self.before.push((user, restriction.into()));
        self
    }

    fn is(mut self, expected: Expected) -> Self {
        self.expected = expected;
        self
    }

    fn leaves(mut self, user: &'static str, kinds: &[RestrictionKind]) -> Self {
        self.after.push((user, kinds.to_vec()));
        self
    }
}

const SLASH_ENCODED: &str = "@team%2Fbot:example.org";

#[rustfmt::skip] // a table
pub(crate) fn rows(endpoint: Endpoint) -> Vec<Row> {
    let (kind, key) = (endpoint.kind, endpoint.key);
    let on = || json!({ key: true }).to_string();
    let off = || json!({ key: false }).to_string();
    let other = if kind == Locked { Suspended } else { Locked };
    let ended = Restriction::new(kind).with_until(now());
    let temporary = Restriction::new(kind).with_until(now() + Duration::from_secs(1));
    let mut rows = vec![
        // What is said and done.
        Row::get("v1.18 GET 200: an active account", ALICE)
            .is(Says(false)).leaves(ALICE, &[]),
        Row::get("v1.18 GET 200: a restricted account", ALICE)
            .when(ALICE, kind).is(Says(true)).leaves(ALICE, &[kind]),
        Row::get("v1.18 GET 200: only this restriction counts", ALICE)
            .when(ALICE, other).is(Says(false)).leaves(ALICE, &[other]),
        Row::get("v1.18 GET 200: an administrator reads their own state", ADMIN)
            .is(Says(false)),
        Row::get("rule 2 GET 200: a restriction with an end to come", ALICE)
            .when(ALICE, temporary.clone()).is(Says(true)),
        Row::get("rule 2 GET 200: a restriction past its end", ALICE)
            .when(ALICE, ended.clone()).is(Says(false)),
        Row::put("v1.18 PUT 200: sets the restriction", ALICE, on())
            .is(Says(true)).leaves(ALICE, &[kind]),
        Row::put("v1.18 PUT 200: lifts the restriction", ALICE, off())
            .when(ALICE, kind).is(Says(false)).leaves(ALICE, &[]),
        Row::put("MSC4323 PUT 200: the state stands already, restricted", ALICE, on())
            .when(ALICE, kind).is(Says(true)).leaves(ALICE, &[kind]),
        Row::put("MSC4323 PUT 200: the state stands already, unrestricted", ALICE, off())
            .is(Says(false)).leaves(ALICE, &[]),
        Row::put("rule 4 PUT 200: setting leaves the other restriction alone", ALICE, on())
            .when(ALICE, other).is(Says(true)).leaves(ALICE, &[Locked, Suspended]),
        Row::put("rule 4 PUT 200: lifting leaves the other restriction alone", ALICE, off())
            .when(ALICE, other).when(ALICE, kind).is(Says(false)).leaves(ALICE, &[other]),
        Row::put("rule 2 PUT 200: a restriction past its end is lifted", ALICE, off())
            .when(ALICE, ended).is(Says(false)).leaves(ALICE, &[]),
        Row::put("MSC4323 PUT 200: extensions are ignored", ALICE, json!({
            key: true, "org.example.case": { "text": [1, null] }, "org.example.until": null,
        }).to_string()).is(Says(true)).leaves(ALICE, &[kind]),
        Row::put("rule 2 PUT 400: an end is not dropped in silence", ALICE, json!({
            key: true, "org.example.until_ts": 1_893_456_000_000_u64,
        }).to_string()).is(Refused(400, "M_INVALID_PARAM")).leaves(ALICE, &[]),
        Row::put("rule 2 PUT 400: nor is a reason", ALICE, json!({
            key: false, "reason": "appeal granted",
        }).to_string()).when(ALICE, kind).is(Refused(400, "M_INVALID_PARAM")).leaves(ALICE, &[kind]),
        Row::put("MSC4323 PUT 200: the other endpoint's key is an extension", ALICE, json!({
            key: true, "locked": true, "suspended": true,
        }).to_string()).is(Says(true)).leaves(ALICE, &[kind]),
        Row::new("RFC 9110 HEAD 200: like GET, without a body", Method::HEAD, ALICE)
            .when(ALICE, kind).is(SaysWithoutBody(true)),
        // User identifiers.
        Row::get("v1.18 user identifiers: a slash as %2F", "@team%2Fbot:example.org")
            .when(SLASH, kind).is(Says(true)),
        Row::put("v1.18 user identifiers: a slash as %2f, changed", "%40team%2fbot%3Aexample.org", on())
            .is(Says(true)).leaves(SLASH, &[kind]).leaves(ALICE, &[]),
        Row::get("v1.18 user identifiers: decoded once", "@team%252Fbot:example.org")
            .is(Refused(404, "M_NOT_FOUND")),
        Row::get("v1.18 user identifiers: compared byte by byte", "@Alice:example.org")
            .when(ALICE, kind).is(Refused(404, "M_NOT_FOUND")),
        Row::get("v1.18 user identifiers: what is not text names nobody", "@%ff%fe:example.org")
            .is(Refused(400, "M_INVALID_PARAM")),
        Row::get("v1.18 user identifiers: a slash that is none", "@team/bot:example.org").is(Inner),
        Row::get("v1.18 paths: no trailing slash", "@alice:example.org/").is(Inner),
        Row::get("v1.18 paths: nobody", "").is(Inner),
        Row::get("v1.18 paths: the query is no part of it", "@alice:example.org?x=/y").is(Says(false)),
        // 401.
        Row::get("v1.18 401 M_MISSING_TOKEN: no token", ALICE)
            .by(&[]).is(RefusedUnseen(401, "M_MISSING_TOKEN")),
        Row::get("v1.18 401 M_MISSING_TOKEN: another scheme", ALICE)
            .by(&["Basic YWRtaW46eA=="]).is(RefusedUnseen(401, "M_MISSING_TOKEN")),
        Row::put("v1.18 401 M_UNKNOWN_TOKEN: nobody's token", ALICE, on())
            .by(&["Bearer nobody"]).is(RefusedUnseen(401, "M_UNKNOWN_TOKEN")).leaves(ALICE, &[]),
        Row::put("v1.18 401 soft logout: an expired token", ALICE, on())
            .by(&["Bearer expired"]).is(LoggedOutSoftly).leaves(ALICE, &[]),
        Row::get("v1.18 client authentication: the token in the query", "@alice:example.org?access_token=admin")
            .by(&[]).is(Says(false)),
        Row::get("rule 7 several tokens of one person", "@alice:example.org?access_token=admin")
            .by(&["Bearer admin", "Bearer nobody"]).is(Says(false)),
        Row::put("rule 7 400 M_INVALID_PARAM: tokens of two people", "@alice:example.org?access_token=alice", on())
            .is(RefusedUnseen(400, "M_INVALID_PARAM")).leaves(ALICE, &[]),
        Row::put("rule 7 400 M_INVALID_PARAM: more tokens than are looked up", "@alice:example.org?access_token=5", on())
            .by(&["Bearer admin", "Bearer 2", "Bearer 3", "Bearer 4"])
            .is(RefusedUnseen(400, "M_INVALID_PARAM")).leaves(ALICE, &[]),
        Row::put("AS identity assertion: no application service becomes an administrator by it", "@alice:example.org?user_id=@admin:example.org", on())
            .by(&["Bearer service"]).is(RefusedUnseen(403, "M_FORBIDDEN")).leaves(ALICE, &[]),
        Row::put("AS identity assertion: anyone else's user_id is ignored", "@alice:example.org?user_id=@admin:example.org", on())
            .by(&["Bearer alice"]).is(RefusedUnseen(403, "M_FORBIDDEN")),
        // 403.
        Row::get("v1.18 GET 403 M_FORBIDDEN: the requester is not an administrator", ALICE)
            .by(&["Bearer alice"]).is(RefusedUnseen(403, "M_FORBIDDEN")),
        Row::put("v1.18 PUT 403 M_FORBIDDEN: the requester is not an administrator", SLASH_ENCODED, on())
            .by(&["Bearer alice"]).is(RefusedUnseen(403, "M_FORBIDDEN")).leaves(SLASH, &[]),
        Row::put("v1.18 PUT 403 M_FORBIDDEN: nor for their own account", ALICE, off())
            .by(&["Bearer alice"]).when(ALICE, kind)
            .is(RefusedUnseen(403, "M_FORBIDDEN")).leaves(ALICE, &[kind]),
        Row::get("v1.18 no enumeration: 403 before 404", "@nobody:example.org")
            .by(&["Bearer alice"]).is(RefusedUnseen(403, "M_FORBIDDEN")),
        Row::get("v1.18 no enumeration: 403 before 400", "@alice:elsewhere.org")
            .by(&["Bearer alice"]).is(RefusedUnseen(403, "M_FORBIDDEN")),
        Row::get("v1.18 no enumeration: 403 before what is not text", "%ff")
            .by(&["Bearer alice"]).is(RefusedUnseen(403, "M_FORBIDDEN")),
        Row::put("v1.18 no enumeration: 403 before the body", ALICE, on())
            .by(&["Bearer alice"]).with_raw_body("{").is(RefusedUnseen(403, "M_FORBIDDEN")),
        Row::get("v1.18 GET 403 M_FORBIDDEN: another administrator", OTHER_ADMIN)
            .is(Refused(403, "M_FORBIDDEN")),
        Row::put("v1.18 PUT 403 M_FORBIDDEN: another administrator", OTHER_ADMIN, on())
            .is(Refused(403, "M_FORBIDDEN")).leaves(OTHER_ADMIN, &[]),
        Row::put("v1.18 PUT 403 M_FORBIDDEN: another administrator stays restricted", OTHER_ADMIN, off())
            .when(OTHER_ADMIN, kind).is(Refused(403, "M_FORBIDDEN")).leaves(OTHER_ADMIN, &[kind]),
        Row::put("v1.18 PUT 403 M_FORBIDDEN: oneself, on", ADMIN, on())
            .is(Refused(403, "M_FORBIDDEN")).leaves(ADMIN, &[]),
        Row::put("v1.18 PUT 403 M_FORBIDDEN: oneself, off", ADMIN, off())
            .when(ADMIN, kind).is(Refused(403, "M_FORBIDDEN")).leaves(ADMIN, &[kind]),
        // 400 and 404.
        Row::get("v1.18 GET 400 M_INVALID_PARAM: another server's user", "@alice:elsewhere.org")
            .is(Refused(400, "M_INVALID_PARAM")),
        Row::put("v1.18 PUT 400 M_INVALID_PARAM: another server's user", "@alice:elsewhere.org", on())
            .is(Refused(400, "M_INVALID_PARAM")),
        Row::get("v1.18 GET 400 M_INVALID_PARAM: no user id", "alice")
            .is(Refused(400, "M_INVALID_PARAM")),
        Row::get("v1.18 GET 404 M_NOT_FOUND: no such user", "@nobody:example.org")
            .is(Refused(404, "M_NOT_FOUND")),
        Row::put("v1.18 PUT 404 M_NOT_FOUND: no such user", "@nobody:example.org", on())
            .is(Refused(404, "M_NOT_FOUND")),
        Row::get("v1.18 GET 404 M_NOT_FOUND: deactivated, says the directory", GONE)
            .when(GONE, kind).is(Refused(404, "M_NOT_FOUND")),
        Row::get("v1.18 GET 404 M_NOT_FOUND: deactivated, says the store", ALICE)
            .when(ALICE, Deactivated).when(ALICE, kind).is(Refused(404, "M_NOT_FOUND")),
        Row::put("v1.18 PUT 404 M_NOT_FOUND: deactivated, says the store", ALICE, on())
            .when(ALICE, Deactivated).is(Refused(404, "M_NOT_FOUND")).leaves(ALICE, &[Deactivated]),
        Row::put("v1.18 PUT 404 before the body", "@nobody:example.org", on())
            .with_raw_body("{").is(Refused(404, "M_NOT_FOUND")),
        // Bodies.
        Row::put("v1.18 standard error response: M_NOT_JSON", ALICE, on())
            .with_raw_body("{\"locked\":true,\"suspended\":true")
            .is(Refused(400, "M_NOT_JSON")).leaves(ALICE, &[]),
        Row::put("v1.18 standard error response: M_NOT_JSON, no body", ALICE, on())
            .with_raw_body("").is(Refused(400, "M_NOT_JSON")).leaves(ALICE, &[]),
        Row::put("v1.18 standard error response: M_BAD_JSON, not an object", ALICE, json!([true]).to_string())
            .is(Refused(400, "M_BAD_JSON")).leaves(ALICE, &[]),
        Row::put("v1.18 standard error response: M_BAD_JSON, not a boolean", ALICE, json!({ key: "true" }).to_string())
            .is(Refused(400, "M_BAD_JSON")).leaves(ALICE, &[]),
        Row::put("v1.18 standard error response: M_BAD_JSON, two values", ALICE, on())
            .with_raw_body(format!("{{\"{key}\":true,\"{key}\":false}}"))
            .is(Refused(400, "M_BAD_JSON")).leaves(ALICE, &[]),
        Row::put("v1.18 standard error response: M_MISSING_PARAM", ALICE, json!({}).to_string())
            .is(Refused(400, "M_MISSING_PARAM")).leaves(ALICE, &[]),
        Row::put("v1.18 standard error response: M_MISSING_PARAM, a vendor's key", ALICE, json!({ "suspend": true }).to_string())
            .is(Refused(400, "M_MISSING_PARAM")).leaves(ALICE, &[]),
        Row::put("v1.18 standard error response: M_TOO_LARGE", ALICE, on())
            .with_raw_body(format!("{{\"{key}\":true}}{}", " ".repeat(64 * 1024)))
            .is(Refused(413, "M_TOO_LARGE")).leaves(ALICE, &[]),
        // Methods.
        Row::new("v1.18 CORS: OPTIONS does nothing", Method::OPTIONS, ALICE).is(Preflight),
        Row::new("v1.18 CORS: a preflight has no token", Method::OPTIONS, "@nobody:example.org")
            .by(&[]).is(Preflight),
    ];
    for method in [Method::POST, Method::DELETE, Method::PATCH, Method::TRACE] {
        let name = "MSC3743 405 M_UNRECOGNIZED: another method";
        let row = Row::new(name, method, ALICE);
        rows.push(row.is(RefusedUnseen(405, "M_UNRECOGNIZED")).leaves(ALICE, &[]));
    }
    rows
}
