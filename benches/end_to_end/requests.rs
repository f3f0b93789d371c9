//! What the floods are made of.

use std::process;

use bytes::Bytes;
use http::{Request, StatusCode, header::AUTHORIZATION};
use http_body_util::Full;

use super::support::{
    accounts::{Standing, token},
    expensive::{self, Group},
};

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
            Box::new(move |turn| (get(&token(first + turn)), None))
        }
        "locked" => Box::new(|turn| {
            let token = token(Standing::Locked.number(turn));
            let refusal = Some(StatusCode::UNAUTHORIZED);
            (get(&token), refusal)
        }),
        "headers" => in_turn(Group::Headers),
        "queries" => in_turn(Group::Query),
        "bodies" | "parsed" => in_turn(Group::Body),
        _ => panic!("no such flood: {flood}"),
    })
}

fn in_turn(group: Group) -> Requests {
    let all = expensive::all().into_iter();
    let all = all.filter(|request| request.group == group);
    let all: Vec<Sent> = all.map(|it| (it.request(), it.refusal)).collect();
    Box::new(move |turn| all[turn % all.len()].clone())
}

fn get(token: &str) -> Request<Full<Bytes>> {
    Request::get("http://127.0.0.1/_matrix/client/v3/joined_rooms")
        .header("host", "127.0.0.1")
        .header(AUTHORIZATION, format!("Bearer {token}"))
        .body(Full::default())
        .expect("a request")
}
