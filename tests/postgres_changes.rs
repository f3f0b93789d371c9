//! Rule 19 for `PostgresChanges`: a server keeps its locks in a table of its own. What its SQL
//! announces is heard, proved, and heard again after a fault. `pgbouncer.rs` tries a pooler.

#![allow(clippy::unwrap_used)] // a test fails by panicking

#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/postgres_store.rs"]
mod postgres_store;
#[path = "support/proxy.rs"]
mod proxy;

use std::{
    convert::Infallible,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use postgres::Cluster;
use postgres_store::{SOON, within};
use proxy::Proxy;
use tokio::{runtime, sync::mpsc, task::JoinHandle, time::timeout};
use tokio_postgres::Client;
use tower::{ServiceExt as _, service_fn};
use tower_account_status::{
    AccountState, AccountStateStore, AccountStatusLayer, Changes, Flags,
    store::{Answer, PostgresChanges, PostgresOptions, StoreError},
    without,
};
use tower_layer::Layer as _;

const ALICE: &str = "@alice:example.org";
const CHANNEL: &str = "account_status";
const USERS: &str = "CREATE TABLE users (id text PRIMARY KEY, name text, \
                     locked_at timestamptz, suspended_at timestamptz)";
const LOCK: &str = "UPDATE users SET locked_at = now() WHERE id = '@alice:example.org'";
const UNLOCK: &str = "UPDATE users SET locked_at = NULL WHERE id = '@alice:example.org'";
const SHORT: Duration = Duration::from_millis(100);

/// The SQL that the documentation of `PostgresChanges` tells servers to add.
fn documented_sql() -> Vec<String> {
    let source = include_str!("../src/store/postgres/changes.rs");
    let docs: String = source
        .lines()
        .filter_map(|line| line.strip_prefix("///"))
        .map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line)))
        .collect();
    let blocks = docs.split("```sql\n").skip(1);
    let blocks = blocks.map(|block| block.split("```").next().unwrap().to_owned());
    blocks.collect()
}

/// A server's own table of users, alice among them.
async fn users(client: &Client, trigger: bool) {
    client.batch_execute(USERS).await.unwrap();
    let insert = "INSERT INTO users (id) VALUES ('@alice:example.org'), ('@bob:example.org')";
    client.batch_execute(insert).await.unwrap();
    if trigger {
        client.batch_execute(&documented_sql()[0]).await.unwrap();
    }
}

/// A homeserver that asks its own table, with a connection of its own.
struct Homeserver {
    client: Client,
    news: PostgresChanges,
}

impl AccountStateStore for Homeserver {
    async fn access_token(&self, token: &str) -> Answer {
        Ok((token == "t").then(|| ALICE.into()))
    }

    without! { application_service, login_name, third_party, login_token, refresh_token, event_sender }

    async fn state(&self, user: &str) -> Result<AccountState, StoreError> {
        let sql = "SELECT locked_at IS NOT NULL FROM users WHERE id = $1";
        let rows = self.client.query(sql, &[&user]).await?;
        let locked = rows.first().is_some_and(|row| row.get(0));
        let (deactivated, suspended) = (false, false);
        Ok(Flags {
            deactivated,
            locked,
            suspended,
        }
        .into())
    }

    fn changes(&self) -> Option<Changes> {
        Some(self.news.changes())
    }
}

type Answered = JoinHandle<Result<Response<Full<Bytes>>, Infallible>>;

/// A `/sync` of alice's, which has passed and waits.
async fn waiting_sync(client: Client, news: &PostgresChanges) -> Answered {
    let news = news.clone();
    let (passes, mut passed) = mpsc::unbounded_channel();
    let waits = move |_: Request<Full<Bytes>>| {
        passes.send(()).unwrap();
        std::future::pending()
    };
    let sync = Request::get("/_matrix/client/v3/sync")
        .header("authorization", "Bearer t")
        .body(Full::default())
        .unwrap();
    let layer = AccountStatusLayer::new(Homeserver { client, news });
    let sync = tokio::spawn(layer.layer(service_fn(waits)).oneshot(sync));
    timeout(SOON, passed.recv()).await.unwrap();
    sync
}

#[track_caller]
fn assert_ended(answer: &Response<Full<Bytes>>) {
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(answer.headers()["content-type"], "application/json");
}

async fn ended(sync: Answered) -> Response<Full<Bytes>> {
    let answer = timeout(SOON, sync).await.expect("it is ended");
    answer.unwrap().unwrap()
}

fn replaced(url: &str, cluster: &Cluster, proxy: &Proxy) -> String {
    let (ours, theirs) = (cluster.port(), proxy.port());
    url.replace(&format!("port={ours}"), &format!("port={theirs}"))
}

#[tokio::test]
async fn rule_16_a_lock_by_the_servers_own_sql_ends_a_sync_that_waits() {
    let cluster = Cluster::shared();
    // By the documented trigger, and by the documented notification without one.
    let [_, own_notification] = &documented_sql()[..] else {
        panic!("the documentation has two pieces of SQL");
    };
    for (trigger, lock) in [(true, LOCK), (false, own_notification.as_str())] {
        let url = cluster.database().await;
        let client = cluster.client(&url).await;
        users(&client, trigger).await;
        let news = PostgresChanges::listen(&url, CHANNEL).await.unwrap();
        assert!(news.is_listening());
        let sync = waiting_sync(cluster.client(&url).await, &news).await;
        client.batch_execute(lock).await.unwrap();
        let since = Instant::now();
        assert_ended(&ended(sync).await);
        within(Duration::ZERO, since);
    }
}

#[tokio::test]
async fn rule_17_every_way_of_changing_the_table_is_announced_and_a_name_is_not() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let client = cluster.client(&url).await;
    users(&client, true).await;
    let news = PostgresChanges::listen(&url, CHANNEL).await.unwrap();
    let announced = async |sql: &str, user: &str| {
        let mut subscription = news.changes().subscribe(user);
        client.batch_execute(sql).await.unwrap();
        timeout(SOON, subscription.changed())
            .await
            .unwrap_or_else(|_| panic!("{user} is announced by {sql}"));
    };
    for sql in [
        LOCK,
        UNLOCK,
        "DELETE FROM users WHERE id = '@alice:example.org'",
    ] {
        announced(sql, ALICE).await;
    }
    announced(
        "INSERT INTO users (id) VALUES ('@alice:example.org')",
        ALICE,
    )
    .await;
    announced(
        "UPDATE users SET id = '@eve:x' WHERE id = '@alice:example.org'",
        ALICE,
    )
    .await;
    announced(
        "UPDATE users SET id = '@bob:x' WHERE id = '@eve:x'",
        "@bob:x",
    )
    .await;
    let replicating = "SET session_replication_role = replica; DELETE FROM users; RESET ALL";
    announced(replicating, "@bob:example.org").await;
    announced("TRUNCATE users", ALICE).await;

    let (told, mut heard) = mpsc::unbounded_channel();
    let _listener = news.changes().listen(move |announcement| {
        let _ = told.send(format!("{announcement:?}"));
    });
    // Each is waited for, because what arrives together is announced together.
    let mut next = async |sql: &str| {
        client.batch_execute(sql).await.unwrap();
        let heard = timeout(SOON, heard.recv()).await;
        heard.expect("it is announced").unwrap()
    };
    let insert = |user: &str| format!("INSERT INTO users (id) VALUES ('{user}')");
    assert_eq!(next(&insert(ALICE)).await, format!("Account({ALICE:?})"));
    let rename = "UPDATE users SET name = 'x'";
    client.batch_execute(rename).await.unwrap();
    assert_eq!(next(&insert("@bob:x")).await, "Account(\"@bob:x\")");
    assert_eq!(next("TRUNCATE users").await, "AllAccounts");
}

#[tokio::test]
async fn rule_19_a_listener_that_is_closed_is_distrusted_and_listens_again() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let client = cluster.client(&url).await;
    users(&client, true).await;
    let news = PostgresChanges::listen(&url, CHANNEL).await.unwrap();
    let sync = waiting_sync(cluster.client(&url).await, &news).await;
    let mut all = news.changes().subscribe("@somebody:else");
    // The lock is made while nobody listens: its notification is lost.
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                WHERE datname = current_database() AND application_name = 'tower-account-status'";
    let silently = format!(
        "ALTER TABLE users DISABLE TRIGGER notify_account_status; {LOCK}; \
         ALTER TABLE users ENABLE ALWAYS TRIGGER notify_account_status; {kill}"
    );
    client.batch_execute(&silently).await.unwrap();
    timeout(SOON, all.changed())
        .await
        .expect("all accounts are announced when it listens again");
    assert_ended(&ended(sync).await);
    timeout(SOON, news.until_listening(true)).await.unwrap();
    let mut of_alice = news.changes().subscribe(ALICE);
    client.batch_execute(UNLOCK).await.unwrap();
    timeout(SOON, of_alice.changed())
        .await
        .expect("it hears again");
}

#[tokio::test]
async fn rule_19_without_a_young_proof_nothing_is_believed_and_a_sync_asks_for_itself() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let client = cluster.client(&url).await;
    users(&client, true).await;
    let proxy = Proxy::to(cluster.port()).await;
    let trust_limit = Duration::from_secs(1);
    let news = PostgresOptions::new(&replaced(&url, &cluster, &proxy))
        .unwrap()
        .with_heartbeat(SHORT)
        .with_trust_limit(trust_limit)
        .listen(CHANNEL)
        .await
        .unwrap();
    let sync = waiting_sync(cluster.client(&url).await, &news).await;
    assert!(news.changes().is_believed());
    // Nothing arrives from now on, and no connection reports it.
    proxy.keep_news(true);
    client.batch_execute(LOCK).await.unwrap();
    let since = Instant::now();
    timeout(SOON, news.until_listening(false)).await.unwrap();
    within(trust_limit, since);
    assert!(!news.changes().is_believed());
    assert_ended(&ended(sync).await);
    // The interval at which a request asks for itself.
    within(trust_limit + Duration::from_secs(10), since);
    proxy.keep_news(false);
    timeout(SOON, news.until_listening(true)).await.unwrap();
}

#[tokio::test]
async fn rule_19_another_server_behind_the_address_is_found_by_the_proofs() {
    let (old, new) = (Cluster::shared(), Cluster::start());
    let (old_client, new_client) = (
        old.client(&old.url("postgres")).await,
        new.client(&new.url("postgres")).await,
    );
    for client in [&old_client, &new_client] {
        client.batch_execute("CREATE DATABASE moved").await.unwrap();
    }
    let on_new = new.client(&new.url("moved")).await;
    users(&on_new, true).await;
    let proxy = Proxy::to(old.port()).await;
    let news = PostgresOptions::new(&replaced(&old.url("moved"), &old, &proxy))
        .unwrap()
        .with_heartbeat(SHORT)
        .with_reread_interval(SHORT)
        .listen(CHANNEL)
        .await
        .unwrap();
    let sync = waiting_sync(new.client(&new.url("moved")).await, &news).await;
    // The old one goes on answering on the connections that lead to it.
    proxy.lead_to(new.port());
    on_new.batch_execute(LOCK).await.unwrap();
    let since = Instant::now();
    assert_ended(&ended(sync).await);
    // A proof that does not come back has 5 seconds.
    within(2 * SHORT + Duration::from_secs(5), since);
    timeout(SOON, news.until_listening(true)).await.unwrap();
    let mut of_alice = news.changes().subscribe(ALICE);
    on_new.batch_execute(UNLOCK).await.unwrap();
    timeout(SOON, of_alice.changed())
        .await
        .expect("it hears of the new one's changes");
}

#[tokio::test]
async fn rule_20_a_server_that_was_stopped_is_listened_to_again() {
    let cluster = Cluster::start();
    let url = cluster.database().await;
    users(&cluster.client(&url).await, true).await;
    let news = PostgresChanges::listen(&url, CHANNEL).await.unwrap();
    cluster.stop();
    timeout(SOON, news.until_listening(false)).await.unwrap();
    cluster.launch();
    let client = cluster.client(&url).await;
    timeout(SOON, news.until_listening(true)).await.unwrap();
    let mut of_alice = news.changes().subscribe(ALICE);
    client.batch_execute(LOCK).await.unwrap();
    timeout(SOON, of_alice.changed())
        .await
        .expect("it hears again");
}

#[tokio::test]
async fn rule_20_where_its_runtime_is_dropped_another_takes_over() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let client = cluster.client(&url).await;
    users(&client, true).await;
    let listens = thread::spawn({
        let url = url.clone();
        move || {
            let runtime = runtime::Runtime::new().unwrap();
            let news = runtime.block_on(PostgresChanges::listen(&url, CHANNEL));
            runtime.shutdown_timeout(SOON);
            // Outside any runtime nothing can listen, and nothing panics.
            let news = news.unwrap();
            assert!(!news.is_listening());
            assert!(!news.changes().is_believed());
            news
        }
    });
    let listens = tokio::task::spawn_blocking(|| listens.join().unwrap());
    let news = listens.await.unwrap();
    timeout(SOON, news.until_listening(true)).await.unwrap();
    let mut of_alice = news.changes().subscribe(ALICE);
    client.batch_execute(LOCK).await.unwrap();
    timeout(SOON, of_alice.changed()).await.expect("it hears");
}

#[tokio::test]
async fn rule_19_what_is_dropped_is_not_believed_any_longer_and_leaves_no_connection() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let client = cluster.client(&url).await;
    let news = PostgresChanges::listen(&url, CHANNEL).await.unwrap();
    let kept = news.clone();
    let changes = news.changes();
    drop(news);
    assert!(changes.is_believed(), "a clone listens");
    drop(kept);
    let gone = timeout(SOON, async {
        let left = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                    AND application_name = 'tower-account-status'";
        while changes.is_believed()
            || client.query_one(left, &[]).await.unwrap().get::<_, i64>(0) > 0
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    gone.await.expect("it ends");
}

#[tokio::test]
async fn rule_17_a_channels_name_is_taken_as_pg_notify_takes_it() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let client = cluster.client(&url).await;
    let longest = "x".repeat(63);
    for channel in ["Locks", "account status: \"main\"", &longest] {
        let news = PostgresChanges::listen(&url, channel).await.unwrap();
        let mut of_alice = news.changes().subscribe(ALICE);
        let notify = "SELECT pg_notify($1, $2)";
        client.execute(notify, &[&channel, &ALICE]).await.unwrap();
        let heard = timeout(SOON, of_alice.changed()).await;
        assert!(heard.is_ok(), "{channel}");
    }
    for bad in ["", "a\0b", &"x".repeat(64)] {
        let refused = PostgresChanges::listen(&url, bad).await.unwrap_err();
        assert!(refused.to_string().contains("channel"), "{refused}");
    }
}
