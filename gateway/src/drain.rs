//! The rest of a request's body, when the answer does not wait for it.
//!
//! A request is refused on its head. A client on HTTP/1.1 that goes on sending would find its
//! connection reset, often before it has read the answer. So the gateway reads and discards what it
//! sends, within bounds, and then answers. A client that pauses gets its answer in the middle of its
//! body. Then the connection is not used again, and the answer says so, because some proxies send
//! another request after an unfinished body. It would be read as the rest of that body.

use std::{
    ops::ControlFlow,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    HeaderMap, Request, Version,
    body::{Body, Frame, Incoming, SizeHint},
    header::{CONNECTION, EXPECT, HeaderValue},
};
use tokio::time::{Instant, timeout, timeout_at};

/// How long the rest may take to arrive.
const TIME: Duration = Duration::from_secs(10);

/// A client that is silent for this long is taken to wait for its answer.
const PAUSE: Duration = Duration::from_millis(200);

/// A request's body that comes back when it is dropped.
pub(crate) struct Drained {
    /// Taken only when it is dropped.
    body: Option<Incoming>,
    rest: Rest,
}

/// What is left of a request's body. The code that answers the request has it.
#[derive(Clone)]
pub(crate) struct Rest(Option<Arc<Shared>>);

struct Shared {
    whereabouts: Mutex<Whereabouts>,
    /// How many bytes may be read and discarded.
    limit: u64,
}

enum Whereabouts {
    /// Somebody may be reading it.
    Out,
    /// Nobody reads it any more.
    Back(Incoming),
    /// The request is answered, and somebody may still be reading it.
    Late,
    Read,
}

impl Drained {
    /// The same request, of whose body at most `limit` bytes are discarded.
    pub(crate) fn wrap(request: Request<Incoming>, limit: u64) -> (Request<Self>, Rest) {
        // On HTTP/2 a stream ends by itself.
        let is_left = request.version() < Version::HTTP_2 && !request.body().is_end_stream();
        let rest = Rest(is_left.then(|| {
            // A client that waits for `100 Continue` sends nothing, and reading would ask it to. To
            // read the beginning of a body that is too long does not save the connection.
            let is_asked_for = request.headers().contains_key(EXPECT);
            let is_too_long = request.body().size_hint().lower() > limit;
            Arc::new(Shared {
                whereabouts: Mutex::new(Whereabouts::Out),
                limit: if is_asked_for || is_too_long {
                    0
                } else {
                    limit
                },
            })
        }));
        let request = request.map(|body| Self {
            body: Some(body),
            rest: rest.clone(),
        });
        (request, rest)
    }
}

impl Rest {
    /// Reads the rest, before an answer with these headers is given.
    pub(crate) async fn settle(&self, headers: &mut HeaderMap) {
        let Some(shared) = &self.0 else { return };
        let before = std::mem::replace(&mut *shared.whereabouts(), Whereabouts::Late);
        let is_read = match before {
            Whereabouts::Read => true,
            Whereabouts::Back(body) => Draining::new(body, shared.limit).begin().await,
            Whereabouts::Out | Whereabouts::Late => false,
        };
        if !is_read {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

impl Shared {
    fn whereabouts(&self) -> MutexGuard<'_, Whereabouts> {
        self.whereabouts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

struct Draining {
    body: Incoming,
    /// How many more bytes may be read.
    left: u64,
    end: Instant,
}

impl Draining {
    fn new(body: Incoming, limit: u64) -> Self {
        Self {
            body,
            left: limit,
            end: Instant::now() + TIME,
        }
    }

    /// Reads as long as the client goes on sending, and returns whether that was all. What follows
    /// a pause is read while the answer is sent.
    async fn begin(mut self) -> bool {
        if self.left == 0 {
            return false;
        }
        loop {
            match timeout(PAUSE, self.step()).await {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(is_read)) => return is_read,
                Err(_) => {
                    tokio::spawn(self.go_on());
                    return false;
                }
            }
        }
    }

    async fn go_on(mut self) {
        while self.left > 0 && self.step().await.is_continue() {}
    }

    /// Reads a frame. At the end it says whether that was all.
    async fn step(&mut self) -> ControlFlow<bool> {
        match timeout_at(self.end, self.body.frame()).await {
            Ok(None) => ControlFlow::Break(true),
            Ok(Some(Ok(frame))) => {
                let len = frame.data_ref().map_or(0, Bytes::len) as u64;
                match self.left.checked_sub(len) {
                    Some(left) => {
                        self.left = left;
                        ControlFlow::Continue(())
                    }
                    None => ControlFlow::Break(false),
                }
            }
            Ok(Some(Err(_))) | Err(_) => ControlFlow::Break(false),
        }
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
        let (Some(body), Some(shared)) = (self.body.take(), &self.rest.0) else {
            return;
        };
        let mut whereabouts = shared.whereabouts();
        if body.is_end_stream() {
            *whereabouts = Whereabouts::Read;
        } else if matches!(*whereabouts, Whereabouts::Out) {
            *whereabouts = Whereabouts::Back(body);
        } else if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(Draining::new(body, shared.limit).go_on());
        }
    }
}
