//! How soon a request that waits is ended when its account is locked, and what it costs to wait.
//!
//! `cargo bench -p homeserver --features postgres`. It needs `curl`, the server
//! programs of PostgreSQL, and some five minutes; it builds and starts everything itself.
//! `-- processes` and `-- in-process` run one half each.

#![allow(clippy::unwrap_used)] // it fails by panicking

#[path = "../../../tests/support/homeserver.rs"]
mod homeserver;
#[path = "live/in_process.rs"]
mod in_process;
#[path = "../../../tests/support/postgres.rs"]
mod postgres;
#[path = "live/processes.rs"]
mod processes;

use std::{env, time::Duration};

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let wants = |half: &str| {
        let halves = ["processes", "in-process"];
        let is_named = |argument: &String| halves.contains(&&**argument);
        arguments.iter().any(|argument| argument == half) || !arguments.iter().any(is_named)
    };
    if wants("in-process") {
        in_process::run();
    }
    if wants("processes") {
        processes::run();
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// Prints the median and the 99th percentile.
fn report(what: &str, mut delays: Vec<Duration>) {
    delays.sort_unstable();
    let at = |hundredths: usize| delays[(delays.len() - 1) * hundredths / 100];
    println!(
        "{what}: median {:?}, 99th percentile {:?}, longest {:?} ({} times)",
        at(50),
        at(99),
        at(100),
        delays.len()
    );
}
