//! The memory of waiting polls, and how soon the last of many hears of a change of their account.
//!
//! `cargo bench --bench polls --features postgres`, with `-- NUMBER` of polls, 100,000 by default.
//! It starts a PostgreSQL server of its own, and itself again for each figure of memory.

#![allow(clippy::unwrap_used)] // it fails by panicking

#[path = "../tests/support/postgres.rs"]
mod postgres;

use std::{
    convert::Infallible,
    env, fs,
    future::Future,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use postgres::Cluster;
use tokio::task::JoinSet;
use tower::{ServiceExt as _, service_fn};
use tower_account_status::{
    AccountStateStore, AccountStatusLayer, Combined, MemoryStore, Restriction,
    RestrictionKind::Locked,
    RestrictionStore, UserId,
    store::{Answer, ChangeRecord, Channel, PostgresStore},
    without,
};
use tower_layer::Layer as _;

/// How many wait for one account.
const OF_ONE: usize = 1_000;
const ALICE: &str = "@alice:example.org";

/// Every token is the name of its owner.
struct Names;

impl AccountStateStore for Names {
    async fn access_token(&self, token: &str) -> Answer {
        Ok(Some(token.into()))
    }

    without! { application_service, login_name, third_party, login_token, refresh_token, event_sender, state, changes }
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [word, how, number, url] = &arguments[..] {
        assert_eq!(word, "memory");
        return take_memory(how, number.parse().unwrap(), url);
    }
    let is_bench = arguments.iter().any(|argument| argument == "--bench");
    let number = arguments.iter().find_map(|word| word.parse().ok());
    let number: usize = number.unwrap_or(if is_bench { 100_000 } else { 100 });
    let rounds = if is_bench { 200 } else { 3 };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let cluster = Cluster::start();
    let url = runtime.block_on(cluster.database());
    println!("| {number} waiting polls | bytes each, by the allocator | by the system |");
    println!("|---|---:|---:|");
    for how in ["nothing", "memory", "postgres"] {
        let mut child = Command::new(env::current_exe().unwrap());
        child.args(["memory", how, &number.to_string(), &url]);
        assert!(child.status().unwrap().success());
    }
    println!(
        "\nA change's delay to the last of {OF_ONE} polls of its account, {rounds} changes:\n"
    );
    println!("| | from the call, p50 | p99 | from the acknowledgement, p50 | p99 |");
    println!("|---|---:|---:|---:|---:|");
    runtime.block_on(delays(&url, rounds));
}

fn user(number: usize) -> UserId {
    format!("@poll-{number:06}:example.org").into()
}

fn sync(user: &str) -> Request<Full<Bytes>> {
    Request::get("/_matrix/client/v3/sync?since=s72594_4483_1934&timeout=30000")
        .header("authorization", format!("Bearer {user}"))
        .body(Full::default())
        .unwrap()
}

/// A handler that never answers, and counts the requests that wait.
async fn never(waiting: Arc<AtomicUsize>) -> Result<Response<Full<Bytes>>, Infallible> {
    waiting.fetch_add(1, SeqCst);
    drop(waiting);
    std::future::pending().await
}

fn poll<S: AccountStateStore>(
    layer: &AccountStatusLayer<S>,
    user: &str,
    waiting: Arc<AtomicUsize>,
) -> impl Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send + use<S> {
    let inner = service_fn(move |_| never(Arc::clone(&waiting)));
    layer.layer(inner).oneshot(sync(user))
}

/// Begins polls, and returns them when all of them wait: a few at a time, as clients come.
async fn begin<F>(
    number: usize,
    poll: impl Fn(usize, Arc<AtomicUsize>) -> F,
) -> JoinSet<(Instant, StatusCode)>
where
    F: Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send + 'static,
{
    let waiting = Arc::<AtomicUsize>::default();
    let mut polls = JoinSet::new();
    for begun in 0..number {
        let poll = poll(begun, Arc::clone(&waiting));
        polls.spawn(async move {
            let Ok(response) = poll.await;
            (Instant::now(), response.status())
        });
        while waiting.load(SeqCst) + 100 < polls.len() {
            tokio::task::yield_now().await;
        }
    }
    while waiting.load(SeqCst) < number {
        tokio::task::yield_now().await;
    }
    polls
}

fn take_memory(how: &str, number: usize, url: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    match how {
        "nothing" => {
            let poll = |poll, waiting| {
                let inner = service_fn(move |_| never(Arc::clone(&waiting)));
                inner.oneshot(sync(&user(poll)))
            };
            print_memory("without the layer", number, || {
                runtime.block_on(begin(number, poll))
            });
        }
        "memory" => {
            let store = MemoryStore::new();
            for poll in 0..number {
                store.insert_access_token(user(poll).as_str(), user(poll));
            }
            let layer = AccountStatusLayer::new(store);
            print_memory("`MemoryStore`", number, || {
                runtime.block_on(begin(number, |begun, waiting| {
                    poll(&layer, &user(begun), waiting)
                }))
            });
        }
        _ => {
            let store = runtime.block_on(PostgresStore::connect(url)).unwrap();
            let layer = AccountStatusLayer::new(Combined::new(Names, store));
            // The connections are opened.
            drop(runtime.block_on(begin(100, |begun, waiting| {
                poll(&layer, &user(begun), waiting)
            })));
            print_memory("`PostgresStore`", number, || {
                runtime.block_on(begin(number, |begun, waiting| {
                    poll(&layer, &user(begun), waiting)
                }))
            });
        }
    }
}

/// Everything happens in this thread, whose allocations are counted.
fn print_memory<T>(what: &str, number: usize, begin: impl FnOnce() -> T) {
    let mut polls = None;
    let before = resident();
    let counted = allocation_counter::measure(|| polls = Some(begin()));
    let taken = resident() - before;
    let each = |bytes: f64| bytes / number as f64;
    println!(
        "| {what} | {:.0} | {:.0} |",
        each(counted.bytes_current as f64),
        each(taken),
    );
}

/// Memory of this process, in bytes.
fn resident() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kilobytes: f64 = line.split_whitespace().next().unwrap().parse().unwrap();
    kilobytes * 1024.0
}

async fn delays(url: &str, rounds: usize) {
    let store = Arc::new(MemoryStore::new());
    store.insert_access_token(ALICE, ALICE);
    let layer = AccountStatusLayer::new(Arc::clone(&store));
    delay("`MemoryStore`", &layer, &*store, rounds).await;
    // The change is made by another process, as far as PostgreSQL can tell.
    let hears = PostgresStore::connect(url).await.unwrap();
    hears.until_listening(true).await;
    let changes = PostgresStore::connect(url).await.unwrap();
    let layer = AccountStatusLayer::new(Combined::new(Names, hears));
    delay("`PostgresStore`", &layer, &changes, rounds).await;
}

async fn delay<S: AccountStateStore>(
    what: &str,
    layer: &AccountStatusLayer<S>,
    store: &impl RestrictionStore,
    rounds: usize,
) {
    let (mut from_call, mut from_acknowledgement) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let polls = begin(OF_ONE, |_, waiting| poll(layer, ALICE, waiting));
        let polls = polls.await;
        let called = Instant::now();
        let lock = Restriction::new(Locked);
        let set = store.set_restriction(&ALICE.into(), lock.into()).await;
        assert!(set.is_ok());
        let acknowledged = Instant::now();
        let answers = polls.join_all().await;
        assert!(
            answers
                .iter()
                .all(|answer| answer.1 == StatusCode::UNAUTHORIZED)
        );
        let last = answers.into_iter().map(|(ended, _)| ended).max().unwrap();
        from_call.push(last - called);
        from_acknowledgement.push(last.saturating_duration_since(acknowledged));
        let lifted = store
            .lift_restriction(
                &ALICE.into(),
                Locked,
                &ChangeRecord::through(Channel::SERVER),
            )
            .await;
        assert!(lifted.is_ok());
    }
    println!(
        "| {what} | {} | {} |",
        quantiles(from_call),
        quantiles(from_acknowledgement)
    );
}

fn quantiles(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    format!("{:.2?} | {:.2?}", at(50), at(99))
}
