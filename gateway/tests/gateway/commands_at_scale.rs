//! What the commands cost if very many accounts are restricted: 20,000, or as many as
//! `RESTRICTED_ACCOUNTS` says.
//!
//!     RESTRICTED_ACCOUNTS=1000000 cargo test -p account-status-gateway --all-features \
//!         --test gateway commands_at_scale -- --nocapture

use std::{env, fs, process::Stdio, time::Instant};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Child,
};
use tower_account_status::store::SqliteStore;

use crate::{commands::run, gateway::program, postgres::Cluster};

fn accounts() -> usize {
    env::var("RESTRICTED_ACCOUNTS").map_or(20_000, |count| count.parse().expect("a number"))
}

/// The most memory that the process has had so far, in KiB, unless it has ended or is about to.
fn peak(process: &Child) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id()?)).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// How many lines the command writes, and the most memory that it had by the last but a few, which
/// it cannot have written yet when the pipe is full.
async fn measured(database: &str, command: &str) -> (usize, u64) {
    let mut process = program()
        .args([command, "--database", database])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
    let (mut count, mut memory) = (0, 0);
    while lines.next_line().await.expect("its output").is_some() {
        count += 1;
        if count % 1000 == 0 {
            memory = peak(&process).unwrap_or_default().max(memory);
        }
    }
    assert!(process.wait().await.expect("it ends").success());
    assert!(memory > 0, "it ran while its lines were read");
    // Without the heading.
    (count - 1, memory)
}

/// What `list`, `log` and `lock` cost if so many accounts are restricted and the log has so many
/// entries: the most memory.
async fn cost(database: &str, name: &str, accounts: usize, entries: usize) -> u64 {
    let mut most = 0;
    for (command, expected) in [("list", accounts), ("log", entries)] {
        let began = Instant::now();
        let (count, memory) = measured(database, command).await;
        assert_eq!(count, expected, "{command}");
        let elapsed = began.elapsed();
        println!("{name}, {accounts} accounts: {command} in {elapsed:?}, {memory} KiB");
        most = most.max(memory);
    }
    let began = Instant::now();
    assert_eq!(run(database, &["lock", "@one-more:x"]).await.code, Some(0));
    println!("{name}, {accounts} accounts: lock in {:?}", began.elapsed());
    assert_eq!(
        run(database, &["unlock", "@one-more:x"]).await.code,
        Some(0)
    );
    most
}

/// Few accounts, and then very many, which may take hardly more memory.
async fn constant_memory(name: &str, database: &str, fill: impl AsyncFn(usize, usize)) {
    let (few, all) = (2000, accounts().max(4000));
    fill(0, few).await;
    let before = cost(database, name, few, few).await;
    fill(few, all).await;
    // The log has a lock and its end more.
    let after = cost(database, name, all, all + 2).await;
    assert!(after < before + 8 * 1024, "{before} KiB, and then {after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn list_and_log_take_constant_memory_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("gateway.sqlite");
    drop(SqliteStore::open(&path).await.expect("a database"));
    let path = path.to_str().expect("text");
    constant_memory("SQLite", path, async |from, to| {
        let raw = rusqlite::Connection::open(path).expect("the database");
        let fill = format!(
            "WITH RECURSIVE n (n) AS (SELECT {from} UNION ALL SELECT n + 1 FROM n WHERE n + 1 < {to})
             INSERT INTO restrictions (user_id, kind, reason, set_by, set_at)
             SELECT '@user-' || n || ':example.org', 'locked', 'See your e-mail', '@mod:x', 0 FROM n"
        );
        raw.execute_batch(&fill).expect("rows");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn list_and_log_take_constant_memory_postgresql() {
    let cluster = tokio::task::spawn_blocking(Cluster::shared).await;
    let cluster = cluster.expect("PostgreSQL starts");
    let settings = cluster.database().await;
    let (_, name) = settings.split_once("dbname=").expect("a database");
    let database = format!("postgres://postgres@127.0.0.1:{}/{name}", cluster.port());
    let store = tower_account_status::store::PostgresStore::connect(&settings).await;
    drop(store.expect("a database"));
    let client = cluster.client(&settings).await;
    constant_memory("PostgreSQL", &database, async |from, to| {
        let fill = format!(
            "INSERT INTO account_status.restrictions (user_id, kind, reason, set_by) \
             SELECT '@user-' || n || ':example.org', 'locked', 'See your e-mail', '@mod:x' \
             FROM generate_series({from}, {to} - 1) n; ANALYZE"
        );
        client.batch_execute(&fill).await.expect("rows");
    })
    .await;
}
