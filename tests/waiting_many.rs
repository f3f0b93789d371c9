//! Rule 20 for many waiting requests: when everything is announced they make few look-ups at a time, and
//! a new request is answered meanwhile.

#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};
use tower::{ServiceExt as _, service_fn};
use tower_account_status::{
    AccountState, AccountStateStore, AccountStatusLayer, Changes,
    RestrictionKind::Locked,
    UserId,
    store::{Answer, StoreError},
    without,
};
use tower_layer::Layer as _;

const SOON: Duration = Duration::from_secs(30);
const MANY: usize = 500;

/// A database with as many connections as a pool has, each look-up of which takes its time.
#[derive(Clone)]
struct Database(Arc<Inner>);

struct Inner {
    connections: Semaphore,
    in_use: AtomicUsize,
    most_in_use: AtomicUsize,
    asked: AtomicUsize,
    is_locked: AtomicBool,
    changes: Changes,
}

impl AccountStateStore for Database {
    async fn access_token(&self, token: &str) -> Answer {
        Ok(Some(UserId::from(format!("@{token}:localhost"))))
    }

    async fn state(&self, _: &str) -> Result<AccountState, StoreError> {
        let connection = self.0.connections.acquire().await;
        let in_use = self.0.in_use.fetch_add(1, SeqCst) + 1;
        self.0.most_in_use.fetch_max(in_use, SeqCst);
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.0.in_use.fetch_sub(1, SeqCst);
        self.0.asked.fetch_add(1, SeqCst);
        drop(connection);
        Ok(match self.0.is_locked.load(SeqCst) {
            true => Locked.into(),
            false => AccountState::ACTIVE,
        })
    }

    fn changes(&self) -> Option<Changes> {
        Some(self.0.changes.clone())
    }

    without! { application_service, login_name, third_party, login_token, refresh_token, event_sender }
}

fn request(path: &str, token: &str) -> Request<Full<Bytes>> {
    Request::get(path)
        .header("authorization", format!("Bearer {token}"))
        .body(Full::default())
        .unwrap()
}

async fn handle(request: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
    match request.uri().path().ends_with("/sync") {
        true => std::future::pending().await,
        false => Ok(Response::default()),
    }
}

#[tokio::test(start_paused = true)]
async fn rule_20_many_that_wait_ask_in_few_places_and_leave_room() {
    let database = Database(Arc::new(Inner {
        connections: Semaphore::new(8),
        in_use: AtomicUsize::new(0),
        most_in_use: AtomicUsize::new(0),
        asked: AtomicUsize::new(0),
        is_locked: AtomicBool::new(false),
        changes: Changes::new(),
    }));
    let layer = AccountStatusLayer::new(database.clone());
    let mut polls = JoinSet::new();
    for number in 0..MANY {
        let sync = request("/_matrix/client/v3/sync", &number.to_string());
        polls.spawn(layer.layer(service_fn(handle)).oneshot(sync));
    }
    let until_asked = async |count| {
        while database.0.asked.load(SeqCst) < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(SOON, until_asked(MANY)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;
    database.0.most_in_use.store(0, SeqCst);
    database.0.changes.announce_all();
    // Others ask at the same time, one after the other.
    for _ in 0..20 {
        let before = database.0.asked.load(SeqCst);
        let whoami = request("/_matrix/client/v3/account/whoami", "healthy");
        let answer = layer.layer(service_fn(handle)).oneshot(whoami).await;
        assert_eq!(answer.unwrap().status(), StatusCode::OK);
        let meanwhile = database.0.asked.load(SeqCst) - before;
        assert!(meanwhile <= 20, "it waited for {meanwhile} others");
    }
    timeout(SOON, until_asked(2 * MANY + 20)).await.unwrap();
    assert!(database.0.most_in_use.load(SeqCst) <= 5);

    database.0.is_locked.store(true, SeqCst);
    database.0.changes.announce_all();
    while let Some(poll) = timeout(SOON, polls.join_next()).await.unwrap() {
        assert_eq!(poll.unwrap().unwrap().status(), StatusCode::UNAUTHORIZED);
    }
}
