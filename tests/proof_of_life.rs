//! Rule 19: what `PostgresStore` holds in memory is believed only with a young proof that
//! announcements arrive, and is read again at an interval, whatever happened to the runtime, the
//! connections, the triggers or the table. `pgbouncer.rs` tries a pooler.

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
    HOUR, LOCK_ALICE, SOON, alice, change, lock_silently, on_a_runtime_that_is_dropped,
    on_a_runtime_that_stands_still, set_options, until_not_active, until_peeked, within,
};
use proxy::Proxy;
use tokio::time::timeout;
use tower_account_status::{
    AccountState, RestrictionKind::Locked, RestrictionStore as _, UserId, store::PostgresStore,
};

#[tokio::test]
async fn rule_19_a_runtime_that_stands_still_is_not_believed() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let other = PostgresStore::connect(&url).await.unwrap();
    let trust_limit = Duration::from_secs(2);
    let options = set_options(&url)
        .with_heartbeat(Duration::from_millis(50))
        .with_trust_limit(trust_limit);
    let since = Instant::now();
    let (store, runtime) = on_a_runtime_that_stands_still(options, async |store| store).await;
    let peeked = store.peek_state_of(&alice());
    // A machine may be so busy that the time is up already.
    if since.elapsed() < trust_limit {
        assert_eq!(peeked, Some(AccountState::ACTIVE));
    }
    other
        .set_restriction(&alice(), Locked.into())
        .await
        .unwrap();
    until_not_active(&store, &alice()).await;
    assert!(!store.is_listening());
    timeout(SOON, store.until_listening(false)).await.unwrap();
    runtime.shutdown_background();
}

#[tokio::test]
async fn rule_19_a_runtime_that_is_dropped_is_not_believed_and_another_takes_over() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let other = PostgresStore::connect(&url).await.unwrap();
    let options = set_options(&url).with_heartbeat(HOUR);
    let store = on_a_runtime_that_is_dropped(options).await;
    assert!(!store.is_listening());
    assert_eq!(store.peek_state_of(&alice()), None);
    other
        .set_restriction(&alice(), Locked.into())
        .await
        .unwrap();
    assert_eq!(store.state_of(&alice()).await.unwrap(), Locked.into());
    // That look-up has started the listener on this runtime.
    timeout(SOON, store.until_listening(true)).await.unwrap();
    until_peeked(&store, &alice(), &Locked.into()).await;
}

#[tokio::test]
async fn rule_19_durations_that_no_clock_can_add_are_bounded() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    for duration in [Duration::MAX, Duration::ZERO] {
        let options = set_options(&url)
            .with_heartbeat(duration)
            .with_reread_interval(duration);
        let store = options.connect().await.unwrap();
        let other = PostgresStore::connect(&url).await.unwrap();
        other
            .set_restriction(&alice(), Locked.into())
            .await
            .unwrap();
        until_peeked(&store, &alice(), &Locked.into()).await;
        assert!(store.is_listening());
        other
            .lift_restriction(&alice(), Locked, &change())
            .await
            .unwrap();
    }
    let options = set_options(&url).with_trust_limit(Duration::MAX);
    let store = options.connect().await.unwrap();
    assert_eq!(store.peek_state_of(&alice()), Some(AccountState::ACTIVE));
}

#[tokio::test]
async fn rule_19_a_callback_that_panics_does_not_end_what_listens() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let store = set_options(&url).connect().await.unwrap();
    let _panics = store
        .restriction_changes()
        .unwrap()
        .listen(|_| panic!("a callback's own mistake"));
    let other = PostgresStore::connect(&url).await.unwrap();
    for _ in 0..2 {
        other
            .set_restriction(&alice(), Locked.into())
            .await
            .unwrap();
        let since = Instant::now();
        until_peeked(&store, &alice(), &Locked.into()).await;
        within(Duration::ZERO, since);
        store
            .lift_restriction(&alice(), Locked, &change())
            .await
            .unwrap();
        until_peeked(&store, &alice(), &AccountState::ACTIVE).await;
    }
    assert!(store.is_listening());
}

#[tokio::test]
async fn rule_19_a_session_that_replicates_fires_the_triggers_too() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let store = set_options(&url)
        .with_heartbeat(HOUR)
        .with_reread_interval(HOUR)
        .connect()
        .await
        .unwrap();
    let client = cluster.client(&url).await;
    let role = "SET session_replication_role = replica";
    client.batch_execute(role).await.unwrap();
    client.batch_execute(LOCK_ALICE).await.unwrap();
    let since = Instant::now();
    until_peeked(&store, &alice(), &Locked.into()).await;
    let truncate = "TRUNCATE account_status.restrictions";
    client.batch_execute(truncate).await.unwrap();
    until_peeked(&store, &alice(), &AccountState::ACTIVE).await;
    let copy = "COPY account_status.restrictions (user_id, kind) FROM PROGRAM \
                'printf \"@alice:example.org\\tlocked\\n\"'";
    client.batch_execute(copy).await.unwrap();
    until_peeked(&store, &alice(), &Locked.into()).await;
    within(Duration::ZERO, since);
    assert!(
        store
            .lift_restriction(&alice(), Locked, &change())
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn rule_19_what_logical_replication_applies_is_heard() {
    let cluster = Cluster::start();
    cluster.set("wal_level = logical");
    let (origin_url, url) = (cluster.database().await, cluster.database().await);
    let origin = PostgresStore::connect(&origin_url).await.unwrap();
    let store = set_options(&url)
        .with_heartbeat(HOUR)
        .with_reread_interval(HOUR)
        .connect()
        .await
        .unwrap();
    let client = cluster.client(&origin_url).await;
    let publish = "CREATE PUBLICATION p FOR TABLE account_status.restrictions";
    client.batch_execute(publish).await.unwrap();
    let slot = "SELECT pg_create_logical_replication_slot('s', 'pgoutput')";
    client.batch_execute(slot).await.unwrap();
    // What is there already is copied, and what comes later applied.
    origin
        .set_restriction(&"@bob:x".into(), Locked.into())
        .await
        .unwrap();
    let client = cluster.client(&url).await;
    let subscribe = format!(
        "CREATE SUBSCRIPTION s CONNECTION '{origin_url}' PUBLICATION p \
         WITH (create_slot = false, slot_name = 's')"
    );
    client.batch_execute(&subscribe).await.unwrap();
    until_peeked(&store, &"@bob:x".into(), &Locked.into()).await;
    origin
        .set_restriction(&alice(), Locked.into())
        .await
        .unwrap();
    let since = Instant::now();
    until_peeked(&store, &alice(), &Locked.into()).await;
    within(Duration::ZERO, since);
    origin
        .lift_restriction(&alice(), Locked, &change())
        .await
        .unwrap();
    until_peeked(&store, &alice(), &AccountState::ACTIVE).await;
}

#[tokio::test]
async fn rule_19_without_its_triggers_the_table_gives_no_proof() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let store = set_options(&url)
        .with_heartbeat(Duration::from_millis(50))
        .with_reread_interval(HOUR)
        .connect()
        .await
        .unwrap();
    let client = cluster.client(&url).await;
    let alter = |what: &'static str| {
        let sql = format!("ALTER TABLE account_status.restrictions {what} TRIGGER notify_change");
        let client = &client;
        async move { client.batch_execute(&sql).await.unwrap() }
    };
    for (away, back) in [("DISABLE", "ENABLE ALWAYS"), ("ENABLE", "ENABLE ALWAYS")] {
        alter(away).await;
        timeout(SOON, store.until_listening(false)).await.unwrap();
        assert_eq!(store.peek_state_of(&alice()), None);
        alter(back).await;
        timeout(SOON, store.until_listening(true)).await.unwrap();
    }
}

#[tokio::test]
async fn rule_19_rows_that_no_trigger_told_of_are_found_and_announced_when_the_set_is_read_anew() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let store = set_options(&url)
        .with_heartbeat(HOUR)
        .with_reread_interval(Duration::from_millis(100))
        .connect()
        .await
        .unwrap();
    let mut news = store.restriction_changes().unwrap().subscribe(&alice());
    let client = cluster.client(&url).await;
    client.batch_execute(&lock_silently()).await.unwrap();
    timeout(SOON, news.changed())
        .await
        .expect("it is announced");
    assert_eq!(store.peek_state_of(&alice()), Some(Locked.into()));
    assert!(store.is_listening());
}

#[tokio::test]
async fn rule_19_a_table_that_another_has_replaced_is_read_anew_with_the_next_proof() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let store = set_options(&url)
        .with_heartbeat(Duration::from_millis(100))
        .with_reread_interval(HOUR)
        .connect()
        .await
        .unwrap();
    store
        .set_restriction(&alice(), Locked.into())
        .await
        .unwrap();
    let dump = cluster.folder().join(url.rsplit_once('=').unwrap().1);
    let program = |name: &str| {
        let mut command = cluster.program(name);
        command.args(["-h", "127.0.0.1", "-U", "postgres", "-p"]);
        command.arg(cluster.port().to_string());
        command
    };
    let database = url.rsplit_once("dbname=").unwrap().1.to_owned();
    let mut dumps = program("pg_dump");
    dumps.args(["-Fc", "-f"]).arg(&dump).arg(&database);
    postgres::expect_success(&mut dumps);
    store
        .lift_restriction(&alice(), Locked, &change())
        .await
        .unwrap();
    until_peeked(&store, &alice(), &AccountState::ACTIVE).await;

    let mut restores = program("pg_restore");
    restores.args(["--clean", "--single-transaction", "-d", &database]);
    restores.arg(&dump);
    tokio::task::spawn_blocking(move || postgres::expect_success(&mut restores))
        .await
        .unwrap();
    until_peeked(&store, &alice(), &Locked.into()).await;
    timeout(SOON, store.until_listening(true)).await.unwrap();
}

#[tokio::test]
async fn rule_19_a_change_that_stalls_holds_no_other_up() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let proxy = Proxy::to(cluster.port()).await;
    let proxied = proxy.url(&url);
    let store = set_options(&proxied).connect().await.unwrap();
    let other = PostgresStore::connect(&url).await.unwrap();
    let bob = UserId::from("@bob:example.org");
    // The change is made, and then its account's state is asked for.
    proxy.stall_at("SELECT kind, reason, until FROM");
    let change = tokio::spawn({
        let (store, bob) = (store.clone(), bob.clone());
        async move { store.set_restriction(&bob, Locked.into()).await }
    });
    proxy.until_one_stalls().await;
    let since = Instant::now();
    other
        .set_restriction(&alice(), Locked.into())
        .await
        .unwrap();
    until_peeked(&store, &alice(), &Locked.into()).await;
    assert!(store.is_listening());
    within(Duration::ZERO, since);
    change.await.unwrap().expect("it was made");
    // The look-up and its other attempt.
    within(Duration::from_secs(4), since);
    assert_ne!(store.peek_state_of(&bob), Some(AccountState::ACTIVE));
}

#[tokio::test]
async fn rule_19_what_changes_while_the_set_is_read_anew_is_asked_for() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let proxy = Proxy::to(cluster.port()).await;
    let proxied = proxy.url(&url);
    let store = set_options(&proxied)
        .with_heartbeat(HOUR)
        .with_reread_interval(Duration::from_millis(100))
        .connect()
        .await
        .unwrap();
    let other = PostgresStore::connect(&url).await.unwrap();
    proxy.stall_at("ORDER BY user_id, kind LIMIT");
    proxy.until_one_stalls().await;
    other
        .set_restriction(&alice(), Locked.into())
        .await
        .unwrap();
    let since = Instant::now();
    until_not_active(&store, &alice()).await;
    within(Duration::ZERO, since);
    let bob = UserId::from("@bob:example.org");
    assert_eq!(store.peek_state_of(&bob), Some(AccountState::ACTIVE));
    store.set_restriction(&bob, Locked.into()).await.unwrap();
    assert_ne!(store.peek_state_of(&bob), Some(AccountState::ACTIVE));
    proxy.go_on();
    until_peeked(&store, &alice(), &Locked.into()).await;
}

#[tokio::test]
async fn rule_19_a_server_that_new_connections_do_not_lead_to_is_left() {
    let (old, new) = (Cluster::shared(), Cluster::start());
    let (old_url, new_url) = (old.database().await, new.database().await);
    let proxy = Proxy::to(old.port()).await;
    let name = |url: &str| url.rsplit_once("dbname=").unwrap().1.to_owned();
    // The same name leads to both.
    let client = new.client(&new.url("postgres")).await;
    let rename = format!(
        "ALTER DATABASE {} RENAME TO failover_{}",
        name(&new_url),
        name(&old_url)
    );
    client.batch_execute(&rename).await.unwrap();
    let database = format!("failover_{}", name(&old_url));
    let client = old.client(&old.url("postgres")).await;
    let rename = format!("ALTER DATABASE {} RENAME TO {database}", name(&old_url));
    client.batch_execute(&rename).await.unwrap();

    let on_new = PostgresStore::connect(&new.url(&database)).await.unwrap();
    let proxied = old.url(&database).replace(
        &format!("port={}", old.port()),
        &format!("port={}", proxy.port()),
    );
    let store = set_options(&proxied)
        .with_heartbeat(Duration::from_millis(200))
        .with_reread_interval(Duration::from_millis(200))
        .connect()
        .await
        .unwrap();
    // The old primary goes on answering on the connections that lead to it.
    proxy.lead_to(new.port());
    on_new
        .set_restriction(&alice(), Locked.into())
        .await
        .unwrap();
    let since = Instant::now();
    until_peeked(&store, &alice(), &Locked.into()).await;
    within(Duration::from_millis(400), since);
    store
        .set_restriction(&alice(), Locked.into())
        .await
        .unwrap();
    // From now on it hears of the new server's changes.
    on_new
        .lift_restriction(&alice(), Locked, &change())
        .await
        .unwrap();
    until_peeked(&store, &alice(), &AccountState::ACTIVE).await;
    timeout(SOON, store.until_listening(true)).await.unwrap();
}
