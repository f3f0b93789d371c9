//! `PostgresStore` and its connections: how they are configured and encrypted, that they end, and
//! that a dead one is noticed.

#![allow(clippy::unwrap_used)] // a test fails by panicking

#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/postgres_store.rs"]
mod postgres_store;

use std::{sync::Arc, time::Duration};

use postgres::Cluster;
use postgres_store::{SOON, alice, chain, until_peeked, with_set};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};
use tokio_postgres_rustls::MakeRustlsConnect;
use tower_account_status::{
    RestrictionKind::Locked,
    RestrictionStore as _,
    store::{PostgresOptions, PostgresStore},
};

#[tokio::test]
async fn a_connection_string_is_checked_and_its_password_not_shown() {
    PostgresOptions::new("host=localhost port=many").unwrap_err();
    let options = PostgresOptions::new("postgres://me:hunter2@localhost/matrix").unwrap();
    assert!(!format!("{options:?}").contains("hunter2"), "{options:?}");

    let cluster = Cluster::shared();
    let url = format!("{} sslmode=require", cluster.database().await);
    let error = PostgresStore::connect(&url).await.unwrap_err();
    assert!(chain(&error).contains("TLS"), "{}", chain(&error));
}

#[tokio::test]
async fn rule_20_a_limit_of_any_length_in_the_connection_string_panics_nowhere() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    for option in ["connect_timeout", "tcp_user_timeout", "keepalives_idle"] {
        for seconds in [i64::MAX, i64::from(i32::MAX), 0, -1, i64::MIN] {
            let url = format!("{url} {option}={seconds}");
            let connected = tokio::spawn(async move {
                let store = PostgresStore::connect(&url).await?;
                store.state_of(&alice()).await
            });
            // The system may refuse such a limit.
            let connected = connected.await.expect("no panic");
            assert!(
                connected.is_ok() || option != "connect_timeout",
                "{seconds}"
            );
        }
    }
}

/// TLS that trusts `roots` and nothing else.
fn tls(roots: RootCertStore) -> MakeRustlsConnect {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    MakeRustlsConnect::new(config)
}

#[tokio::test]
async fn every_connection_is_encrypted_as_the_user_configures_it() {
    let cluster = Cluster::start();
    let certificate = cluster.use_tls();
    let url = cluster.database().await;
    let options = PostgresOptions::new(&format!("{url} sslmode=require")).unwrap();
    let certificate = CertificateDer::from_pem_file(certificate).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();

    let store = options
        .clone()
        .with_tls(tls(roots))
        .connect()
        .await
        .unwrap();
    store
        .set_restriction(&alice(), Locked.into())
        .await
        .unwrap();
    let client = cluster.client(&url).await;
    let encrypted = "SELECT bool_and(ssl), count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                     WHERE application_name = 'tower-account-status'";
    let row = client.query_one(encrypted, &[]).await.unwrap();
    assert_eq!(
        (row.get(0), row.get(1)),
        (Some(true), 3_i64),
        "the pool's and the listener's two"
    );

    let strange = options.with_tls(tls(RootCertStore::empty()));
    let error = strange.connect().await.unwrap_err();
    assert!(chain(&error).contains("certificate"), "{}", chain(&error));
}

#[tokio::test]
async fn its_connections_end_with_the_last_clone() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let client = cluster.client(&url).await;
    let store = with_set(&url).await;
    store.state_of(&alice()).await.unwrap();
    let count = "SELECT count(*) FROM pg_stat_activity \
                 WHERE application_name = 'tower-account-status' AND datname = current_database()";
    let count = async || client.query_one(count, &[]).await.unwrap().get::<_, i64>(0);
    assert_eq!(
        count().await,
        3,
        "one that listens, one that proves, and one of the pool"
    );
    drop(store.clone());
    assert_eq!(count().await, 3);
    drop(store);
    timeout(SOON, async { while count().await > 0 {} })
        .await
        .expect("the connections end");
}

async fn until(mut is_frozen: watch::Receiver<bool>, expected: bool) {
    let _ = is_frozen.wait_for(|is| *is == expected).await;
}

/// Forwards to the server until it is told to stop. Then nothing passes, and nothing reports it.
async fn freezing_proxy(server: u16, is_frozen: watch::Receiver<bool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
            let frozen = is_frozen.clone();
            tokio::spawn(async move {
                tokio::select! {
                    _ = copy_bidirectional(&mut client, &mut server) => {}
                    // Both connections stay open, and silent, until the thaw.
                    () = until(frozen.clone(), true) => until(frozen, false).await,
                }
            });
            until(is_frozen.clone(), false).await;
        }
    });
    port
}

#[tokio::test]
async fn t30_a_connection_that_died_without_a_word_is_noticed_and_made_again() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let (freeze, is_frozen) = watch::channel(false);
    let port = freezing_proxy(cluster.port(), is_frozen).await;
    let proxied = url.replace(&format!("port={}", cluster.port()), &format!("port={port}"));
    let store = PostgresOptions::new(&proxied)
        .unwrap()
        .with_heartbeat(Duration::from_millis(50))
        .with_restricted_set_in_memory()
        .connect()
        .await
        .unwrap();
    let other = PostgresStore::connect(&url).await.unwrap();
    let mut news = store.restriction_changes().unwrap().subscribe(&alice());

    freeze.send_replace(true);
    other
        .set_restriction(&alice(), Locked.into())
        .await
        .unwrap();
    timeout(SOON, store.until_listening(false))
        .await
        .expect("it is noticed");
    assert_eq!(
        store.peek_state_of(&alice()),
        None,
        "nothing stale is trusted"
    );
    freeze.send_replace(false);
    timeout(SOON, news.changed())
        .await
        .expect("the gap is announced");
    until_peeked(&store, &alice(), &Locked.into()).await;
    assert!(store.is_listening());
}
