//! Rule 19 for waiting requests: they rely on announcements, and if the last proof that these arrive
//! is too old they ask for themselves. And rule 12: who is told the cause of a store's failure.

#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::{
    convert::Infallible,
    error::Error,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokio::time::timeout;
use tower::{ServiceExt as _, service_fn};
use tower_account_status::{
    AccountState, AccountStateStore, AccountStatusLayer, CachedStore, Changes, MemoryStore,
    RestrictionKind::Locked,
    forward,
    store::{Answer, StoreError},
    without,
};
use tower_layer::Layer as _;

const HOUR: Duration = Duration::from_secs(3600);
const ALICE: &str = "@alice:localhost";

fn sync() -> Request<Full<Bytes>> {
    Request::get("/_matrix/client/v3/sync")
        .header("authorization", "Bearer t")
        .body(Full::default())
        .unwrap()
}

async fn waits(_: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
    std::future::pending().await
}

/// A store whose announcements come from elsewhere, and get lost.
struct Remote {
    memory: MemoryStore,
    changes: Changes,
    asked: Arc<AtomicUsize>,
}

impl AccountStateStore for Remote {
    forward! { memory => all except state, changes }

    async fn state(&self, user: &str) -> Result<AccountState, StoreError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        AccountStateStore::state(&self.memory, user).await
    }

    fn changes(&self) -> Option<Changes> {
        Some(self.changes.clone())
    }
}

/// The proofs' ends are compared with the real clock, which hardly moves here; the request's timers
/// are on the runtime's, which the test moves on.
#[tokio::test(start_paused = true)]
async fn rule_19_a_request_that_waits_asks_for_itself_when_the_last_proof_is_too_old() {
    let (memory, changes) = (MemoryStore::new(), Changes::needing_proof());
    memory.insert_access_token("t", ALICE);
    let asked = Arc::<AtomicUsize>::default();
    let store = Arc::new(Remote {
        memory,
        changes: changes.clone(),
        asked: Arc::clone(&asked),
    });
    let layer = AccountStatusLayer::new(Arc::clone(&store));
    let believe = |span| changes.believe_until(Instant::now() + span);
    believe(HOUR);
    let waiting = tokio::spawn(layer.layer(service_fn(waits)).oneshot(sync()));
    while asked.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    // A younger proof comes, and nobody asks although the first one's end passes.
    believe(3 * HOUR);
    tokio::time::sleep(2 * HOUR).await;
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    store.memory.restrict(ALICE, Locked);
    // The next end passes, and no proof has come.
    believe(Duration::ZERO);
    let response = timeout(4 * HOUR, waiting).await.expect("it is ended");
    assert_eq!(
        response.unwrap().unwrap().status(),
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

/// What a driver says, below what the store says.
#[derive(Debug)]
struct Driver;

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("relation \"restrictions\" does not exist")
    }
}

impl Error for Driver {}

/// What the store says, which does not say what the driver does.
#[derive(Debug)]
struct Query(Driver);

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the query failed")
    }
}

impl Error for Query {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

struct Broken;

impl AccountStateStore for Broken {
    async fn access_token(&self, _: &str) -> Answer {
        Err(StoreError::boxed(Query(Driver)))
    }

    without! {
        application_service, login_name, third_party, login_token, refresh_token, event_sender, state, changes
    }
}

#[tokio::test]
async fn rule_12_the_hook_finds_the_cause_at_the_bottom_with_a_cache_and_without_one() {
    async fn causes<S: AccountStateStore>(store: S) -> Vec<String> {
        let heard = Arc::<Mutex<Vec<String>>>::default();
        let hears = Arc::clone(&heard);
        let layer = AccountStatusLayer::new(store).with_observer(move |outcome| {
            let mut cause = outcome.store_error().map(|error| error as &dyn Error);
            while let Some(error) = cause {
                hears.lock().unwrap().push(error.to_string());
                cause = error.source();
            }
        });
        let response = layer.layer(service_fn(waits)).oneshot(sync()).await;
        assert_eq!(response.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
        std::mem::take(&mut *heard.lock().unwrap())
    }
    for causes in [causes(Broken).await, causes(CachedStore::new(Broken)).await] {
        let driver = Driver.to_string();
        assert!(causes[0].contains(&driver), "the whole chain: {causes:?}");
        assert_eq!(causes.last(), Some(&driver), "{causes:?}");
    }
}
