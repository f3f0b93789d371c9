//! Bodies in which some server would find another account than the layer (rule 10).

mod support;

use http::{Method, StatusCode};
use support::{LOGIN, anonymous, ask, layer, locked, passed, store, store_with, verdict};
use tower_account_status::{Denial, DenialCause, RestrictionKind};

/// A server that keeps the first body of a user-interactive session, and adds its fields to a later
/// one, would find a name there that is not in this body.
#[tokio::test]
async fn rule_10_a_login_or_refresh_that_continues_a_session_is_refused() {
    let layer = layer(&store());
    for path in [
        LOGIN,
        "/_matrix/client/r0/login",
        "/_matrix/client/v3/refresh",
        "/_matrix/client/v3//login",
        "/_matrix/client/v3/x/../login",
    ] {
        for auth in [r#"{"session":"S"}"#, "{}", "[]", "false", "0", r#""S""#] {
            for body in [
                format!(r#"{{"type":"m.login.password","password":"x","auth":{auth}}}"#),
                format!(r#"{{"user":"bob","refresh_token":"r","auth":null,"Auth":{auth}}}"#),
                format!(r#"{{"\u0061uth":{auth}}}"#),
            ] {
                let answer = ask(&layer, anonymous(Method::POST, path, body.clone())).await;
                // On `/refresh` the answer is no Matrix error.
                let cause = answer.denial.as_ref().map(Denial::cause);
                assert_eq!(
                    (answer.status, cause),
                    (StatusCode::BAD_REQUEST, Some(DenialCause::BodyUnclear)),
                    "{path} {body}"
                );
            }
        }
        let body = r#"{"user":"bob","refresh_token":"r","auth":null}"#;
        let answer = ask(&layer, anonymous(Method::POST, path, body)).await;
        assert_eq!(answer.verdict(), passed(), "{path}");
    }
    for path in [
        "/_matrix/client/v3/account/password",
        "/_matrix/client/v3/account/deactivate",
        "/_matrix/client/v3/register",
    ] {
        let body = r#"{"auth":{"session":"S"}}"#;
        let answer = ask(&layer, anonymous(Method::POST, path, body)).await;
        assert_eq!(answer.verdict(), passed(), "{path}");
    }
}

/// Keys by which some parser takes a value for another: see `docs/trust.md`.
#[tokio::test]
async fn rule_10_a_key_that_changes_what_a_value_is_is_refused_wherever_it_is() {
    let layer = layer(&store_with(RestrictionKind::Locked));
    for key in [
        "$serde_json::private::RawValue",
        "$serde_json::private::Number",
        "$sonic_rs::LazyValue",
        "$symbol",
        "$ref",
        r"\u0024ref",
        "__proto__",
        r"user\u0000",
    ] {
        for body in [
            format!(r#"{{"identifier":{{"{key}":"{{\"user\":\"alice\"}}"}}}}"#),
            format!(r#"{{"user":"bob","x":[{{"{key}":1}}]}}"#),
            format!(r#"{{"{key}":{{"user":"alice"}}}}"#),
        ] {
            for (path, body) in [
                (LOGIN, body.clone()),
                ("/_matrix/client/v3/refresh", body.clone()),
                (
                    "/_matrix/client/v3/account/password",
                    format!(r#"{{"auth":{body}}}"#),
                ),
            ] {
                let answer = ask(&layer, anonymous(Method::POST, path, body.clone())).await;
                // On `/refresh` the answer is no Matrix error.
                let cause = answer.denial.as_ref().map(Denial::cause);
                assert_eq!(
                    (answer.status, cause),
                    (StatusCode::BAD_REQUEST, Some(DenialCause::BodyUnclear)),
                    "{path} {body}"
                );
            }
        }
    }
}

#[tokio::test]
async fn rule_10_a_name_that_a_parser_may_cut_is_refused() {
    let layer = layer(&store_with(RestrictionKind::Locked));
    for body in [
        r#"{"user":"alice\u0000x"}"#,
        r#"{"identifier":{"type":"m.id.user","user":"alice\u0000"}}"#,
    ] {
        let answer = ask(&layer, anonymous(Method::POST, LOGIN, body)).await;
        assert_eq!(answer.verdict(), verdict(400, "M_BAD_JSON"), "{body}");
    }
    // Java's parsers fold these, too.
    for key in ["\u{131}dentifier", "IDENT\u{130}FIER"] {
        let body = format!(r#"{{"{key}":{{"user":"alice"}}}}"#);
        let answer = ask(&layer, anonymous(Method::POST, LOGIN, body)).await;
        assert_eq!(answer.verdict(), locked(), "{key}");
    }
}
