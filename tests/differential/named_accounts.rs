//! Rule 10: no path takes the login of a locked account past the check, nor a refresh, nor a
//! re-authentication.

use axum::body::Body;
use http::{Method, Request};
use proptest::{prelude::*, sample::select};

use crate::{
    cases,
    endpoints::Names,
    harness::{self, ACTIVE_TOKEN, End, LOCKED, LOCKED_REFRESH},
    requests, routers,
};

fn body(names: Names) -> String {
    let identifier = format!(r#"{{"type":"m.id.user","user":"{LOCKED}"}}"#);
    match names {
        Names::Identifier => {
            format!(r#"{{"type":"m.login.password","identifier":{identifier},"password":"p"}}"#)
        }
        Names::RefreshToken => format!(r#"{{"refresh_token":"{LOCKED_REFRESH}"}}"#),
        Names::Auth => {
            format!(r#"{{"auth":{{"type":"m.login.password","identifier":{identifier}}}}}"#)
        }
    }
}

proptest! {
    #![proptest_config(cases(25_000))]

    #[test]
    fn rule_10_no_path_leads_a_locked_accounts_name_past(
        behind in routers::behind(),
        names in select(&[Names::Identifier, Names::RefreshToken, Names::Auth][..]),
        (_, uri) in requests::aimed_at(|endpoint| endpoint.names_account().is_some()),
        awaits in any::<bool>(),
        stray_token in any::<bool>(),
    ) {
        let mut request = Request::builder().method(Method::POST).uri(uri.clone());
        // Another account's token is no reason not to look where no token counts.
        if stray_token && names != Names::Auth {
            request = request.header("authorization", format!("Bearer {ACTIVE_TOKEN}"));
        }
        let request = request.body(Body::from(body(names))).expect("a request");
        let end = harness::send(&behind.router(), awaits, request);
        if let End::Reached(endpoint) = end {
            prop_assert!(endpoint.names_account() != Some(names), "{uri} reached {endpoint:?}");
        }
    }
}
