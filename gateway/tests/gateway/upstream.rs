//! A scripted homeserver for what the example homeserver cannot show: what reaches it, and files that
//! are too large for it.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Frame, Incoming},
    http::request::Parts,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpListener;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Keeps request heads. `Bearer alice` is Alice's token, and `Bearer bridge` an application service's,
/// which may act as the user that it asserts.
pub(crate) struct Upstream {
    pub(crate) address: String,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    heads: Mutex<Vec<Parts>>,
    whoamis: AtomicUsize,
    waiting: AtomicUsize,
}

/// A sync that waits until its client goes away.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

const PROFILE: &str = "/_matrix/client/v3/profile/";

/// What a long download consists of.
pub(crate) const CHUNK: usize = 64 * 1024;

impl Upstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let seen = Arc::<Seen>::default();
        let all = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let seen = Arc::clone(&all);
                let service = service_fn(move |request| {
                    let seen = Arc::clone(&seen);
                    async move { Ok::<_, Infallible>(seen.answer(request).await) }
                });
                let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                tokio::spawn(async move {
                    let _ = builder
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { address, seen }
    }

    /// The heads of the requests so far that were none of the gateway's own questions.
    pub(crate) fn take_heads(&self) -> Vec<Parts> {
        std::mem::take(&mut self.seen.heads.lock().expect("nobody panics here"))
    }

    /// How many syncs wait; none is ever answered.
    pub(crate) fn waiting(&self) -> usize {
        self.seen.waiting.load(Ordering::SeqCst)
    }

    /// How often it was asked whose a token is.
    pub(crate) fn whoamis(&self) -> usize {
        self.seen.whoamis.load(Ordering::SeqCst)
    }
}

impl Seen {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (head, mut body) = request.into_parts();
        let mut len = 0;
        while let Some(Ok(frame)) = body.frame().await {
            len += frame.data_ref().map_or(0, Bytes::len);
        }
        let path = head.uri.path().to_owned();
        let (status, answer) = match path.as_str() {
            crate::WHOAMI if !head.headers.contains_key("via") => {
                self.whoamis.fetch_add(1, Ordering::SeqCst);
                whoami(&head)
            }
            "/_matrix/client/v3/devices/A" => (200, json!({ "device_id": "A" })),
            _ if path.starts_with(PROFILE) => profile(&path[PROFILE.len()..]),
            _ if path.contains("/event/") => event(&path),
            _ if !head.headers.contains_key("via") && !path.ends_with("/versions") => {
                (404, json!({ "errcode": "M_UNRECOGNIZED", "error": "No" }))
            }
            "/_matrix/client/versions" => (200, json!({ "versions": ["v1.11"] })),
            _ => (200, json!({ "received": len })),
        };
        if !head.headers.contains_key("via") {
            return respond(status, &answer);
        }
        if path == crate::SYNC {
            let _waiting = Waiting::new(&self.waiting);
            return std::future::pending().await;
        }
        let chunks = path.strip_prefix("/download/").map(str::parse);
        self.heads.lock().expect("nobody panics here").push(head);
        match chunks {
            Some(Ok(chunks)) => download(chunks),
            _ => respond(status, &answer),
        }
    }
}

/// Whose the token is: of a person, of an application service, of an application service at
/// Dendrite, or of somebody of whom the homeserver does not say who it is.
fn whoami(head: &Parts) -> (u16, Value) {
    let token = head
        .headers
        .get("authorization")
        .map(hyper::header::HeaderValue::as_bytes);
    let asserted = head.uri.query().and_then(|query| {
        let user = query.strip_prefix("user_id=")?;
        let user = percent_encoding::percent_decode_str(user).decode_utf8_lossy();
        Some(user.into_owned())
    });
    let refusal = |status, errcode| (status, json!({ "errcode": errcode, "error": "No" }));
    match (token, asserted) {
        // A proxy between refuses what looks to it like an attack.
        (Some(b"Bearer alice"), Some(user)) if user.contains('<') => refusal(403, "M_FORBIDDEN"),
        (Some(b"Bearer alice"), _) => {
            let answer = json!({ "user_id": "@alice:localhost", "device_id": "A" });
            (200, answer)
        }
        (Some(b"Bearer admin"), _) => {
            let answer = json!({ "user_id": "@admin:localhost", "device_id": "B" });
            (200, answer)
        }
        (Some(b"Bearer bridge"), None) => (200, json!({ "user_id": "@bridge:localhost" })),
        (Some(b"Bearer bridge"), Some(user)) => (200, json!({ "user_id": user })),
        (Some(b"Bearer dendrite"), asserted) => match asserted.as_deref() {
            // It names a device that there is not, and reads no user in an empty localpart.
            None | Some("" | "@:localhost") => {
                let answer = json!({ "user_id": "@sender:localhost", "device_id": "AS_Device" });
                (200, answer)
            }
            Some(user) if is_known(user) => {
                (200, json!({ "user_id": user, "device_id": "AS_Device" }))
            }
            Some(_) => refusal(403, "M_FORBIDDEN"),
        },
        (Some(b"Bearer guest"), _) => refusal(403, "M_GUEST_ACCESS_FORBIDDEN"),
        (Some(b"Bearer filtered"), _) => refusal(401, "M_FORBIDDEN"),
        (Some(b"Bearer suspended"), _) => refusal(403, "M_USER_SUSPENDED"),
        _ => refusal(401, "M_UNKNOWN_TOKEN"),
    }
}

/// Whether there is such a user: `@folded` in any case, `@Legacy` and the others in this one.
fn is_known(user: &str) -> bool {
    let known = [
        "alice", "admin", "bridge", "ghost", "other", "sender", "Legacy",
    ];
    let localpart = user
        .strip_prefix('@')
        .and_then(|user| user.strip_suffix(":localhost"));
    localpart.is_some_and(|name| known.contains(&name) || name.eq_ignore_ascii_case("folded"))
}

fn profile(user: &str) -> (u16, Value) {
    let user = percent_encoding::percent_decode_str(user).decode_utf8_lossy();
    match user.as_ref() {
        // A profile that is not shown to everyone.
        "@hidden:localhost" => (403, json!({ "errcode": "M_FORBIDDEN", "error": "No" })),
        user if is_known(user) => (200, json!({})),
        // As Synapse says it.
        _ => (
            404,
            json!({ "errcode": "M_UNKNOWN", "error": "No row found" }),
        ),
    }
}

/// An event of Alice's. Only `$own` is shown as an event is shown.
fn event(path: &str) -> (u16, Value) {
    let sender = "@alice:localhost";
    let (_, event) = path.rsplit_once('/').expect("a path has a slash");
    match event {
        "%24own" => (200, json!({ "event_id": "$own", "sender": sender })),
        "%24unnamed" => (200, json!({ "sender": sender })),
        "%24another" => (200, json!({ "event_id": "$own", "sender": sender })),
        "%24number" => (200, json!({ "event_id": 7, "sender": sender })),
        "%24null" => (200, json!({ "event_id": null, "sender": sender })),
        "%24unsent" => (200, json!({ "event_id": "$unsent" })),
        "%24list" => (200, json!([{ "event_id": "$list", "sender": sender }])),
        _ => (404, json!({ "errcode": "M_NOT_FOUND", "error": "No" })),
    }
}

fn respond(status: u16, answer: &Value) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(answer.to_string())).boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    let headers = response.headers_mut();
    headers.insert("content-type", "application/json".parse().expect("a value"));
    headers.insert("connection", "keep-alive, x-hop".parse().expect("a value"));
    headers.insert("x-hop", "1".parse().expect("a value"));
    headers.insert("x-end-to-end", "1".parse().expect("a value"));
    response
}

fn download(chunks: usize) -> Response<Body> {
    Response::new(Chunks(chunks).boxed_unsync())
}

/// A body of so many chunks, made as they are sent, without a length that is known before.
pub(crate) struct Chunks(pub(crate) usize);

impl hyper::body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(left) = self.0.checked_sub(1) else {
            return Poll::Ready(None);
        };
        self.0 = left;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[7; CHUNK])))))
    }
}
