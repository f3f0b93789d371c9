//! Malicious requests.

use http::{Method, Uri};
use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
};

use crate::endpoints::{ENDPOINTS, Endpoint};

/// What is put in for a parameter.
const VALUES: &[&str] = &[
    "x",
    "@a:example.org",
    "!r:example.org",
    "logout",
    "login",
    "..",
    ".",
    "",
    "%2e%2e",
    "a%2Fb",
    "sso",
    "redirect",
    "v3",
    "%2F",
    "..%2f..%2flogout",
    ";",
    "..;",
    "%5c",
    "%00",
];

/// What is written instead of a slash, or somewhere else.
const PIECES: &[&str] = &[
    "%2F",
    "%2f",
    "%252F",
    "//",
    "///",
    "/./",
    "/../",
    "/x/../",
    "/%2e%2e/",
    "/%2E./",
    "/.%2e/",
    "/%252e%252e/",
    "\\",
    "%5C",
    "%5c..%5c",
    "/;/",
    "/.;/",
    "/..;a=b/",
    "%00",
    "%09",
    "%0a",
    ".",
    "..",
    "/",
    "?",
    "#",
    ";x",
    "%3f",
    "%23",
    "%3B",
    "%20",
    "+",
    "*",
    "%",
    "%2",
    "%zz",
    "%c0%ae%c0%ae/",
    "%c0%af",
    "%u002f",
    "/%u002e%u002e/",
    "/%e0%80%ae%c0%ae/",
    "%3Fx",
    "%00x",
    "%20",
    "/%ef%bc%8e%ef%bc%8e/",
    "/..%c2%a0/",
    "/%e3%80%80../",
    "%c2%ad",
    "%e2%80%8b",
    "ä",
    "\u{ff0f}",
    "logout",
    "/logout",
    "/login",
    "/_matrix/client/v3/",
];

/// Paths that pass, from which dot segments lead elsewhere.
const STARTS: &[&str] = &[
    "/_matrix/federation/",
    "/_matrix/federation/v1",
    "/_matrix/key/",
    "/_matrix/app/v1/x",
    "/_matrix/identity/",
    "/_matrix/push/v1",
    "/_matrix/policy/",
    "/.well-known/",
    "/.well-known/matrix/client",
    "/oauth2",
    "/oauth2/",
    "/oauth2/token",
    "/_matrix/client/v3/logout",
    "/_matrix/client/r0/logout/all",
    "/_matrix/client/v3/login",
    "/_matrix/client/v3/login/sso/redirect",
    "/_matrix/client/v3/login/sso/redirect/x",
    "/_matrix/client/v3/register",
    "/_matrix/client/v3/refresh",
    "/_matrix/client/v1/auth_metadata",
    "/_matrix/client/v3/account/3pid/email/requestToken",
    "/_matrix/client/v3/account/password/email/requestToken",
];

const CLIMBS: &[&str] = &[
    "",
    "/",
    "/..",
    "/../..",
    "/../../..",
    "/../../../..",
    "/%2e%2e",
    "/%2e%2e/%2e%2e",
    "/..%2f..%2f..",
    "/..%5c..%5c..",
    "\\..\\..",
    "/..;/..;/..;",
    "//",
    "/.",
    "/%252e%252e/%252e%252e",
    "/x/../../..",
    "%2f..%2f..",
    "/.%2e/.%2e/.%2e",
    "/..%c2%a0/.%e2%80%8b./%c2%ad..",
];

#[derive(Clone, Debug)]
enum Edit {
    /// Percent-encodes the byte there, once or twice.
    Encode(Index, bool),
    /// Writes over the slash there.
    Slash(Index, &'static str),
    Insert(Index, &'static str),
    Case(Index),
    Cut(Index),
    Append(&'static str),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        3 => (any::<Index>(), any::<bool>()).prop_map(|(at, twice)| Edit::Encode(at, twice)),
        3 => (any::<Index>(), select(PIECES)).prop_map(|(at, piece)| Edit::Slash(at, piece)),
        2 => (any::<Index>(), select(PIECES)).prop_map(|(at, piece)| Edit::Insert(at, piece)),
        1 => any::<Index>().prop_map(Edit::Case),
        1 => any::<Index>().prop_map(Edit::Cut),
        2 => select(PIECES).prop_map(Edit::Append),
    ]
}

impl Edit {
    fn apply(&self, path: &mut String) {
        let place = |at: &Index, path: &str| {
            let at = at.index(path.len() + 1);
            (0..=at)
                .rev()
                .find(|&at| path.is_char_boundary(at))
                .unwrap_or(0)
        };
        match self {
            Self::Encode(at, twice) => {
                let at = place(at, path);
                let Some(byte) = path.as_bytes().get(at).copied().filter(u8::is_ascii) else {
                    return;
                };
                let percent = if *twice { "%25" } else { "%" };
                path.replace_range(at..=at, &format!("{percent}{byte:02x}"));
            }
            Self::Slash(at, piece) => {
                let slashes: Vec<usize> = path.match_indices('/').map(|(at, _)| at).collect();
                if !slashes.is_empty() {
                    let at = slashes[at.index(slashes.len())];
                    path.replace_range(at..=at, piece);
                }
            }
            Self::Insert(at, piece) => path.insert_str(place(at, path), piece),
            Self::Case(at) => {
                let at = place(at, path);
                let Some(byte) = path.as_bytes().get(at).copied().filter(u8::is_ascii) else {
                    return;
                };
                let other = match byte.is_ascii_lowercase() {
                    true => byte.to_ascii_uppercase(),
                    false => byte.to_ascii_lowercase(),
                };
                path.replace_range(at..=at, &char::from(other).to_string());
            }
            Self::Cut(at) => path.truncate(place(at, path)),
            Self::Append(piece) => path.push_str(piece),
        }
    }
}

fn spelled_out(endpoint: &Endpoint, values: &[&str]) -> String {
    let mut values = values.iter().cycle();
    let part = |part: &str| match part.starts_with('{') {
        true => (*values.next().expect("endless")).to_owned(),
        false => part.to_owned(),
    };
    endpoint
        .path
        .split('/')
        .map(part)
        .collect::<Vec<_>>()
        .join("/")
}

/// An endpoint's path, perhaps behind something that passes, perhaps misspelled.
fn path_of(
    endpoints: impl Strategy<Value = &'static Endpoint>,
) -> impl Strategy<Value = (Option<Method>, String)> {
    let start = prop_oneof![3 => Just(String::new()), 2 => (select(STARTS), select(CLIMBS)).prop_map(|(start, climb)| format!("{start}{climb}"))];
    let edits = prop_oneof![1 => Just(vec![]), 3 => vec(edit(), 1..5)];
    (endpoints, vec(select(VALUES), 4), start, edits).prop_map(
        |(endpoint, values, start, edits)| {
            let mut path = start + &spelled_out(endpoint, &values);
            edits.iter().for_each(|edit| edit.apply(&mut path));
            (endpoint.method.clone(), path)
        },
    )
}

fn uri(path: &str) -> Option<Uri> {
    let uri = match path.starts_with('/') {
        true => Uri::try_from(path),
        false => Uri::try_from(format!("/{path}")),
    };
    uri.ok()
}

/// A method and a URI, aimed at the endpoints that `wanted` picks.
pub(crate) fn aimed_at(wanted: impl Fn(&Endpoint) -> bool) -> impl Strategy<Value = (Method, Uri)> {
    let wanted: Vec<_> = ENDPOINTS
        .iter()
        .filter(|endpoint| wanted(endpoint))
        .collect();
    const METHODS: &[&str] = &[
        "GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "CONNECT", "post", "LOGOUT",
    ];
    let other = select(METHODS).prop_map(|method| method.parse::<Method>().expect("a method"));
    let method = prop_oneof![5 => Just(None), 1 => other.prop_map(Some)];
    (path_of(select(wanted)), method).prop_filter_map("no URI", |((own, path), method)| {
        let method = method.or(own).unwrap_or(Method::POST);
        Some((method, uri(&path)?))
    })
}

/// Any method and any URI.
pub(crate) fn anything() -> impl Strategy<Value = (Method, Uri)> {
    let bytes = vec(any::<u8>(), 0..60).prop_filter_map("no URI", |mut bytes| {
        bytes.insert(0, b'/');
        Uri::try_from(bytes).ok()
    });
    let letters = "[/%2eEfF5c.;?&=a-z\\\\]{0,40}".prop_filter_map("no URI", |text| uri(&text));
    let method = prop_oneof![
        select(&["GET", "POST", "PUT"][..]).prop_map(str::to_owned),
        "[A-Za-z!#$%&'*+.^_`|~-]{1,8}"
    ];
    let method = method.prop_filter_map("no method", |text| text.parse().ok());
    (method, prop_oneof![bytes, letters])
}
