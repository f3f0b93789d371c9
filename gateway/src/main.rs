//! A reverse proxy that adds account locking and suspension to any Matrix homeserver.
//!
//! The homeserver behind it may be written in any language and does not change. The gateway asks it
//! for the owner of a token (`whoami.rs`), and itself knows who is restricted. `README.md` has a
//! walk-through.

mod accounts;
mod answer;
mod app;
mod args;
mod asker;
mod checks;
mod commands;
mod content_type;
mod directory;
mod drain;
mod events;
mod headers;
mod log;
mod logouts;
mod metrics;
mod moderated;
mod monitor;
mod owner;
mod proxy;
mod restrictions;
mod server;
mod stop;
#[cfg(test)]
mod tests;
mod tokens;
mod upstream;
mod waiting;
mod whoami;

use std::{io::Write as _, net::SocketAddr, sync::Arc};

use clap::Parser;
use tokio::net::TcpListener;
use tower_account_status::RestrictionStore as _;

use crate::{
    answer::{BoxError, context},
    args::{Args, Cli, Command},
    metrics::Metrics,
    monitor::Monitor,
    restrictions::Restrictions,
    stop::Stop,
    upstream::Upstream,
};

#[tokio::main]
async fn main() -> std::process::ExitCode {
    let args = match Cli::parse().command {
        Command::Serve(args) => args,
        command => return commands::run(command).await,
    };
    log::start(args.log_format, args.log_level);
    match run(*args).await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{}", answer::chain(&*error));
            std::process::ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), BoxError> {
    let server_name = args.server_name()?;
    let stop = Stop::on_signal()?;
    let listener = listen(args.listen).await?;
    let monitor = match args.monitor {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    let options = restrictions::Options {
        audit_retention: args.audit_retention,
        ..restrictions::Options::default()
    };
    let restrictions = Arc::new(Restrictions::open(&args.database.name, options).await?);
    let upstream = Arc::new(Upstream::new(args.upstream.clone()));
    let (store, tokens) = app::remembered(&server_name, &upstream, &restrictions);

    if let Some(listener) = monitor {
        say(&format!("Monitoring on http://{}", listener.local_addr()?));
        let monitor = Monitor {
            metrics: Metrics::install(store.handle(), restrictions.restriction_changes())?,
            restrictions: Arc::clone(&restrictions),
            upstream: Arc::clone(&upstream),
            stop: stop.clone(),
        };
        tokio::spawn(monitor.serve(listener));
    }
    let app = app::app(
        &args,
        &server_name,
        Arc::clone(&upstream),
        restrictions,
        (store, tokens),
        stop.clone(),
    );
    let address = listener.local_addr()?;
    let (version, report_only) = (env!("CARGO_PKG_VERSION"), args.report_only);
    tracing::info!(version, %address, report_only, "started");
    say(&format!("Listening on http://{address}"));
    // The homeserver may start later, so the start does not wait for it.
    tokio::spawn(async move {
        if let Err(error) = upstream.answers().await {
            tracing::warn!("the homeserver does not answer yet: {error}");
        }
    });
    server::serve(listener, app, args.server_settings(), stop).await;
    Ok(())
}

/// Writes a line to the standard output, which may be a pipe that nobody reads any more.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

async fn listen(address: SocketAddr) -> Result<TcpListener, BoxError> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|error| context(format!("cannot listen on {address}"), error))
}
