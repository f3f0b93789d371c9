//! `PostgresStore` and `PostgresChanges` behind pgbouncer, which they either refuse or rightly
//! believe.
//!
//! `scripts/trials pgbouncer` installs what this needs. If pgbouncer is not installed, nothing is
//! tried, unless `TRIALS` is set.

#![allow(clippy::unwrap_used)] // a test fails by panicking

#[path = "support/pgbouncer.rs"]
mod pgbouncer;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/postgres_store.rs"]
mod postgres_store;

use std::time::{Duration, Instant};

use pgbouncer::Pooler;
use postgres::Cluster;
use postgres_store::{alice, chain, until_peeked, within};
use tower_account_status::{
    RestrictionKind::Locked,
    RestrictionStore as _,
    store::{PostgresChanges, PostgresOptions, PostgresStore},
};

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
    tokio::time::timeout(Duration::from_secs(10), of_alice.changed())
        .await
        .unwrap();
    assert_eq!(store.state_of(&alice()).await.unwrap(), Locked.into());
    store
        .set_restriction(&"@bob:example.org".into(), Locked.into())
        .await
        .unwrap();
}
