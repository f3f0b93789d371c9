//! Connections: HTTP/1.1 and HTTP/2, within limits, until the process is told to stop.

use std::{
    convert::Infallible,
    fmt,
    io::{self, Write as _},
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tower::{Service, ServiceExt};

use crate::{answer::Body, headers::Peer};

#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// How many connections there may be at once.
    pub(crate) connections: usize,
    /// How long running requests have to end.
    pub(crate) grace: Duration,
}

/// The head of a request, in bytes.
const MAX_HEAD: u32 = 64 * 1024;
const MAX_HEADERS: usize = 128;

/// How long a client may take for the head of a request, and say nothing between two of them.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// Answers requests until `stop`, and then ends those that run.
pub(crate) async fn serve<S>(
    listener: TcpListener,
    app: S,
    limits: Limits,
    stop: impl Future<Output = ()>,
) where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static,
{
    let places = Arc::new(Semaphore::new(limits.connections));
    let running = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, stream, peer) = tokio::select! {
            () = &mut stop => break,
            (Ok(place), accepted) = accepted => match accepted {
                Ok((stream, peer)) => (place, stream, peer),
                Err(error) => {
                    // Out of file descriptors, most likely: it passes when a connection ends.
                    report(format_args!("cannot accept a connection: {error}"));
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            else => break,
        };
        let connection = connection(stream, Peer(peer), app.clone(), running.watcher());
        tokio::spawn(async move {
            connection.await;
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.grace, running.shutdown())
        .await
        .is_err()
    {
        eprintln!("some requests were still running");
    }
}

async fn connection<S>(stream: TcpStream, peer: Peer, app: S, watcher: Watcher)
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static,
{
    // Some systems do not have it; then it is slower.
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
        app.clone().oneshot(request)
    });
    // Until the first byte nothing else counts the time.
    if !matches!(
        tokio::time::timeout(HEAD_TIMEOUT, stream.readable()).await,
        Ok(Ok(()))
    ) {
        return;
    }
    let connection = server
        .serve_connection(TokioIo::new(stream), service)
        .into_owned();
    // A connection that breaks is no news: clients go away all the time.
    let _ = watcher.watch(connection).await;
}

/// Listens for ctrl-c and, where there is such a thing, SIGTERM, from now on.
#[cfg(unix)]
pub(crate) fn stop_signal() -> io::Result<impl Future<Output = ()>> {
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
pub(crate) fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = tokio::signal::windows::ctrl_c()?;
    Ok(async move {
        interrupt.recv().await;
    })
}

/// Writes a line to the log. That nobody reads it is no reason to fail a request.
pub(crate) fn note(what: fmt::Arguments<'_>) {
    let _ = writeln!(io::stdout(), "{what}");
}

/// Writes a failure to the log, one a second at most: while the homeserver is away each request
/// has one.
pub(crate) fn report(what: fmt::Arguments<'_>) {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if last.is_some_and(|last| last.elapsed() < Duration::from_secs(1)) {
        LEFT_OUT.fetch_add(1, Ordering::Relaxed);
        return;
    }
    *last = Some(Instant::now());
    drop(last);
    let more = match LEFT_OUT.swap(0, Ordering::Relaxed) {
        0 => String::new(),
        more => format!(" (and {more} more since the last line)"),
    };
    let _ = writeln!(io::stderr(), "warning: {what}{more}");
}
