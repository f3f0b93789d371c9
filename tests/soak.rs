//! A server while states change all the time, over HTTP/1.1 and HTTP/2: no answer is stale, every long
//! poll ends, memory does not grow, no descriptor is left open. It takes ten seconds, with
//! `SOAK_SECONDS=600` in the environment ten minutes.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::client::conn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tower_account_status::{AccountStatusLayer, MemoryStore, RestrictionKind::Locked};
use tower_layer::Layer as _;

/// Of each kind of connection.
const CLIENTS: usize = 8;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug, Default)]
struct Counts {
    requests: AtomicUsize,
    ended_polls: AtomicUsize,
    connections: AtomicUsize,
}

fn user(client: usize) -> String {
    format!("@{client}:example.org")
}

async fn serve(store: Arc<MemoryStore>) -> (std::net::SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let inner = tower::service_fn(
        |request: Request<tower_account_status::RequestBody<hyper::body::Incoming>>| async move {
            if request.uri().path().ends_with("/sync") {
                std::future::pending::<()>().await;
            }
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("{}")))
        },
    );
    let service = AccountStatusLayer::new(store)
        .with_wrapped_request_body()
        .layer(inner);
    let mut server = JoinSet::new();
    server.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let service = TowerToHyperService::new(service.clone());
            connections.spawn(async move {
                // A client that goes away is not the server's error.
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
            while connections.try_join_next().is_some() {}
        }
    });
    (address, server)
}

/// One kind of connection or the other.
enum Sender {
    Http1(conn::http1::SendRequest<Full<Bytes>>),
    Http2(conn::http2::SendRequest<Full<Bytes>>),
}

impl Sender {
    async fn connect(
        address: std::net::SocketAddr,
        is_http2: bool,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let stream = TokioIo::new(TcpStream::connect(address).await.expect("a connection"));
        if is_http2 {
            let (sender, connection) = conn::http2::handshake(TokioExecutor::new(), stream)
                .await
                .expect("HTTP/2");
            tasks.spawn(async { drop(connection.await) });
            return Self::Http2(sender);
        }
        let (sender, connection) = conn::http1::handshake(stream).await.expect("HTTP/1.1");
        tasks.spawn(async { drop(connection.await) });
        Self::Http1(sender)
    }

    async fn get(&mut self, path: &str, client: usize) -> StatusCode {
        let request = |uri: String| {
            let request = Request::get(uri).header("host", "localhost");
            let request = request.header("authorization", format!("Bearer t{client}"));
            request.body(Full::default()).expect("a request")
        };
        let response = match self {
            Self::Http1(sender) => {
                sender.ready().await.expect("ready");
                sender.send_request(request(path.to_owned())).await
            }
            Self::Http2(sender) => {
                sender.ready().await.expect("ready");
                sender
                    .send_request(request(format!("http://localhost{path}")))
                    .await
            }
        };
        let response = response.expect("an answer");
        let status = response.status();
        let _ = http_body_util::BodyExt::collect(response.into_body())
            .await
            .expect("its body");
        status
    }
}

/// A client whose account changes all the time. The right answer is known each time.
async fn flap(
    store: Arc<MemoryStore>,
    address: std::net::SocketAddr,
    client: usize,
    counts: Arc<Counts>,
    ends: Arc<AtomicBool>,
) {
    let is_http2 = client % 2 == 1;
    while !ends.load(SeqCst) {
        let mut tasks = JoinSet::new();
        let mut sender = Sender::connect(address, is_http2, &mut tasks).await;
        counts.connections.fetch_add(1, SeqCst);
        for round in 0..50 {
            store.lift(user(client), Locked);
            let status = sender
                .get("/_matrix/client/v3/account/whoami", client)
                .await;
            assert_eq!(status, StatusCode::OK, "refused wrongly");
            if round % 5 == 0 {
                let locks = Arc::clone(&store);
                let locker = tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    locks.restrict(user(client), Locked);
                });
                let poll = sender.get("/_matrix/client/v3/sync", client);
                let status = tokio::time::timeout(PATIENCE, poll).await;
                assert_eq!(status, Ok(StatusCode::UNAUTHORIZED), "the poll was ended");
                counts.ended_polls.fetch_add(1, SeqCst);
                locker.await.expect("locked");
            }
            store.restrict(user(client), Locked);
            let status = sender
                .get("/_matrix/client/v3/account/whoami", client)
                .await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "stale");
            let status = sender.get("/_matrix/client/v3/logout", client).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "that was no POST");
            counts.requests.fetch_add(3, SeqCst);
        }
        // Every other connection is closed while a poll waits.
        if client % 4 < 2 {
            store.lift(user(client), Locked);
            let poll = sender.get("/_matrix/client/v3/sync", client);
            let _ = tokio::time::timeout(Duration::from_millis(2), poll).await;
        }
        drop(sender);
        tasks.shutdown().await;
    }
}

/// Open sockets, and pages in memory.
#[cfg(target_os = "linux")]
fn held() -> (usize, usize) {
    let descriptors = std::fs::read_dir("/proc/self/fd").expect("a process has descriptors");
    let is_socket = |entry: &std::io::Result<std::fs::DirEntry>| {
        let target = entry
            .as_ref()
            .ok()
            .and_then(|entry| std::fs::read_link(entry.path()).ok());
        target.is_some_and(|target| target.to_string_lossy().starts_with("socket:"))
    };
    let memory = std::fs::read_to_string("/proc/self/statm").expect("and memory");
    let pages = memory
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse().ok());
    (
        descriptors.filter(is_socket).count(),
        pages.expect("the second number is what is in memory"),
    )
}

#[cfg(not(target_os = "linux"))]
fn held() -> (usize, usize) {
    panic!("this test reads /proc, which only Linux has")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_12_to_17_flapping_states_over_both_versions_of_http() {
    let asked = std::env::var("SOAK_SECONDS").ok();
    let time = Duration::from_secs(asked.and_then(|text| text.parse().ok()).unwrap_or(10));
    // Those of the runtime itself.
    let (sockets, _) = held();
    let store = Arc::new(MemoryStore::new());
    (0..CLIENTS * 2)
        .for_each(|client| store.insert_access_token(format!("t{client}"), user(client)));
    let (address, mut server) = serve(Arc::clone(&store)).await;
    let (counts, ends): (Arc<Counts>, Arc<AtomicBool>) = Default::default();
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS * 2 {
        clients.spawn(flap(
            Arc::clone(&store),
            address,
            client,
            Arc::clone(&counts),
            Arc::clone(&ends),
        ));
    }
    let started = Instant::now();
    let has_done = |requests, ended_polls| {
        let (all, ended) = (&counts.requests, &counts.ended_polls);
        all.load(SeqCst) > requests && ended.load(SeqCst) > ended_polls
    };
    // What is allocated once has been allocated after a third of the time. On a slow machine all of it
    // takes longer.
    let mut settled = None;
    while started.elapsed() < time || settled.is_none() || !has_done(1_000, 50) {
        tokio::time::sleep(Duration::from_millis(50)).await;
        if settled.is_none() && started.elapsed() > time / 3 && has_done(300, 15) {
            settled = Some(held());
        }
        while let Some(done) = clients.try_join_next() {
            done.expect("no answer was wrong");
        }
        assert!(started.elapsed() < time + PATIENCE, "{counts:?}");
    }
    let (_, pages_then) = settled.expect("the loop went on until then");
    let (_, pages_now) = held();
    ends.store(true, SeqCst);
    while let Some(done) = clients.join_next().await {
        done.expect("no answer was wrong");
    }
    server.shutdown().await;
    println!("{counts:?}; pages in memory: {pages_then}, then {pages_now}");
    assert!(
        pages_now < pages_then + pages_then / 4 + 512,
        "{pages_then} pages, then {pages_now}"
    );
    // The runtime closes what was cut in its own time.
    let waits = Instant::now();
    while held().0 > sockets && waits.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(held().0, sockets, "a socket is still open");
    let waits = Instant::now();
    while Arc::strong_count(&store) > 1 && waits.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(
        Arc::strong_count(&store),
        1,
        "no task is left that holds the store"
    );
}
