//! Rules 20 and 21 for `PostgresStore`: errors of the server, or of a pooler, that end a session or
//! make it unfit for use. A proxy injects them. And the places of the pool: none is lost, whatever
//! happens to the look-ups that use them.

#![allow(clippy::unwrap_used)] // a test fails by panicking

#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/postgres_store.rs"]
mod postgres_store;
#[path = "support/proxy.rs"]
mod proxy;

use std::{
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use postgres::Cluster;
use postgres_store::{SOON, alice, chain, change, connected, within};
use proxy::{Injection, Proxy};
use tokio::{runtime, task::JoinSet, time::timeout};
use tower_account_status::{
    RestrictionKind::{Locked, Suspended},
    RestrictionStore as _,
    store::{PostgresOptions, PostgresStore},
};

/// The session is over or unfit, and the statement was not executed.
const NOT_DONE: [(&str, &str); 17] = [
    ("FATAL", "57P01"), // an administrator has ended it
    ("FATAL", "57P03"), // the server is starting or stopping
    ("FATAL", "57P04"), // the database was dropped
    ("FATAL", "57P05"), // it was idle for too long
    ("FATAL", "25P03"), // the same within a transaction
    ("FATAL", "25P04"), // the transaction took too long
    ("FATAL", "53200"), // whatever the cause: fatal is the end of a session
    ("FATAL", "XX000"),
    ("ERROR", "57P01"),
    ("ERROR", "57P03"),
    ("ERROR", "26000"), // somebody has discarded the prepared statement
    ("ERROR", "42P05"), // or prepared another of the same name
    ("ERROR", "25P02"), // somebody has left a failed transaction behind
    ("ERROR", "25006"), // the server has become read-only
    ("ERROR", "40001"), // another transaction was in the way
    ("ERROR", "40P01"),
    ("ERROR", "57P05"),
];

/// The same, and the statement may have been executed.
const NOT_KNOWN: [(&str, &str); 10] = [
    ("FATAL", "57P02"), // the server crashed
    ("PANIC", "58030"), // it is about to
    ("ERROR", "40003"), // the server says that it does not know
    ("FATAL", "08P01"), // pgbouncer has lost the server
    ("ERROR", "08P01"),
    ("FATAL", "08000"),
    ("FATAL", "08001"),
    ("FATAL", "08003"),
    ("ERROR", "08006"),
    ("FATAL", "08007"),
];

/// When the parameters of a statement about Alice are sent.
fn at_alice((severity, code): (&'static str, &'static str)) -> Injection {
    Injection {
        at: "@alice:example.org",
        severity,
        code,
        is_done: false,
    }
}

async fn proxied(cluster: &Cluster, options: &str) -> (PostgresOptions, Proxy, String) {
    let url = cluster.database().await;
    let proxy = Proxy::to(cluster.port()).await;
    let proxied = format!("{} {options}", proxy.url(&url));
    (PostgresOptions::new(&proxied).unwrap(), proxy, url)
}

#[tokio::test]
async fn rule_20_a_session_that_is_over_is_no_error_of_a_look_up_and_is_not_used_again() {
    let cluster = Cluster::shared();
    let (options, proxy, _) = proxied(&cluster, "").await;
    let store = options.with_pool_size(1).connect().await.unwrap();
    store
        .set_restriction(&alice(), Locked.into())
        .await
        .unwrap();
    for error in NOT_DONE.into_iter().chain(NOT_KNOWN) {
        let before = proxy.connections();
        proxy.inject(at_alice(error));
        let state = store.state_of(&alice()).await;
        assert_eq!(state.unwrap(), Locked.into(), "{error:?}");
        assert_eq!(proxy.left_to_inject(), 0, "{error:?}");
        assert_eq!(proxy.connections(), before + 1, "{error:?}");
        proxy.inject(at_alice(error));
        let states = store.states_of(&["@bob:x".into(), alice()]).await;
        assert!(states.iter().all(Result::is_ok), "{error:?}");
        assert_eq!(proxy.connections(), before + 2, "{error:?}");
    }
}

#[tokio::test]
async fn rule_20_an_answer_that_would_be_the_same_on_another_connection_is_given_at_once() {
    let cluster = Cluster::shared();
    let (options, proxy, _) = proxied(&cluster, "").await;
    let store = options.with_pool_size(1).connect().await.unwrap();
    store.state_of(&alice()).await.unwrap();
    let before = proxy.connections();
    for code in ["53200", "42501", "22021", "XX001"] {
        proxy.inject(at_alice(("ERROR", code)));
        store.state_of(&alice()).await.expect_err(code);
        store.state_of(&alice()).await.expect(code);
    }
    assert_eq!(proxy.connections(), before, "the connection is well");
}

#[tokio::test]
async fn rule_20_a_statement_that_the_server_cancelled_is_asked_once_more_on_its_connection() {
    let cluster = Cluster::shared();
    let (options, proxy, _) = proxied(&cluster, "").await;
    let store = options.with_pool_size(1).connect().await.unwrap();
    store.state_of(&alice()).await.unwrap();
    let before = proxy.connections();
    let cancelled = || proxy.inject(at_alice(("ERROR", "57014")));
    cancelled();
    store.state_of(&alice()).await.expect("the second time");
    cancelled();
    cancelled();
    store.state_of(&alice()).await.expect_err("no third time");
    cancelled();
    let changed = store.set_restriction(&alice(), Locked.into()).await;
    let error = changed.expect_err("it was not made").to_string();
    assert!(!error.contains("not known"), "{error}");
    assert_eq!(proxy.left_to_inject(), 0);
    assert_eq!(proxy.connections(), before, "the connection is well");
}

#[tokio::test]
async fn rule_21_a_change_on_a_session_that_is_over_is_made_once_or_not_known() {
    let cluster = Cluster::shared();
    let (options, proxy, url) = proxied(&cluster, "").await;
    let store = options.with_pool_size(1).connect().await.unwrap();
    let other = PostgresStore::connect(&url).await.unwrap();
    for error in NOT_DONE.into_iter().chain(NOT_KNOWN) {
        proxy.inject(at_alice(error));
        // The same row twice is the same row.
        let set = store.set_restriction(&alice(), Locked.into()).await;
        set.unwrap_or_else(|failure| panic!("{error:?}: {}", chain(&failure)));
        assert_eq!(other.state_of(&alice()).await.unwrap(), Locked.into());
        proxy.inject(at_alice(error));
        let lifted = store.lift_restriction(&alice(), Locked, &change()).await;
        match NOT_DONE.contains(&error) {
            true => {
                assert!(lifted.unwrap(), "{error:?}");
                assert!(other.state_of(&alice()).await.unwrap().is_active());
            }
            false => {
                let lifted = lifted.expect_err("nobody knows").to_string();
                assert!(lifted.contains("not known"), "{error:?}: {lifted}");
            }
        }
    }
}

#[tokio::test]
async fn rule_21_a_lift_that_was_made_although_the_session_ended_is_not_said_to_have_been_nothing()
{
    let cluster = Cluster::shared();
    let (options, proxy, url) = proxied(&cluster, "").await;
    let store = options.connect().await.unwrap();
    let other = PostgresStore::connect(&url).await.unwrap();
    for kind in [Locked, Suspended] {
        store.set_restriction(&alice(), kind.into()).await.unwrap();
        proxy.inject(Injection {
            is_done: true,
            ..at_alice(("FATAL", "08P01"))
        });
        let lifted = store.lift_restriction(&alice(), kind, &change()).await;
        let error = lifted.expect_err("nobody knows").to_string();
        assert!(error.contains("not known"), "{error}");
        assert!(other.state_of(&alice()).await.unwrap().is_active());
    }
}

#[tokio::test]
async fn rule_20_a_server_that_cannot_be_connected_to_yet_is_tried_again_and_a_refusal_is_not() {
    let cluster = Cluster::shared();
    let (options, proxy, url) = proxied(&cluster, "").await;
    let store = options.with_pool_size(1).connect().await.unwrap();
    let client = cluster.client(&url).await;
    let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                     WHERE datname = current_database() AND pid <> pg_backend_pid() \
                     AND query LIKE 'SELECT kind%'";
    for (code, is_final) in [("57P03", false), ("08006", false), ("28P01", true)] {
        store.state_of(&alice()).await.unwrap();
        client.batch_execute(terminate).await.unwrap();
        proxy.inject(Injection {
            at: "application_name",
            ..at_alice(("FATAL", code))
        });
        let state = store.state_of(&alice()).await;
        assert_eq!(state.is_err(), is_final, "{code}: {state:?}");
        assert_eq!(proxy.left_to_inject(), 0, "{code}");
    }
}

/// Alice's restriction is made, and the answer is an error that leaves this open. What comes after it
/// says nothing about the first attempt.
#[tokio::test]
async fn rule_21_a_restriction_that_was_made_is_not_said_to_have_failed() {
    let cluster = Cluster::shared();
    for made_by in [("FATAL", "57P02"), ("FATAL", "08P01"), ("ERROR", "40003")] {
        for then in [
            None, // nobody to connect to
            Some(("ERROR", "42501")),
            Some(("ERROR", "57014")),
            Some(("FATAL", "57P01")),
            Some(("ERROR", "40001")),
        ] {
            let (options, proxy, url) = proxied(&cluster, "").await;
            let store = options.with_pool_size(1).connect().await.unwrap();
            let other = PostgresStore::connect(&url).await.unwrap();
            store.state_of("@bob:x").await.unwrap();
            proxy.inject(Injection {
                is_done: true,
                ..at_alice(made_by)
            });
            let (_reserved, nowhere) = postgres::reserved_port();
            match then {
                None => proxy.lead_to(nowhere),
                Some(error) => proxy.inject(at_alice(error)),
            }
            let answer = store.set_restriction(&alice(), Locked.into()).await;
            let error = chain(&answer.unwrap_err());
            assert!(
                error.contains("not known"),
                "{made_by:?}, {then:?}: {error}"
            );
            assert_eq!(error.matches("not known").count(), 1, "{error}");
            assert_eq!(proxy.left_to_inject(), 0, "{then:?}");
            assert_eq!(other.state_of(&alice()).await.unwrap(), Locked.into());
        }
    }
}

/// How many connections the server has from the store.
async fn connections(cluster: &Cluster, url: &str) -> i64 {
    let count = "SELECT count(*) FROM pg_stat_activity \
                 WHERE application_name = 'tower-account-status' AND datname = current_database()";
    let client = cluster.client(url).await;
    client.query_one(count, &[]).await.unwrap().get(0)
}

/// Waits until it answers, though it has to connect first.
async fn until_it_is_well(store: &PostgresStore) {
    let answers = timeout(SOON, async {
        while store.state_of(&alice()).await.is_err() {}
    });
    answers.await.expect("it is well again");
}

/// Waits until there are no more than those of the pool and the listener's two. The server ends a
/// session a little after its connection was closed.
async fn until_connections(cluster: &Cluster, url: &str, pool: i64) {
    let closes = timeout(SOON, async {
        while connections(cluster, url).await > 2 + pool {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    closes.await.expect("each that came too late is closed");
}

#[tokio::test]
async fn rule_20_no_place_of_the_pool_is_lost() {
    let cluster = Cluster::shared();
    let (options, proxy, url) = proxied(&cluster, "connect_timeout=1").await;
    let store = connected(&options.with_pool_size(3)).await;
    let errors: Vec<_> = NOT_DONE.into_iter().chain(NOT_KNOWN).collect();
    for round in 0..40_usize {
        proxy.inject(at_alice(errors[round % errors.len()]));
        if round % 10 == 0 {
            // Some leave while they wait for a connection that stalls while it is made.
            proxy.stall_at("application_name");
        }
        let mut looks = JoinSet::new();
        for number in 0..12_u64 {
            let store = store.clone();
            looks.spawn(async move {
                let patience = Duration::from_micros(500 * number * (number % 3 + 1));
                let user = alice();
                drop(timeout(patience, store.state_of(&user)).await);
            });
        }
        looks.join_all().await;
        proxy.go_on();
    }
    until_it_is_well(&store).await;
    let before = proxy.stalled();
    proxy.stall_at("@alice:example.org");
    let mut looks = JoinSet::new();
    for _ in 0..5 {
        let store = store.clone();
        looks.spawn(async move { store.state_of(&alice()).await });
    }
    let stalls = timeout(SOON, async {
        while proxy.stalled() < before + 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    stalls.await.expect("three of the five have a place");
    until_connections(&cluster, &url, 3).await;
    looks.shutdown().await;
    proxy.go_on();
    until_it_is_well(&store).await;
}

#[tokio::test]
async fn rule_20_a_place_is_waited_for_two_seconds() {
    let cluster = Cluster::shared();
    let (options, proxy, _) = proxied(&cluster, "").await;
    let store = options.with_pool_size(1).connect().await.unwrap();
    store.state_of(&alice()).await.unwrap();
    proxy.stall_at("@alice:example.org");
    let user = alice();
    let mut holds = Box::pin(store.state_of(&user));
    tokio::select! {
        _ = &mut holds => panic!("it stalls"),
        () = proxy.until_one_stalls() => {}
    }
    let since = Instant::now();
    let error = store.state_of("@bob:x").await.unwrap_err();
    assert!(error.to_string().contains("in use"), "{}", chain(&error));
    assert!(since.elapsed() >= Duration::from_secs(2));
    within(Duration::from_secs(2), since);
    proxy.go_on();
    holds.await.unwrap();
    store.state_of("@bob:x").await.unwrap();
}

#[tokio::test]
async fn rule_20_a_connection_that_nobody_has_waited_for_any_longer_is_closed() {
    let cluster = Cluster::shared();
    let (options, proxy, url) = proxied(&cluster, "connect_timeout=1").await;
    let store = Arc::new(connected(&options.with_pool_size(2)).await);
    // The connection that there is is in use.
    proxy.stall_at("@bob:x");
    let mut holds = Box::pin(store.state_of("@bob:x"));
    tokio::select! {
        _ = &mut holds => panic!("it stalls"),
        () = proxy.until_one_stalls() => {}
    }
    let (give, take) = mpsc::channel();
    let (go_on, goes_on) = mpsc::channel::<()>();
    let impatient = Arc::clone(&store);
    let stands_still = thread::spawn(move || {
        let mut runtime = runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        // Its dial has begun, and nobody drives it.
        runtime.block_on(async {
            let user = alice();
            let look = impatient.state_of(&user);
            drop(timeout(Duration::ZERO, look).await);
        });
        give.send(()).unwrap();
        goes_on.recv().unwrap();
        runtime.block_on(async { tokio::time::sleep(Duration::from_millis(500)).await });
        drop(impatient);
    });
    let take = tokio::task::spawn_blocking(move || take.recv().unwrap());
    take.await.unwrap();
    until_it_is_well(&store).await;
    go_on.send(()).unwrap();
    proxy.go_on();
    holds.await.unwrap();
    tokio::task::spawn_blocking(|| stands_still.join().unwrap())
        .await
        .unwrap();
    until_connections(&cluster, &url, 2).await;
}
