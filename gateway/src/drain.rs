//! What is left of a request's body when its answer does not wait for it.
//!
//! A refusal is given on the head of a request. A client on HTTP/1.1 that goes on sending would
//! find its connection reset, often before it has read the answer. So the rest is read and thrown
//! away, within bounds: then the answer is read, and the connection goes on.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    Request, Version,
    body::{Body, Frame, Incoming, SizeHint},
    header::EXPECT,
};

/// How long the rest may take to arrive.
const TIME: Duration = Duration::from_secs(10);

/// A request's body, the rest of which is read when it is dropped.
pub(crate) struct Drained {
    /// Taken only when it is dropped.
    body: Option<Incoming>,
    /// How many bytes may be read in vain.
    limit: u64,
}

impl Drained {
    /// The same request, of which `limit` bytes are read in vain at most.
    pub(crate) fn wrap(request: Request<Incoming>, limit: u64) -> Request<Self> {
        // On HTTP/2 a stream ends by itself. And who waits for `100 Continue` sends nothing before
        // it, which to read the body would send.
        let is_sent =
            request.version() < Version::HTTP_2 && !request.headers().contains_key(EXPECT);
        request.map(|body| Self {
            body: Some(body),
            limit: if is_sent { limit } else { 0 },
        })
    }
}

impl Body for Drained {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        let Some(mut body) = self.body.take() else {
            return;
        };
        let mut left = self.limit;
        // To read the beginning of what is too long saves nobody's connection.
        if left == 0 || body.is_end_stream() || body.size_hint().lower() > left {
            return;
        }
        // Without a runtime the connection has gone.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        runtime.spawn(tokio::time::timeout(TIME, async move {
            while let Some(Ok(frame)) = body.frame().await {
                let len = frame.data_ref().map_or(0, Bytes::len);
                let Some(rest) = left.checked_sub(len as u64) else {
                    return;
                };
                left = rest;
            }
        }));
    }
}
