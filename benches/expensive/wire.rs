//! hyper's server on a connection in memory.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    rt::{Read, ReadBufCursor, Write},
};
use hyper_util::service::TowerToHyperService;
use tower::Service;

/// A client that sends the same request again and again, each when the one before is answered.
struct Client {
    request: Bytes,
    /// What of it has not been read yet.
    rest: Bytes,
    /// How many follow.
    left: usize,
    is_answered: bool,
    waits: Option<Waker>,
    answers: Vec<u8>,
}

impl Read for Client {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.rest.is_empty() {
            if !self.is_answered {
                self.waits = Some(context.waker().clone());
                return Poll::Pending;
            }
            if self.left == 0 {
                return Poll::Ready(Ok(()));
            }
            self.left -= 1;
            self.is_answered = false;
            self.rest = self.request.clone();
        }
        let len = buffer.remaining().min(self.rest.len());
        let piece = self.rest.split_to(len);
        buffer.put_slice(&piece);
        Poll::Ready(Ok(()))
    }
}

impl Write for Client {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.answers.extend_from_slice(data);
        self.is_answered = true;
        if let Some(waits) = self.waits.take() {
            waits.wake();
        }
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Sends `request` so many times over one connection, and returns what is answered.
///
/// # Panics
///
/// If the server closes the connection before.
pub(crate) async fn send<S>(request: &Bytes, times: usize, service: S) -> Vec<u8>
where
    S: Service<Request<Incoming>, Response = Response<Full<Bytes>>, Error = Infallible> + Clone,
{
    let client = Client {
        request: request.clone(),
        rest: Bytes::new(),
        left: times,
        is_answered: true,
        waits: None,
        answers: Vec::new(),
    };
    let service = TowerToHyperService::new(service);
    let parts = hyper::server::conn::http1::Builder::new()
        .serve_connection(client, service)
        .without_shutdown()
        .await;
    let client = parts.expect("a connection").io;
    assert_eq!(client.left, 0, "every request is read");
    client.answers
}
