//! hyper on real connections, HTTP/1.1 and HTTP/2: bodies of hyper's own type, uploads that are
//! refused on their head (rules 11 and 13), and plain `service_fn`s.

mod support;

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, Version, header::AUTHORIZATION};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use support::{
    ALICE, Answer, Handler, LOGIN, SYNC, TOKEN, alices, anonymous, call, frames::Frames, layer,
    locked, passed, store, store_with,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tower::{Layer, service_fn};
use tower_account_status::{MemoryStore, RestrictionKind};

const UPLOAD: &str = "/_matrix/media/v3/upload";
const UPLOAD_LEN: usize = 16 << 20;

/// Longer than anything here takes, so that a test that waits in vain fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// Serves `handler` behind the layer, on a port of its own.
async fn serve(store: &Arc<MemoryStore>, handler: Handler) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let service = layer(store).with_wrapped_bodies().layer(handler);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

type Outgoing = BoxBody<Bytes, Infallible>;

/// A connection that answers one request after the other.
enum Client {
    Http1(hyper::client::conn::http1::SendRequest<Outgoing>),
    Http2(hyper::client::conn::http2::SendRequest<Outgoing>),
}

impl Client {
    async fn connect(address: SocketAddr, version: Version) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        let io = TokioIo::new(stream);
        if version == Version::HTTP_2 {
            let (client, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
                    .await
                    .expect("a handshake");
            tokio::spawn(connection);
            return Self::Http2(client);
        }
        let (client, connection) = hyper::client::conn::http1::handshake(io)
            .await
            .expect("a handshake");
        tokio::spawn(connection);
        Self::Http1(client)
    }

    async fn send(&mut self, mut request: Request<Outgoing>) -> Response<Incoming> {
        if let Self::Http2(_) = self {
            let uri = format!("http://localhost{}", request.uri());
            *request.uri_mut() = uri.parse().expect("a URI");
        }
        let sent = async {
            match self {
                Self::Http1(client) => client.send_request(request).await,
                Self::Http2(client) => client.send_request(request).await,
            }
        };
        let sent = timeout(PATIENCE, sent).await.expect("an answer in time");
        sent.expect("an answer")
    }

    async fn ask(&mut self, request: Request<Full<Bytes>>) -> Answer {
        let response = self.send(request.map(Full::boxed)).await;
        Answer::read(response).await
    }
}

const VERSIONS: [Version; 2] = [Version::HTTP_11, Version::HTTP_2];

#[tokio::test]
async fn rule_1_the_answer_on_the_wire() {
    for version in VERSIONS {
        let store = store_with(RestrictionKind::Locked);
        let mut client = Client::connect(serve(&store, Handler::default()).await, version).await;
        let refused = client.ask(alices(Method::GET, SYNC)).await;
        assert_eq!(refused.verdict(), locked(), "{version:?}");
        assert_eq!(refused.header("content-length"), Some("85"));
        assert_eq!(refused.header("content-type"), Some("application/json"));
        let head = client.ask(alices(Method::HEAD, SYNC)).await;
        assert_eq!((head.status.as_u16(), head.body.len()), (401, 0));
        assert_eq!(head.header("content-length"), Some("85"), "{version:?}");
        let logout = client.ask(alices(Method::POST, support::LOGOUT)).await;
        assert_eq!(logout.verdict(), passed(), "{version:?}");
        store.lift(ALICE, RestrictionKind::Locked);
        let unlocked = client.ask(alices(Method::GET, SYNC)).await;
        assert_eq!(unlocked.verdict(), passed(), "{version:?}");
        assert_eq!(
            unlocked.header("content-length"),
            Some("16"),
            "size hints pass"
        );
    }
}

#[tokio::test]
async fn rule_10_a_login_is_read_and_handed_on_with_its_trailers() {
    for version in VERSIONS {
        let handler = Handler::default();
        let store = store_with(RestrictionKind::Locked);
        let mut client = Client::connect(serve(&store, handler.clone()).await, version).await;
        let alice = anonymous(Method::POST, LOGIN, r#"{"user":"alice"}"#);
        assert_eq!(client.ask(alice).await.verdict(), locked(), "{version:?}");
        assert!(handler.seen().is_empty());
        let text = r#"{ "user" : "bob" }"#;
        let bob = anonymous(Method::POST, LOGIN, text);
        assert_eq!(client.ask(bob).await.verdict(), passed(), "{version:?}");
        assert_eq!(handler.only().request.body(), text);
        let frames = Frames::new([&text[..1], &text[1..]]).with_trailers("x-sum", "1");
        let mut chunked = Request::post(LOGIN).body(boxed(frames)).unwrap();
        chunked
            .headers_mut()
            .insert("trailer", "x-sum".try_into().unwrap());
        let answer = Answer::read(client.send(chunked).await).await;
        assert_eq!(answer.verdict(), passed(), "{version:?}");
        let seen = handler.only();
        assert_eq!(seen.request.body(), text, "{version:?}");
        assert_eq!(
            seen.trailers.expect("trailers")["x-sum"],
            "1",
            "{version:?}"
        );
    }
}

/// As a boxed body, which has to be `Sync`.
fn boxed(frames: Frames) -> Outgoing {
    struct Synced(std::sync::Mutex<Frames>);
    impl http_body::Body for Synced {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            context: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
            let frames = self.0.get_mut().expect("not poisoned");
            std::pin::Pin::new(frames)
                .poll_frame(context)
                .map(|frame| frame.map(|frame| Ok(frame.expect("a body that does not fail"))))
        }
    }
    Synced(std::sync::Mutex::new(frames)).boxed()
}

fn upload(body: Outgoing) -> Request<Outgoing> {
    let request = Request::post(UPLOAD).header(AUTHORIZATION, format!("Bearer {TOKEN}"));
    request.body(body).expect("a request")
}

#[tokio::test]
async fn rule_11_an_upload_is_refused_before_its_first_byte() {
    for version in VERSIONS {
        let store = store_with(RestrictionKind::Locked);
        let handler = Handler::default();
        let mut client = Client::connect(serve(&store, handler.clone()).await, version).await;
        let never = boxed(Frames::new::<&str>([]).then_nothing());
        let answer = Answer::read(client.send(upload(never)).await).await;
        assert_eq!(answer.verdict(), locked(), "{version:?}");
        assert!(handler.seen().is_empty());
    }
}

#[tokio::test]
async fn rule_11_sixteen_mebibytes_over_http_2_are_refused_and_the_connection_stays() {
    let store = store_with(RestrictionKind::Locked);
    let handler = Handler::default();
    let mut client = Client::connect(serve(&store, handler.clone()).await, Version::HTTP_2).await;
    for _ in 0..2 {
        let body = Full::new(Bytes::from(vec![b'x'; UPLOAD_LEN])).boxed();
        let answer = Answer::read(client.send(upload(body)).await).await;
        assert_eq!(answer.verdict(), locked());
        assert!(handler.seen().is_empty());
    }
    store.lift(ALICE, RestrictionKind::Locked);
    let small = Full::from("picture").boxed();
    let answer = Answer::read(client.send(upload(small)).await).await;
    assert_eq!(answer.verdict(), passed());
    assert_eq!(handler.only().request.body(), "picture");
}

fn upload_head(more: &str) -> String {
    format!(
        "POST {UPLOAD} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\n\
         content-length: {UPLOAD_LEN}\r\n{more}\r\n"
    )
}

/// What comes until `end` is there, or the connection closes.
async fn read_until(stream: &mut (impl AsyncReadExt + Unpin), end: &str) -> String {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&read).contains(end) {
        let more = timeout(PATIENCE, stream.read(&mut buffer)).await;
        match more.expect("an answer in time") {
            Ok(0) => break,
            Ok(len) => read.extend_from_slice(&buffer[..len]),
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&read)),
        }
    }
    String::from_utf8(read).expect("an answer that is text")
}

#[tokio::test]
async fn rule_11_sixteen_mebibytes_over_http_1_are_refused_while_they_are_sent() {
    let store = store_with(RestrictionKind::Locked);
    let handler = Handler::default();
    let stream = TcpStream::connect(serve(&store, handler.clone()).await)
        .await
        .unwrap();
    let (mut reader, mut writer) = stream.into_split();
    writer.write_all(upload_head("").as_bytes()).await.unwrap();
    // The answer is there before the body: nothing of it can have been waited for.
    let answer = read_until(&mut reader, r#""soft_logout":true}"#).await;
    assert!(
        answer.starts_with("HTTP/1.1 401 Unauthorized\r\n"),
        "{answer}"
    );
    // hyper closes the connection rather than read all of it.
    let chunk = vec![b'x'; 65536];
    let mut written = 0;
    let sending = async {
        while written < UPLOAD_LEN && writer.write_all(&chunk).await.is_ok() {
            written += chunk.len();
        }
    };
    timeout(PATIENCE, sending)
        .await
        .expect("nobody waits for the rest");
    assert!(handler.seen().is_empty());
}

#[tokio::test]
async fn rule_11_no_100_continue_is_sent_to_a_locked_account() {
    let store = store_with(RestrictionKind::Locked);
    let address = serve(&store, Handler::default()).await;
    let head = upload_head("expect: 100-continue\r\n");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read_until(&mut stream, r#""soft_logout":true}"#).await;
    assert!(
        answer.starts_with("HTTP/1.1 401 Unauthorized\r\n"),
        "{answer}"
    );
    assert!(!answer.contains("100 Continue"), "{answer}");
    // While an active account is asked for its body.
    store.lift(ALICE, RestrictionKind::Locked);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read_until(&mut stream, "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 100 Continue\r\n"), "{answer}");
}

#[tokio::test]
async fn a_plain_service_fn_needs_nothing_else() {
    let service = service_fn(|request: Request<Full<Bytes>>| async move {
        assert_eq!(request.uri(), SYNC);
        Ok::<_, &str>(Response::new(Full::<Bytes>::from(support::HANDLED)))
    });
    let store = store();
    let layer = layer(&store);
    let answer = call(layer.layer(service), alices(Method::GET, SYNC)).await;
    assert_eq!(answer.verdict(), passed());
    store.restrict(ALICE, RestrictionKind::Locked);
    let answer = call(layer.layer(service), alices(Method::GET, SYNC)).await;
    assert_eq!(answer.verdict(), locked());
}
