//! Faults of a PostgreSQL server, and of the network and pooler before it.

use std::time::Duration;

use tokio::runtime::Runtime;

use crate::{
    Random,
    pgbouncer::Pooler,
    postgres::Cluster,
    proxy::{Injection, Proxy},
};

pub(crate) struct Server {
    pub(crate) cluster: Cluster,
    pub(crate) proxy: Proxy,
    pub(crate) url: String,
    pub(crate) pooler: Option<Pooler>,
    pub(crate) runtimes: Vec<Runtime>,
}

const TABLE: &str = "account_status.restrictions";

/// Errors that end a session or make it unfit.
const ERRORS: [(&str, &str); 8] = [
    ("FATAL", "57P01"),
    ("FATAL", "57P02"),
    ("FATAL", "57P03"),
    ("FATAL", "08P01"),
    ("ERROR", "26000"),
    ("ERROR", "25006"),
    ("ERROR", "40001"),
    ("ERROR", "40P01"),
];

impl Server {
    pub(crate) const FAULTS: [&str; 17] = [
        "server killed",
        "server stopped",
        "server paused",
        "connections terminated",
        "statements stall",
        "proofs stall",
        "news kept back",
        "slow network",
        "connections lead nowhere",
        "errors in place of answers",
        "server read-only",
        "table altered",
        "table under a long lock",
        "table under a lock that outlasts look-ups",
        "runtime dropped",
        "pooler killed",
        "pooler paused",
    ];

    pub(crate) async fn fault(&mut self, number: usize, length: Duration, random: &mut Random) {
        let Self { cluster, proxy, .. } = self;
        let lasts = tokio::time::sleep(length);
        match Self::FAULTS[number] {
            "server killed" => tokio::task::block_in_place(|| {
                cluster.kill();
                std::thread::sleep(length);
                cluster.launch();
            }),
            "server stopped" => tokio::task::block_in_place(|| {
                cluster.stop();
                std::thread::sleep(length);
                cluster.launch();
            }),
            "server paused" => {
                cluster.pause();
                lasts.await;
                cluster.go_on();
            }
            "connections terminated" => {
                self.sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                     WHERE datname = current_database() AND pid <> pg_backend_pid()",
                )
                .await;
            }
            "statements stall" => {
                proxy.stall_at("account_status");
                lasts.await;
                proxy.go_on();
            }
            "proofs stall" => {
                proxy.stall_at("NOTIFY");
                lasts.await;
                proxy.go_on();
            }
            "news kept back" => {
                proxy.keep_news(true);
                lasts.await;
                proxy.keep_news(false);
            }
            "slow network" => {
                proxy.delay(Duration::from_millis(random.below(1500)));
                lasts.await;
                proxy.delay(Duration::ZERO);
            }
            "connections lead nowhere" => {
                // Nobody listens there: connecting fails at once, and old connections go on.
                proxy.lead_to(1);
                lasts.await;
                proxy.lead_to(cluster.port());
            }
            "errors in place of answers" => {
                for _ in 0..1 + random.below(20) {
                    let (severity, code) = ERRORS[usize::try_from(random.below(8)).unwrap()];
                    proxy.inject(Injection {
                        at: "@",
                        severity,
                        code,
                        is_done: false,
                    });
                }
                lasts.await;
                proxy.inject_nothing();
            }
            "server read-only" => {
                for (on, length) in [("on", length), ("off", Duration::ZERO)] {
                    let set = format!("ALTER SYSTEM SET default_transaction_read_only = {on}");
                    self.sql(&set).await;
                    self.sql("SELECT pg_reload_conf()").await;
                    tokio::time::sleep(length).await;
                }
            }
            "table altered" => {
                self.sql(&format!(
                    "ALTER TABLE {TABLE} ALTER COLUMN reason TYPE varchar(2000)"
                ))
                .await;
                lasts.await;
                self.sql(&format!(
                    "ALTER TABLE {TABLE} ALTER COLUMN reason TYPE text"
                ))
                .await;
            }
            "table under a long lock" => {
                let seconds = length.as_secs_f64();
                self.sql(&format!(
                    "BEGIN; LOCK TABLE {TABLE}; SELECT pg_sleep({seconds}); COMMIT"
                ))
                .await;
            }
            "table under a lock that outlasts look-ups" => {
                let client = cluster.client(&self.url).await;
                let lock = format!("BEGIN; LOCK TABLE {TABLE}");
                client.batch_execute(&lock).await.unwrap();
                let mut most = 0;
                for _ in 0..6 {
                    tokio::time::sleep(Duration::from_secs(1) + length / 8).await;
                    let count = "SELECT count(*) FROM pg_stat_activity \
                                 WHERE application_name = 'tower-account-status'";
                    let count: i64 = client.query_one(count, &[]).await.unwrap().get(0);
                    most = most.max(count);
                }
                client.batch_execute("COMMIT").await.unwrap();
                // Four stores, each with its pool, three of its listener, and one that was given up.
                assert!(most <= 4 * (8 + 3 + 1), "{most} connections");
            }
            // With all the tasks of a store; one that has lost its runtime lives on this one.
            "runtime dropped" => {
                let runtime = self.runtimes.pop();
                runtime.into_iter().for_each(Runtime::shutdown_background);
            }
            "pooler killed" => {
                if let Some(pooler) = &mut self.pooler {
                    pooler.kill();
                    lasts.await;
                    pooler.launch().await;
                }
            }
            "pooler paused" => {
                if let Some(pooler) = &self.pooler {
                    pooler.pause();
                    lasts.await;
                    pooler.go_on();
                }
            }
            other => unreachable!("{other}"),
        }
    }

    /// Also where the server is read-only.
    async fn sql(&self, sql: &str) {
        let writable = "options='-c default_transaction_read_only=off'";
        let client = self
            .cluster
            .client(&format!("{} {writable}", self.url))
            .await;
        client.batch_execute(sql).await.unwrap();
    }
}
