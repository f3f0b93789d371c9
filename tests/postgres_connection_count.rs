//! Rule 20 for `PostgresStore`: how many connections a process takes, and what is set on them. A server
//! does not notice that a client has gone away whose statement waits for a lock.

#![allow(clippy::unwrap_used)] // a test fails by panicking

#[path = "support/pgbouncer.rs"]
mod pgbouncer;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/postgres_store.rs"]
mod postgres_store;
#[path = "support/proxy.rs"]
mod proxy;

use std::{
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use pgbouncer::Pooler;
use postgres::Cluster;
use postgres_store::{SOON, alice, chain, set_options, within};
use proxy::Proxy;
use tokio::{
    runtime,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_postgres::Client;
use tower_account_status::{
    RestrictionKind::{Locked, Suspended},
    RestrictionStore as _,
    store::{PostgresOptions, PostgresStore},
};

/// Waits until no session is left that `question` counts.
async fn until_none(client: &Client, question: &str) {
    let ends = timeout(SOON, async {
        while client
            .query_one(question, &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
            > 0
        {
            sleep(Duration::from_millis(20)).await;
        }
    });
    ends.await.expect("no session waits on");
}

const TABLE: &str = "account_status.restrictions";

/// How many sessions the server has of the store.
async fn sessions(client: &Client) -> i64 {
    let count = "SELECT count(*) FROM pg_stat_activity \
                 WHERE application_name = 'tower-account-status' AND datname = current_database()";
    client.query_one(count, &[]).await.unwrap().get(0)
}

/// The most sessions that there are, seen every 50 milliseconds for this long.
async fn most_sessions(client: &Client, lasts: Duration) -> i64 {
    let (since, mut most) = (Instant::now(), 0);
    while since.elapsed() < lasts {
        most = most.max(sessions(client).await);
        sleep(Duration::from_millis(50)).await;
    }
    most
}

/// Look-ups by callers of which every other one leaves before the answer.
fn asking(store: &PostgresStore) -> JoinSet<()> {
    let mut asking = JoinSet::new();
    for number in 0..24_u64 {
        let store = store.clone();
        let patience = Duration::from_millis(if number % 2 == 0 { 700 } else { 5000 });
        asking.spawn(async move {
            loop {
                let user = format!("@{number}:x");
                drop(timeout(patience, store.state_of(&user)).await);
                sleep(Duration::from_millis(20)).await;
            }
        });
    }
    asking
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_20_look_ups_that_wait_for_a_lock_take_no_further_connections() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    for options in [
        PostgresOptions::new(&url).unwrap(),
        set_options(&url).with_heartbeat(Duration::from_secs(1)),
    ] {
        let store = options.with_pool_size(4).connect().await.unwrap();
        let (client, counts) = (cluster.client(&url).await, cluster.client(&url).await);
        let lock = format!("BEGIN; LOCK TABLE {TABLE}");
        client.batch_execute(&lock).await.unwrap();
        let mut asking = asking(&store);
        let most = most_sessions(&counts, Duration::from_secs(12)).await;
        // Those of the pool, three of the listener, and one that the listener has given up.
        assert!(most <= 4 + 3 + 1, "{most}");
        let since = Instant::now();
        client.batch_execute("COMMIT").await.unwrap();
        store.state_of(&alice()).await.unwrap();
        within(Duration::ZERO, since);
        asking.shutdown().await;
        drop(store);
        let ends = timeout(SOON, async { while sessions(&counts).await > 0 {} });
        ends.await.expect("the connections end");
    }
}

#[tokio::test]
async fn rule_21_a_change_that_waits_for_a_lock_fails_and_is_not_made() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let store = PostgresStore::connect(&url).await.unwrap();
    store
        .set_restriction(&alice(), Suspended.into())
        .await
        .unwrap();
    let client = cluster.client(&url).await;
    let lock = format!("BEGIN; LOCK TABLE {TABLE}");
    client.batch_execute(&lock).await.unwrap();
    let since = Instant::now();
    let error = store.set_restriction(&alice(), Locked.into()).await;
    let error = error.unwrap_err().to_string();
    within(Duration::from_secs(2), since);
    // A busy machine may take so long that nobody knows.
    let is_known = !error.contains("not known");
    assert!(!is_known || error.contains("locked"), "{error}");
    client.batch_execute("COMMIT").await.unwrap();
    sleep(Duration::from_millis(200)).await;
    let state = store.state_of(&alice()).await.unwrap();
    assert!(!is_known || state == Suspended.into(), "{state:?}");
}

/// Those who wait for a connection that is made, and are not polled meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_20_one_that_waits_and_is_not_polled_keeps_no_other_from_connecting() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let proxy = Proxy::to(cluster.port()).await;
    let options = PostgresOptions::new(&proxy.url(&url)).unwrap();
    let store = options.with_pool_size(3).connect().await.unwrap();
    store.state_of(&alice()).await.unwrap();
    let client = cluster.client(&url).await;
    let close = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid() \
                 AND query NOT LIKE '%LISTEN%' AND query NOT LIKE '%NOTIFY%'";
    client.batch_execute(close).await.unwrap();
    sleep(Duration::from_millis(200)).await;
    // New connections stall in the handshake for the moment.
    proxy.stall_at("application_name");
    let user = alice();
    let mut kept = Box::pin(store.state_of(&user));
    let _ = timeout(Duration::from_millis(300), &mut kept).await;
    let (give, take) = mpsc::channel();
    let theirs = store.clone();
    thread::spawn(move || {
        let mut runtime = runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        runtime.spawn(async move { drop(theirs.state_of("@a:x").await) });
        runtime.block_on(async { sleep(Duration::from_millis(300)).await });
        give.send(runtime).unwrap();
    });
    // It is kept, and nobody drives it.
    let taken = tokio::task::spawn_blocking(move || take.recv().unwrap());
    let runtime = taken.await.unwrap();
    proxy.go_on();
    let since = Instant::now();
    for _ in 0..20 {
        let state = store.state_of("@b:x").await;
        state.unwrap_or_else(|error| panic!("{}", chain(&error)));
    }
    // Nobody waits for those of the others.
    within(Duration::ZERO, since);
    kept.await.unwrap();
    runtime.shutdown_background();
    let mut all = JoinSet::new();
    for _ in 0..3 {
        let store = store.clone();
        all.spawn(async move { store.state_of("@c:x").await });
    }
    all.join_all()
        .await
        .into_iter()
        .for_each(|state| drop(state.unwrap()));
}

/// Where a statement waits for something that its time limit does not count, as for a standby.
#[tokio::test]
async fn rule_20_a_statement_that_nobody_waits_for_any_longer_is_cancelled() {
    let cluster = Cluster::start();
    let url = cluster.database().await;
    let store = PostgresStore::connect(&url).await.unwrap();
    let client = cluster.client(&url).await;
    for set in [
        "synchronous_standby_names = 'none_such'",
        "synchronous_commit = on",
    ] {
        client
            .batch_execute(&format!("ALTER SYSTEM SET {set}"))
            .await
            .unwrap();
    }
    client
        .batch_execute("SELECT pg_reload_conf()")
        .await
        .unwrap();
    timeout(SOON, async {
        while store.set_restriction(&alice(), Locked.into()).await.is_ok() {}
    })
    .await
    .expect("it waits for a standby that does not exist");
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    until_none(&client, waiting).await;
}

#[tokio::test]
async fn rule_20_each_statement_has_a_limit_at_the_server_and_a_shorter_one_of_the_role_is_kept() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let client = cluster.client(&url).await;
    let database = url.rsplit_once("dbname=").unwrap().1;
    drop(PostgresStore::connect(&url).await.unwrap());
    // What a change finds set.
    let sees = format!(
        "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         NEW.reason := current_setting('statement_timeout'); RETURN NEW; END $$; \
         CREATE TRIGGER see BEFORE INSERT OR UPDATE ON {TABLE} \
         FOR EACH ROW EXECUTE FUNCTION see()"
    );
    client.batch_execute(&sees).await.unwrap();
    for (of_the_role, expected) in [("0", "1800ms"), ("1s", "1s"), ("1min", "1800ms")] {
        let alter = format!("ALTER DATABASE {database} SET statement_timeout = '{of_the_role}'");
        client.batch_execute(&alter).await.unwrap();
        let store = PostgresStore::connect(&url).await.unwrap();
        // On the first connection of the pool, and on another.
        for _ in 0..2 {
            store
                .set_restriction(&alice(), Locked.into())
                .await
                .unwrap();
            let record = store.record(&alice(), Locked).await.unwrap().unwrap();
            assert_eq!(record.restriction().reason(), Some(expected));
            let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                             WHERE datname = current_database() AND pid <> pg_backend_pid()";
            client.batch_execute(terminate).await.unwrap();
        }
    }
}

/// The store is refused, and no other client of the pooler has anything of it.
#[tokio::test]
async fn rule_20_a_pooler_by_the_transaction_keeps_no_setting_of_the_stores() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    drop(PostgresStore::connect(&url).await.unwrap());
    let Some(pooler) = Pooler::start(&cluster, "transaction", 1).await else {
        return;
    };
    let pooled = pooler.url(&cluster, &url);
    let other = cluster.client(&pooled).await;
    let settings = "SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings \
                    WHERE source = 'session' AND name IN ('statement_timeout', \
                    'idle_session_timeout', 'row_security', 'synchronous_commit')";
    let settings = async || {
        let answers = other.simple_query(settings).await.unwrap();
        let row = answers.iter().find_map(|answer| match answer {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        row.unwrap().get(0).map(str::to_owned)
    };
    assert_eq!(settings().await, None);
    set_options(&pooled).connect().await.unwrap_err();
    assert_eq!(settings().await, None);
}

/// Behind a pooler by the session they are there, and end with the session.
#[tokio::test]
async fn rule_20_behind_a_pooler_by_the_session_statements_have_their_limit() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let Some(pooler) = Pooler::start(&cluster, "session", 20).await else {
        return;
    };
    let store = PostgresStore::connect(&pooler.url(&cluster, &url))
        .await
        .unwrap();
    let client = cluster.client(&url).await;
    let lock = format!("BEGIN; LOCK TABLE {TABLE}");
    client.batch_execute(&lock).await.unwrap();
    store.state_of(&alice()).await.unwrap_err();
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                   AND datname = current_database()";
    until_none(&client, waiting).await;
    client.batch_execute("COMMIT").await.unwrap();
    store.state_of(&alice()).await.unwrap();
}
