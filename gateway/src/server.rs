//! Connections: HTTP/1.1 and HTTP/2, within limits, until the process stops.

use std::{convert::Infallible, net::IpAddr, sync::Arc, time::Duration};

use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
};
use ipnet::IpNet;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tower::{Service, ServiceExt};

use crate::{answer::Body, drain::Drained, headers::Peer, log, metrics::Present, stop::Stop};

#[derive(Clone)]
pub(crate) struct Settings {
    /// How many connections may be open at once.
    pub(crate) connections: usize,
    /// How long running requests may take to end.
    pub(crate) grace: Duration,
    /// How much of a body is read and discarded after its request was refused, in bytes.
    pub(crate) drain: u64,
    /// The servers in front that are believed about where a request comes from.
    pub(crate) trusted_proxies: Arc<[IpNet]>,
}

impl Settings {
    fn peer(&self, address: IpAddr) -> Peer {
        let address = address.to_canonical();
        let is_trusted = self
            .trusted_proxies
            .iter()
            .any(|net| net.contains(&address));
        Peer {
            address,
            is_trusted,
        }
    }
}

/// The head of a request, in bytes.
const MAX_HEAD: u32 = 64 * 1024;
const MAX_HEADERS: usize = 128;

/// How long a client may take for a request head, and how long it may be silent between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// Answers requests until the process is told to stop. Running requests then have the time of grace, unless the
/// process is told a second time.
pub(crate) async fn serve<S>(listener: TcpListener, app: S, settings: Settings, stop: Stop)
where
    S: Service<Request<Drained>, Response = Response<Body>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static,
{
    let places = Arc::new(Semaphore::new(settings.connections));
    let running = GracefulShutdown::new();
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, stream, peer) = tokio::select! {
            () = stop.begun() => break,
            (Ok(place), accepted) = accepted => match accepted {
                Ok((stream, peer)) => (place, stream, peer),
                Err(error) => {
                    // Probably there is no file descriptor left. That ends when a connection ends.
                    log::failure(format_args!("cannot accept a connection: {error}"));
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            else => break,
        };
        let peer = settings.peer(peer.ip());
        let connection = connection(
            stream,
            peer,
            app.clone(),
            settings.drain,
            running.watcher(),
            stop.clone(),
        );
        tokio::spawn(async move {
            let present = Present::connection();
            connection.await;
            drop((place, present));
        });
    }
    drop(listener);
    tracing::info!("stopping");
    let is_done = tokio::select! {
        ended = tokio::time::timeout(settings.grace, running.shutdown()) => ended.is_ok(),
        () = stop.hurried() => false,
    };
    match is_done {
        true => tracing::info!("stopped"),
        false => tracing::warn!("stopped while requests were still running"),
    }
}

async fn connection<S>(
    stream: TcpStream,
    peer: Peer,
    app: S,
    drain: u64,
    watcher: Watcher,
    stop: Stop,
) where
    S: Service<Request<Drained>, Response = Response<Body>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static,
{
    // Without it answers are slower.
    let _ = stream.set_nodelay(true);
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD as usize);
    server
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30))
        .max_header_list_size(MAX_HEAD)
        .max_concurrent_streams(256);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let (request, rest) = Drained::wrap(request, drain);
        let answering = app.clone().oneshot(request);
        async move {
            let mut response = answering.await?;
            rest.settle(response.headers_mut()).await;
            Ok::<_, Infallible>(response)
        }
    });
    // Until the first byte hyper has no time limit, and no graceful shutdown.
    let has_begun = tokio::select! {
        readable = tokio::time::timeout(HEAD_TIMEOUT, stream.readable()) => {
            matches!(readable, Ok(Ok(())))
        }
        () = stop.begun() => false,
    };
    if !has_begun {
        return;
    }
    let connection = server
        .serve_connection(TokioIo::new(stream), service)
        .into_owned();
    // A connection that breaks is not logged, because clients go away all the time.
    let _ = watcher.watch(connection).await;
}
