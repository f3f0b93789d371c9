//! What the targets do with bytes: they make a request of them, send it through the public service,
//! and check the same things as the property tests, with the same models.

// The models are shared with the property tests, which use more of them.
#![allow(dead_code, unused_imports)]

#[path = "../../tests/differential/credentials.rs"]
mod credentials;
#[path = "../../tests/differential/endpoints.rs"]
mod endpoints;
#[path = "../../tests/differential/harness.rs"]
mod harness;
#[path = "../../tests/differential/routers.rs"]
mod routers;

#[path = "../../tests/hostile_bodies"]
mod bodies {
    #[path = "harness.rs"]
    pub(crate) mod harness;
    #[path = "parsers.rs"]
    pub(crate) mod parsers;
    #[path = "readers.rs"]
    pub(crate) mod readers;
}
pub(crate) use bodies::{parsers, readers};

use axum::body::Body;
use http::{Method, Request, Uri};

use self::{
    bodies::harness::{DEACTIVATE, LOGIN, REFRESH, check},
    harness::{ACTIVE_TOKEN, BOT, End, LOCKED, LOCKED_TOKEN},
    routers::Behind,
};

/// For the property tests in the shared modules, which are not run here.
pub(crate) fn cases(_: u32) -> proptest::test_runner::Config {
    proptest::test_runner::Config::default()
}

/// Lines of header values, and the query as the last one.
pub fn credentials(data: &[u8]) {
    let mut lines: Vec<Vec<u8>> = data
        .split(|&byte| byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    let query = lines.pop().unwrap_or_default();
    let Ok(query) = String::from_utf8(query) else {
        return;
    };
    lines.truncate(4);
    let path = "/_matrix/client/v3/account/whoami";
    let Some(request) = credentials::build("GET", path, &lines, &query) else {
        return;
    };
    let owners = credentials::owners(&request);
    if let End::Reached(_) = harness::send(&Behind::Axum.router(), data.len() % 2 == 0, request) {
        assert!(
            !owners.iter().any(|owner| owner == LOCKED || owner == BOT),
            "somebody slipped past"
        );
    }
}

/// A body of each of the endpoints that name an account; the first byte says which.
pub fn named_accounts(data: &[u8]) {
    let Some((first, body)) = data.split_first() else {
        return;
    };
    match first % 3 {
        0 => check(LOGIN, readers::OF_LOGINS, body),
        1 => check(REFRESH, readers::OF_REFRESHES, body),
        _ => check(DEACTIVATE, readers::OF_REAUTHENTICATIONS, body),
    };
}

/// Two bytes that choose the router, one the method, and then the path.
pub fn endpoints(data: &[u8]) {
    let [router, flags, method, path @ ..] = data else {
        return;
    };
    let Ok(path) = std::str::from_utf8(path) else {
        return;
    };
    if !path.starts_with('/') {
        return;
    }
    let Ok(uri) = Uri::try_from(path) else { return };
    let behind = Behind::numbered(*router, *flags);
    let methods = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::HEAD,
    ];
    let method = &methods[usize::from(*method) % methods.len()];
    let request = Request::builder().method(method).uri(&uri);
    let request = request.header("authorization", format!("Bearer {LOCKED_TOKEN}"));
    let request = request.body(Body::empty()).expect("a request");
    if let End::Reached(endpoint) = harness::send(&behind.router(), false, request) {
        assert!(
            endpoint.is_open_to_the_locked(),
            "{method} {uri} reached {endpoint:?}"
        );
    }
}

/// A whole request: the method, the path and query, header lines, an empty line, the body.
pub fn service(data: &[u8]) {
    let [router, flags, rest @ ..] = data else {
        return;
    };
    let mut parts = rest.splitn(2, |&byte| byte == 0);
    let head = parts.next().unwrap_or_default();
    let body = parts.next().unwrap_or_default();
    let mut lines = head.split(|&byte| byte == b'\n');
    let Ok(method) = Method::from_bytes(lines.next().unwrap_or_default()) else {
        return;
    };
    let Ok(uri) = Uri::try_from(lines.next().unwrap_or_default()) else {
        return;
    };
    let mut request = Request::builder().method(&method).uri(&uri);
    for line in lines {
        request = request.header("authorization", line);
    }
    let Ok(request) = request.body(Body::from(body.to_vec())) else {
        return;
    };
    let owners = credentials::owners(&request);
    let behind = Behind::numbered(*router, *flags);
    let End::Reached(endpoint) = harness::send(&behind.router(), flags % 2 == 0, request) else {
        return;
    };
    if method == Method::OPTIONS {
        return;
    }
    let is_locked = owners.iter().any(|owner| owner == LOCKED || owner == BOT);
    assert!(
        !is_locked || endpoint.is_open_to_the_locked(),
        "{method} {uri} reached {endpoint:?}"
    );
    let is_active = uri
        .query()
        .is_some_and(|query| query.contains(ACTIVE_TOKEN))
        || head
            .windows(ACTIVE_TOKEN.len())
            .any(|window| window == ACTIVE_TOKEN.as_bytes());
    let readers = match endpoint.names_account() {
        Some(endpoints::Names::Identifier) => readers::OF_LOGINS,
        Some(endpoints::Names::Auth) if !is_active => readers::OF_REAUTHENTICATIONS,
        _ => return,
    };
    for (reader, read) in readers {
        for name in read(body).unwrap_or_default() {
            assert!(
                name != format!("user {LOCKED}"),
                "{method} {uri}: {reader} reads the locked one"
            );
        }
    }
}
