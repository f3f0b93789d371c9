//! Locks, unlocks and requests at random from many tasks: no answer is stale, and nobody is refused
//! who was not locked. An answer is stale when the request began after the change was acknowledged.

use std::{
    convert::Infallible,
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower::ServiceExt as _;
use tower_account_status::{
    AccountStateStore, AccountStatusLayer, MemoryStore, RestrictionKind::Locked, RestrictionRecord,
    RestrictionStore,
};
use tower_account_status::{
    UserId,
    store::{ChangeRecord, Channel},
};
use tower_layer::Layer as _;

const ACCOUNTS: usize = 16;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

fn user(account: usize) -> String {
    format!("@{account}:example.org")
}

fn token(account: usize) -> String {
    format!("token{account}")
}

/// A store that a moderator can change: what is awaited here has been acknowledged.
trait Moderated: AccountStateStore + Clone {
    fn set_locked(&self, user: &str, locked: bool) -> impl Future<Output = ()> + Send;
}

impl<S> Moderated for Arc<S>
where
    S: AccountStateStore + RestrictionStore<Error: Debug>,
{
    async fn set_locked(&self, user: &str, locked: bool) {
        let user = UserId::from(user);
        if locked {
            let record = RestrictionRecord::new(Locked);
            self.set_restriction(&user, record).await.expect("locked");
        } else {
            self.lift_restriction(&user, Locked, &ChangeRecord::through(Channel::SERVER))
                .await
                .expect("unlocked");
        }
    }
}

/// How often an account's state has been changed: even numbers are active, odd ones locked.
#[derive(Default)]
struct Versions {
    begun: AtomicU64,
    acknowledged: AtomicU64,
}

#[derive(Debug, Default)]
struct Counts {
    requests: AtomicUsize,
    unambiguous: AtomicUsize,
    changes: AtomicUsize,
    stale: AtomicUsize,
    spurious: AtomicUsize,
}

async fn stress(store: impl Moderated, time: Duration) -> Arc<Counts> {
    let (counts, ends): (Arc<Counts>, Arc<AtomicBool>) = Default::default();
    let versions: Arc<Vec<Versions>> =
        Arc::new((0..ACCOUNTS).map(|_| Versions::default()).collect());
    let inner = tower::service_fn(|_: Request<Full<Bytes>>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let service = AccountStatusLayer::new(store.clone()).layer(inner);
    let mut tasks = tokio::task::JoinSet::new();
    // Each account is changed by one task, so that the order of its states is known.
    for changer in 0..4 {
        let (store, versions) = (store.clone(), Arc::clone(&versions));
        let (counts, ends) = (Arc::clone(&counts), Arc::clone(&ends));
        tasks.spawn(async move {
            let mut random = changer as u64 + 1;
            while !ends.load(SeqCst) {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let account = (random >> 33) as usize % (ACCOUNTS / 4) * 4 + changer;
                let of = &versions[account];
                let version = of.begun.fetch_add(1, SeqCst) + 1;
                store.set_locked(&user(account), version % 2 == 1).await;
                of.acknowledged.store(version, SeqCst);
                counts.changes.fetch_add(1, SeqCst);
                if random % 3 == 0 {
                    tokio::time::sleep(Duration::from_micros(random >> 54)).await;
                }
                tokio::task::yield_now().await;
            }
        });
    }
    for asker in 0..16_u64 {
        let (service, versions) = (service.clone(), Arc::clone(&versions));
        let (counts, ends) = (Arc::clone(&counts), Arc::clone(&ends));
        tasks.spawn(async move {
            let mut random = asker + 77;
            while !ends.load(SeqCst) {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let account = (random >> 33) as usize % ACCOUNTS;
                let request = Request::get("/_matrix/client/v3/account/whoami")
                    .header("authorization", format!("Bearer {}", token(account)))
                    .body(Full::default())
                    .expect("a request");
                let before = versions[account].acknowledged.load(SeqCst);
                let response = service.clone().oneshot(request).await;
                let status = response.unwrap_or_else(|never| match never {}).status();
                let after = versions[account].begun.load(SeqCst);
                counts.requests.fetch_add(1, SeqCst);
                if before != after {
                    tokio::task::yield_now().await;
                    continue; // It changed meanwhile: either answer was right at some moment.
                }
                counts.unambiguous.fetch_add(1, SeqCst);
                match (before % 2 == 1, status) {
                    (true, StatusCode::UNAUTHORIZED) | (false, StatusCode::OK) => {}
                    (true, StatusCode::OK) => drop(counts.stale.fetch_add(1, SeqCst)),
                    _ => drop(counts.spurious.fetch_add(1, SeqCst)),
                }
                tokio::task::yield_now().await;
            }
        });
    }
    let started = Instant::now();
    // On a slow machine it takes longer until enough has been tried.
    let has_done = |count: &AtomicUsize| count.load(SeqCst) > 1_000;
    while started.elapsed() < time || !has_done(&counts.unambiguous) || !has_done(&counts.changes) {
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(started.elapsed() < time + PATIENCE, "{counts:?}");
    }
    ends.store(true, SeqCst);
    while let Some(done) = tasks.join_next().await {
        done.expect("no task panics");
    }
    counts
}

/// `STRESS_SECONDS` in the environment makes it longer.
fn time() -> Duration {
    let asked = std::env::var("STRESS_SECONDS").ok();
    Duration::from_secs(asked.and_then(|text| text.parse().ok()).unwrap_or(3))
}

fn nothing_is_stale(counts: &Counts) {
    println!("{counts:?}");
    assert_eq!(counts.stale.load(SeqCst), 0, "{counts:?}");
    assert_eq!(counts.spurious.load(SeqCst), 0, "{counts:?}");
}

macro_rules! stress {
    ($($name:ident: $store:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $name() {
            let store: Arc<_> = $store.await;
            nothing_is_stale(&*stress(store, time()).await);
        }
    )*};
}

// A store a line.
stress! {
    no_answer_of_the_memory_store_is_stale: async {
        let store = MemoryStore::new();
        (0..ACCOUNTS).for_each(|account| store.insert_access_token(token(account), user(account)));
        Arc::new(store)
    };
    no_answer_of_a_store_behind_a_pointer_is_stale: async {
        let store = MemoryStore::new();
        (0..ACCOUNTS).for_each(|account| store.insert_access_token(token(account), user(account)));
        Arc::new(Arc::new(store))
    };
}
