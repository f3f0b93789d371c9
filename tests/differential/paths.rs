//! Rules 5 and 6: no path takes a locked account to an endpoint that is not open to it.

use axum::body::Body;
use http::{Method, Request, Uri};
use proptest::prelude::*;

use crate::{
    cases,
    harness::{self, End, LOCKED_TOKEN},
    requests, routers,
};

/// The way a request carries the locked account's token.
fn send(behind: routers::Behind, awaits: bool, in_query: bool, method: Method, uri: &Uri) -> End {
    let mut request = Request::builder().method(method);
    if in_query {
        let path = uri.path();
        request = request.uri(format!("{path}?access_token={LOCKED_TOKEN}"));
    } else {
        request = request.uri(uri.clone());
        request = request.header("authorization", format!("Bearer {LOCKED_TOKEN}"));
    }
    let request = request.body(Body::empty()).expect("a request");
    harness::send(&behind.router(), awaits, request)
}

proptest! {
    #![proptest_config(cases(40_000))]

    #[test]
    fn rules_5_and_6_no_path_leads_a_locked_account_past(
        behind in routers::behind(),
        (method, uri) in prop_oneof![
            6 => requests::aimed_at(|_| true),
            1 => requests::anything(),
        ],
        (awaits, in_query) in any::<(bool, bool)>(),
    ) {
        let end = send(behind, awaits, in_query, method.clone(), &uri);
        if let End::Reached(endpoint) = end {
            // A preflight has no handler of its own, except those that take every method.
            let is_open = endpoint.is_open_to_the_locked() || method == Method::OPTIONS;
            prop_assert!(is_open, "{method} {uri} reached {endpoint:?}");
        }
    }
}

/// The property above would hold if everything were refused, or if nothing were ever found.
#[test]
fn rules_5_and_6_what_is_open_is_reached() {
    for behind in [routers::Behind::Axum, routers::Behind::Normalized] {
        for (method, path) in [
            (Method::POST, "/_matrix/client/v3/logout"),
            (Method::POST, "/_matrix/client/r0/logout/all"),
            (Method::GET, "/_matrix/client/v3/login"),
            (Method::GET, "/.well-known/matrix/client"),
            (Method::POST, "/oauth2/token"),
        ] {
            let uri = Uri::from_static(path);
            let end = send(behind, false, false, method, &uri);
            assert!(matches!(end, End::Reached(_)), "{path}: {end:?}");
        }
        let sync = Uri::from_static("/_matrix/client/v3/sync");
        let end = send(behind, false, false, Method::GET, &sync);
        assert!(matches!(end, End::Refused), "{end:?}");
    }
}
