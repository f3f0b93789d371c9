//! Rules 19 to 21 together: faults at random under load. No locked account passes later than the
//! stated bound after its lock was acknowledged, no other is refused, and when a fault has ended
//! everything is well again without a restart.
//!
//! A minute, or as long as `TORTURE_SECONDS` says; `TORTURE_SEED` repeats the order of the faults.

#![allow(clippy::unwrap_used)] // a test fails by panicking

#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/proxy.rs"]
mod proxy;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    env,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use postgres::Cluster;
use proxy::Proxy;
use tokio::{
    runtime::{self, Runtime},
    task::JoinSet,
    time::timeout,
};
use tower::{ServiceExt as _, service_fn};
use tower_account_status::{
    AccountStateStore, AccountStatusLayer, Combined, UserId,
    store::{Answer, PostgresOptions, PostgresStore},
    without,
};
use tower_layer::Layer as _;

const HEARTBEAT: Duration = Duration::from_millis(300);
const TRUST: Duration = Duration::from_secs(3);
const REREAD: Duration = Duration::from_secs(1);
/// What the documentation promises with these settings (a silent change is found by the next
/// reading of the set, or the set is not believed), and room for a busy machine.
const BOUND: Duration = Duration::from_secs(8);
/// How long recovery may take once the fault has ended: the longest wait between two attempts, and
/// room for a busy machine.
const RECOVERY: Duration = Duration::from_secs(40);

const FAULTS: usize = 8;

/// Every token is the name of its owner.
struct Names;

impl AccountStateStore for Names {
    async fn access_token(&self, token: &str) -> Answer {
        Ok(Some(UserId::from(format!("@{token}:x"))))
    }

    without! { application_service, login_name, third_party, login_token, refresh_token, state, changes }
}

type Layer = AccountStatusLayer<Combined<Names, PostgresStore>>;

async fn status(layer: &Layer, token: &str) -> u16 {
    let request = Request::get("/_matrix/client/v3/account/whoami")
        .header("authorization", format!("Bearer {token}"))
        .body(Full::<Bytes>::default())
        .unwrap();
    let passes = service_fn(async |_: Request<Full<Bytes>>| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    layer
        .layer(passes)
        .oneshot(request)
        .await
        .unwrap()
        .status()
        .as_u16()
}

#[derive(Default)]
struct World {
    /// When each lock was acknowledged.
    locked: Mutex<BTreeMap<u64, Instant>>,
    is_over: AtomicBool,
    answers: Mutex<BTreeMap<u16, u64>>,
    next: AtomicU64,
}

impl World {
    fn goes_on(&self) -> bool {
        !self.is_over.load(SeqCst)
    }

    fn count(&self, status: u16) {
        *self.answers.lock().unwrap().entry(status).or_default() += 1;
    }
}

async fn ask_locked(world: Arc<World>, layer: Layer) {
    while world.goes_on() {
        let locked: Vec<_> = {
            let locked = world.locked.lock().unwrap();
            locked
                .iter()
                .rev()
                .take(20)
                .map(|(n, at)| (*n, *at))
                .collect()
        };
        for (number, acknowledged) in locked {
            let began = Instant::now();
            let status = status(&layer, &format!("locked{number}")).await;
            world.count(status);
            let late = began.saturating_duration_since(acknowledged);
            assert!(
                status != 200 || late < BOUND,
                "locked account {number} passes {late:?} after its lock"
            );
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn ask_healthy(world: Arc<World>, layer: Layer) {
    for number in 0_u64.. {
        if !world.goes_on() {
            return;
        }
        let status = status(&layer, &format!("healthy{}", number % 50)).await;
        world.count(status);
        assert!(
            [200, 503].contains(&status),
            "a healthy account gets {status}"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Locks one account after another as another process would, at times without a trigger.
async fn lock(world: Arc<World>, url: String) {
    let table = "account_status.restrictions";
    while world.goes_on() {
        let number = world.next.fetch_add(1, SeqCst);
        let insert =
            format!("INSERT INTO {table} (user_id, kind) VALUES ('@locked{number}:x', 'locked')");
        let sql = match number % 5 {
            0 => format!(
                "BEGIN; ALTER TABLE {table} DISABLE TRIGGER notify_change; {insert}; \
                 ALTER TABLE {table} ENABLE ALWAYS TRIGGER notify_change; COMMIT"
            ),
            _ => insert,
        };
        let done = timeout(Duration::from_secs(2), async {
            let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await?;
            let driver = tokio::spawn(connection);
            let done = client.batch_execute(&sql).await;
            driver.abort();
            done
        });
        if let Ok(Ok(())) = done.await {
            world.locked.lock().unwrap().insert(number, Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

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

async fn fault(
    kind: u64,
    length: Duration,
    cluster: &Cluster,
    proxy: &Proxy,
    url: &str,
    runtimes: &mut Vec<Runtime>,
) {
    match kind {
        0 => tokio::task::block_in_place(|| {
            cluster.kill();
            std::thread::sleep(length);
            cluster.launch();
        }),
        1 => tokio::task::block_in_place(|| {
            cluster.stop();
            std::thread::sleep(length);
            cluster.launch();
        }),
        2 => {
            cluster.pause();
            tokio::time::sleep(length).await;
            cluster.go_on();
        }
        3 => {
            let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                             WHERE datname = current_database() AND pid <> pg_backend_pid()";
            let client = cluster.client(url).await;
            client.batch_execute(terminate).await.unwrap();
        }
        4 => {
            proxy.stall_at("account_status");
            tokio::time::sleep(length).await;
            proxy.go_on();
        }
        5 => {
            proxy.stall_at("NOTIFY");
            tokio::time::sleep(length).await;
            proxy.go_on();
        }
        6 => {
            proxy.keep_news(true);
            tokio::time::sleep(length).await;
            proxy.keep_news(false);
        }
        // With all the tasks of a store; one that has lost its runtime lives on this one.
        _ => {
            let runtime = runtimes.pop();
            runtime.into_iter().for_each(Runtime::shutdown_background);
        }
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
    let proxied = url.replace(
        &format!("port={}", cluster.port()),
        &format!("port={}", proxy.port()),
    );
    let options = PostgresOptions::new(&proxied)
        .unwrap()
        .with_heartbeat(HEARTBEAT)
        .with_trust_limit(TRUST)
        .with_reread_interval(REREAD);
    let (mut layers, mut runtimes) = (Vec::new(), Vec::new());
    for options in [options.clone(), options.with_restricted_set_in_memory()] {
        let (store, runtime) = elsewhere(options).await;
        runtimes.push(runtime);
        layers.push(Layer::new(Combined::new(Names, store)));
    }

    let world = Arc::<World>::default();
    let mut tasks = JoinSet::new();
    for layer in &layers {
        tasks.spawn(ask_locked(Arc::clone(&world), layer.clone()));
        tasks.spawn(ask_healthy(Arc::clone(&world), layer.clone()));
    }
    tasks.spawn(lock(Arc::clone(&world), url.clone()));

    let (began, mut faults, mut slowest) = (Instant::now(), [0; FAULTS], Duration::ZERO);
    while began.elapsed() < Duration::from_secs(seconds) {
        let kind = random.below(FAULTS as u64);
        let length = Duration::from_millis(random.below(4000));
        faults[usize::try_from(kind).unwrap()] += 1;
        fault(kind, length, &cluster, &proxy, &url, &mut runtimes).await;
        let ended = Instant::now();
        for layer in &layers {
            let recovers = timeout(RECOVERY, async {
                while status(layer, "healthy").await != 200 {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
            let recovered = recovers.await;
            assert!(
                recovered.is_ok(),
                "fault {kind} of {length:?} outlasts itself"
            );
        }
        slowest = slowest.max(ended.elapsed());
        while let Some(ended) = tasks.try_join_next() {
            ended.expect("a task of the load panicked");
        }
        tokio::time::sleep(Duration::from_millis(random.below(2000))).await;
    }
    world.is_over.store(true, SeqCst);
    while let Some(task) = tasks.join_next().await {
        task.expect("a task of the load panicked");
    }
    let locked = world.locked.lock().unwrap().len();
    println!(
        "{faults:?} faults in {:?}: {locked} accounts locked, answers {:?}, slowest recovery {slowest:?}",
        began.elapsed(),
        world.answers.lock().unwrap()
    );
    assert!(locked > 10, "{locked}");
    runtimes.into_iter().for_each(Runtime::shutdown_background);
}
