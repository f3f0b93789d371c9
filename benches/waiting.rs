//! Many requests wait, everything is announced, and the database is 1 ms away: how long healthy
//! requests take meanwhile, how many are refused, and when the last poll is looked up.
//!
//! `cargo bench --features cache,postgres --bench waiting`, with `-- NUMBER…` of polls, 10,000 by
//! default. It starts a PostgreSQL server of its own.

#![allow(clippy::unwrap_used)] // it fails by panicking

#[path = "../tests/support/postgres.rs"]
mod postgres;

use std::{
    convert::Infallible,
    env,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use postgres::Cluster;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};
use tower::{ServiceExt as _, service_fn};
use tower_account_status::{
    AccountState, AccountStateStore, AccountStatusLayer, CachedStore, Changes, Combined,
    RestrictionStore as _, UserId,
    store::{Answer, PostgresStore, StoreError},
    without,
};
use tower_layer::Layer as _;

/// Every token is the name of its owner.
struct Names;

impl AccountStateStore for Names {
    async fn access_token(&self, token: &str) -> Answer {
        Ok(Some(UserId::from(format!("@{token}:x"))))
    }

    without! { application_service, login_name, third_party, login_token, refresh_token, event_sender, state, changes }
}

/// Counts the polls' accounts that were asked for.
struct Counting {
    inner: Combined<Names, PostgresStore>,
    together: bool,
    asked: Arc<AtomicUsize>,
    /// While the polls arrive, the database is not asked, because a hundred thousand would take minutes.
    all_wait: Arc<AtomicBool>,
}

impl AccountStateStore for Counting {
    tower_account_status::forward! { inner => all except state }

    async fn state(&self, user: &str) -> Result<AccountState, StoreError> {
        let state = match self.all_wait.load(SeqCst) {
            true => AccountStateStore::state(&self.inner, user).await,
            false => Ok(AccountState::ACTIVE),
        };
        if user.starts_with("@poll") {
            self.asked.fetch_add(1, SeqCst);
        }
        state
    }

    async fn states(&self, users: &[UserId]) -> Vec<Result<AccountState, StoreError>> {
        if self.together {
            let states = self.inner.states(users).await;
            self.asked.fetch_add(users.len(), SeqCst);
            return states;
        }
        let mut states = Vec::new();
        for user in users {
            states.push(self.state(user).await);
        }
        states
    }
}

/// What a client sends arrives a millisecond later.
async fn a_millisecond_away(server: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            // A server that has been stopped closes the connection.
            let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else {
                continue;
            };
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            tokio::spawn(async move {
                let mut buffer = vec![0; 64 * 1024];
                while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
                    sleep(Duration::from_millis(1)).await;
                    if to_server.write_all(&buffer[..read]).await.is_err() {
                        return;
                    }
                }
            });
            tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
        }
    });
    port
}

fn request(path: &str, token: &str) -> Request<Full<Bytes>> {
    Request::get(path)
        .header("authorization", format!("Bearer {token}"))
        .body(Full::default())
        .unwrap()
}

async fn handle(request: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
    match request.uri().path().ends_with("/sync") {
        true => std::future::pending().await,
        false => Ok(Response::default()),
    }
}

async fn measure<S: AccountStateStore>(
    what: &str,
    polls: usize,
    store: S,
    changes: Changes,
    (asked, all_wait): (&AtomicUsize, &AtomicBool),
) {
    let layer = AccountStatusLayer::new(store);
    let mut waiting = JoinSet::new();
    for poll in 0..polls {
        let sync = request("/_matrix/client/v3/sync", &format!("poll{poll}"));
        waiting.spawn(layer.layer(service_fn(handle)).oneshot(sync));
    }
    while asked.load(SeqCst) < polls {
        sleep(Duration::from_millis(10)).await;
    }
    sleep(Duration::from_secs(1)).await;
    asked.store(0, SeqCst);
    all_wait.store(true, SeqCst);

    changes.announce_all();
    let began = Instant::now();
    let mut healthy = JoinSet::new();
    let mut last = None;
    for number in 0_u64.. {
        let whoami = request(
            "/_matrix/client/v3/account/whoami",
            &format!("healthy{number}"),
        );
        let answer = layer.layer(service_fn(handle)).oneshot(whoami);
        healthy.spawn(async move {
            let began = Instant::now();
            let status = answer.await.unwrap().status();
            (began.elapsed(), status)
        });
        if last.is_none() && asked.load(SeqCst) >= polls {
            last = Some(began.elapsed());
        }
        if (last.is_some() && began.elapsed() > Duration::from_secs(2))
            || began.elapsed() > Duration::from_secs(60)
        {
            break;
        }
        sleep(Duration::from_millis(5)).await;
    }
    let mut times = Vec::new();
    let mut failed = 0;
    for (time, status) in healthy.join_all().await {
        times.push(time);
        failed += usize::from(status != StatusCode::OK);
    }
    times.sort_unstable();
    let last = last.map_or("not within a minute".to_owned(), |last| {
        format!("{last:.2?}")
    });
    println!(
        "| {polls} polls, {what} | {last} | {} | {failed} | {:.1?} | {:.1?} |",
        times.len(),
        times[times.len() / 2],
        times[times.len() - 1],
    );
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let numbers: Vec<usize> = env::args()
        .skip(1)
        .filter_map(|word| word.parse().ok())
        .collect();
    let numbers = match numbers.is_empty() {
        true => vec![10_000],
        false => numbers,
    };
    let cluster = Cluster::start();
    let url = cluster.database().await;
    let port = a_millisecond_away(cluster.port()).await;
    let url = url.replace(&format!("port={}", cluster.port()), &format!("port={port}"));
    println!("| | the last is asked for | healthy requests | refused | median | slowest |");
    println!("|---|---:|---:|---:|---:|---:|");
    for polls in numbers {
        for (together, cached) in [(false, false), (true, false), (true, true)] {
            let postgres = PostgresStore::connect(&url).await.unwrap();
            let changes = postgres.restriction_changes().unwrap();
            let asked = Arc::<AtomicUsize>::default();
            let all_wait = Arc::<AtomicBool>::default();
            let store = Counting {
                inner: Combined::new(Names, postgres),
                together,
                asked: Arc::clone(&asked),
                all_wait: Arc::clone(&all_wait),
            };
            let seen = (&*asked, &*all_wait);
            match (together, cached) {
                (false, _) => measure("one after the other", polls, store, changes, seen).await,
                (true, false) => measure("together", polls, store, changes, seen).await,
                (true, true) => {
                    let store = CachedStore::new(store);
                    measure("together, `CachedStore`", polls, store, changes, seen).await;
                }
            }
        }
    }
}
