//! Restricted accounts are refused by the running example homeserver, over real HTTP, as
//! `AccountStatusLayer` promises: the rules of the specification's
//! [account moderation](https://spec.matrix.org/latest/client-server-api/#account-moderation),
//! end to end.

mod api;
mod cors;
mod credentials;
mod endpoints;
#[path = "../../../../tests/support/homeserver.rs"]
mod homeserver;
mod named_accounts;
mod reasons;
mod store_failure;
mod suspension;
mod uploads;
mod waiting;
mod walkthrough;

use std::{collections::BTreeMap, path::Path};

use hyper::{HeaderMap, header};
use rusqlite::{Connection, types::Value as Cell};
use serde_json::{Value, json};

use crate::homeserver::{Answer, Homeserver, password_of};

const WHOAMI: &str = "/_matrix/client/v3/account/whoami";
const LOGIN: &str = "/_matrix/client/v3/login";
const REFRESH: &str = "/_matrix/client/v3/refresh";
const SYNC: &str = "/_matrix/client/v3/sync";

const LOCKED: &str =
    r#"{"errcode":"M_USER_LOCKED","error":"This account has been locked","soft_logout":true}"#;
const DEACTIVATED: &str =
    r#"{"errcode":"M_USER_DEACTIVATED","error":"This account has been deactivated"}"#;
const SUSPENDED: &str =
    r#"{"errcode":"M_USER_SUSPENDED","error":"Not possible while this account is suspended"}"#;

/// A server with an administrator, and alice and bob, who are each logged in.
struct Scene {
    server: Homeserver,
    admin: String,
    alice: String,
    bob: String,
}

impl Scene {
    async fn start() -> Self {
        let server = Homeserver::start().await;
        Self {
            admin: server.login_admin().await,
            alice: server.register("alice").await,
            bob: server.register("bob").await,
            server,
        }
    }

    /// Alice is locked, bob is not.
    async fn locked() -> Self {
        let scene = Self::start().await;
        scene.lock("alice").await;
        scene
    }

    async fn lock(&self, user: &str) {
        self.set_lock(user, json!({ "locked": true })).await;
    }

    async fn unlock(&self, user: &str) {
        self.set_lock(user, json!({ "locked": false })).await;
    }

    async fn set_lock(&self, user: &str, body: Value) {
        let path = format!("/_matrix/client/v1/admin/lock/@{user}:localhost");
        let answer = self.server.put(&path, &self.admin, body.clone()).await;
        assert_eq!(answer.ok(), json!({ "locked": body["locked"] }));
    }

    async fn set_suspended(&self, user: &str, suspended: bool) {
        let path = format!("/_matrix/client/v1/admin/suspend/@{user}:localhost");
        let body = json!({ "suspended": suspended });
        let answer = self.server.put(&path, &self.admin, body.clone()).await;
        assert_eq!(answer.ok(), body);
    }

    /// Another session of a registered user: the whole answer to the login, with both tokens.
    async fn log_in(&self, user: &str) -> Value {
        let more = json!({ "refresh_token": true });
        let answer = self.server.login(user, &password_of(user), more).await;
        answer.ok()
    }

    async fn whoami(&self, token: &str) -> Answer {
        self.server.get(WHOAMI, token).await
    }
}

fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("a string, not {value}"))
}

/// The one value of a header.
#[track_caller]
fn only<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let mut values = headers.get_all(name).iter();
    let (first, second) = (values.next(), values.next());
    match (first.map(|value| value.to_str()), second) {
        (Some(Ok(value)), None) => value,
        _ => panic!("`{name}` stands once in {headers:?}"),
    }
}

/// The answer is the layer's refusal, to the byte, and has each header of it once.
#[track_caller]
fn assert_refused(answer: &Answer, status: u16, body: &str) {
    let Answer { what, headers, .. } = answer;
    assert_eq!(answer.status, status, "{what}: {:?}", answer.body);
    assert_eq!(answer.body, body, "{what}");
    let length = body.len().to_string();
    for (name, value) in [
        ("content-type", "application/json"),
        ("content-length", &*length),
        ("cache-control", "no-store"),
        ("access-control-allow-origin", "*"),
        (
            "access-control-allow-methods",
            "GET, POST, PUT, DELETE, OPTIONS",
        ),
        (
            "access-control-allow-headers",
            "X-Requested-With, Content-Type, Authorization",
        ),
    ] {
        assert_eq!(only(headers, name), value, "{what}");
    }
    for name in [header::WWW_AUTHENTICATE, header::RETRY_AFTER] {
        assert!(!headers.contains_key(&name), "{what}: {name}");
    }
}

#[track_caller]
fn assert_locked(answer: &Answer) {
    assert_refused(answer, 401, LOCKED);
}

#[track_caller]
fn assert_deactivated(answer: &Answer) {
    assert_refused(answer, 403, DEACTIVATED);
}

#[track_caller]
fn assert_suspended(answer: &Answer) {
    assert_refused(answer, 403, SUSPENDED);
}

/// A connection of the test's own to the server's database.
fn open(database: &Path) -> Connection {
    let connection = Connection::open(database).expect("the server's database");
    connection
        .busy_timeout(homeserver::BOUND)
        .expect("a time limit");
    connection
}

/// Everything that the server has stored, by table.
type Contents = BTreeMap<String, Vec<Vec<Cell>>>;

fn contents(database: &Path) -> Contents {
    read(&open(database)).expect("the server's tables")
}

fn read(connection: &Connection) -> rusqlite::Result<Contents> {
    let mut names =
        connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")?;
    let names: Vec<String> = names
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    assert!(names.len() > 8, "{names:?}");
    let rows = |table: &String| -> rusqlite::Result<Vec<Vec<Cell>>> {
        let mut statement = connection.prepare(&format!("SELECT rowid, * FROM {table}"))?;
        let columns = statement.column_count();
        let row = |row: &rusqlite::Row<'_>| -> rusqlite::Result<Vec<Cell>> {
            (0..columns).map(|at| row.get(at)).collect()
        };
        statement.query_map([], row)?.collect()
    };
    let tables = names
        .into_iter()
        .map(|table| Ok((table.clone(), rows(&table)?)));
    tables.collect()
}
