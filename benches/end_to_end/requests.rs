//! What the floods are made of.

use std::process;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header::AUTHORIZATION};
use http_body_util::Full;

use super::support::accounts::{Standing, token, user};

/// The length of a large head or body; hyper takes heads of 400 KB with up to 100 headers.
const LARGE: usize = 60_000;
const ROOMS: &str = "joined_rooms";

/// A request, and how the layer refuses it if it does.
type Sent = (Request<Full<Bytes>>, Option<StatusCode>);

/// The request of each turn.
pub(crate) type Requests = Box<dyn Fn(usize) -> Sent + Send + Sync>;

/// `None` for a flood of nothing.
pub(crate) fn requests(flood: &str) -> Option<Requests> {
    Some(match flood {
        "nothing" => return None,
        "tokens" => {
            // No two processes make the same ones up.
            let first = (process::id() as usize) << 32;
            Box::new(move |turn| (get(ROOMS, [bearer(&token(first + turn))]), None))
        }
        "locked" => Box::new(|turn| {
            let token = token(Standing::Locked.number(turn));
            let refusal = Some(StatusCode::UNAUTHORIZED);
            (get(ROOMS, [bearer(&token)]), refusal)
        }),
        "headers" => in_turn(headers()),
        "queries" => in_turn(vec![(get(&query(), []), None)]),
        "logins" => in_turn(logins()),
        _ => panic!("no such flood: {flood}"),
    })
}

fn in_turn(all: Vec<Sent>) -> Requests {
    Box::new(move |turn| all[turn % all.len()].clone())
}

fn headers() -> Vec<Sent> {
    let long = |start: &str, scheme: &str| {
        let token = start.repeat(LARGE / 4 / start.len());
        header(&format!("{scheme} {token}"))
    };
    // The scheme in any case, with any white space.
    let four_tokens = [
        long("a", "Bearer"),
        long("b~", "bEaReR  \t"),
        long("%63", "  BEARER\t"),
        long("d/+", "bearer"),
    ];
    let known = token(Standing::Active.number(0));
    let padding = " \t".repeat((LARGE / 90 - known.len()) / 2);
    let many_times_one = (0..90).map(|_| header(&format!("bearer{padding}{known}")));
    let five_tokens = (0..5).map(|n| long(&n.to_string(), "Bearer"));
    vec![
        (get(ROOMS, four_tokens), None),
        (get(ROOMS, many_times_one), None),
        (get(ROOMS, five_tokens), Some(StatusCode::BAD_REQUEST)),
    ]
}

/// The same token and user again and again: different ones would soon be refused.
fn query() -> String {
    let encoded = "%61ccess%5Ftoken=%73%79%74;user%5fid=%40&";
    format!("{ROOMS}?{}", encoded.repeat(LARGE / encoded.len()))
}

fn logins() -> Vec<Sent> {
    let user = user(Standing::Active.number(0));
    let named = format!(r#""identifier":{{"type":"m.id.user","user":"{user}"}}"#);
    let repeated = |piece: String| vec![&*piece; LARGE / (piece.len() + 1)].join(",");
    let deep = |piece: &str, end: &str, depth: usize| {
        format!("{}1{}", piece.repeat(depth), end.repeat(depth))
    };
    let level = format!(r#"{{{named},"x":"#);
    let many = (0..LARGE / 24).map(|n| format!(r#""user":"@u{n:06}:x.org""#));
    let many = many.collect::<Vec<_>>().join(",");
    let brackets = deep("[", "]", LARGE / 2);
    let escaped = r"\u0061".repeat(LARGE / 6);
    let refused = Some(StatusCode::BAD_REQUEST);
    vec![
        (login(deep(&level, "}", LARGE / (level.len() + 1))), None),
        (login(format!("{{{}}}", repeated(named.clone()))), None),
        (login(format!("{{{named},\"x\":{brackets}}}")), None),
        (login(format!(r#"{{"user":"{escaped}"}}"#)), None),
        (login(format!("{{{many}}}")), refused),
    ]
}

fn header(value: &str) -> HeaderValue {
    value.parse().expect("a header")
}

fn bearer(token: &str) -> HeaderValue {
    header(&format!("Bearer {token}"))
}

fn get(endpoint: &str, tokens: impl IntoIterator<Item = HeaderValue>) -> Request<Full<Bytes>> {
    let mut request = request(Method::GET, endpoint, Bytes::new());
    for token in tokens {
        request.headers_mut().append(AUTHORIZATION, token);
    }
    request
}

fn login(body: String) -> Request<Full<Bytes>> {
    request(Method::POST, "login", body.into())
}

fn request(method: Method, endpoint: &str, body: Bytes) -> Request<Full<Bytes>> {
    let path = format!("http://127.0.0.1/_matrix/client/v3/{endpoint}");
    let request = Request::builder().method(method).uri(path);
    let request = request.header("host", "127.0.0.1").body(Full::from(body));
    request.expect("a request")
}
