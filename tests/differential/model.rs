//! Rules 5 to 7 and 9, implemented again as plainly as possible, and compared with the layer.

use http::{Method, Uri};
use proptest::prelude::*;

use crate::{
    cases,
    credentials::{build, request},
    endpoints::EXCLUDED,
    harness::{self, End, LOCKED_TOKEN},
    requests,
    routers::Behind,
};

/// Rule 6: what the path is decoded to when nothing can be decoded any more.
fn decoded(path: &str) -> Vec<u8> {
    let mut bytes = path.as_bytes().to_vec();
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let mut at = 0;
    while at + 2 < bytes.len() {
        if let (b'%', Some(high), Some(low)) =
            (bytes[at], digit(bytes[at + 1]), digit(bytes[at + 2]))
        {
            bytes.splice(at..at + 3, [high * 16 + low]);
            at = at.saturating_sub(2);
        } else {
            at += 1;
        }
    }
    bytes
}

/// What is left of a segment if a server cuts it.
fn name(segment: &[u8]) -> &[u8] {
    let end = segment.iter().position(|byte| b";?#\0".contains(byte));
    segment[..end.unwrap_or(segment.len())].trim_ascii_end()
}

/// Whether some server may see nothing in it, or a dot or two.
fn may_be_dots(segment: &[u8]) -> bool {
    const UNSEEN: &str = "\u{ad}\u{200b}\u{200d}\u{2060}\u{feff}";
    let is_seen = |letter: &char| {
        !UNSEEN.contains(*letter) && !letter.is_whitespace() && !letter.is_control()
    };
    let text = String::from_utf8_lossy(name(segment));
    let seen: String = text.chars().filter(is_seen).collect();
    ["", ".", ".."].contains(&&*seen)
}

/// Rule 6: whether it has nothing that only some decoders understand.
fn is_understood_alike(decoded: &[u8]) -> bool {
    const LIKE_DOTS_AND_SLASHES: &str = "․‥…⁄℀℁℅℆∕∖﹒﹨．／＼";
    std::str::from_utf8(decoded).is_ok_and(|text| {
        !text.contains(|letter: char| {
            letter.is_ascii_control()
                || ['\\', '%'].contains(&letter)
                || LIKE_DOTS_AND_SLASHES.contains(letter)
        })
    })
}

/// Rules 5 and 6: whether a token in the head of this request does not matter.
fn passes_whoever_asks(method: &Method, path: &str) -> bool {
    let v3 = path.replacen("/_matrix/client/r0/", "/_matrix/client/v3/", 1);
    let is = |path: &str| v3 == format!("/_matrix/client/v3/{path}");
    let reads = ["GET", "HEAD"].contains(&method.as_str());
    let posts = method == "POST";
    if method == "OPTIONS" || (posts && (is("logout") || is("logout/all"))) {
        return true;
    }
    let prefixes = ["/.well-known/".to_owned(), format!("{EXCLUDED}/")];
    if path == EXCLUDED {
        return true;
    }
    for prefix in prefixes {
        let Some(rest) = path.strip_prefix(&prefix) else {
            continue;
        };
        let rest = decoded(rest);
        let is_plain = rest.is_empty() || !rest.split(|&byte| byte == b'/').any(may_be_dots);
        if is_plain && is_understood_alike(&rest) {
            return true;
        }
    }
    let single = |path: &str| {
        let all = decoded(path);
        !all.is_empty() && !may_be_dots(&all) && !all.contains(&b'/') && is_understood_alike(&all)
    };
    let sso = v3.strip_prefix("/_matrix/client/v3/login/sso/redirect/");
    let mails = ["register", "account/password", "account/3pid"];
    let mails = mails.iter().flat_map(|start| {
        ["email", "msisdn"].map(|medium| format!("{start}/{medium}/requestToken"))
    });
    (reads || posts) && is("login")
        || posts && (is("refresh") || is("register") || mails.into_iter().any(|path| is(&path)))
        || reads
            && (is("register/available") || is("login/sso/redirect") || sso.is_some_and(single))
        || reads
            && [
                "/_matrix/client/v1/auth_metadata",
                "/_matrix/client/v1/register/m.login.registration_token/validity",
                "/_matrix/client/unstable/org.matrix.msc2965/auth_metadata",
            ]
            .contains(&path)
}

proptest! {
    #![proptest_config(cases(20_000))]

    #[test]
    fn rules_5_and_6_the_layer_refuses_exactly_what_the_rules_say(
        (method, uri) in prop_oneof![
            6 => requests::aimed_at(|_| true),
            1 => requests::anything(),
        ],
        awaits in any::<bool>(),
    ) {
        let uri = Uri::try_from(uri.path()).expect("a path is a URI");
        let header = format!("Bearer {LOCKED_TOKEN}").into_bytes();
        let Some(request) = build(method.as_str(), uri.path(), &[header], "") else { return Ok(()) };
        let passes = !matches!(harness::send(&Behind::Axum.router(), awaits, request), End::Refused);
        prop_assert_eq!(passes, passes_whoever_asks(&method, uri.path()), "{} {}", method, uri);
    }

    #[test]
    fn rule_5_logging_out_passes_with_any_credentials((headers, query) in request(), awaits in any::<bool>()) {
        let Some(request) = build("POST", "/_matrix/client/v3/logout", &headers, &query) else { return Ok(()) };
        let end = harness::send(&Behind::Axum.router(), awaits, request);
        prop_assert!(matches!(end, End::Reached(_)), "{:?}", end);
    }

    #[test]
    fn rule_9_without_a_token_the_inner_service_answers(
        (method, uri) in requests::aimed_at(|endpoint| endpoint.names_account().is_none()),
    ) {
        // A body that nobody has sent names nobody.
        let Some(request) = build(method.as_str(), uri.path(), &[], "") else { return Ok(()) };
        let end = harness::send(&Behind::Axum.router(), false, request);
        prop_assert!(!matches!(end, End::Refused), "{:?}", end);
    }
}
