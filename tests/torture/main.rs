//! Rules 19 to 21 together: faults at random under load. No locked account passes later than the
//! stated bound after its lock was acknowledged, no other is refused, and when a fault has ended
//! everything recovers without a restart.
//!
//! The stores are PostgreSQL, directly, behind a cache and behind pgbouncer (if that is installed),
//! and a SQLite file. A minute, or as long as `TORTURE_SECONDS` says; `TORTURE_SEED` repeats the order of the faults.

#![allow(clippy::unwrap_used)] // a test fails by panicking

#[path = "../support/pgbouncer.rs"]
mod pgbouncer;
#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/proxy.rs"]
mod proxy;

mod load;
mod server;
mod sqlite;

use std::{
    collections::BTreeMap,
    env,
    sync::Arc,
    time::{Duration, Instant},
};

use load::{Layer, Names, World, status};
use pgbouncer::Pooler;
use postgres::Cluster;
use proxy::Proxy;
use server::Server;
use sqlite::File;
use tokio::{
    runtime::{self, Runtime},
    task::JoinSet,
    time::timeout,
};
use tower_account_status::{
    CachedStore, Combined, DynAccountStateStore,
    store::{PostgresOptions, PostgresStore},
};

const HEARTBEAT: Duration = Duration::from_millis(300);
const TRUST: Duration = Duration::from_secs(3);
const REREAD: Duration = Duration::from_secs(1);
const TTL: Duration = Duration::from_secs(3);
/// What the documentation promises with these settings (a silent change is found by the next
/// reading of the set, or the set is not believed), and room for a busy machine.
const BOUND: Duration = Duration::from_secs(8);
/// How long recovery may take once the fault has ended: the longest wait between two attempts, and
/// room for a busy machine.
const RECOVERY: Duration = Duration::from_secs(40);

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// A store whose tasks run on a runtime of their own.
async fn elsewhere(options: PostgresOptions) -> (PostgresStore, Runtime) {
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let connected = runtime.spawn(options.connect()).await;
    (connected.unwrap().unwrap(), runtime)
}

fn options(url: &str) -> PostgresOptions {
    PostgresOptions::new(url)
        .unwrap()
        .with_heartbeat(HEARTBEAT)
        .with_trust_limit(TRUST)
        .with_reread_interval(REREAD)
}

/// The layers, each with the accounts of its database.
struct Layers(Vec<(&'static str, Layer, Arc<World>)>);

impl Layers {
    fn add(&mut self, what: &'static str, store: DynAccountStateStore, world: &Arc<World>) {
        self.0.push((what, Layer::new(store), Arc::clone(world)));
    }

    /// Every layer answers a healthy request before the others' time is up.
    async fn recover(&self, after: &str) -> BTreeMap<&'static str, Duration> {
        let (ended, mut times) = (Instant::now(), BTreeMap::new());
        for (what, layer, _) in &self.0 {
            let recovers = timeout(RECOVERY, async {
                while status(layer, "healthy").await != 200 {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
            let recovered = recovers.await;
            assert!(recovered.is_ok(), "{what}: {after} outlasts itself");
            times.insert(*what, ended.elapsed());
        }
        times
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn rules_19_to_21_hold_under_faults_at_random() {
    let seconds = env::var("TORTURE_SECONDS").map_or(60, |seconds| seconds.parse().unwrap());
    let seed = env::var("TORTURE_SEED").map_or_else(
        |_| u64::from(std::process::id()),
        |seed| seed.parse().unwrap(),
    );
    println!("TORTURE_SEED={seed}");
    let mut random = Random(seed);
    let cluster = Cluster::start();
    let url = cluster.database().await;
    let proxy = Proxy::to(cluster.port()).await;
    let pooler = Pooler::start(&cluster, "session", 20).await;
    let file = Arc::new(File::new());
    let files = file.open().await;

    let (on_server, on_file) = (Arc::<World>::default(), Arc::<World>::default());
    let (mut layers, mut runtimes) = (Layers(Vec::new()), Vec::new());
    let plain = options(&proxy.url(&url));
    let mut stores = vec![
        ("PostgreSQL", plain.clone()),
        (
            "PostgreSQL, with the set",
            plain.clone().with_restricted_set_in_memory(),
        ),
    ];
    if let Some(pooler) = &pooler {
        let pooled = options(&pooler.url(&cluster, &url)).with_restricted_set_in_memory();
        stores.push(("behind pgbouncer, with the set", pooled));
    }
    for (what, options) in stores {
        let (store, runtime) = elsewhere(options).await;
        runtimes.push(runtime);
        let store = DynAccountStateStore::new(Combined::new(Names, store));
        layers.add(what, store, &on_server);
    }
    let (store, runtime) = elsewhere(plain).await;
    runtimes.push(runtime);
    let cached = CachedStore::new(Combined::new(Names, store)).with_ttl(TTL);
    layers.add(
        "behind the cache",
        DynAccountStateStore::new(cached),
        &on_server,
    );
    for (what, store) in ["SQLite", "SQLite, with the set"].into_iter().zip(&files) {
        let store = DynAccountStateStore::new(Combined::new(Names, store.clone()));
        layers.add(what, store, &on_file);
    }

    let mut tasks = JoinSet::new();
    for (what, layer, world) in &layers.0 {
        tasks.spawn(load::ask_changed(Arc::clone(world), what, layer.clone()));
        tasks.spawn(load::ask_healthy(Arc::clone(world), what, layer.clone()));
    }
    tasks.spawn(load::change(Arc::clone(&on_server), url.clone()));
    tasks.spawn(sqlite::change(Arc::clone(&on_file), Arc::clone(&file)));

    let mut server = Server {
        cluster,
        proxy,
        url,
        pooler,
        runtimes,
    };
    let (began, mut faults) = (Instant::now(), BTreeMap::<&str, u32>::new());
    let mut slowest = BTreeMap::<&str, Duration>::new();
    while began.elapsed() < Duration::from_secs(seconds) {
        let length = Duration::from_millis(random.below(4000));
        let number = random.below((Server::FAULTS.len() + File::FAULTS.len()) as u64);
        let number = usize::try_from(number).unwrap();
        let name = match number.checked_sub(Server::FAULTS.len()) {
            None => {
                server.fault(number, length, &mut random).await;
                Server::FAULTS[number]
            }
            Some(number) => {
                file.fault(number, length, &files).await;
                File::FAULTS[number]
            }
        };
        *faults.entry(name).or_default() += 1;
        let after = format!("{name} for {length:?}");
        for (what, time) in layers.recover(&after).await {
            let slowest = slowest.entry(what).or_default();
            *slowest = time.max(*slowest);
        }
        while let Some(ended) = tasks.try_join_next() {
            ended.expect("a task of the load panicked");
        }
        tokio::time::sleep(Duration::from_millis(random.below(2000))).await;
    }
    on_server.end();
    on_file.end();
    while let Some(task) = tasks.join_next().await {
        task.expect("a task of the load panicked");
    }
    println!(
        "in {:?}: {faults:?}\nslowest recovery: {slowest:?}",
        began.elapsed()
    );
    for (what, world) in [("PostgreSQL", on_server), ("SQLite", on_file)] {
        let (locked, lifted) = world.changed();
        let answers = world.answers();
        println!(
            "{what}: {locked} accounts locked and {lifted} unlocked again, answers {answers:?}"
        );
        assert!(locked > 10, "{locked}");
    }
    let runtimes = std::mem::take(&mut server.runtimes);
    runtimes.into_iter().for_each(Runtime::shutdown_background);
}
