//! Locks, unlocks and requests at random, from many tasks at once, over every store and cache: no
//! answer is stale, and nobody is refused who was not locked.
//!
//! Five seconds for each store; `STRESS_SECONDS=60 cargo test --test live_stress -- --nocapture`
//! for longer, and for the counts.
//!
//! # How an answer is judged
//!
//! The states of an account are numbered: it is locked at odd numbers. Before a change is asked for,
//! its number is `begun`, and when it has been acknowledged, its number is `done`. A request reads
//! `done` before it starts and `begun` after its answer. If they are the same, no change was under
//! way, and the answer is right or wrong; if not, either answer may be right.

#![allow(clippy::unwrap_used)] // a test fails by panicking

#[path = "support/postgres.rs"]
mod postgres;

use std::{
    convert::Infallible,
    env,
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use postgres::Cluster;
use tokio::{sync::Mutex, task::JoinSet};
use tower::{Layer, ServiceExt};
use tower_account_status::{
    AccountStateStore, AccountStatusLayer, CachedStore, Combined, MemoryStore,
    RestrictionKind::Locked,
    RestrictionStore, UserId,
    store::{PostgresStore, SqliteStore},
};
use tower_account_status::{
    forward,
    store::{Answer, ChangeRecord, Channel, StoreError},
    without,
};

const ACCOUNTS: usize = 32;
const CHANGERS: u64 = 4;
const ASKERS: u64 = 16;

/// How much longer it may take on a busy machine until enough has been tried.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long each store is under stress.
fn duration() -> Duration {
    let seconds = env::var("STRESS_SECONDS").unwrap_or_else(|_| "5".to_owned());
    Duration::from_secs(seconds.parse().expect("STRESS_SECONDS is a number"))
}

/// A small generator of pseudo-random numbers (`SplitMix64`).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((bits ^ (bits >> 31)) % limit as u64).unwrap()
    }
}

struct Account {
    token: String,
    user: UserId,
    begun: AtomicU64,
    done: AtomicU64,
    /// When the change `done` was acknowledged, in microseconds since the start.
    done_at: AtomicU64,
    /// Only one changes an account at a time, so that the numbers mean something.
    turn: Mutex<()>,
}

/// What has been tried so far.
#[derive(Debug, Default)]
struct Tried {
    changes: AtomicU64,
    judged_locked: AtomicU64,
    judged_active: AtomicU64,
    wrong: AtomicU64,
}

/// Whether that was enough.
type Enough = fn(&Tried) -> bool;

struct World {
    accounts: Vec<Account>,
    start: Instant,
    duration: Duration,
    tried: Tried,
    enough: Enough,
}

impl World {
    fn new(duration: Duration, enough: Enough) -> Arc<Self> {
        let account = |number| Account {
            token: format!("token-{number}"),
            user: format!("@user-{number}:localhost").into(),
            begun: AtomicU64::new(0),
            done: AtomicU64::new(0),
            done_at: AtomicU64::new(0),
            turn: Mutex::new(()),
        };
        Arc::new(Self {
            accounts: (0..ACCOUNTS).map(account).collect(),
            start: Instant::now(),
            duration,
            tried: Tried::default(),
            enough,
        })
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap()
    }

    /// Later if the machine is busy.
    fn is_over(&self) -> bool {
        let since = self.start.elapsed();
        let is_enough = since >= self.duration && (self.enough)(&self.tried);
        is_enough || since >= self.duration + PATIENCE
    }
}

/// Whose tokens there are, in memory.
struct Own;

impl AccountStateStore for Own {
    const RESOLVES_AT_ONCE: bool = true;

    async fn access_token(&self, token: &str) -> Answer {
        let number = token.strip_prefix("token-");
        Ok(number.map(|number| format!("@user-{number}:localhost").into()))
    }

    without! {
        application_service, login_name, third_party, login_token, refresh_token, event_sender, state, changes
    }
}

#[derive(Debug, Default)]
struct Counts {
    changes: u64,
    requests: u64,
    /// Requests during which no change of their account was under way.
    judged: u64,
    judged_locked: u64,
    /// Passed, though the lock had been acknowledged before the request began.
    stale: u64,
    /// Refused, though the account was not locked.
    spurious: u64,
    /// Neither passed nor refused because of a lock.
    other: u64,
    /// How long after the acknowledgement the latest answer of the earlier state was asked for, in
    /// microseconds; only where it was given by another process.
    latest_micros: u64,
}

impl Counts {
    fn add(&mut self, more: &Self) {
        self.changes += more.changes;
        self.requests += more.requests;
        self.judged += more.judged;
        self.judged_locked += more.judged_locked;
        self.stale += more.stale;
        self.spurious += more.spurious;
        self.other += more.other;
        self.latest_micros = self.latest_micros.max(more.latest_micros);
    }
}

async fn change<R: RestrictionStore>(world: Arc<World>, restrictions: R, seed: u64) -> Counts {
    let mut random = Random(seed);
    let mut counts = Counts::default();
    while !world.is_over() {
        let account = &world.accounts[random.below(ACCOUNTS)];
        let _turn = account.turn.lock().await;
        let number = account.done.load(SeqCst) + 1;
        account.begun.store(number, SeqCst);
        if number % 2 == 1 {
            let locked = restrictions
                .set_restriction(&account.user, Locked.into())
                .await;
            locked.map_err(Into::<StoreError>::into).unwrap();
        } else {
            let lifted = restrictions
                .lift_restriction(
                    &account.user,
                    Locked,
                    &ChangeRecord::through(Channel::SERVER),
                )
                .await;
            assert!(
                lifted.map_err(Into::<StoreError>::into).unwrap(),
                "it was locked"
            );
        }
        account.done_at.store(world.micros(), SeqCst);
        account.done.store(number, SeqCst);
        counts.changes += 1;
        world.tried.changes.fetch_add(1, SeqCst);
        // One that changes nothing for a while leaves answers that can be judged.
        for _ in 0..random.below(8) {
            tokio::task::yield_now().await;
        }
    }
    counts
}

/// `grace` is how late an answer may be: nothing where the change was made by the same process.
async fn ask<S: AccountStateStore>(
    world: Arc<World>,
    layer: AccountStatusLayer<Arc<S>>,
    grace: Duration,
    seed: u64,
) -> Counts {
    let grace = u64::try_from(grace.as_micros()).unwrap();
    let service = layer.layer(tower::service_fn(answered));
    let mut random = Random(seed);
    let mut counts = Counts::default();
    while !world.is_over() {
        let account = &world.accounts[random.below(ACCOUNTS)];
        let request = Request::get("/_matrix/client/v3/account/whoami")
            .header("authorization", format!("Bearer {}", account.token))
            .body(Full::default())
            .unwrap();
        let done = account.done.load(SeqCst);
        let done_at = account.done_at.load(SeqCst);
        let asked_at = world.micros();
        let status = service.clone().oneshot(request).await.unwrap().status();
        let begun = account.begun.load(SeqCst);

        counts.requests += 1;
        let is_locked = match status.as_u16() {
            200 => false,
            401 => true,
            _ => {
                counts.other += 1;
                continue;
            }
        };
        if done == begun {
            let should_be_locked = done % 2 == 1;
            counts.judged += 1;
            counts.judged_locked += u64::from(should_be_locked);
            let of_the_kind = match should_be_locked {
                true => &world.tried.judged_locked,
                false => &world.tried.judged_active,
            };
            of_the_kind.fetch_add(1, SeqCst);
            if is_locked != should_be_locked {
                world.tried.wrong.fetch_add(1, SeqCst);
                let late = asked_at.saturating_sub(done_at);
                counts.latest_micros = counts.latest_micros.max(late);
                if late >= grace {
                    match is_locked {
                        true => counts.spurious += 1,
                        false => counts.stale += 1,
                    }
                }
            }
        }
        if random.below(8) == 0 {
            tokio::task::yield_now().await;
        }
    }
    counts
}

fn answered(_: Request<Full<Bytes>>) -> Ready<Result<Response<Full<Bytes>>, Infallible>> {
    ready(Ok(Response::default()))
}

fn memory() -> Arc<MemoryStore> {
    let store = MemoryStore::new();
    for number in 0..ACCOUNTS {
        let user = format!("@user-{number}:localhost");
        store.insert_access_token(format!("token-{number}"), user);
    }
    Arc::new(store)
}

/// Changes through `restrictions`, asks `store`, and counts.
async fn run<S, R>(store: S, restrictions: R, grace: Duration, world: Arc<World>) -> Counts
where
    S: AccountStateStore,
    R: RestrictionStore + Clone,
{
    let layer = AccountStatusLayer::new(Arc::new(store));
    let mut tasks = JoinSet::new();
    for seed in 0..CHANGERS {
        tasks.spawn(change(Arc::clone(&world), restrictions.clone(), seed));
    }
    for seed in 0..ASKERS {
        let (world, layer) = (Arc::clone(&world), layer.clone());
        tasks.spawn(ask(world, layer, grace, 1000 + seed));
    }
    let mut counts = Counts::default();
    while let Some(counted) = tasks.join_next().await {
        counts.add(&counted.unwrap());
    }
    counts
}

async fn stress<S, R>(name: &str, store: S, restrictions: R, grace: Duration)
where
    S: AccountStateStore,
    R: RestrictionStore + Clone,
{
    let duration = duration();
    let tried_enough: Enough = |tried| {
        tried.changes.load(SeqCst) > 20
            && tried.judged_locked.load(SeqCst) > 100
            && tried.judged_active.load(SeqCst) > 100
    };
    let world = World::new(duration, tried_enough);
    let counts = run(store, restrictions, grace, Arc::clone(&world)).await;
    println!("{name}: {duration:?}, {counts:?}");
    assert_eq!(
        (counts.stale, counts.spurious, counts.other),
        (0, 0, 0),
        "{name}: {counts:?}"
    );
    assert!(tried_enough(&world.tried), "{name}: {counts:?}");
}

/// Announces no changes.
struct Silent(Arc<MemoryStore>);

impl AccountStateStore for Silent {
    forward! { 0 => all except changes }
    without! { changes }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn stale_answers_of_a_cache_that_nobody_tells_are_found() {
    let store = memory();
    let cached = CachedStore::new(Silent(Arc::clone(&store)));
    let world = World::new(Duration::from_secs(2), |tried| tried.wrong.load(SeqCst) > 0);
    let counts = run(cached, store, Duration::ZERO, world).await;
    assert!(counts.stale > 0, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_store() {
    let store = memory();
    stress("MemoryStore", Arc::clone(&store), store, Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cached_memory_store() {
    let store = memory();
    let cached = CachedStore::new(Arc::clone(&store));
    stress("CachedStore<MemoryStore>", cached, store, Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cached_sqlite_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("restrictions.db");
    let restrictions = SqliteStore::open(path).await.unwrap();
    let store = CachedStore::new(Combined::new(Own, restrictions.clone()));
    stress(
        "CachedStore over SqliteStore",
        store,
        restrictions,
        Duration::ZERO,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cached_postgres_store() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let restrictions = PostgresStore::connect(&url).await.unwrap();
    let store = CachedStore::new(Combined::new(Own, restrictions.clone()));
    stress(
        "CachedStore over PostgresStore",
        store,
        restrictions,
        Duration::ZERO,
    )
    .await;
}

/// The announced bound across processes, if every notification were lost, is the time to live of
/// what is cached. With notifications it is milliseconds, which the counts show.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cached_postgres_store_of_another_process() {
    const TTL: Duration = Duration::from_secs(2);
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let restrictions = PostgresStore::connect(&url).await.unwrap();
    let others = PostgresStore::connect(&url).await.unwrap();
    let store = CachedStore::new(Combined::new(Own, others)).with_ttl(TTL);
    stress(
        "CachedStore over another PostgresStore",
        store,
        restrictions,
        TTL,
    )
    .await;
}
