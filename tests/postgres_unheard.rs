//! A `PostgresStore` that does not hear of other processes' changes says why: in the process' own log, once
//! for each cause, and beside `is_listening`.

#![allow(clippy::unwrap_used)] // a test fails by panicking

#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/postgres_store.rs"]
mod postgres_store;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/warnings.rs"]
mod warnings;

use std::time::Duration;

use postgres::Cluster;
use postgres_store::{SOON, set_options};
use proxy::Proxy;
use tokio::time::timeout;
use tower_account_status::store::{PostgresChanges, PostgresStore, StoreError};
use warnings::{listen, warnings};

const HEARTBEAT: Duration = Duration::from_millis(50);

/// The cause is told once, though the listener tries again and again, and can be read as long as it lasts.
async fn told_once(cause: &str, read: impl Fn() -> Option<StoreError>) {
    let told = timeout(SOON, async {
        while warnings(cause).is_empty() {
            tokio::time::sleep(HEARTBEAT).await;
        }
    });
    told.await.unwrap_or_else(|_| panic!("nothing of {cause}"));
    // Several attempts later.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let said = warnings(cause);
    assert_eq!(said.len(), 1, "{said:?}");
    let expected = "changes of restrictions by other processes are not heard of";
    assert!(said[0].contains(expected), "{said:?}");
    let read = read().expect("it lasts").to_string();
    assert!(read.contains(cause), "{read}");
}

#[tokio::test]
async fn rule_12_why_the_listener_does_not_listen_is_told_once_and_can_be_read() {
    listen();
    let cluster = Cluster::start();
    let url = cluster.database().await;
    let client = cluster.client(&url).await;
    drop(PostgresStore::connect(&url).await.unwrap());
    let grant = "CREATE ROLE listens LOGIN CONNECTION LIMIT 5; \
                 GRANT USAGE ON SCHEMA account_status TO listens; \
                 GRANT SELECT ON ALL TABLES IN SCHEMA account_status TO listens";
    client.batch_execute(grant).await.unwrap();
    let theirs = url.replace("user=postgres", "user=listens");
    let store = set_options(&theirs)
        .with_heartbeat(HEARTBEAT)
        .connect()
        .await
        .unwrap();
    assert!(store.listening_error().is_none());
    let table = "account_status.restrictions";
    let close = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'listens'";
    for (cause, begin, end) in [
        (
            "the triggers that announce changes",
            format!("ALTER TABLE {table} DISABLE TRIGGER notify_change"),
            format!("ALTER TABLE {table} ENABLE ALWAYS TRIGGER notify_change"),
        ),
        (
            "permission denied for table restrictions",
            format!("REVOKE SELECT ON {table} FROM listens; {close}"),
            format!("GRANT SELECT ON {table} TO listens"),
        ),
        (
            "not permitted to log in",
            format!("ALTER ROLE listens NOLOGIN; {close}"),
            "ALTER ROLE listens LOGIN".to_owned(),
        ),
        (
            "too many connections for role",
            format!("ALTER ROLE listens CONNECTION LIMIT 0; {close}"),
            "ALTER ROLE listens CONNECTION LIMIT 5".to_owned(),
        ),
    ] {
        client.batch_execute(&begin).await.unwrap();
        told_once(cause, || store.listening_error()).await;
        assert!(!store.is_listening());
        client.batch_execute(&end).await.unwrap();
        let listens = timeout(SOON, store.until_listening(true));
        listens.await.expect(cause);
        assert!(store.listening_error().is_none(), "{cause}");
    }
}

#[tokio::test]
async fn rule_12_a_listener_to_a_servers_own_channel_says_why_it_does_not_listen() {
    listen();
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let proxy = Proxy::to(cluster.port()).await;
    let changes = PostgresChanges::listen(&proxy.url(&url), "own")
        .await
        .unwrap();
    assert!(changes.listening_error().is_none());
    let (_reserved, nowhere) = postgres::reserved_port();
    proxy.lead_to(nowhere);
    let client = cluster.client(&url).await;
    let close = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid()";
    client.batch_execute(close).await.unwrap();
    told_once("cannot be reached", || changes.listening_error()).await;
    proxy.lead_to(cluster.port());
    timeout(SOON, changes.until_listening(true)).await.unwrap();
    assert!(changes.listening_error().is_none());
}
