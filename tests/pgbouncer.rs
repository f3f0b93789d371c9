//! `PostgresStore` and `PostgresChanges` behind pgbouncer, which is either refused or believed
//! rightly.
//!
//! `scripts/trials pgbouncer` installs what this needs; where pgbouncer is not installed, nothing
//! is tried, unless `TRIALS` is set.

#![allow(clippy::unwrap_used)] // a test fails by panicking

#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/postgres_store.rs"]
mod postgres_store;

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::Child,
    time::{Duration, Instant},
};

use postgres::Cluster;
use postgres_store::{SOON, alice, chain, until_peeked, within};
use tokio::time::timeout;
use tower_account_status::{
    RestrictionKind::Locked,
    RestrictionStore as _,
    store::{PostgresChanges, PostgresOptions, PostgresStore},
};

struct Pooler {
    port: u16,
    process: Child,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Pooler {
    /// Starts one, unless there is none to start.
    async fn start(cluster: &Cluster, mode: &str, server_connections: u32) -> Option<Self> {
        let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"]
            .into_iter()
            .find(|path| Path::new(path).is_file());
        let Some(program) = program else {
            assert!(
                std::env::var_os("TRIALS").is_none(),
                "pgbouncer is not installed: `scripts/trials pgbouncer`"
            );
            eprintln!("skipped: pgbouncer is not installed");
            return None;
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let file = cluster.folder().join(format!("pgbouncer-{port}.ini"));
        // With `any` every client is this user to the server.
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={} user=postgres\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\npool_mode = {mode}\n\
             unix_socket_dir =\ndefault_pool_size = {server_connections}\n\
             ignore_startup_parameters = extra_float_digits\n",
            cluster.port()
        );
        fs::write(&file, settings).unwrap();
        let mut command = postgres::as_server(Path::new(program));
        let process = command.arg("-q").arg(&file).spawn().unwrap();
        let pooler = Self { port, process };
        timeout(SOON, async {
            while tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .is_err()
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .expect("pgbouncer starts");
        Some(pooler)
    }

    fn url(&self, cluster: &Cluster, direct: &str) -> String {
        let (ours, theirs) = (format!("port={}", cluster.port()), self.port);
        direct.replace(&ours, &format!("port={theirs}"))
    }
}

#[tokio::test]
async fn rule_19_a_pooler_that_shares_connections_by_the_transaction_is_refused() {
    let cluster = Cluster::shared();
    for (mode, server_connections) in [("transaction", 1), ("transaction", 20), ("statement", 20)] {
        let url = cluster.database().await;
        drop(PostgresStore::connect(&url).await.unwrap());
        let Some(pooler) = Pooler::start(&cluster, mode, server_connections).await else {
            return;
        };
        let pooled = pooler.url(&cluster, &url);
        let options = PostgresOptions::new(&pooled).unwrap();
        let (plain, with_set) = (options.clone(), options.with_restricted_set_in_memory());
        let listens = PostgresChanges::listen(&pooled, "a_servers_own");
        let refused = tokio::join!(plain.connect(), with_set.connect(), listens);
        for error in [refused.0.err(), refused.1.err(), refused.2.err()] {
            let error = error.expect("it is refused");
            assert!(error.to_string().contains("pooler"), "{}", chain(&error));
        }
    }
}

#[tokio::test]
async fn rule_19_behind_a_pooler_that_shares_connections_by_the_session_all_news_arrive() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let Some(pooler) = Pooler::start(&cluster, "session", 20).await else {
        return;
    };
    let pooled = PostgresOptions::new(&pooler.url(&cluster, &url)).unwrap();
    let store = pooled
        .with_restricted_set_in_memory()
        .connect()
        .await
        .unwrap();
    let pooled = pooler.url(&cluster, &url);
    let news = PostgresChanges::listen(&pooled, "a_servers_own").await;
    let news = news.unwrap();
    let mut of_alice = news.changes().subscribe(&alice());
    let client = cluster.client(&url).await;
    let lock = "INSERT INTO account_status.restrictions(user_id, kind) \
                VALUES ('@alice:example.org', 'locked')";
    client.batch_execute(lock).await.unwrap();
    let since = Instant::now();
    until_peeked(&store, &alice(), &Locked.into()).await;
    within(Duration::ZERO, since);
    let notify = "SELECT pg_notify('a_servers_own', '@alice:example.org')";
    client.batch_execute(notify).await.unwrap();
    timeout(SOON, of_alice.changed()).await.unwrap();
    assert_eq!(store.state_of(&alice()).await.unwrap(), Locked.into());
    store
        .set_restriction(&"@bob:example.org".into(), Locked.into())
        .await
        .unwrap();
}
