//! Over hyper on loopback, with a load generator in another process: whether the layer changes the
//! throughput, and whether a slow store or a flood slows other requests down.
//!
//! `-- rates`, `-- slow-store` and `-- floods` run one part each. The last takes half a minute. With
//! `--features cache` made-up tokens are sent to a `CachedStore`, too.

#[path = "end_to_end/floods.rs"]
mod floods;
#[path = "end_to_end/requests.rs"]
mod requests;
mod support;

use std::{
    convert::Infallible,
    env,
    net::SocketAddr,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use support::accounts::{Standing, memory_store, token};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use tower::{Service, service_fn};
use tower_account_status::{AccountStateStore, AccountStatusLayer, Credential, MemoryStore, Peek};
use tower_account_status::{forward, store::Answer};
use tower_layer::Layer;

const CONNECTIONS: usize = 16;
const WAITING: u16 = 1_000;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--load") {
        return load(&arguments[at + 1..]).await;
    }
    let is_bench = arguments.iter().any(|argument| argument == "--bench");
    let wants = |part: &str| {
        let is_named = |argument: &String| ["rates", "slow-store", "floods"].contains(&&**argument);
        arguments.iter().any(|argument| argument == part) || !arguments.iter().any(is_named)
    };
    if wants("rates") {
        let (rounds, milliseconds) = if is_bench { (9, 1_000) } else { (1, 50) };
        rates(rounds, milliseconds).await;
    }
    if wants("slow-store") {
        beside_a_slow_store(if is_bench { 2_000 } else { 20 }).await;
    }
    if wants("floods") {
        let (rounds, milliseconds) = if is_bench { (5, 400) } else { (1, 20) };
        floods::run(rounds, milliseconds).await;
    }
}

/// The throughput with and without.
async fn rates(rounds: usize, milliseconds: u64) {
    println!("\n### Requests a second, {CONNECTIONS} in flight, {rounds} interleaved rounds\n");
    println!("| | without (thousand) | with (thousand) | ratio, median | from | to |");
    println!("|---|---:|---:|---:|---:|---:|");
    let without = serve(service_fn(hello)).await;
    let with = serve(wrapped(memory_store()).layer(service_fn(hello))).await;
    for protocol in ["http1", "http2"] {
        let mut rates: [Vec<f64>; 3] = Default::default();
        for _ in 0..rounds {
            let mut rate = [0.0; 2];
            for (rate, address) in rate.iter_mut().zip([without, with]) {
                *rate = number(
                    &generate(&[
                        "rate",
                        protocol,
                        &address.to_string(),
                        &format!("{milliseconds}"),
                    ])
                    .await,
                );
            }
            rates[0].push(rate[0] / 1e3);
            rates[1].push(rate[1] / 1e3);
            rates[2].push(rate[1] / rate[0]);
        }
        let [without, with, ratios] = rates.map(sorted);
        let (first, last) = (ratios[0], ratios[ratios.len() - 1]);
        println!(
            "| {protocol} | {:.1} | {:.1} | {:.3} | {first:.3} | {last:.3} |",
            median(&without),
            median(&with),
            median(&ratios),
        );
    }
}

/// The latency of one client, alone and while others wait for their look-ups.
async fn beside_a_slow_store(requests: usize) {
    println!("\n### A healthy request while {WAITING} others wait for a slow store\n");
    println!("| waiting | µs, median | µs, 99th of a hundred |\n|---:|---:|---:|");
    let store = Arc::new(Slow {
        store: memory_store(),
        released: Notify::new(),
        waiting: AtomicUsize::new(0),
    });
    let layer = wrapped(Arc::clone(&store)).with_store_timeout(Duration::from_secs(300));
    let address = serve(layer.layer(service_fn(hello))).await.to_string();
    let requests = requests.to_string();
    for waiting in [0, usize::from(WAITING)] {
        if waiting > 0 {
            hold(&address, waiting).await;
            while store.waiting.load(Ordering::Acquire) < waiting {
                tokio::task::yield_now().await;
            }
        }
        let line = generate(&["latency", "http1", &address, &requests]).await;
        let mut figures = line.split_whitespace();
        let mut next = || number(figures.next().unwrap_or_default());
        println!("| {waiting} | {:.0} | {:.0} |", next(), next());
    }
    store.released.notify_waiters();
}

fn wrapped<S: AccountStateStore>(
    store: S,
) -> AccountStatusLayer<S, tower_account_status::WrappedBodies> {
    AccountStatusLayer::new(store).with_wrapped_request_body()
}

async fn hello<B>(_: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from("{}")))
}

async fn serve<S>(service: S) -> SocketAddr
where
    S: Service<Request<Incoming>, Response = Response<Full<Bytes>>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).expect("a socket option");
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                let mut server = auto::Builder::new(TokioExecutor::new());
                server.http2().max_concurrent_streams(u32::from(WAITING));
                // The client goes away when it is done.
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

/// Answers everyone at once but those who are suspended, whom it keeps waiting.
struct Slow {
    store: MemoryStore,
    released: Notify,
    waiting: AtomicUsize,
}

impl AccountStateStore for Slow {
    forward! { store => all except access_token, peek }

    async fn access_token(&self, token: &str) -> Answer {
        let released = self.released.notified();
        self.waiting.fetch_add(1, Ordering::Release);
        released.await;
        self.store.access_token(token).await
    }

    fn peek(&self, credential: Credential<'_>) -> Peek {
        match self.store.peek(credential) {
            Peek::Account(account) if !account.state().is_active() => Peek::Ask,
            answer => answer,
        }
    }
}

/// Sends requests that are not answered as long as the store waits.
async fn hold(address: &str, count: usize) {
    let client = Client::connect("http2", address).await;
    for turn in 0..count {
        let mut client = client.clone();
        tokio::spawn(async move { client.send(Standing::Suspended.number(turn)).await });
    }
}

/// The output of the load generator, which runs in a process of its own.
async fn generate(arguments: &[&str]) -> String {
    let program = env::current_exe().expect("this program");
    let mut command = Command::new(program);
    command
        .arg("--load")
        .args(arguments)
        .stderr(Stdio::inherit());
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.expect("no panic").expect("a load generator");
    assert!(output.status.success(), "the load generator failed");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn number(text: &str) -> f64 {
    text.parse().expect("a number from the load generator")
}

async fn load(arguments: &[String]) {
    let [mode, protocol, address, amount, flood @ ..] = arguments else {
        panic!("not enough arguments");
    };
    let amount: u64 = amount.parse().expect("a number");
    match &**mode {
        "rate" => println!(
            "{}",
            rate(protocol, address, Duration::from_millis(amount)).await
        ),
        "flood" => {
            let duration = Duration::from_millis(amount);
            floods::load(address, duration, &flood[0], flood[1] == "with").await;
        }
        _ => {
            let mut client = Client::connect(protocol, address).await;
            let mut times = Vec::new();
            let amount = usize::try_from(amount).expect("few");
            for turn in 0..amount {
                let started = Instant::now();
                client.send(Standing::Active.number(turn)).await;
                times.push(started.elapsed().as_secs_f64() * 1e6);
            }
            let times = sorted(times);
            println!("{} {}", median(&times), times[times.len() * 99 / 100]);
        }
    }
}

/// Requests a second, each client waiting for its answer before it asks again.
async fn rate(protocol: &str, address: &str, duration: Duration) -> f64 {
    let shared = match protocol {
        "http2" => Some(Client::connect(protocol, address).await),
        _ => None,
    };
    let (started, mut clients) = (Instant::now(), Vec::new());
    for number in 0..CONNECTIONS {
        let mut client = match &shared {
            Some(client) => client.clone(),
            None => Client::connect(protocol, address).await,
        };
        clients.push(tokio::spawn(async move {
            let mut turn = number;
            while started.elapsed() < duration {
                client.send(Standing::Active.number(turn)).await;
                turn += CONNECTIONS;
            }
            turn / CONNECTIONS
        }));
    }
    let mut answered = 0;
    for client in clients {
        answered += client.await.expect("no panic");
    }
    answered as f64 / started.elapsed().as_secs_f64()
}

enum Client {
    Http1(hyper::client::conn::http1::SendRequest<Full<Bytes>>),
    Http2(hyper::client::conn::http2::SendRequest<Full<Bytes>>),
}

impl Clone for Client {
    fn clone(&self) -> Self {
        match self {
            Self::Http1(_) => panic!("a connection of HTTP/1.1 has one user"),
            Self::Http2(sender) => Self::Http2(sender.clone()),
        }
    }
}

impl Client {
    async fn connect(protocol: &str, address: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("a socket option");
        let stream = TokioIo::new(stream);
        if protocol == "http2" {
            let (sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), stream)
                    .await
                    .expect("a handshake");
            tokio::spawn(connection);
            return Self::Http2(sender);
        }
        let (sender, connection) = hyper::client::conn::http1::handshake(stream)
            .await
            .expect("a handshake");
        tokio::spawn(connection);
        Self::Http1(sender)
    }

    async fn send(&mut self, number: usize) {
        let request = Request::get("http://127.0.0.1/_matrix/client/v3/joined_rooms")
            .header("host", "127.0.0.1")
            .header(AUTHORIZATION, format!("Bearer {}", token(number)))
            .body(Full::default())
            .expect("a request");
        assert_eq!(self.ask(request).await, StatusCode::OK, "an active account");
    }

    async fn ask(&mut self, request: Request<Full<Bytes>>) -> StatusCode {
        let response = match self {
            Self::Http1(sender) => {
                sender.ready().await.expect("a connection");
                sender.send_request(request).await
            }
            Self::Http2(sender) => sender.send_request(request).await,
        };
        let response = response.expect("an answer");
        let status = response.status();
        response.into_body().collect().await.expect("a body");
        status
    }
}

fn sorted(mut figures: Vec<f64>) -> Vec<f64> {
    figures.sort_by(f64::total_cmp);
    figures
}

fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}
