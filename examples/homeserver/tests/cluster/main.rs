//! Two processes of the example homeserver on one PostgreSQL: what is set through one is enforced
//! by the other, and what happens when the database, or the connection for announcements, is lost.

#![allow(clippy::unwrap_used)] // a test fails by panicking

#[path = "../../../../tests/support/homeserver.rs"]
mod homeserver;
mod lost_connections;
mod one_for_both;
#[path = "../../../../tests/support/postgres.rs"]
mod postgres;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use homeserver::{Answer, Homeserver, password_of};
use http::StatusCode;
use postgres::Cluster;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

const WHOAMI: &str = "/_matrix/client/v3/account/whoami";
const SYNC: &str = "/_matrix/client/v3/sync";
const REFRESH: &str = "/_matrix/client/v3/refresh";

/// Two processes, `one` and `other`, and the administrator's token, which both know.
struct TwoProcesses {
    one: Arc<Homeserver>,
    other: Arc<Homeserver>,
    admin: String,
    url: String,
}

impl TwoProcesses {
    async fn start(cluster: &Cluster) -> Self {
        let url = cluster.database().await;
        // By this name PostgreSQL tells whose a connection is.
        let states = |name: &str| format!("{url} application_name={name}");
        let one = Homeserver::start_with(&["--states", &states("one")]).await;
        let other = one.start_beside(&["--states", &states("other")]).await;
        let admin = one.login_admin().await;
        Self {
            one: Arc::new(one),
            other: Arc::new(other),
            admin,
            url,
        }
    }

    /// Locks or unlocks `user` through `process`, where the change takes effect at once.
    async fn set_lock(&self, process: &Homeserver, user: &str, locked: bool) {
        let path = format!("/_matrix/client/v1/admin/lock/@{user}:localhost");
        let body = json!({ "locked": locked });
        let answer = process.put(&path, &self.admin, body.clone()).await;
        assert_eq!(answer.ok(), body);
    }

    /// Starts a sync of a new session of `user` at `process` that has nothing to say, and returns
    /// when its handler is at work. It waits for a minute, unless it is ended.
    async fn wait_in_sync(process: &Arc<Homeserver>, user: &str) -> Waiting {
        let more = json!({ "refresh_token": true });
        let login = process.login(user, &password_of(user), more).await.ok();
        let token = |session: &Value| session["access_token"].as_str().unwrap().to_owned();
        let since = process.get(SYNC, &token(&login)).await.ok()["next_batch"].clone();
        // With the first use of the new token the handler deletes the one before, which the database
        // shows.
        let body = json!({ "refresh_token": login["refresh_token"] });
        let session = process.post(REFRESH, (), body).await.ok();
        let path = format!("{SYNC}?timeout=60000&since={}", since.as_str().unwrap());
        let (server, token) = (Arc::clone(process), token(&session));
        let answer = tokio::spawn(async move {
            let answer = server.get(&path, &token).await;
            (answer, Instant::now())
        });
        let database = rusqlite::Connection::open(&process.database).unwrap();
        database.busy_timeout(homeserver::BOUND).unwrap();
        let unused = "SELECT count(*) FROM access_tokens WHERE replaces IS NOT NULL";
        let deadline = Instant::now() + homeserver::BOUND;
        while database.query_row(unused, [], |row| row.get(0)) != Ok(0) {
            assert!(
                Instant::now() < deadline,
                "the sync never came to its handler"
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Waiting(answer)
    }
}

struct Waiting(JoinHandle<(Answer, Instant)>);

impl Waiting {
    /// The answer, and when it came.
    async fn answer(self) -> (Answer, Instant) {
        self.0.await.expect("the request is answered")
    }
}

/// Asks until the answer has another status, and returns it. An announcement takes some time from one
/// process to the other.
async fn until_not(status: StatusCode, ask: impl AsyncFn() -> Answer) -> Answer {
    let deadline = Instant::now() + homeserver::BOUND;
    loop {
        let answer = ask().await;
        if answer.status != status {
            return answer;
        }
        assert!(Instant::now() < deadline, "still {status}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
