//! Rules 7 and 8: whichever token the server behind picks, and however it reads it, it is not one
//! of a locked account.

use std::borrow::Cow;

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Request, Uri, header::AUTHORIZATION};
use percent_encoding::percent_decode_str;
use proptest::{collection::vec, prelude::*, sample::select};

use crate::{
    cases,
    harness::{self, ACTIVE, ACTIVE_TOKEN, BOT, End, LOCKED, LOCKED_TOKEN, SERVICE_TOKEN},
    routers::Behind,
};

/// How servers take the token out of the headers.
const FROM_HEADERS: &[fn(&HeaderMap) -> Option<String>] = &[
    |headers| from_header(headers.get(AUTHORIZATION)?),
    |headers| from_header(headers.get_all(AUTHORIZATION).into_iter().next_back()?),
    |headers| {
        headers
            .get_all(AUTHORIZATION)
            .into_iter()
            .find_map(from_header)
    },
    // Exactly as the specification spells it.
    |headers| {
        let text = headers.get(AUTHORIZATION)?.to_str().ok()?;
        text.strip_prefix("Bearer ").map(str::to_owned)
    },
    |headers| {
        let text = headers.get(AUTHORIZATION)?.to_str().ok()?;
        text.strip_prefix("Bearer")
            .map(|token| token.trim().to_owned())
    },
    // Text without anything that Unicode calls white space.
    |headers| {
        let text = String::from_utf8_lossy(headers.get(AUTHORIZATION)?.as_bytes()).into_owned();
        let mut words = text.split_whitespace();
        let scheme = words.next()?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then(|| words.next().unwrap_or_default().to_owned())
    },
    |headers| {
        let text = String::from_utf8_lossy(headers.get(AUTHORIZATION)?.as_bytes()).into_owned();
        let text = text.trim();
        let (scheme, token) = text.split_at_checked(6)?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then(|| token.trim().to_owned())
    },
    // Of headers that were joined by commas the first, and the last.
    |headers| {
        joined(headers)
            .split(',')
            .find_map(|part| bearer(part.trim()))
    },
    |headers| {
        joined(headers)
            .split(',')
            .rev()
            .find_map(|part| bearer(part.trim()))
    },
    // `/Bearer\s(\S+)/` and the like: the first that is found, wherever it is.
    |headers| {
        let text = latin_1(headers.get(AUTHORIZATION)?);
        let (at, _) = text
            .match_indices("Bearer")
            .find(|(at, word)| text[at + word.len()..].starts_with(char::is_whitespace))?;
        let token = text[at + "Bearer".len()..].split_whitespace().next()?;
        (!is_signature(&text)).then(|| token.to_owned())
    },
    |headers| {
        let text = latin_1(headers.get(AUTHORIZATION)?);
        let mut words = text
            .split_whitespace()
            .skip_while(|word| !word.eq_ignore_ascii_case("bearer"));
        words.next()?;
        let token = words.next()?.trim_matches('"').to_owned();
        (!is_signature(&text)).then_some(token)
    },
];

/// Node's reading of bytes.
fn latin_1(value: &HeaderValue) -> String {
    value.as_bytes().iter().copied().map(char::from).collect()
}

/// No server looks for a token of a person in the parameters of another server's signature.
fn is_signature(text: &str) -> bool {
    let scheme = text.trim_ascii().split([' ', '\t']).next();
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("x-matrix"))
}

fn from_header(value: &HeaderValue) -> Option<String> {
    bearer(value.to_str().ok()?)
}

fn bearer(text: &str) -> Option<String> {
    let (scheme, token) = text.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim().to_owned())
}

fn joined(headers: &HeaderMap) -> String {
    let all: Vec<Cow<'_, str>> = headers
        .get_all(AUTHORIZATION)
        .into_iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .collect();
    all.join(", ")
}

type Pairs = Vec<(String, String)>;

/// How servers take the pairs out of the query.
const FROM_QUERY: &[fn(&Uri) -> Pairs] = &[
    |uri| {
        let pairs = axum::extract::Query::<Pairs>::try_from_uri(uri);
        pairs
            .map(|axum::extract::Query(pairs)| pairs)
            .unwrap_or_default()
    },
    |uri| pairs(uri, &['&'], false, true),
    |uri| pairs(uri, &['&', ';'], false, true),
    |uri| pairs(uri, &['&', ';'], true, true),
    // A proxy has dropped a second question mark, or taken it for the first.
    |uri| pairs(uri, &['&', '?'], false, true),
    |uri| pairs(uri, &['&', ';', '?'], true, true),
    |uri| pairs(uri, &['&'], true, true),
    |uri| pairs(uri, &['&'], false, false),
    go_pairs,
    // One parser drops everything if anything is malformed.
    |uri| match go_pairs(uri).len() == uri.query().unwrap_or_default().split('&').count() {
        true => go_pairs(uri),
        false => Pairs::new(),
    },
    // A proxy has decoded it before.
    |uri| {
        let twice = |(name, value): (String, String)| {
            (
                name,
                percent_decode_str(&value).decode_utf8_lossy().into_owned(),
            )
        };
        pairs(uri, &['&'], false, true)
            .into_iter()
            .map(twice)
            .collect()
    },
    // One of several, and names that are trimmed.
    |uri| {
        let bare = |(name, value): (String, String)| {
            let name = name.split('[').next().unwrap_or_default().trim().to_owned();
            (name, value)
        };
        pairs(uri, &['&'], true, true)
            .into_iter()
            .map(bare)
            .collect()
    },
    // A value is trimmed, or ends at a NUL.
    |uri| {
        let trimmed = |(name, value): (String, String)| (name, value.trim().to_owned());
        pairs(uri, &['&'], true, true)
            .into_iter()
            .map(trimmed)
            .collect()
    },
    |uri| {
        let cut = |(name, value): (String, String)| {
            let value = value.split('\0').next().unwrap_or_default().to_owned();
            (name, value)
        };
        pairs(uri, &['&'], false, true)
            .into_iter()
            .map(cut)
            .collect()
    },
];

/// Go's `net/url`: a pair with a semicolon or a malformed encoding is dropped, and the others are
/// kept.
fn go_pairs(uri: &Uri) -> Pairs {
    let query = uri.query().unwrap_or_default();
    let whole = query.split('&').filter(|pair| !pair.is_empty());
    whole
        .filter(|pair| !pair.contains(';'))
        .filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((go_unescape(name)?, go_unescape(value)?))
        })
        .collect()
}

fn go_unescape(text: &str) -> Option<String> {
    let is_whole = |after: &str| {
        let digits = after.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8_lossy();
    text.split('%')
        .skip(1)
        .all(is_whole)
        .then(|| decoded.into_owned())
}

fn pairs(uri: &Uri, separators: &[char], plus_is_space: bool, decodes_names: bool) -> Pairs {
    let decoded = |text: &str| {
        let text = if plus_is_space {
            text.replace('+', " ")
        } else {
            text.to_owned()
        };
        percent_decode_str(&text).decode_utf8_lossy().into_owned()
    };
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = if decodes_names {
            decoded(name)
        } else {
            name.to_owned()
        };
        (name, decoded(value))
    };
    uri.query()
        .unwrap_or_default()
        .split(separators)
        .map(pair)
        .collect()
}

/// The first and the last value of a name, as a server may take either; an empty one is none.
fn ends(pairs: &[(String, String)], name: &str) -> [Option<String>; 2] {
    let value = |pair: &(String, String)| (pair.0 == name).then(|| pair.1.clone());
    let first = pairs.iter().find_map(value);
    let last = pairs.iter().rev().find_map(value);
    [first, last].map(|value| value.filter(|value| !value.is_empty()))
}

/// Whose request it is to a server that authenticates with this.
fn owner(token: &str, asserted: Option<&str>) -> Option<String> {
    match token {
        LOCKED_TOKEN => Some(LOCKED.to_owned()),
        ACTIVE_TOKEN => Some(ACTIVE.to_owned()),
        SERVICE_TOKEN => Some(asserted.unwrap_or(BOT).to_owned()),
        _ => None,
    }
}

/// Everyone whom some server would take the sender for.
pub(crate) fn owners(request: &Request<Body>) -> Vec<String> {
    let mut owners = Vec::new();
    for from_query in FROM_QUERY {
        let pairs = from_query(request.uri());
        let in_query = ends(&pairs, "access_token");
        for from_headers in FROM_HEADERS {
            let in_headers = from_headers(request.headers());
            for token in in_headers.iter().chain(in_query.iter().flatten()) {
                for asserted in ends(&pairs, "user_id") {
                    owners.extend(owner(token, asserted.as_deref()));
                    // Some servers drop an assertion that is no user id.
                    let is_whole = |user: &String| user.starts_with('@') && user.contains(':');
                    owners.extend(owner(token, asserted.filter(is_whole).as_deref()));
                }
            }
        }
    }
    owners
}

fn header() -> impl Strategy<Value = Vec<u8>> {
    let scheme = select(
        &[
            "Bearer",
            "bearer",
            "BEARER",
            "bEaReR",
            "Basic",
            "",
            "Bearer,",
            "Bearer Bearer",
            "X, Bearer",
            "X Bearer",
            "x=\"y\" bearer",
            "X-Matrix a=\"b\", Bearer",
            "X-Matrix Bearer",
            "X-Matrixy Bearer",
            "x-matrixBearer",
        ][..],
    );
    let space = select(
        &[
            " ", "  ", "\t", "", "\u{a0}", "\u{3000}", "\u{85}", " \t ", ",", ", ",
        ][..],
    );
    let token = select(
        &[
            LOCKED_TOKEN,
            ACTIVE_TOKEN,
            SERVICE_TOKEN,
            "unknown",
            "",
            "x,",
            "\"x\"",
        ][..],
    );
    let end = select(
        &[
            "",
            " ",
            "\t",
            ",",
            ", Bearer tok_locked",
            ",Bearer tok_active",
            " x",
            "\u{a0}",
            ";x",
            "=",
        ][..],
    );
    (space.clone(), scheme, space, token, end).prop_map(|(start, scheme, space, token, end)| {
        format!("{start}{scheme}{space}{token}{end}").into_bytes()
    })
}

fn query() -> impl Strategy<Value = String> {
    let name = select(
        &[
            "access_token",
            "user_id",
            "access%5ftoken",
            "%61ccess_token",
            "user%5Fid",
            "x",
            "",
            "Access_Token",
            "?access_token",
            "access_token[]",
        ][..],
    );
    let value = select(
        &[
            LOCKED_TOKEN,
            ACTIVE_TOKEN,
            SERVICE_TOKEN,
            "tok%5Flocked",
            "tok%5flocked",
            "%74ok_locked",
            "%2574ok_locked",
            "tok_locked+",
            "%20tok_locked",
            "@locked:example.org",
            "%40locked:example.org",
            "@active:example.org",
            "@locked%3Aexample.org",
            "",
            "x",
            "%ff",
            "+",
            "tok_locked%00",
            "tok_locked%00x",
            "%09tok_locked%0a",
            "%zz",
            "@active:example.org%",
            "@active:example.org%zz",
            "@active:example.org%ff",
            "%40active%3Aexample.org",
            "@active",
        ][..],
    );
    let equals = select(&["=", "=", "=", "", "==", "%3d"][..]);
    let pair =
        (name, equals, value).prop_map(|(name, equals, value)| format!("{name}{equals}{value}"));
    let separator = select(&["&", "&", ";", "&&", "%26", "?", ";;"][..]);
    vec((pair, separator), 0..5).prop_map(|pairs| {
        pairs
            .into_iter()
            .map(|(pair, separator)| pair + separator)
            .collect()
    })
}

/// A request with any of these, and what it is made of for the model beside.
pub(crate) fn request() -> impl Strategy<Value = (Vec<Vec<u8>>, String)> {
    (vec(header(), 0..3), query())
}

pub(crate) fn build(
    method: &str,
    path: &str,
    headers: &[Vec<u8>],
    query: &str,
) -> Option<Request<Body>> {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{path}?{query}"));
    for header in headers {
        request = request.header(AUTHORIZATION, HeaderValue::from_bytes(header).ok()?);
    }
    request.body(Body::empty()).ok()
}

proptest! {
    #![proptest_config(cases(30_000))]

    #[test]
    fn rules_7_and_8_no_server_picks_a_locked_accounts_token(
        (headers, query) in request(),
        awaits in any::<bool>(),
    ) {
        let request = build("GET", "/_matrix/client/v3/account/whoami", &headers, &query);
        let Some(request) = request else { return Ok(()) };
        let mut owners = owners(&request);
        owners.sort();
        owners.dedup();
        if let End::Reached(_) = harness::send(&Behind::Axum.router(), awaits, request) {
            let is_locked = owners.iter().any(|owner| owner == LOCKED || owner == BOT);
            let headers: Vec<_> = headers.iter().map(|header| String::from_utf8_lossy(header)).collect();
            prop_assert!(!is_locked, "{headers:?} {query} is {owners:?}'s");
        }
    }
}
