//! `/health` and `/metrics`, on an address of their own, because neither is for everybody.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    time::{interval, timeout},
};
use tower_account_status::RestrictionStore as _;

use crate::{metrics::Metrics, restrictions::Restrictions, stop::Stop, upstream::Upstream};

/// Below the usual time limit of a health check.
const PATIENCE: Duration = Duration::from_secs(2);

const MAX_CONNECTIONS: usize = 32;

/// The parts of the gateway that the monitor asks.
pub(crate) struct Monitor {
    pub(crate) metrics: Metrics,
    pub(crate) restrictions: Arc<Restrictions>,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) stop: Stop,
}

impl Monitor {
    /// Answers until the process ends.
    pub(crate) async fn serve(self, listener: TcpListener) {
        let monitor = Arc::new(self);
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut tidying = interval(Duration::from_secs(5));
        loop {
            let accepted = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (place, listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                accepted = accepted => accepted,
                _ = tidying.tick() => {
                    monitor.metrics.tidy();
                    continue;
                }
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let monitor = Arc::clone(&monitor);
            tokio::spawn(async move {
                let service = service_fn(|request| {
                    let monitor = Arc::clone(&monitor);
                    async move { Ok::<_, Infallible>(monitor.answer(&request).await) }
                });
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(Duration::from_secs(30))
                    .serve_connection(TokioIo::new(stream), service);
                let _ = connection.await;
                drop(place);
            });
        }
    }

    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let (status, content_type, body) = match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/health") => {
                let (status, health) = self.health().await;
                (status, "application/json", health.to_string())
            }
            (&Method::GET | &Method::HEAD, "/metrics") => {
                let content_type = "text/plain; version=0.0.4; charset=utf-8";
                (StatusCode::OK, content_type, self.metrics.render())
            }
            (_, "/health" | "/metrics") => {
                (StatusCode::METHOD_NOT_ALLOWED, "text/plain", String::new())
            }
            _ => (StatusCode::NOT_FOUND, "text/plain", String::new()),
        };
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }

    /// A 503 says that requests should go to another gateway. A homeserver that is away causes none, because no
    /// other gateway reaches it either.
    async fn health(&self) -> (StatusCode, Value) {
        // Nobody has this name, and the question costs the same as for any name.
        let question = self.restrictions.state_of("@health-check:invalid");
        let (restrictions, homeserver) = tokio::join!(
            async { matches!(timeout(PATIENCE, question).await, Ok(Ok(_))) },
            async { matches!(timeout(PATIENCE, self.upstream.answers()).await, Ok(Ok(()))) },
        );
        let is_stopping = self.stop.has_begun();
        let status = match restrictions && !is_stopping {
            true => StatusCode::OK,
            false => StatusCode::SERVICE_UNAVAILABLE,
        };
        let health = json!({
            "status": if status.is_success() { "ok" } else { "unavailable" },
            "stopping": is_stopping,
            "restrictions": restrictions,
            "homeserver": homeserver,
        });
        (status, health)
    }
}
