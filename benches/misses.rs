//! Look-ups that the cache cannot answer and PostgreSQL has to, beside a look-up of the same rows that
//! is written by hand with `deadpool-postgres`.
//!
//! `cargo bench --bench misses --features cache,postgres`. It starts a PostgreSQL server of its
//! own. The ways take turns, in one process.

#![allow(clippy::unwrap_used)] // it fails by panicking

#[path = "../tests/support/postgres.rs"]
mod postgres;

use std::{
    env,
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use postgres::Cluster;
use tokio::task::JoinSet;
use tokio_postgres::NoTls;
use tower_account_status::{
    AccountState, AccountStateStore, CachedStore, Combined, Restriction, RestrictionKind,
    RestrictionStore as _, UserId,
    store::{Answer, PostgresStore},
    without,
};

/// Half of the accounts are restricted.
const ACCOUNTS: usize = 200_000;
/// The connections of each way: as many as `PostgresStore` has unless it is told otherwise.
const CONNECTIONS: usize = 8;
const CLIENTS: [usize; 3] = [1, 10, 100];
const WAYS: [&str; 3] = ["by hand", "`PostgresStore`", "a miss through `CachedStore`"];

/// Every token is the name of its owner: whose it is costs nothing.
struct Names;

impl AccountStateStore for Names {
    async fn access_token(&self, token: &str) -> Answer {
        Ok(Some(token.into()))
    }

    without! { application_service, login_name, third_party, login_token, refresh_token, event_sender, state, changes }
}

struct ByHand {
    pool: Pool,
}

impl ByHand {
    fn new(url: &str) -> Self {
        let manager = Manager::from_config(
            url.parse().unwrap(),
            NoTls,
            ManagerConfig {
                recycling_method: RecyclingMethod::Fast,
            },
        );
        let pool = Pool::builder(manager).max_size(CONNECTIONS).build();
        Self {
            pool: pool.unwrap(),
        }
    }

    /// No time limit, no second attempt, and nothing that says what failed.
    async fn state_of(&self, user: &str) -> AccountState {
        let client = self.pool.get().await.unwrap();
        let statement = client
            .prepare_cached(
                "SELECT kind, reason, until FROM account_status.restrictions WHERE user_id = $1",
            )
            .await
            .unwrap();
        let rows = client.query(&statement, &[&user]).await.unwrap();
        let mut state = AccountState::ACTIVE;
        for row in rows {
            let kind = match row.get(0) {
                "locked" => RestrictionKind::Locked,
                "suspended" => RestrictionKind::Suspended,
                _ => RestrictionKind::Deactivated,
            };
            let mut restriction = Restriction::new(kind);
            if let Some(reason) = row.get::<_, Option<String>>(1) {
                restriction = restriction.with_reason(reason);
            }
            if let Some(until) = row.get::<_, Option<SystemTime>>(2) {
                restriction = restriction.with_until(until);
            }
            state = state.with(restriction);
        }
        state
    }
}

enum Way {
    ByHand(ByHand),
    Alone(PostgresStore),
    Cached(CachedStore<Combined<Names, PostgresStore>>),
}

impl Way {
    async fn state_of(&self, user: &UserId) -> AccountState {
        match self {
            Self::ByHand(by_hand) => by_hand.state_of(user).await,
            Self::Alone(store) => store.state_of(user).await.unwrap(),
            // As the layer asks for a token that the cache does not know.
            Self::Cached(store) => {
                let account = store.access_token_and_state(user).await.unwrap();
                account.unwrap().state().clone()
            }
        }
    }
}

#[derive(Default)]
struct Figures {
    times: Vec<Duration>,
    a_second: Vec<f64>,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let is_bench = env::args().any(|argument| argument == "--bench");
    let (rounds, span) = match is_bench {
        true => (11, Duration::from_millis(1_000)),
        false => (1, Duration::from_millis(50)),
    };
    let cluster = Cluster::start();
    let url = cluster.database().await;
    let alone = PostgresStore::connect(&url).await.unwrap();
    let behind = Combined::new(Names, PostgresStore::connect(&url).await.unwrap());
    // It forgets nearly every account before the same one comes again.
    let cached = CachedStore::new(behind).with_capacity(ACCOUNTS / 100);
    let handle = cached.handle();
    let ways = [
        Way::ByHand(ByHand::new(&url)),
        Way::Alone(alone),
        Way::Cached(cached),
    ];
    let ways = ways.map(Arc::new);
    fill(&cluster, &url).await;
    let next = Arc::new(AtomicUsize::new(0));

    println!("| clients | way | p50 | p99 | look-ups a second | to by hand, median | from | to |");
    println!("|---:|---|---:|---:|---:|---:|---:|---:|");
    for clients in CLIENTS {
        let mut figures: [Figures; 3] = Default::default();
        for round in 0..=rounds {
            for turn in 0..WAYS.len() {
                let way = (turn + round) % WAYS.len();
                let (times, a_second) = measure(clients, span, &next, &ways[way]).await;
                // The first round opens the connections.
                if round > 0 {
                    figures[way].times.extend(times);
                    figures[way].a_second.push(a_second);
                }
            }
        }
        let by_hand = figures[0].a_second.clone();
        for (way, figures) in WAYS.iter().zip(&mut figures) {
            let ratios = figures.a_second.iter().zip(&by_hand);
            let ratios = sorted(ratios.map(|(way, by_hand)| way / by_hand).collect());
            figures.times.sort_unstable();
            let at = |percent: usize| figures.times[(figures.times.len() - 1) * percent / 100];
            let a_second = sorted(figures.a_second.clone());
            println!(
                "| {clients} | {way} | {:.1?} | {:.1?} | {:.0} | {:.2} | {:.2} | {:.2} |",
                at(50),
                at(99),
                a_second[a_second.len() / 2],
                ratios[ratios.len() / 2],
                ratios[0],
                ratios[ratios.len() - 1],
            );
        }
    }
    let stats = handle.stats();
    assert!(
        stats.hits * 100 < stats.misses,
        "nearly all missed: {stats:?}"
    );
}

async fn measure(
    clients: usize,
    span: Duration,
    next: &Arc<AtomicUsize>,
    way: &Arc<Way>,
) -> (Vec<Duration>, f64) {
    let began = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..clients {
        let (way, next) = (Arc::clone(way), Arc::clone(next));
        running.spawn(async move {
            let mut times = Vec::new();
            while began.elapsed() < span {
                // No two in a row are neighbours in the table.
                let number = next.fetch_add(1, Relaxed) * 104_729 % ACCOUNTS;
                let user = user(number);
                let asked = Instant::now();
                let state = black_box(way.state_of(&user).await);
                times.push(asked.elapsed());
                assert_eq!(state.is_active(), number >= ACCOUNTS / 2);
            }
            times
        });
    }
    let times: Vec<Duration> = running.join_all().await.into_iter().flatten().collect();
    let a_second = times.len() as f64 / began.elapsed().as_secs_f64();
    (times, a_second)
}

fn user(number: usize) -> UserId {
    format!("@somebody-{number:07}:example.org").into()
}

async fn fill(cluster: &Cluster, url: &str) {
    let client = cluster.client(url).await;
    client
        .batch_execute(&format!(
            "ALTER TABLE account_status.restrictions DISABLE TRIGGER notify_change;
             INSERT INTO account_status.restrictions (user_id, kind)
             SELECT '@somebody-' || lpad(n::text, 7, '0') || ':example.org', 'locked'
             FROM generate_series(0, {ACCOUNTS} / 2 - 1) n;
             ALTER TABLE account_status.restrictions ENABLE ALWAYS TRIGGER notify_change;
             ANALYZE account_status.restrictions"
        ))
        .await
        .unwrap();
}

fn sorted(mut figures: Vec<f64>) -> Vec<f64> {
    figures.sort_by(f64::total_cmp);
    figures
}
