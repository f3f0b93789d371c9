//! Rules 20 and 21 for `PostgresStore`: each limit is shorter than the one around it, a bad connection
//! is not used again, recovery needs no restart, and a change that failed was not made, or the error
//! says that this is not known.

#![allow(clippy::unwrap_used)] // a test fails by panicking

#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/postgres_store.rs"]
mod postgres_store;
#[path = "support/proxy.rs"]
mod proxy;

use std::time::{Duration, Instant};

use postgres::Cluster;
use postgres_store::{SOON, alice, chain, change, connected, until_peeked, within};
use proxy::Proxy;
use tokio::{net::TcpListener, task::JoinSet, time::timeout};
use tower_account_status::{
    RestrictionKind::{Locked, Suspended},
    RestrictionStore as _, UserId,
    store::{PostgresOptions, PostgresStore},
};

#[tokio::test]
async fn rule_20_a_host_that_accepts_and_says_nothing_is_passed_over() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (mute_port, port) = (mute.local_addr().unwrap().port(), cluster.port());
    let both = url
        .replace(
            "host=127.0.0.1",
            "host=127.0.0.1,localhost connect_timeout=1",
        )
        .replace(&format!("port={port}"), &format!("port={mute_port},{port}"));
    let since = Instant::now();
    let store = connected(&PostgresOptions::new(&both).unwrap()).await;
    // Three connections, each of which passes the mute host.
    within(Duration::from_secs(3), since);
    store
        .set_restriction(&alice(), Locked.into())
        .await
        .unwrap();

    let alone = url.replace(&format!("port={port}"), &format!("port={mute_port}"));
    let error = PostgresStore::connect(&alone).await.unwrap_err();
    assert!(
        error.to_string().contains("took longer"),
        "{}",
        chain(&error)
    );
}

#[tokio::test]
async fn rule_20_a_migration_does_not_wait_for_another_without_end() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let client = cluster.client(&url).await;
    let hangs = "SELECT pg_advisory_lock(hashtext('tower-account-status'))";
    client.batch_execute(hangs).await.unwrap();
    let since = Instant::now();
    let error = timeout(SOON, PostgresStore::connect(&url)).await;
    let error = error.expect("it has a limit").unwrap_err();
    within(Duration::from_secs(10), since);
    assert!(
        error.to_string().contains("lock of the migration"),
        "{}",
        chain(&error)
    );
    let ends = "SELECT pg_advisory_unlock_all()";
    client.batch_execute(ends).await.unwrap();
    PostgresStore::connect(&url).await.unwrap();
}

#[tokio::test]
async fn rule_21_a_change_that_the_server_does_not_answer_is_not_known() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let proxy = Proxy::to(cluster.port()).await;
    let store = PostgresStore::connect(&proxy.url(&url)).await;
    let store = store.unwrap();
    // The statement is prepared.
    store
        .set_restriction(&alice(), Suspended.into())
        .await
        .unwrap();
    proxy.stall_at("@alice:example.org");
    let since = Instant::now();
    for changed in [
        store
            .set_restriction(&alice(), Locked.into())
            .await
            .map(|()| true),
        store.lift_restriction(&alice(), Suspended, &change()).await,
    ] {
        let error = changed.unwrap_err();
        assert!(error.to_string().contains("not known"), "{}", chain(&error));
    }
    within(2 * Duration::from_secs(2), since);
    proxy.go_on();
    store
        .set_restriction(&alice(), Locked.into())
        .await
        .unwrap();
    assert!(
        store
            .lift_restriction(&alice(), Locked, &change())
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn rule_20_a_primary_that_hangs_is_left_for_the_other_host() {
    let (hung, well) = (Cluster::start(), Cluster::start());
    let (hung_url, well_url) = (hung.database().await, well.database().await);
    assert_eq!(
        hung_url.rsplit_once("dbname=").unwrap().1,
        well_url.rsplit_once("dbname=").unwrap().1
    );
    let other = PostgresStore::connect(&well_url).await.unwrap();
    other
        .set_restriction(&alice(), Locked.into())
        .await
        .unwrap();
    let both = hung_url
        .replace(
            "host=127.0.0.1",
            "host=127.0.0.1,127.0.0.1 connect_timeout=1",
        )
        .replace(
            &format!("port={}", hung.port()),
            &format!("port={},{}", hung.port(), well.port()),
        );
    let options = PostgresOptions::new(&both)
        .unwrap()
        .with_pool_size(2)
        .with_heartbeat(Duration::from_millis(200))
        .with_restricted_set_in_memory();
    // With tables on both, because a busy machine may pass the first one over.
    drop(PostgresStore::connect(&hung_url).await.unwrap());
    let store = loop {
        let store = connected(&options).await;
        if store.state_of(&alice()).await.unwrap().is_active() {
            break store;
        }
    };
    hung.pause();
    let since = Instant::now();
    // A look-up now waits for the host that hangs, and then for the other.
    let changed = store.set_restriction(&alice(), Suspended.into()).await;
    let error = changed.unwrap_err();
    assert!(error.to_string().contains("not known"), "{}", chain(&error));
    let answered = timeout(SOON, async {
        loop {
            match store.state_of(&alice()).await {
                Ok(state) if !state.is_active() => return state,
                Ok(_) | Err(_) => {}
            }
        }
    });
    assert_eq!(answered.await.expect("it recovers"), Locked.into());
    // The change, a look-up on the other of the two connections, and passing the host that hangs.
    within(Duration::from_secs(2 + 2 + 1), since);
    until_peeked(&store, &alice(), &Locked.into()).await;
    store
        .lift_restriction(&alice(), Locked, &change())
        .await
        .unwrap();
    hung.go_on();
}

#[tokio::test]
async fn rule_20_a_connection_that_is_over_is_never_an_error_of_a_look_up() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let client = cluster.client(&url).await;
    let idle = format!(
        "ALTER DATABASE {} SET idle_session_timeout = '200ms'",
        url.rsplit_once("dbname=").unwrap().1
    );
    client.batch_execute(&idle).await.unwrap();
    let options = PostgresOptions::new(&url)
        .unwrap()
        .with_heartbeat(Duration::from_millis(300));
    // On a busy machine a session may be over while it is made ready.
    let store = timeout(SOON, async {
        loop {
            if let Ok(store) = options.clone().connect().await {
                return store;
            }
        }
    });
    let store = store.await.expect("it connects");
    for round in 0..12_u64 {
        tokio::time::sleep(Duration::from_millis(190 + 4 * round)).await;
        store.state_of(&alice()).await.unwrap();
        store
            .set_restriction(&alice(), Locked.into())
            .await
            .unwrap();
    }
    assert!(store.is_listening(), "whoever listens is idle and stays");
}

#[tokio::test]
async fn rule_20_a_connection_that_is_terminated_is_never_an_error_of_a_look_up() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let store = PostgresStore::connect(&url).await.unwrap();
    let client = cluster.client(&url).await;
    let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                     WHERE datname = current_database() AND pid <> pg_backend_pid()";
    for _ in 0..10 {
        let mut looks = JoinSet::new();
        for number in 0..40 {
            let store = store.clone();
            looks.spawn(async move { store.state_of(&format!("@{number}:x")).await });
        }
        client.batch_execute(terminate).await.unwrap();
        for look in looks.join_all().await {
            look.unwrap();
        }
    }
    timeout(SOON, store.until_listening(true)).await.unwrap();
}

#[tokio::test]
async fn rule_20_a_table_that_a_later_migration_alters_is_read_on() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let store = PostgresStore::connect(&url).await.unwrap();
    store
        .set_restriction(&alice(), Locked.into())
        .await
        .unwrap();
    store.state_of(&alice()).await.unwrap();
    let client = cluster.client(&url).await;
    for alter in [
        "ALTER COLUMN reason TYPE varchar(2000)",
        "ADD COLUMN note text",
        "ALTER COLUMN reason TYPE text",
    ] {
        let alter = format!("ALTER TABLE account_status.restrictions {alter}");
        client.batch_execute(&alter).await.unwrap();
        for _ in 0..3 {
            assert_eq!(store.state_of(&alice()).await.unwrap(), Locked.into());
            store
                .set_restriction(&alice(), Locked.into())
                .await
                .unwrap();
        }
    }
}

#[tokio::test]
async fn rule_20_a_server_that_becomes_read_only_is_left_and_found_again() {
    let cluster = Cluster::start();
    let url = cluster.database().await;
    let store = PostgresStore::connect(&url).await.unwrap();
    store
        .set_restriction(&alice(), Locked.into())
        .await
        .unwrap();
    let client = cluster.client(&url).await;
    let read_only = async |on: &str| {
        let alter = format!("ALTER SYSTEM SET default_transaction_read_only = {on}");
        client.batch_execute(&alter).await.unwrap();
        let reload = "SELECT pg_reload_conf()";
        client.batch_execute(reload).await.unwrap();
    };
    client
        .batch_execute("SET default_transaction_read_only = off")
        .await
        .unwrap();
    read_only("on").await;
    assert_eq!(store.state_of(&alice()).await.unwrap(), Locked.into());
    timeout(SOON, async {
        while store
            .set_restriction(&alice(), Suspended.into())
            .await
            .is_ok()
        {}
    })
    .await
    .expect("it fails");
    store
        .state_of(&alice())
        .await
        .expect_err("it had to connect");
    read_only("off").await;
    timeout(SOON, async {
        while store
            .set_restriction(&alice(), Suspended.into())
            .await
            .is_err()
        {}
    })
    .await
    .expect("it recovers");
}

#[tokio::test]
async fn rule_14_who_leaves_in_the_middle_costs_no_connection() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let options = PostgresOptions::new(&url).unwrap().with_pool_size(2);
    let store = options.connect().await.unwrap();
    for _ in 0..2 {
        store.state_of(&alice()).await.unwrap();
    }
    let client = cluster.client(&url).await;
    let newest = "SELECT max(backend_start)::text FROM pg_stat_activity \
                  WHERE application_name = 'tower-account-status' AND datname = current_database()";
    let user = alice();
    let both = tokio::join!(store.state_of(&user), store.state_of(&user));
    assert!(both.0.is_ok() && both.1.is_ok());
    let before: String = client.query_one(newest, &[]).await.unwrap().get(0);
    for number in 0..200_u64 {
        let user = UserId::from(format!("@{number}:x"));
        let look = store.state_of(&user);
        drop(timeout(Duration::from_micros(number * 5), look).await);
    }
    store.state_of(&alice()).await.unwrap();
    let after: String = client.query_one(newest, &[]).await.unwrap().get(0);
    assert_eq!(before, after, "no connection was made");
}

#[tokio::test]
async fn rule_20_what_was_dialled_for_one_who_left_serves_the_next() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let proxy = Proxy::to(cluster.port()).await;
    let options = PostgresOptions::new(&proxy.url(&url)).unwrap();
    let store = options.with_pool_size(1).connect().await.unwrap();
    let client = cluster.client(&url).await;
    let terminate = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                     WHERE datname = current_database() AND pid <> pg_backend_pid()";
    client.batch_execute(terminate).await.unwrap();
    // The handshake stalls, and those who ask are impatient.
    proxy.stall_at("tower-account-status");
    for _ in 0..5 {
        let user = alice();
        let look = store.state_of(&user);
        drop(timeout(Duration::from_millis(100), look).await);
    }
    proxy.go_on();
    store.state_of(&alice()).await.unwrap();
}
