//! The rows: what is asked, and what has to be answered.
//!
//! A suspended account's rows belong here: a `Standing` more in `accounts.rs`, and two rows with
//! a path that is permitted to it and one that is not.

use bytes::Bytes;
use http::{Method, Request, StatusCode, header::AUTHORIZATION};

use super::accounts::{Standing, token, user};

/// What a row needs of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An answer at once.
    AtHand,
    /// To be awaited; the answer is there at the first poll.
    Awaited,
    /// To be awaited by many at once; the answer is there at the second poll.
    AwaitedByMany,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub name: &'static str,
    pub answer: Answer,
    /// Whose request it is, where it has a credential.
    pub standing: Option<Standing>,
    pub method: Verb,
    pub path: &'static str,
    pub logs_in: bool,
    pub expected: StatusCode,
}

/// The methods that rows use.
#[derive(Clone, Copy, Debug)]
pub enum Verb {
    Get,
    Post,
}

const JOINED: &str = "/_matrix/client/v3/joined_rooms";
pub const PATHS: [&str; 4] = [
    JOINED,
    "/_matrix/client/versions",
    "/_matrix/client/v3/logout",
    "/_matrix/client/v3/login",
];

const HIT: Row = Row {
    name: "active, answer at hand",
    answer: Answer::AtHand,
    standing: Some(Standing::Active),
    method: Verb::Get,
    path: JOINED,
    logs_in: false,
    expected: StatusCode::OK,
};

pub const ROWS: [Row; 8] = [
    Row {
        name: "no credential",
        standing: None,
        path: "/_matrix/client/versions",
        ..HIT
    },
    HIT,
    Row {
        name: "active, store awaited",
        answer: Answer::Awaited,
        ..HIT
    },
    Row {
        name: "locked",
        standing: Some(Standing::Locked),
        expected: StatusCode::UNAUTHORIZED,
        ..HIT
    },
    Row {
        name: "deactivated",
        standing: Some(Standing::Deactivated),
        expected: StatusCode::FORBIDDEN,
        ..HIT
    },
    Row {
        name: "locked, logout",
        standing: Some(Standing::Locked),
        method: Verb::Post,
        path: "/_matrix/client/v3/logout",
        ..HIT
    },
    Row {
        name: "login with a body",
        standing: None,
        method: Verb::Post,
        path: "/_matrix/client/v3/login",
        logs_in: true,
        ..HIT
    },
    Row {
        name: "50 at once, one key",
        answer: Answer::AwaitedByMany,
        ..HIT
    },
];

/// How many ask at once in the last row.
pub const AT_ONCE: usize = 50;

impl Row {
    /// The `turn`-th request of this row.
    pub fn request(&self, turn: usize) -> Request<Bytes> {
        let turn = match self.answer {
            Answer::AwaitedByMany => turn / AT_ONCE,
            _ => turn,
        };
        let method = match self.method {
            Verb::Get => Method::GET,
            Verb::Post => Method::POST,
        };
        let mut request = Request::builder()
            .method(method)
            .uri(self.path)
            .header("host", "matrix.example.org")
            .header("user-agent", "Element/1.11 (bench)")
            .header("accept", "*/*")
            .header("accept-language", "en")
            .header("accept-encoding", "gzip, br");
        if let Some(standing) = self.standing {
            let token = token(standing.number(turn));
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = match self.logs_in {
            true => Bytes::from(format!(
                r#"{{"type":"m.login.password","identifier":{{"type":"m.id.user","user":"{}"}},"password":"secret"}}"#,
                user(Standing::Active.number(turn))
            )),
            false => Bytes::new(),
        };
        request.body(body).expect("a request")
    }
}
