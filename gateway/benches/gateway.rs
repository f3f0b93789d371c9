//! What the two layers cost in the gateway, in one process and without a harness:
//! `cargo bench -p account-status-gateway`; a number behind `--` is that of the rounds.
//!
//! The same proxy runs with the layers and without them, in turns, in front of the same homeserver,
//! which answers at once. All of them share the machine, so compare the figures only with each other.
//! The bench asserts only that every answer is a 200.
#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "the bench uses its part of the gateway; its panics are seen by who runs it"
)]

#[path = "../src/accounts.rs"]
mod accounts;
#[path = "../src/answer.rs"]
mod answer;
#[path = "../src/app.rs"]
mod app;
#[path = "../src/args.rs"]
mod args;
#[path = "../src/asker.rs"]
mod asker;
#[path = "../src/checks.rs"]
mod checks;
#[path = "../src/commands/mod.rs"]
mod commands;
#[path = "../src/content_type.rs"]
mod content_type;
#[path = "../src/directory.rs"]
mod directory;
#[path = "../src/drain.rs"]
mod drain;
#[path = "../src/events.rs"]
mod events;
#[path = "../src/headers.rs"]
mod headers;
#[path = "../src/log.rs"]
mod log;
#[path = "../src/logouts.rs"]
mod logouts;
#[path = "../src/metrics.rs"]
mod metrics;
#[path = "../src/moderated.rs"]
mod moderated;
#[path = "../src/owner.rs"]
mod owner;
#[path = "../src/proxy.rs"]
mod proxy;
#[path = "../src/restrictions.rs"]
mod restrictions;
#[path = "../src/server.rs"]
mod server;
#[path = "../src/stop.rs"]
mod stop;
#[path = "../src/tokens.rs"]
mod tokens;
#[path = "../src/upstream.rs"]
mod upstream;
#[path = "../src/waiting.rs"]
mod waiting;
#[path = "../src/whoami.rs"]
mod whoami;

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use clap::Parser as _;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, client::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

/// As many clients, each with a connection and a token of its own.
const CLIENTS: usize = 32;

/// Requests of each client in a round.
const REQUESTS: usize = 500;

const ROUNDS: usize = 15;

#[tokio::main]
async fn main() {
    // `cargo test --benches` runs this too, and checks only that it runs.
    let is_test = std::env::args().any(|argument| argument == "--test");
    let given = std::env::args().find_map(|argument| argument.parse().ok());
    let rounds: usize = given.unwrap_or(ROUNDS).max(1);
    let (requests, rounds) = if is_test { (5, 1) } else { (REQUESTS, rounds) };

    let upstream = homeserver().await;
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("gateway.sqlite");
    let args::Command::Serve(args) = args::Cli::parse_from([
        "account-status-gateway",
        "serve",
        "--upstream",
        &format!("http://{upstream}"),
        "--admin",
        "@admin:localhost",
        "--database",
        database.to_str().unwrap(),
    ])
    .command
    else {
        unreachable!("the command is `serve`");
    };
    let (without, with) = gateways(&args).await;

    println!("{CLIENTS} clients, {requests} requests each, {rounds} rounds");
    let kinds = [
        ("homeserver alone", &*upstream),
        ("gateway without the layers", &*without),
        ("gateway with the layers", &*with),
    ];
    let mut results = [const { Vec::new() }; 3];
    for (_, address) in &kinds {
        round(address, requests.min(50)).await;
    }
    for number in 0..rounds {
        for turn in 0..kinds.len() {
            // Nobody is always the first.
            let kind = (number + turn) % kinds.len();
            results[kind].push(round(kinds[kind].1, requests).await);
        }
    }
    println!(
        "{:<28} {:>12} {:>10} {:>10}",
        "", "requests/s", "median", "99th"
    );
    for ((name, _), results) in kinds.iter().zip(&results) {
        let of = |value: fn(&Round) -> f64| median(results.iter().map(value));
        println!(
            "{name:<28} {:>12.0} {:>7.0} us {:>7.0} us",
            of(|round| round.throughput),
            of(|round| round.median),
            of(|round| round.slow)
        );
    }
    let ratio = |value: fn(&Round) -> f64| {
        let pairs = results[2].iter().zip(&results[1]);
        median(pairs.map(|(with, without)| value(with) / value(without)))
    };
    println!("with the layers, as a multiple of without (median over the rounds):");
    println!("  throughput      {:.3}", ratio(|round| round.throughput));
    println!("  median latency  {:.3}", ratio(|round| round.median));
    println!("  99th percentile {:.3}", ratio(|round| round.slow));
}

/// Starts both, and returns their addresses.
async fn gateways(args: &args::Args) -> (String, String) {
    let limits = args.proxy_limits();
    let bare = proxy::Proxy::new(args.upstream.clone(), limits);
    let restrictions =
        restrictions::Restrictions::open(&args.database.name, restrictions::Options::default())
            .await;
    let restrictions = Arc::new(restrictions.unwrap());
    let upstream = Arc::new(upstream::Upstream::new(args.upstream.clone()));
    let server_name = args.server_name().unwrap();
    let remembered = app::remembered(&server_name, &upstream, &restrictions);
    let never = stop::Stop::never();
    let layered = app::app(
        args,
        &server_name,
        upstream,
        restrictions,
        remembered,
        never.clone(),
    );
    let bind = async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        (listener, address)
    };
    let (listener, without) = bind().await;
    tokio::spawn(server::serve(
        listener,
        bare,
        args.server_settings(),
        never.clone(),
    ));
    let (listener, with) = bind().await;
    tokio::spawn(server::serve(
        listener,
        layered,
        args.server_settings(),
        never,
    ));
    (without, with)
}

/// Answers at once, with what `whoami` says and a little more.
async fn homeserver() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            tokio::spawn(async move {
                let service = service_fn(async |request| Ok::<_, Infallible>(say(&request)));
                let server = hyper::server::conn::http1::Builder::new();
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

fn say(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let token = request.headers()["authorization"].to_str().unwrap();
    let user = token.strip_prefix("Bearer token-").unwrap();
    let rest = "x".repeat(900);
    let body = format!(r#"{{"user_id":"@{user}:localhost","device_id":"D","rest":"{rest}"}}"#);
    let mut response = Response::new(Full::new(body.into()));
    let json = "application/json".parse().unwrap();
    response.headers_mut().insert("content-type", json);
    response
}

struct Round {
    throughput: f64,
    /// Latencies in microseconds.
    median: f64,
    slow: f64,
}

async fn round(address: &str, requests: usize) -> Round {
    let mut senders = Vec::new();
    for _ in 0..CLIENTS {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        senders.push(sender);
    }
    let start = Instant::now();
    let clients: Vec<_> = senders
        .into_iter()
        .enumerate()
        .map(|(number, sender)| tokio::spawn(client(number, sender, requests)))
        .collect();
    let mut latencies = Vec::new();
    for client in clients {
        latencies.extend(client.await.unwrap());
    }
    let elapsed = start.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let at = |hundredths: usize| latencies[(latencies.len() - 1) * hundredths / 100];
    let micros = |latency: Duration| latency.as_secs_f64() * 1e6;
    Round {
        throughput: latencies.len() as f64 / elapsed,
        median: micros(at(50)),
        slow: micros(at(99)),
    }
}

async fn client(
    number: usize,
    mut sender: http1::SendRequest<Full<Bytes>>,
    requests: usize,
) -> Vec<Duration> {
    let mut latencies = Vec::with_capacity(requests);
    for _ in 0..requests {
        let request = Request::get("/_matrix/client/v3/joined_rooms")
            .header("host", "localhost")
            .header("authorization", format!("Bearer token-{number}"))
            .header("accept", "application/json")
            .header("user-agent", "bench")
            .body(Full::default())
            .unwrap();
        let start = Instant::now();
        sender.ready().await.unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.into_body().collect().await.unwrap();
        latencies.push(start.elapsed());
    }
    latencies
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
