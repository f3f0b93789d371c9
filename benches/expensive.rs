//! The cost of heads and bodies that are made to be expensive, in instructions: hyper's server
//! receives and answers them, on a connection in memory, with and without the layer.
//!
//! `-- --check` fails if the layer takes more than it may. Other words select rows by name.

mod support;
#[path = "expensive/wire.rs"]
mod wire;

use std::{convert::Infallible, env, process::ExitCode};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use support::{
    accounts::memory_store,
    callgrind::{count_lines, is_child, mark},
    expensive::{Expensive, Group, all},
};
use tower::service_fn;
use tower_account_status::AccountStatusLayer;
use tower_layer::Layer;

/// How often each request is sent: after as many that warm up.
const REQUESTS: usize = 5;

/// How many times more a request may cost with the layer.
const LIMIT: f64 = 3.0;

/// Without the layer and with it, and both again in front of a handler that parses bodies.
const SERVERS: usize = 4;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&String> = arguments
        .iter()
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    let is_chosen = |request: &Expensive| words.iter().all(|word| name(request).contains(*word));
    let requests: Vec<Expensive> = all().into_iter().filter(is_chosen).collect();
    if is_child() {
        run(&requests);
        return ExitCode::SUCCESS;
    }
    let words: Vec<String> = words.into_iter().cloned().collect();
    let lines = match count_lines(&words, true) {
        Ok(lines) => lines,
        Err(error) => {
            eprintln!("the instructions could not be counted: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut counts = lines.into_iter().map(|(_, count)| count / REQUESTS as f64);
    let mut above = Vec::new();
    println!(
        "| request of 60 KB | answer | thousand instructions, without | with | ratio | with a parser, without | with | ratio |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|");
    for request in &requests {
        let mut row = format!("| {} | {} |", name(request), answer(request));
        for has_parser in [false, true] {
            if has_parser && request.group != Group::Body {
                continue;
            }
            let mut next = || counts.next().expect("a line for each server") / 1e3;
            let (without, with) = (next(), next());
            let ratio = with / without;
            row += &format!(" {without:.0} | {with:.0} | {ratio:.2} |");
            // Bodies are compared with a parser on both sides. The cost of a path is recorded, not bounded.
            let is_bounded = has_parser || matches!(request.group, Group::Headers | Group::Query);
            if is_bounded && ratio > LIMIT {
                above.push(name(request));
            }
        }
        println!("{row}");
    }
    if arguments.iter().any(|argument| argument == "--check") && !above.is_empty() {
        eprintln!("more than {LIMIT} times what it costs without the layer: {above:?}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn name(request: &Expensive) -> String {
    format!("{:?}, {}", request.group, request.name).to_lowercase()
}

fn answer(request: &Expensive) -> StatusCode {
    request.refusal.unwrap_or(StatusCode::OK)
}

fn servers(request: &Expensive) -> usize {
    match request.group {
        Group::Body => SERVERS,
        _ => SERVERS / 2,
    }
}

/// Prints a line for each server of each request.
fn run(requests: &[Expensive]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let layer = AccountStatusLayer::new(memory_store()).with_wrapped_request_body();
    for request in requests {
        let wire = request.wire();
        for server in 0..servers(request) {
            let send = async || match server {
                0 => wire::send(&wire, REQUESTS, service_fn(reads)).await,
                1 => wire::send(&wire, REQUESTS, layer.layer(service_fn(reads))).await,
                2 => wire::send(&wire, REQUESTS, service_fn(parses)).await,
                _ => wire::send(&wire, REQUESTS, layer.layer(service_fn(parses))).await,
            };
            let answers = runtime.block_on(send());
            if server == 1 {
                let start = format!("HTTP/1.1 {}", answer(request).as_u16());
                assert!(
                    answers.starts_with(start.as_bytes()),
                    "{}: {}",
                    name(request),
                    String::from_utf8_lossy(&answers[..60.min(answers.len())])
                );
            }
            mark();
            runtime.block_on(send());
            mark();
            println!("{}", name(request));
        }
    }
}

/// A handler that reads the whole body.
async fn reads<B: Body>(request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
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
