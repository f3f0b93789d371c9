//! Rules 19 to 21: what `docs/stores.md` says of each fault of PostgreSQL that no other test measures:
//! how late a lock is, with settings that make the bound short, and what happens to requests and to
//! changes meanwhile.

#![allow(clippy::unwrap_used)] // a test fails by panicking

#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/postgres_store.rs"]
mod postgres_store;
#[path = "support/proxy.rs"]
mod proxy;

use std::time::{Duration, Instant};

use postgres::Cluster;
use postgres_store::{
    BUSY, HOUR, SOON, alice, chain, change, lock_silently, on_a_runtime_that_is_dropped,
    on_a_runtime_that_stands_still, set_options, until_not_active, until_peeked, within,
};
use proxy::Proxy;
use tokio::time::timeout;
use tower_account_status::{
    RestrictionKind::{Locked, Suspended},
    RestrictionStore as _, UserId,
    store::{PostgresOptions, PostgresStore},
};

/// The limit of one look-up or change.
const ANSWER: Duration = Duration::from_secs(2);
/// The longest wait between two attempts to listen.
const RECONNECTION: Duration = Duration::from_secs(10);

fn bob() -> UserId {
    "@bob:example.org".into()
}

async fn lock(store: &PostgresStore, user: &UserId) {
    store.set_restriction(user, Locked.into()).await.unwrap();
}

/// Both kinds of a change are made and acknowledged.
async fn changes_as_ever(store: &PostgresStore) {
    lock(store, &bob()).await;
    assert!(
        store
            .lift_restriction(&bob(), Locked, &change())
            .await
            .unwrap()
    );
}

/// A store with the set in memory whose settings bound how late it hears of a change.
async fn connect(url: &str, heartbeat: Duration, reread_interval: Duration) -> PostgresStore {
    let options = set_options(url)
        .with_heartbeat(heartbeat)
        .with_reread_interval(reread_interval);
    options.connect().await.unwrap()
}

/// The store no longer says that Alice is active, at the latest this long from now.
async fn doubted_within(store: &PostgresStore, limit: Duration) {
    let since = Instant::now();
    until_not_active(store, &alice()).await;
    within(limit, since);
}

#[tokio::test]
async fn rule_19_a_silent_listening_connection_is_believed_for_the_trust_limit() {
    let trust = Duration::from_secs(1);
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let proxy = Proxy::to(cluster.port()).await;
    let store = set_options(&proxy.url(&url))
        .with_heartbeat(Duration::from_millis(100))
        .with_trust_limit(trust)
        .connect()
        .await
        .unwrap();
    let other = PostgresStore::connect(&url).await.unwrap();
    proxy.keep_news(true);
    lock(&other, &alice()).await;
    doubted_within(&store, trust).await;
    assert_eq!(store.state_of(&alice()).await.unwrap(), Locked.into());
    changes_as_ever(&store).await;
    proxy.keep_news(false);
    until_peeked(&store, &alice(), &Locked.into()).await;
}

#[tokio::test]
async fn rule_19_beside_a_runtime_that_stands_still_requests_and_changes_go_on() {
    let trust = Duration::from_secs(1);
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let other = PostgresStore::connect(&url).await.unwrap();
    let options = set_options(&url)
        .with_heartbeat(Duration::from_millis(100))
        .with_trust_limit(trust);
    let (store, runtime) = on_a_runtime_that_stands_still(options, async |store| store).await;
    lock(&other, &alice()).await;
    doubted_within(&store, trust).await;
    // The pool's connections stand still with it: one of them is waited for, and no more.
    let since = Instant::now();
    assert_eq!(store.state_of(&alice()).await.unwrap(), Locked.into());
    within(ANSWER, since);
    changes_as_ever(&store).await;
    within(ANSWER, since);
    runtime.shutdown_background();
}

#[tokio::test]
async fn rule_20_a_change_on_a_runtime_that_stands_still_fails_once_and_is_not_known() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let ready = async |store: PostgresStore| {
        lock(&store, &alice()).await;
        store
    };
    let (store, runtime) = on_a_runtime_that_stands_still(set_options(&url), ready).await;
    let since = Instant::now();
    let changed = store.set_restriction(&bob(), Locked.into()).await;
    within(ANSWER, since);
    let error = changed.unwrap_err();
    assert!(error.to_string().contains("not known"), "{}", chain(&error));
    changes_as_ever(&store).await;
    runtime.shutdown_background();
}

#[tokio::test]
async fn rule_20_changes_are_made_when_the_runtime_was_dropped() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let options = set_options(&url).with_heartbeat(HOUR);
    let store = on_a_runtime_that_is_dropped(options).await;
    changes_as_ever(&store).await;
}

#[tokio::test]
async fn rule_19_while_its_triggers_are_disabled_a_lock_is_late_by_the_trust_limit() {
    let trust = Duration::from_secs(1);
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let store = set_options(&url)
        .with_heartbeat(Duration::from_millis(100))
        .with_trust_limit(trust)
        .with_reread_interval(HOUR)
        .connect()
        .await
        .unwrap();
    let other = PostgresStore::connect(&url).await.unwrap();
    let client = cluster.client(&url).await;
    let disable = "ALTER TABLE account_status.restrictions DISABLE TRIGGER notify_change";
    client.batch_execute(disable).await.unwrap();
    lock(&other, &alice()).await;
    doubted_within(&store, trust).await;
    assert_eq!(store.state_of(&alice()).await.unwrap(), Locked.into());
    changes_as_ever(&store).await;
}

#[tokio::test]
async fn rule_19_a_lock_that_no_trigger_told_of_is_late_by_the_reread_interval() {
    let interval = Duration::from_millis(500);
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let store = connect(&url, HOUR, interval).await;
    let client = cluster.client(&url).await;
    client.batch_execute(&lock_silently()).await.unwrap();
    doubted_within(&store, interval).await;
    changes_as_ever(&store).await;
}

#[tokio::test]
async fn rule_19_a_table_under_the_same_name_is_read_with_the_next_proof() {
    let heartbeat = Duration::from_millis(500);
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let store = connect(&url, heartbeat, HOUR).await;
    let client = cluster.client(&url).await;
    // As a restored table comes: its rows first, and then its triggers.
    let definitions = "SELECT string_agg(pg_get_triggerdef(oid), ';') FROM pg_trigger \
                       WHERE tgname IN ('notify_change', 'notify_truncate')";
    let triggers: String = client.query_one(definitions, &[]).await.unwrap().get(0);
    let table = "account_status.restrictions";
    let replaced = format!(
        "BEGIN; ALTER TABLE {table} RENAME TO before; \
         CREATE TABLE {table} (LIKE account_status.before INCLUDING ALL); \
         INSERT INTO {table} (user_id, kind) VALUES ('@alice:example.org', 'locked'); {triggers}; \
         ALTER TABLE {table} ENABLE ALWAYS TRIGGER notify_change, \
         ENABLE ALWAYS TRIGGER notify_truncate; DROP TABLE account_status.before; COMMIT"
    );
    client.batch_execute(&replaced).await.unwrap();
    doubted_within(&store, heartbeat).await;
    until_peeked(&store, &alice(), &Locked.into()).await;
    changes_as_ever(&store).await;
}

#[tokio::test]
async fn rule_20_a_connection_of_the_pool_is_used_for_the_reread_interval() {
    let interval = Duration::from_millis(500);
    let (old, new) = (Cluster::start(), Cluster::start());
    let (old_url, new_url) = (old.database().await, new.database().await);
    let name = |url: &str| url.rsplit_once("dbname=").unwrap().1.to_owned();
    assert_eq!(name(&old_url), name(&new_url));
    let proxy = Proxy::to(old.port()).await;
    // Without a set in memory every look-up goes by the pool.
    let store = PostgresOptions::new(&proxy.url(&old_url))
        .unwrap()
        .with_heartbeat(HOUR)
        .with_reread_interval(interval)
        .connect()
        .await
        .unwrap();
    assert!(store.state_of(&alice()).await.unwrap().is_active());
    let on_new = PostgresStore::connect(&new_url).await.unwrap();
    lock(&on_new, &alice()).await;
    // The old one goes on answering on the connections that lead to it.
    proxy.lead_to(new.port());
    let since = Instant::now();
    while store.state_of(&alice()).await.unwrap().is_active() {
        within(interval, since);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    lock(&store, &bob()).await;
    assert_eq!(on_new.state_of(&bob()).await.unwrap(), Locked.into());
}

#[tokio::test]
async fn rule_20_connections_that_are_closed_make_no_lock_late() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let store = set_options(&url).connect().await.unwrap();
    let client = cluster.client(&url).await;
    let both = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                WHERE datname = current_database() AND pid <> pg_backend_pid(); \
                INSERT INTO account_status.restrictions (user_id, kind) \
                VALUES ('@alice:example.org', 'locked')";
    client.batch_execute(both).await.unwrap();
    doubted_within(&store, Duration::ZERO).await;
    assert_eq!(store.state_of(&alice()).await.unwrap(), Locked.into());
    changes_as_ever(&store).await;
    timeout(RECONNECTION + BUSY, store.until_listening(true))
        .await
        .expect("it listens again");
    until_peeked(&store, &alice(), &Locked.into()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_20_a_server_that_is_killed_fails_everything_until_it_is_back() {
    let cluster = Cluster::start();
    let url = cluster.database().await;
    let store = set_options(&url).connect().await.unwrap();
    lock(&store, &alice()).await;
    tokio::task::block_in_place(|| cluster.kill());
    let since = Instant::now();
    timeout(SOON, store.until_listening(false)).await.unwrap();
    within(Duration::ZERO, since);
    assert_eq!(store.peek_state_of(&alice()), None);
    store.state_of(&alice()).await.unwrap_err();
    let changed = store.set_restriction(&alice(), Suspended.into()).await;
    changed.unwrap_err();
    tokio::task::block_in_place(|| cluster.launch());
    let since = Instant::now();
    assert_eq!(store.state_of(&alice()).await.unwrap(), Locked.into());
    changes_as_ever(&store).await;
    timeout(RECONNECTION + BUSY, store.until_listening(true))
        .await
        .expect("it listens again");
    within(RECONNECTION, since);
}
