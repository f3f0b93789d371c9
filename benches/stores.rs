//! The database stores: look-ups a second, how soon another process hears of a change, and what
//! the set of restricted accounts in memory costs.
//!
//! `cargo bench --bench stores --features postgres,sqlite`. It starts a PostgreSQL server of its
//! own, and itself again as the other process. `-- hits` measures only a hit in memory, and `-- many`
//! only look-ups of many accounts at once in SQLite.

#![allow(clippy::unwrap_used)] // it fails by panicking

#[path = "../tests/support/postgres.rs"]
mod postgres;

use std::{
    env, fs,
    hint::black_box,
    io::{BufRead as _, BufReader, Lines},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use postgres::Cluster;
use tokio::task::JoinSet;
use tower_account_status::{
    Restriction,
    RestrictionKind::Locked,
    RestrictionStore, UserId,
    store::{PostgresOptions, PostgresStore, SqliteOptions, SqliteStore, StoreError},
};

const ACCOUNTS: usize = 10_000;
const MANY: usize = 1_000_000;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = env::args()
        .skip(1)
        .filter(|word| word != "--bench") // which cargo adds
        .collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["listen", url, set] => return listen(url, set == "set").await,
        ["load-postgres", url] => return load("PostgreSQL", with_set(url)).await,
        ["load-sqlite", path] => {
            let options = SqliteOptions::new().with_restricted_set_in_memory();
            return load("SQLite", async { options.open(path).await.unwrap() }).await;
        }
        ["hits"] => return hits().await,
        ["many"] => return many().await,
        _ => {}
    }
    hits().await;
    let cluster = Cluster::start();
    let url = cluster.database().await;
    let store = PostgresStore::connect(&url).await.unwrap();
    fill(&cluster, &url, ACCOUNTS, "NULL").await;
    look_ups("PostgreSQL, pool of 8", &store).await;
    announcements(&url, &store, "alone").await;
    announcements(&url, &store, "set").await;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("restrictions.db");
    let sqlite = SqliteStore::open(&path).await.unwrap();
    for number in 0..100 {
        sqlite
            .set_restriction(&user(number), Locked.into())
            .await
            .unwrap();
    }
    look_ups("SQLite, two reading threads", &sqlite).await;
    drop(sqlite);

    for (what, reason) in [
        ("no reason", "NULL"),
        ("40 bytes of reason", "repeat('r', 40)"),
    ] {
        fill(&cluster, &url, MANY, reason).await;
        println!("\n{MANY} restricted accounts in memory, {what}:");
        run_itself(&["load-postgres", &url]).wait().unwrap();
    }
    fill_sqlite(&path);
    println!("\nthe same in SQLite, no reason:");
    run_itself(&["load-sqlite", path.to_str().unwrap()])
        .wait()
        .unwrap();
}

/// The time of a hit on the set in memory: with announcements that never leave the process, and with
/// announcements whose proof's age is compared with the clock.
async fn hits() {
    const HITS: u32 = 10_000_000;
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions::new().with_restricted_set_in_memory();
    let path = folder.path().join("restrictions.db");
    for (what, store) in [
        ("no proof needed", options.clone().open_in_memory().await),
        ("and one reading of the clock", options.open(path).await),
    ] {
        let (store, user) = (store.unwrap(), user(7));
        let began = Instant::now();
        for _ in 0..HITS {
            black_box(store.peek_state_of(black_box(&user)));
        }
        println!(
            "a hit on the set in memory, {what}: {:?}",
            began.elapsed() / HITS
        );
    }
}

/// The time for an account if many are looked up at once, a tenth of them restricted.
async fn many() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = SqliteStore::open(folder.path().join("restrictions.db")).await;
    let sqlite = sqlite.unwrap();
    for number in (0..10 * ACCOUNTS).step_by(100) {
        sqlite
            .set_restriction(&user(number), Locked.into())
            .await
            .unwrap();
    }
    for count in [1, 8, 32, 256_usize] {
        let mut times = Vec::new();
        for round in 0..2000_usize {
            let number = |index| user((round * 7919 + index * 10) % (10 * ACCOUNTS));
            let users: Vec<UserId> = (0..count).map(number).collect();
            let began = Instant::now();
            black_box(sqlite.states_of(&users).await);
            times.push(began.elapsed() / u32::try_from(count).unwrap());
        }
        println!("{count} accounts together, each: {}", quantiles(times));
    }
}

fn user(number: usize) -> UserId {
    format!("@somebody-{number:07}:example.org").into()
}

async fn with_set(url: &str) -> PostgresStore {
    let options = PostgresOptions::new(url).unwrap();
    options
        .with_restricted_set_in_memory()
        .connect()
        .await
        .unwrap()
}

async fn fill(cluster: &Cluster, url: &str, accounts: usize, reason: &str) {
    let client = cluster.client(url).await;
    client
        .batch_execute(&format!(
            "TRUNCATE account_status.restrictions;
             ALTER TABLE account_status.restrictions DISABLE TRIGGER notify_change;
             INSERT INTO account_status.restrictions (user_id, kind, reason)
             SELECT '@somebody-' || lpad(n::text, 7, '0') || ':example.org', 'locked', {reason}
             FROM generate_series(0, {accounts} - 1) n;
             ALTER TABLE account_status.restrictions ENABLE ALWAYS TRIGGER notify_change;
             ANALYZE account_status.restrictions"
        ))
        .await
        .unwrap();
}

fn fill_sqlite(path: &std::path::Path) {
    let raw = rusqlite::Connection::open(path).unwrap();
    raw.execute_batch(&format!(
        "DELETE FROM restrictions;
         WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < {MANY})
         INSERT INTO restrictions (user_id, kind, set_at)
         SELECT printf('@somebody-%07d:example.org', n), 'locked', 0 FROM numbers"
    ))
    .unwrap();
}

/// Half of them restricted accounts.
async fn look_ups(what: &str, store: &(impl RestrictionStore + Clone)) {
    println!("\nlook-ups of {ACCOUNTS} accounts in {what}:");
    for tasks in [1, 8, 32, 128] {
        let until = Instant::now() + Duration::from_secs(3);
        let began = Instant::now();
        let mut running = JoinSet::new();
        for task in 0..tasks {
            let store = store.clone();
            running.spawn(async move {
                let (mut times, mut failures) = (Vec::new(), Vec::new());
                let mut number = task * 7919;
                while Instant::now() < until {
                    number = (number + 104_729) % (2 * ACCOUNTS);
                    let user = user(number);
                    let asked = Instant::now();
                    match black_box(store.state_of(&user).await) {
                        Ok(_) => times.push(asked.elapsed()),
                        Err(error) => failures.push(Into::<StoreError>::into(error).to_string()),
                    }
                }
                (times, failures)
            });
        }
        let (times, failures): (Vec<_>, Vec<_>) = running.join_all().await.into_iter().unzip();
        let times: Vec<Duration> = times.into_iter().flatten().collect();
        let a_second = times.len() as f64 / began.elapsed().as_secs_f64();
        println!(
            "  {tasks:3} at a time: {a_second:8.0} a second, {}",
            quantiles(times)
        );
        // On a busy machine the pool may be overwhelmed, and says so.
        for failure in failures.into_iter().flatten() {
            println!("      failed: {failure}");
        }
    }
}

/// The other process: says when it hears of each change.
async fn listen(url: &str, with_the_set: bool) {
    let store = match with_the_set {
        true => with_set(url).await,
        false => PostgresStore::connect(url).await.unwrap(),
    };
    let mut news = store.restriction_changes().unwrap().subscribe(&user(1));
    println!("listening");
    loop {
        news.changed().await;
        println!("{}", now());
    }
}

/// Nanoseconds since 1970, which two processes of a machine agree on.
fn now() -> u128 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap().as_nanos()
}

async fn announcements(url: &str, store: &PostgresStore, how: &str) {
    let mut other = run_itself(&["listen", url, how]);
    let mut lines = BufReader::new(other.stdout.take().unwrap()).lines();
    assert_eq!(next(&mut lines), "listening");
    let (mut from_start, mut from_commit, mut commits) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..1000 {
        let lock = Restriction::new(Locked).with_reason(number.to_string());
        let started = now();
        store.set_restriction(&user(1), lock.into()).await.unwrap();
        let committed = now();
        let heard: u128 = next(&mut lines).parse().unwrap();
        let nanos = |from: u128, to: u128| {
            Duration::from_nanos(u64::try_from(to.saturating_sub(from)).unwrap())
        };
        from_start.push(nanos(started, heard));
        from_commit.push(nanos(committed, heard));
        commits.push(nanos(started, committed));
    }
    other.kill().unwrap();
    other.wait().unwrap();
    println!("\na change heard of in another process ({how}), 1000 changes:");
    println!("  from the call:            {}", quantiles(from_start));
    println!("  from the acknowledgement: {}", quantiles(from_commit));
    println!("  the call itself:          {}", quantiles(commits));
}

/// The other process: what the set takes.
async fn load<R: RestrictionStore>(what: &str, store: impl Future<Output = R>) {
    let before = resident();
    let began = Instant::now();
    let store = store.await;
    let took = began.elapsed();
    let each = (resident() - before) as f64 / MANY as f64;
    let users: Vec<UserId> = (0..1000).map(|number| user(number * 1999)).collect();
    let began = Instant::now();
    for _ in 0..1000 {
        for user in &users {
            assert!(black_box(store.peek_state_of(user)).is_some());
        }
    }
    let look = began.elapsed().as_nanos() as f64 / 1e6;
    println!("  {what}: loaded in {took:.2?}, {each:.0} bytes each, {look:.0} ns a look");
}

/// Memory of this process, in bytes.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        * 1024
}

fn run_itself(arguments: &[&str]) -> Child {
    let stdout = match arguments[0] {
        "listen" => Stdio::piped(),
        _ => Stdio::inherit(),
    };
    Command::new(env::current_exe().unwrap())
        .args(arguments)
        .stdout(stdout)
        .spawn()
        .unwrap()
}

fn next(lines: &mut Lines<BufReader<ChildStdout>>) -> String {
    lines.next().expect("the other process goes on").unwrap()
}

fn quantiles(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    format!("median {:.1?}, p99 {:.1?}", at(50), at(99))
}
