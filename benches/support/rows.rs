//! The rows: what is asked, and what has to be answered.

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
    /// To be awaited; the answer is there at the second poll, as a database's is at the earliest.
    AwaitedLater,
    /// To be awaited by many at once; the answer is there at the second poll.
    AwaitedByMany,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub name: &'static str,
    pub answer: Answer,
    /// Whose request it is, if it has a credential.
    pub standing: Option<Standing>,
    pub method: Verb,
    pub path: &'static str,
    pub query: &'static str,
    pub logs_in: bool,
    /// Whether a header that says nothing about credentials is sent twice.
    pub repeats_header: bool,
    pub expected: StatusCode,
}

/// The methods that rows use.
#[derive(Clone, Copy, Debug)]
pub enum Verb {
    Get,
    Post,
    Put,
}

const JOINED: &str = "/_matrix/client/v3/joined_rooms";
const SEND: &str = "/_matrix/client/v3/rooms/%21a%3Aexample.org/send/m.room.message/1";
const INVITE: &str = "/_matrix/client/v3/rooms/%21a%3Aexample.org/invite";
const SYNC: &str = "/_matrix/client/v3/sync";
/// With this query the service inside is ready when it is polled the second time.
pub const WAITS: &str = "since=s72594_4483_1934&timeout=30001";
pub const PATHS: [&str; 7] = [
    JOINED,
    SYNC,
    SEND,
    INVITE,
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
    query: "",
    logs_in: false,
    repeats_header: false,
    expected: StatusCode::OK,
};

pub const ROWS: [Row; 16] = [
    Row {
        name: "no credential",
        standing: None,
        path: "/_matrix/client/versions",
        ..HIT
    },
    HIT,
    Row {
        name: "active, with a query",
        query: "?dir=b&limit=20&from=t123-456_789",
        ..HIT
    },
    // As HTTP/2 splits cookies, and a proxy adds a line of its own.
    Row {
        name: "active, a header twice",
        repeats_header: true,
        ..HIT
    },
    Row {
        name: "active, POST",
        method: Verb::Post,
        path: INVITE,
        ..HIT
    },
    // What clients send most: a long poll that is answered at once.
    Row {
        name: "active, sync",
        path: SYNC,
        query: "?since=s72594_4483_1934&timeout=30000",
        ..HIT
    },
    // The same, which has to wait.
    Row {
        name: "active, sync that waits",
        path: SYNC,
        query: "?since=s72594_4483_1934&timeout=30001",
        ..HIT
    },
    Row {
        name: "active, store awaited",
        answer: Answer::Awaited,
        ..HIT
    },
    Row {
        name: "active, store pending once",
        answer: Answer::AwaitedLater,
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
        name: "suspended, permitted",
        standing: Some(Standing::Suspended),
        ..HIT
    },
    Row {
        name: "suspended, refused",
        standing: Some(Standing::Suspended),
        method: Verb::Put,
        path: SEND,
        expected: StatusCode::FORBIDDEN,
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
            Verb::Put => Method::PUT,
        };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{}", self.path, self.query))
            .header("host", "matrix.example.org")
            .header("user-agent", "Element/1.11 (bench)")
            .header("accept", "*/*")
            .header("accept-language", "en")
            .header("accept-encoding", "gzip, br");
        if let Some(standing) = self.standing {
            let token = token(standing.number(turn));
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if self.repeats_header {
            request = request.header("cookie", "a=1").header("cookie", "b=2");
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
