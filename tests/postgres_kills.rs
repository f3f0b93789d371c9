//! `PostgresStore` while its server is killed under load: what was acknowledged is there
//! afterwards, and no process goes on trusting what it had in memory.
//!
//! 200 kills, or as many as `POSTGRES_KILLS` says.

#![allow(clippy::unwrap_used)] // a test fails by panicking

#[path = "support/postgres.rs"]
mod postgres;

use std::{
    env,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use postgres::Cluster;
use tokio::{task::JoinSet, time::timeout};
use tower_account_status::{
    AccountState, Restriction, RestrictionKind, RestrictionStore as _, UserId,
    store::{PostgresOptions, PostgresStore},
};

/// Far more than it takes: a machine may be busy.
const SOON: Duration = Duration::from_secs(60);
const WRITERS: u64 = 4;
const USERS_OF_A_WRITER: u64 = 5;

#[derive(Default)]
struct Load {
    /// The number of the last acknowledged change of each user.
    acknowledged: Mutex<Vec<(UserId, u64)>>,
    changes: AtomicU64,
    failures: AtomicU64,
    looks: AtomicU64,
    is_over: AtomicBool,
}

impl Load {
    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }

    fn acknowledged(&self) -> Vec<(UserId, u64)> {
        self.acknowledged.lock().unwrap().clone()
    }
}

/// Which change of a user's a state shows: the reason of the lock is its number.
fn change_of(state: &AccountState) -> Option<u64> {
    let lock = state.restriction(RestrictionKind::Locked)?;
    Some(lock.reason().unwrap().parse().unwrap())
}

/// Gives its users' locks ever higher numbers.
async fn write(load: Arc<Load>, store: PostgresStore, writer: u64) {
    let users: Vec<UserId> = (0..USERS_OF_A_WRITER)
        .map(|user| format!("@{writer}-{user}:example.org").into())
        .collect();
    let mut number = 0;
    while load.goes_on() {
        number += 1;
        for user in &users {
            let lock = Restriction::new(RestrictionKind::Locked).with_reason(number.to_string());
            match store.set_restriction(user, lock.into()).await {
                Ok(()) => {
                    load.changes.fetch_add(1, Ordering::Relaxed);
                    let mut acknowledged = load.acknowledged.lock().unwrap();
                    match acknowledged.iter_mut().find(|(known, _)| known == user) {
                        Some((_, last)) => *last = number,
                        None => acknowledged.push((user.clone(), number)),
                    }
                }
                Err(_) => {
                    load.failures.fetch_add(1, Ordering::Relaxed);
                    // The server is away; the pool says so at once.
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
        }
    }
}

/// What is answered at once never goes back to an earlier state.
async fn watch(load: Arc<Load>, store: PostgresStore) {
    let mut seen: Vec<(UserId, u64)> = Vec::new();
    while load.goes_on() {
        for (user, _) in load.acknowledged() {
            let Some(state) = store.peek_state_of(&user) else {
                continue;
            };
            load.looks.fetch_add(1, Ordering::Relaxed);
            let now = change_of(&state).unwrap_or(0);
            match seen.iter_mut().find(|(known, _)| *known == user) {
                Some((_, last)) => {
                    assert!(
                        *last <= now,
                        "{user:?} went back from change {last} to {now}"
                    );
                    *last = now;
                }
                None => seen.push((user, now)),
            }
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t30_acknowledged_changes_survive_every_kill_and_every_gap_is_closed() {
    let kills: u32 = env::var("POSTGRES_KILLS").map_or(200, |kills| kills.parse().unwrap());
    let cluster = Cluster::start();
    let url = cluster.database().await;
    let options = PostgresOptions::new(&url).unwrap();
    let options = options.with_restricted_set_in_memory().with_pool_size(4);
    let writing = options.clone().connect().await.unwrap();
    let watching = options.connect().await.unwrap();
    let load = Arc::new(Load::default());
    let mut tasks = JoinSet::new();
    for writer in 0..WRITERS {
        tasks.spawn(write(Arc::clone(&load), writing.clone(), writer));
    }
    for store in [&writing, &watching] {
        tasks.spawn(watch(Arc::clone(&load), store.clone()));
    }

    let (began, mut slowest) = (Instant::now(), Duration::ZERO);
    for kill in 0..kills {
        let before = load.changes.load(Ordering::Relaxed);
        timeout(SOON, async {
            while load.changes.load(Ordering::Relaxed) < before + 50 + u64::from(kill % 7) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("kill {kill}: nothing is written any more"));
        match kill % 3 {
            // Every connection, while the server goes on.
            0 => {
                let client = cluster.client(&url).await;
                let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                                 WHERE datname = current_database() AND pid <> pg_backend_pid()";
                client.batch_execute(terminate).await.unwrap();
            }
            1 => tokio::task::block_in_place(|| {
                cluster.kill();
                cluster.launch();
            }),
            _ => tokio::task::block_in_place(|| {
                cluster.stop();
                cluster.launch();
            }),
        }

        // Made once, by somebody else, and most likely while nobody listens: no later change of
        // this account puts right what is missed here.
        let client = cluster.client(&url).await;
        let in_the_gap = UserId::from(format!("@gap-{kill}:example.org"));
        let lock = "INSERT INTO account_status.restrictions (user_id, kind, reason) \
                    VALUES ($1, 'locked', '1')";
        client.execute(lock, &[&in_the_gap.as_str()]).await.unwrap();

        let mut acknowledged = load.acknowledged();
        acknowledged.push((in_the_gap, 1));
        let since = Instant::now();
        for (user, number) in &acknowledged {
            let reason = "SELECT reason FROM account_status.restrictions WHERE user_id = $1";
            let row = client.query_one(reason, &[&user.as_str()]).await.unwrap();
            let stored: u64 = row.get::<_, &str>(0).parse().unwrap();
            assert!(
                stored >= *number,
                "kill {kill}: {user:?} has {stored}, {number} was acknowledged"
            );
        }
        for store in [&writing, &watching] {
            timeout(SOON, store.until_listening(true))
                .await
                .unwrap_or_else(|_| panic!("kill {kill}: it does not listen again"));
            for (user, number) in &acknowledged {
                timeout(SOON, async {
                    let mut news = store.restriction_changes().unwrap().subscribe(user);
                    while store.peek_state_of(user).as_ref().and_then(change_of) < Some(*number) {
                        news.changed().await;
                    }
                })
                .await
                .unwrap_or_else(|_| {
                    panic!(
                        "kill {kill}: {user:?} is answered as {:?}, {number} was acknowledged",
                        store.peek_state_of(user)
                    )
                });
            }
        }
        slowest = slowest.max(since.elapsed());
    }
    load.is_over.store(true, Ordering::Relaxed);
    while let Some(task) = tasks.join_next().await {
        task.expect("a task of the load panicked");
    }
    println!(
        "{kills} kills in {:?}: {} changes acknowledged, {} failed, {} looks, slowest to recover {slowest:?}",
        began.elapsed(),
        load.changes.load(Ordering::Relaxed),
        load.failures.load(Ordering::Relaxed),
        load.looks.load(Ordering::Relaxed),
    );
}
