//! The short way to the only plain token of a request, and the long way that everything else
//! takes, come to the same result.

use std::cell::Cell;

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header::AUTHORIZATION};
use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    test_runner::{Config, TestRunner},
};

use crate::request::head::HeadCredentials;
use crate::{credential::AccessToken, request::few::TooMany};

/// Tokens with the users that they assert, and whether there is one that nobody overlooks.
type Found = (Vec<(Vec<u8>, Option<String>)>, bool);

fn found(credentials: &HeadCredentials<'_>) -> Found {
    let pair = |access: AccessToken<'_>| {
        (
            access.token().expose().to_vec(),
            access.asserted_user().map(str::to_owned),
        )
    };
    let pairs = credentials.iter().map(pair).collect();
    (pairs, credentials.is_unmistakable())
}

/// As if there were no short way: a percent sign by itself says nothing, but somebody has to look.
fn by_the_long_way(headers: &HeaderMap, path_and_query: &str) -> Result<Found, TooMany> {
    let separator = if path_and_query.contains('?') {
        '&'
    } else {
        '?'
    };
    let uri: Uri = format!("{path_and_query}{separator}%78=").parse().unwrap();
    let plain = HeadCredentials::read_plain(headers, &uri);
    assert!(plain.is_none(), "{uri}");
    HeadCredentials::read(headers, &uri).map(|credentials| found(&credentials))
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let scheme = select(
        &[
            "Bearer ", "Bearer ", "Bearer ", "bearer ", "Bearer", "Basic ",
        ][..],
    );
    let token = prop_oneof![
        4 => "[!-~]{0,12}".prop_map(String::into_bytes),
        1 => vec(prop_oneof![0x20_u8..0x7f, 0x80_u8.., Just(b'\t'), Just(b',')], 0..12),
    ];
    (scheme, token).prop_map(|(scheme, token)| [scheme.as_bytes(), &token].concat())
}

fn headers() -> impl Strategy<Value = HeaderMap> {
    let name = select(&["authorization", "accept", "x-other", "host"][..]);
    let others = vec((name, value()), 0..3);
    (value(), prop::bool::weighted(0.9), others).prop_map(|(first, is_there, others)| {
        let value = |bytes: &[u8]| HeaderValue::from_bytes(bytes).unwrap();
        let mut headers = HeaderMap::new();
        if is_there {
            headers.append(AUTHORIZATION, value(&first));
        }
        for (name, other) in others {
            headers.append(HeaderName::from_static(name), value(&other));
        }
        headers
    })
}

fn path_and_query() -> impl Strategy<Value = String> {
    let pair = select(
        &[
            "since=s1",
            "x",
            "",
            "access_token=t",
            "access_token=",
            "Access_token=t",
            "user_id=@a:x",
            "a%63cess_token=t",
            "x;access_token=t",
            "x;y=z",
        ][..],
    );
    prop_oneof![
        Just("/_matrix/client/v3/sync".to_owned()),
        vec(pair, 0..3).prop_map(|pairs| format!("/sync?{}", pairs.join("&"))),
    ]
}

#[test]
fn rule_7_the_short_way_finds_what_the_long_way_finds() {
    let (short, long) = (Cell::new(0), Cell::new(0));
    let config = Config {
        cases: 8_000,
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&(headers(), path_and_query()), |(headers, uri)| {
        let long_way = by_the_long_way(&headers, &uri);
        let parsed: Uri = uri.parse().unwrap();
        let plain = HeadCredentials::read_plain(&headers, &parsed);
        let taken = if plain.is_some() { &short } else { &long };
        taken.set(taken.get() + 1);
        if let Some(plain) = plain {
            // Bound, because the lowest compiler drops a temporary value too early.
            let short_way = found(&plain);
            prop_assert_eq!(long_way.as_ref(), Ok(&short_way));
        }
        let read = HeadCredentials::read(&headers, &parsed);
        prop_assert_eq!(read.map(|credentials| found(&credentials)), long_way);
        Ok(())
    });
    outcome.unwrap();
    // It compares nothing unless both ways are taken.
    assert!(short.get() > 1_000, "{short:?} short, {long:?} long");
    assert!(long.get() > 1_000, "{short:?} short, {long:?} long");
}

/// Finding 10 of `docs/trust.md`: it once showed the tokens that it holds.
#[test]
fn rule_15_the_credentials_of_a_head_show_how_many_they_are() {
    let mut headers = HeaderMap::new();
    headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer syt_hidden"));
    let uri = Uri::from_static("/sync?access_token=syt_hidden2&user_id=@hidden:x");
    for uri in [&Uri::from_static("/sync"), &uri] {
        let credentials = HeadCredentials::read(&headers, uri).unwrap();
        for shown in [format!("{credentials:?}"), format!("{credentials:#?}")] {
            assert!(shown.contains("tokens: "), "{shown}");
            assert!(!shown.contains("hidden"), "{shown}");
            // Nor its bytes as numbers.
            assert!(!shown.contains("104"), "{shown}");
        }
    }
}
