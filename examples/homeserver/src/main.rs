//! A small Matrix homeserver with account locking, suspension and deactivation.
//!
//! Its handlers know nothing of account states: `store.rs` answers the layer's two questions from
//! the server's own tables, and `app.rs` puts the layer around the router. Run it with
//! `cargo run -p homeserver`; it prints the commands of a walk-through.

mod app;
mod args;
mod auth;
mod database;
mod error;
mod extract;
mod handlers;
mod homeserver;
mod secret;
mod states;
mod store;
mod time;
mod walkthrough;

use std::{convert::Infallible, error::Error, future::IntoFuture, sync::Arc, time::Duration};

use axum::{ServiceExt, extract::Request, response::Response};
use clap::Parser;
use tokio::net::TcpListener;
use tower::Service;

use crate::{args::Args, homeserver::Homeserver, states::States};

/// How long running requests have to end when the server stops.
const GRACE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
    let base_url = format!("http://{}", listener.local_addr()?);
    let states = match &args.states {
        Some(url) => Some(States::connect(url).await?),
        None => None,
    };
    let server = Homeserver::new(base_url.clone(), &args.database, args.token_lifetime)
        .map_err(|error| format!("cannot open {}: {error}", args.database.display()))?;
    let server = Arc::new(server);

    let mut shown_password = "PASSWORD";
    if args.admin.has_default_password() {
        eprintln!("warning: the administrator's password is the default one; see --admin");
        shown_password = args::Admin::DEFAULT_PASSWORD;
    }
    server.ensure_admin(&args.admin).await?;

    let stop = stop_signal()?;
    println!("Listening on {base_url}");
    let admin = &args.admin.localpart;
    println!(
        "{}",
        walkthrough::commands(&base_url, admin, shown_password)
    );
    match states {
        None => serve(listener, app::app(Arc::clone(&server)), &server, stop).await,
        Some(states) => serve(listener, states.app(Arc::clone(&server)), &server, stop).await,
    }
}

/// Answers requests until the process is told to stop. Running requests then have [`GRACE`].
async fn serve<App>(
    listener: TcpListener,
    app: App,
    server: &Homeserver,
    stop_signal: impl Future<Output = ()>,
) -> Result<(), Box<dyn Error>>
where
    App: Service<Request, Response = Response, Error = Infallible, Future: Send>,
    App: Clone + Send + 'static,
{
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = axum::serve(listener, ServiceExt::<Request>::into_make_service(app))
        .with_graceful_shutdown(async {
            // Sent or dropped means the same: the server stops.
            let _ = stopped.await;
        })
        .into_future();
    let serving = tokio::spawn(serving);

    stop_signal.await;
    // A waiting sync would keep the server up for as long as its client wants to wait.
    server.news.close();
    drop(stop);
    match tokio::time::timeout(GRACE, serving).await {
        Ok(served) => served??,
        Err(_) => eprintln!("some requests were still running"),
    }
    Ok(())
}

/// Listens for ctrl-c and SIGTERM from now on.
#[cfg(unix)]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Listens for ctrl-c.
#[cfg(windows)]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut interrupt = tokio::signal::windows::ctrl_c()?;
    Ok(async move {
        interrupt.recv().await;
    })
}
