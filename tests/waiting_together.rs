//! Rule 20 for many waiting requests: one look-up answers for many of them. Neither a client that goes
//! away nor an account for which the store fails keeps the others from their answers.

#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tower::{ServiceExt as _, service_fn};
use tower_account_status::{
    AccountState, AccountStateStore, AccountStatusLayer, Changes,
    RestrictionKind::Locked,
    UserId,
    store::{Answer, StoreError},
    without,
};
use tower_layer::Layer as _;

const SOON: Duration = Duration::from_secs(60);
const MANY: usize = 2000;

/// A database that answers for many accounts by one query.
#[derive(Clone, Default)]
struct Database(Arc<Inner>);

#[derive(Default)]
struct Inner {
    queries: AtomicUsize,
    is_locked: AtomicBool,
    /// A query for `@bad:localhost` fails.
    panics: AtomicBool,
    /// How many milliseconds each account takes.
    slowness: AtomicU64,
    changes: Changes,
}

impl Database {
    async fn query(&self, user: &str) -> Result<AccountState, StoreError> {
        assert!(!(self.0.panics.load(SeqCst) && user == "@bad:localhost"));
        let slowness = self.0.slowness.load(SeqCst);
        if slowness > 0 {
            sleep(Duration::from_millis(slowness)).await;
        }
        Ok(match self.0.is_locked.load(SeqCst) {
            true => Locked.into(),
            false => AccountState::ACTIVE,
        })
    }

    fn queries(&self) -> usize {
        self.0.queries.swap(0, SeqCst)
    }
}

impl AccountStateStore for Database {
    async fn access_token(&self, token: &str) -> Answer {
        Ok(Some(UserId::from(format!("@{token}:localhost"))))
    }

    async fn state(&self, user: &str) -> Result<AccountState, StoreError> {
        self.0.queries.fetch_add(1, SeqCst);
        sleep(Duration::from_millis(1)).await;
        self.query(user).await
    }

    async fn states(&self, users: &[UserId]) -> Vec<Result<AccountState, StoreError>> {
        self.0.queries.fetch_add(1, SeqCst);
        sleep(Duration::from_millis(1)).await;
        let mut states = Vec::new();
        for user in users {
            states.push(self.query(user).await);
        }
        states
    }

    fn changes(&self) -> Option<Changes> {
        Some(self.0.changes.clone())
    }

    without! { application_service, login_name, third_party, login_token, refresh_token, event_sender }
}

type Polls = JoinSet<Result<Response<Full<Bytes>>, Infallible>>;

async fn waiting(database: &Database, tokens: impl Iterator<Item = String>) -> Polls {
    let layer = AccountStatusLayer::new(database.clone());
    more_waiting(&layer, database, tokens).await
}

async fn more_waiting(
    layer: &AccountStatusLayer<Database>,
    database: &Database,
    tokens: impl Iterator<Item = String>,
) -> Polls {
    let mut polls = JoinSet::new();
    let waits = service_fn(async |_: Request<Full<Bytes>>| std::future::pending().await);
    for token in tokens {
        let sync = Request::get("/_matrix/client/v3/sync")
            .header("authorization", format!("Bearer {token}"))
            .body(Full::<Bytes>::default())
            .unwrap();
        polls.spawn(layer.layer(waits).oneshot(sync));
    }
    sleep(Duration::from_secs(1)).await;
    database.queries();
    polls
}

async fn ended(polls: &mut Polls, count: usize) {
    for number in 0..count {
        let poll = timeout(SOON, polls.join_next()).await;
        let poll = poll.unwrap_or_else(|_| panic!("{number} of {count}"));
        let status = poll.unwrap().unwrap().unwrap().status();
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    }
}

fn numbers() -> impl Iterator<Item = String> {
    (0..MANY).map(|number| number.to_string())
}

#[tokio::test(start_paused = true)]
async fn rule_20_one_query_answers_for_many_that_wait() {
    let database = Database::default();
    let mut polls = waiting(&database, numbers()).await;
    database.0.changes.announce_all();
    sleep(Duration::from_secs(1)).await;
    let queries = database.queries();
    assert!((1..=60).contains(&queries), "{queries}");
    database.0.is_locked.store(true, SeqCst);
    database.0.changes.announce_all();
    ended(&mut polls, MANY).await;
    let queries = database.queries();
    assert!((1..=20).contains(&queries), "{queries}");
}

#[tokio::test(start_paused = true)]
async fn rule_20_an_account_with_many_polls_is_asked_for_once() {
    let database = Database::default();
    let mut polls = waiting(&database, numbers().map(|_| "alice".to_owned())).await;
    database.0.is_locked.store(true, SeqCst);
    database.0.changes.announce("@alice:localhost");
    ended(&mut polls, MANY).await;
    let queries = database.queries();
    // One a place: who comes while a look-up is under way needs another.
    assert!((1..=8).contains(&queries), "{queries}");
}

#[tokio::test(start_paused = true)]
async fn rule_20_on_a_hung_store_an_accounts_polls_ask_in_few_places_and_recover_by_themselves() {
    const MINUTE: Duration = Duration::from_secs(60);
    let database = Database::default();
    let mut polls = waiting(&database, numbers().map(|_| "alice".to_owned())).await;
    database.0.slowness.store(3_600_000, SeqCst);
    database.0.changes.announce("@alice:localhost");
    sleep(MINUTE).await;
    let queries = database.queries();
    // Four at a time, until the limit of five seconds.
    assert!((1..=4 * 13).contains(&queries), "{queries}");
    database.0.slowness.store(0, SeqCst);
    database.0.is_locked.store(true, SeqCst);
    let well = tokio::time::Instant::now();
    ended(&mut polls, MANY).await;
    // What hangs already ends with the limit, and then somebody asks within a second.
    assert!(well.elapsed() < Duration::from_secs(5 + 1 + 1));
}

#[tokio::test(start_paused = true)]
async fn rule_14_whoever_asks_for_others_may_go_away() {
    let database = Database::default();
    let layer = AccountStatusLayer::new(database.clone());
    // As many as stay, so that among those that ask at any time are some.
    let first = (0..MANY).map(|number| format!("leaving{number}"));
    let mut leaving = more_waiting(&layer, &database, first).await;
    let mut polls = more_waiting(&layer, &database, numbers()).await;
    database.0.is_locked.store(true, SeqCst);
    database.0.slowness.store(100, SeqCst);
    database.0.changes.announce_all();
    // The first have asked for themselves, and others ask for many.
    sleep(Duration::from_millis(200)).await;
    assert!(database.queries() > 0, "some ask");
    database.0.slowness.store(0, SeqCst);
    leaving.shutdown().await;
    ended(&mut polls, MANY).await;
}

#[tokio::test(start_paused = true)]
async fn rule_20_an_account_that_the_store_panics_for_holds_no_other_up() {
    let database = Database::default();
    let mut polls = waiting(&database, numbers().chain(["bad".to_owned()])).await;
    database.0.panics.store(true, SeqCst);
    database.0.is_locked.store(true, SeqCst);
    database.0.changes.announce_all();
    ended(&mut polls, MANY).await;
    database.0.panics.store(false, SeqCst);
    ended(&mut polls, 1).await;
}

#[tokio::test(start_paused = true)]
async fn rule_20_a_store_that_is_slow_for_many_is_asked_for_few() {
    let database = Database::default();
    let mut polls = waiting(&database, (0..64).map(|number| number.to_string())).await;
    database.0.is_locked.store(true, SeqCst);
    // Three seconds an account: two together are beyond the limit of five.
    database.0.slowness.store(3000, SeqCst);
    database.0.changes.announce_all();
    ended(&mut polls, 64).await;
}
