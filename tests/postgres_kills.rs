//! `PostgresStore` while its server is killed under load: acknowledged changes are there afterwards,
//! no process still trusts its memory, and the log has a change if and only if it was made.
//!
//! 200 kills, or as many as `POSTGRES_KILLS` says.

#![allow(clippy::unwrap_used)] // a test fails by panicking

#[path = "support/postgres.rs"]
mod postgres;

use std::{
    collections::HashSet,
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
    store::{ChangeRecord, Channel, PostgresOptions, PostgresStore},
};

/// Far more than it takes: a machine may be busy.
const SOON: Duration = Duration::from_secs(60);
const WRITERS: u64 = 4;
const USERS_OF_A_WRITER: u64 = 5;

#[derive(Default)]
struct Load {
    /// The number of the last acknowledged change of each user.
    acknowledged: Mutex<Vec<(UserId, u64)>>,
    /// Every acknowledged change.
    made: Mutex<Vec<(UserId, u64)>>,
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
                    load.made.lock().unwrap().push((user.clone(), number));
                    let mut acknowledged = load.acknowledged.lock().unwrap();
                    match acknowledged.iter_mut().find(|(known, _)| known == user) {
                        Some((_, last)) => *last = number,
                        None => acknowledged.push((user.clone(), number)),
                    }
                }
                Err(_) => {
                    load.failures.fetch_add(1, Ordering::Relaxed);
                    // The server is down, and the pool fails at once.
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
        }
    }
}

/// Sets and lifts suspensions. Whether that is acknowledged does not matter to the log.
async fn suspend(load: Arc<Load>, store: PostgresStore) {
    let change = ChangeRecord::through(Channel::SERVER);
    let mut number = 0;
    while load.goes_on() {
        number += 1;
        let user = UserId::from(format!("@suspended-{}:example.org", number % 7));
        let suspended = RestrictionKind::Suspended;
        let set = store.set_restriction(&user, suspended.into()).await;
        let other = UserId::from(format!("@suspended-{}:example.org", number % 3));
        let lifted = store.lift_restriction(&other, suspended, &change).await;
        let wait = match set.is_err() || lifted.is_err() {
            true => 5,
            false => 1,
        };
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }
}

/// The log and the table agree: the last entry of each key says what the table has of it. One
/// statement sees one moment, so this is true while changes go on.
async fn the_log_agrees(client: &tokio_postgres::Client, kill: u32) {
    let differences = "SELECT user_id, r.reason, a.reason, a.action FROM (\
            SELECT user_id, kind FROM account_status.restrictions UNION \
            SELECT '@suspended-' || n || ':example.org', 'suspended' FROM generate_series(0, 6) n\
        ) k LEFT JOIN account_status.restrictions r USING (user_id, kind) LEFT JOIN LATERAL (\
            SELECT action, reason FROM account_status.audit a \
            WHERE a.user_id = k.user_id AND a.kind = k.kind ORDER BY id DESC LIMIT 1\
        ) a ON true WHERE (a.action IS NOT DISTINCT FROM 'set') <> (r.set_at IS NOT NULL) \
        OR (a.action = 'set' AND r.reason IS DISTINCT FROM a.reason)";
    let rows = client.query(differences, &[]).await.unwrap();
    assert!(rows.is_empty(), "kill {kill}: {rows:?}");
}

/// Every acknowledged change is in the log once, and no other is twice.
async fn the_log_is_complete(client: &tokio_postgres::Client, load: &Load) {
    let counts = "SELECT user_id, reason, count(*) FROM account_status.audit \
                  WHERE kind = 'locked' GROUP BY user_id, reason";
    let rows = client.query(counts, &[]).await.unwrap();
    let mut recorded = HashSet::new();
    for row in rows {
        let (user, number): (String, String) = (row.get(0), row.get(1));
        assert_eq!(row.get::<_, i64>(2), 1, "{user} {number}");
        recorded.insert((UserId::from(user), number.parse::<u64>().unwrap()));
    }
    let made = load.made.lock().unwrap();
    for change in made.iter() {
        assert!(recorded.contains(change), "{change:?} is not in the log");
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
    tasks.spawn(suspend(Arc::clone(&load), writing.clone()));
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

        the_log_agrees(&client, kill).await;
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
                        // A proof makes what is known already believed again, without an announcement.
                        let _ = timeout(Duration::from_millis(100), news.changed()).await;
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
    let client = cluster.client(&url).await;
    the_log_agrees(&client, kills).await;
    the_log_is_complete(&client, &load).await;
    println!(
        "{kills} kills in {:?}: {} changes acknowledged, {} failed, {} looks, slowest to recover {slowest:?}",
        began.elapsed(),
        load.changes.load(Ordering::Relaxed),
        load.failures.load(Ordering::Relaxed),
        load.looks.load(Ordering::Relaxed),
    );
}
