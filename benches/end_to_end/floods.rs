//! The time of a healthy request while a few connections send as fast as they are answered.

use std::{
    convert::Infallible,
    fmt::Display,
    io::Write as _,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tokio::task::JoinSet;
use tower::service_fn;
use tower_layer::Layer;

use super::{
    Client, generate, median, number,
    requests::{Requests, requests},
    serve, sorted,
    support::accounts::{Standing, memory_store},
    wrapped,
};

const CONNECTIONS: usize = 8;

/// The name on the load's command line, and that in the table.
const FLOODS: [(&str, &str); 7] = [
    ("nothing", "nothing"),
    ("tokens", "another made-up token each"),
    ("headers", "60 KB of credentials in headers"),
    ("queries", "60 KB of queries"),
    ("bodies", "bodies of 60 KB"),
    ("parsed", "bodies of 60 KB, which the service parses, too"),
    ("locked", "refused, of locked accounts"),
];

pub(crate) async fn run(rounds: usize, milliseconds: u64) {
    println!(
        "\n### A healthy request beside a flood of {CONNECTIONS} connections, median of {rounds} rounds in turns\n"
    );
    println!(
        "Server and load share the machine, and whoever floods sends again only when answered: \
         compare with and without, row by row.\n"
    );
    println!(
        "| flood | µs, median, without | with | µs, 99th of a hundred, without | with | \
         floods a second (thousand), without | with |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
    let without = serve(service_fn(reads)).await;
    let with = serve(wrapped(memory_store()).layer(service_fn(reads))).await;
    let parsed_without = serve(service_fn(parses)).await;
    let parsed_with = serve(wrapped(memory_store()).layer(service_fn(parses))).await;
    for (flood, title) in FLOODS {
        let servers = match flood {
            "parsed" => [parsed_without, parsed_with],
            _ => [without, with],
        };
        row(flood, title, servers, rounds, milliseconds).await;
        #[cfg(feature = "cache")]
        if flood == "tokens" {
            let store = tower_account_status::CachedStore::new(memory_store());
            let cached = serve(wrapped(store).layer(service_fn(reads))).await;
            let title = format!("{title}, `CachedStore`");
            row(flood, &title, [without, cached], rounds, milliseconds).await;
        }
    }
}

async fn row(flood: &str, title: &str, servers: [SocketAddr; 2], rounds: usize, milliseconds: u64) {
    let mut figures: [[Vec<f64>; 2]; 3] = Default::default();
    let milliseconds = milliseconds.to_string();
    for round in 0..rounds {
        // The second may find a warmer or a busier machine, so they change places.
        for place in [round % 2, 1 - round % 2] {
            let address = servers[place].to_string();
            let is_with = ["without", "with"][place];
            let arguments = ["flood", "http1", &address, &milliseconds, flood, is_with];
            let line = generate(&arguments).await;
            let line: Vec<f64> = line.split_whitespace().map(number).collect();
            assert_eq!(line.len(), figures.len(), "the load says three figures");
            for (figures, figure) in figures.iter_mut().zip(line) {
                figures[place].push(figure);
            }
        }
    }
    let [middle, last, rate] = figures.map(|pair| pair.map(|all| median(&sorted(all))));
    print!("| {title} | {} | {} |", pair(middle, 0), pair(last, 0));
    match flood {
        "nothing" => println!(" – | – |"),
        _ => println!(" {} |", pair(rate.map(|rate| rate / 1e3), 2)),
    }
    // Each row takes seconds.
    std::io::stdout().flush().expect("a place to print to");
}

fn pair([without, with]: [f64; 2], digits: usize) -> impl Display {
    format!("{without:.digits$} | {with:.digits$}")
}

/// A handler that reads the whole body, as that of a login does. It parses nothing, so the figures show
/// all of the time that the layer takes to parse a login.
async fn reads<B: Body>(request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    // The load fails if a body does not arrive.
    let _ = request.into_body().collect().await;
    Ok(Response::new(Full::from("{}")))
}

/// One that parses it into a value, as a server in Rust does before it makes its own type.
async fn parses<B: Body>(request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    if let Ok(body) = request.into_body().collect().await {
        let value = serde_json::from_slice::<serde_json::Value>(&body.to_bytes());
        std::hint::black_box(value.is_ok());
    }
    Ok(Response::new(Full::from("{}")))
}

/// The load's side: prints median, 99th of a hundred, and the flood's requests a second.
pub(crate) async fn load(address: &str, duration: Duration, flood: &str, has_layer: bool) {
    let progress = Arc::new(Progress::default());
    let flood = requests(flood).map(|requests| {
        let (address, progress) = (address.to_owned(), Arc::clone(&progress));
        let (flows, wait) = mpsc::channel();
        // A thread of its own: the healthy client does not wait while the flood is made.
        let thread = thread::spawn(move || {
            send_until_over(&address, requests, has_layer, &progress, &flows);
        });
        for _ in 0..CONNECTIONS {
            wait.recv().expect("each connection is answered");
        }
        thread
    });
    let mut client = Client::connect("http1", address).await;
    let (before, started) = (progress.answered.load(Ordering::Relaxed), Instant::now());
    let mut times = Vec::new();
    while started.elapsed() < duration {
        let asked = Instant::now();
        client.send(Standing::Active.number(times.len())).await;
        times.push(asked.elapsed().as_secs_f64() * 1e6);
    }
    let during = progress.answered.load(Ordering::Relaxed) - before;
    let rate = during as f64 / started.elapsed().as_secs_f64();
    progress.is_over.store(true, Ordering::Relaxed);
    if let Some(thread) = flood {
        thread.join().expect("every answer was the expected one");
    }
    let times = sorted(times);
    let last = times[times.len() * 99 / 100];
    println!("{} {last} {rate}", median(&times));
}

#[derive(Default)]
struct Progress {
    sent: AtomicUsize,
    answered: AtomicUsize,
    is_over: AtomicBool,
}

/// Says `flows` once for each connection, at its first answer.
#[tokio::main(flavor = "current_thread")]
async fn send_until_over(
    address: &str,
    requests: Requests,
    has_layer: bool,
    progress: &Arc<Progress>,
    flows: &mpsc::Sender<()>,
) {
    let requests = Arc::new(requests);
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let mut client = Client::connect("http1", address).await;
        let (progress, requests) = (Arc::clone(progress), Arc::clone(&requests));
        let mut first = Some(flows.clone());
        connections.spawn(async move {
            while !progress.is_over.load(Ordering::Relaxed) {
                let (request, refusal) = requests(progress.sent.fetch_add(1, Ordering::Relaxed));
                let expected = refusal.filter(|_| has_layer).unwrap_or(StatusCode::OK);
                assert_eq!(client.ask(request).await, expected);
                progress.answered.fetch_add(1, Ordering::Relaxed);
                if let Some(flows) = first.take() {
                    flows.send(()).expect("the healthy client waits");
                }
            }
        });
    }
    while let Some(connection) = connections.join_next().await {
        connection.expect("every answer was the expected one");
    }
}
