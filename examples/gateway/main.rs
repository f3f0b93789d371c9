//! A reverse proxy that sets account locking and suspension in front of any Matrix homeserver.
//!
//! The homeserver behind it may be written in any language and need not be changed: it is asked
//! whose a token is (`whoami.rs`), and this process knows who is restricted. Run it with
//! `cargo run --example gateway --all-features -- --upstream http://127.0.0.1:8008 --admin @admin:localhost`;
//! `README.md` has a walk-through.

mod accounts;
mod answer;
mod app;
mod args;
mod asker;
mod checks;
mod content_type;
mod directory;
mod events;
mod headers;
mod logouts;
mod owner;
mod proxy;
mod restrictions;
mod server;
#[cfg(test)]
mod tests;
mod tokens;
mod upstream;
mod whoami;

use std::{error::Error, sync::Arc};

use clap::Parser;
use tokio::net::TcpListener;

use crate::{args::Args, restrictions::Restrictions, upstream::Upstream};

#[tokio::main]
async fn main() -> std::process::ExitCode {
    match run(Args::parse()).await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", answer::chain(&*error));
            std::process::ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Box<dyn Error + Send + Sync>> {
    let server_name = args.server_name()?;
    let stop = server::stop_signal()?;
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
    let restrictions = Arc::new(Restrictions::open(&args.database).await?);
    let upstream = Arc::new(Upstream::new(args.upstream.clone()));
    let app = app::app(&args, &server_name, Arc::clone(&upstream), restrictions);

    println!("Listening on http://{}", listener.local_addr()?);
    // It may come up later, and whoever waits for this process does not wait for it.
    tokio::spawn(async move {
        if let Err(error) = upstream.answers().await {
            eprintln!("warning: the upstream does not answer yet: {error}");
        }
    });
    server::serve(listener, app, args.server_limits(), stop).await;
    Ok(())
}
