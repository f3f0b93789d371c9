//! Rule 11: a locked account's upload is refused on its head.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::{Request, header::AUTHORIZATION};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    LOCKED, Scene, assert_locked, contents,
    homeserver::{Answer, BOUND},
};

const LENGTH: usize = 16 * 1024 * 1024;
const UPLOAD: &str = "/_matrix/media/v3/upload?filename=cat.jpeg";

impl Scene {
    /// The head of an upload, with the headers that say how long its body is, and more.
    fn head(&self, more: &str) -> String {
        let token = &self.alice;
        format!(
            "POST {UPLOAD} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
             content-type: image/jpeg\r\n{more}\r\n"
        )
    }

    async fn connect(&self) -> TcpStream {
        let connection = TcpStream::connect(&self.server.address).await;
        connection.expect("a connection")
    }
}

/// The refusal arrives although no byte of the body was sent, and the body is not asked for.
#[tokio::test]
async fn on_http_1_the_401_comes_before_the_body_and_without_100_continue() {
    let scene = Scene::locked().await;
    let length = format!("content-length: {LENGTH}\r\n");
    for more in [
        length.clone(),
        format!("{length}expect: 100-continue\r\n"),
        format!("{length}connection: close\r\n"),
        "transfer-encoding: chunked\r\n".to_owned(),
        "transfer-encoding: chunked\r\nexpect: 100-continue\r\n".to_owned(),
    ] {
        let mut connection = scene.connect().await;
        let head = scene.head(&more);
        connection
            .write_all(head.as_bytes())
            .await
            .expect("the head is sent");
        // The server closes the connection, because the rest of the body may follow.
        let mut answer = String::new();
        timeout(BOUND, connection.read_to_string(&mut answer))
            .await
            .unwrap_or_else(|_| panic!("no end after {more:?}: {answer}"))
            .expect("a whole answer");
        assert!(
            answer.starts_with("HTTP/1.1 401 Unauthorized\r\n"),
            "{answer}"
        );
        assert!(answer.ends_with(&format!("\r\n\r\n{LOCKED}")), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    }
}

/// A client that sends as fast as it can, and reads meanwhile.
#[tokio::test]
async fn on_http_1_an_upload_that_is_under_way_is_cut_short() {
    let scene = Scene::locked().await;
    let before = contents(&scene.server.database);
    let (mut answers, mut requests) = scene.connect().await.into_split();
    let head = scene.head(&format!("content-length: {LENGTH}\r\n"));
    let sending = tokio::spawn(async move {
        requests
            .write_all(head.as_bytes())
            .await
            .expect("the head is sent");
        let mut sent = 0;
        while sent < LENGTH {
            match requests.write(&[0; 64 * 1024]).await {
                Ok(0) | Err(_) => break,
                Ok(written) => sent += written,
            }
        }
        sent
    });
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    while !answer.ends_with(LOCKED.as_bytes()) {
        let read = timeout(BOUND, answers.read(&mut part)).await;
        let read = read.expect("an answer in time").expect("an answer");
        assert_ne!(read, 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&part[..read]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 401 "));
    let sent = timeout(BOUND, sending).await.expect("the sending ends");
    let sent = sent.expect("the sending does not panic");
    assert!(sent < LENGTH, "all {sent} bytes were taken");
    println!("{sent} of {LENGTH} bytes went into buffers");
    assert!(before == contents(&scene.server.database));
}

/// A body of which nothing ever comes.
struct Withheld;

impl Body for Withheld {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(LENGTH as u64)
    }
}

#[tokio::test]
async fn on_http_2_with_prior_knowledge_the_401_comes_before_the_body() {
    let scene = Scene::locked().await;
    let stream = TokioIo::new(scene.connect().await);
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await;
    let (mut client, connection) = handshake.expect("the server speaks HTTP/2");
    tokio::spawn(connection);
    let request = Request::post(format!("http://{}{UPLOAD}", scene.server.address))
        .header(AUTHORIZATION, format!("Bearer {}", scene.alice))
        .body(Withheld)
        .expect("a request");
    let answer = timeout(BOUND, async {
        let (head, body) = client.send_request(request).await?.into_parts();
        Ok::<_, hyper::Error>((head, body.collect().await?.to_bytes()))
    });
    let (head, body) = answer.await.expect("in time").expect("an answer");
    assert_eq!(head.version, hyper::Version::HTTP_2);
    assert_locked(&Answer {
        what: "an upload over HTTP/2".to_owned(),
        status: head.status,
        headers: head.headers,
        body,
    });
}

#[tokio::test]
async fn after_unlocking_the_same_upload_arrives_whole() {
    let scene = Scene::locked().await;
    scene.unlock("alice").await;
    let content = Bytes::from(vec![7; LENGTH]);
    let post = hyper::Method::POST;
    let answer = scene.server.request(post, UPLOAD, &scene.alice, content);
    assert!(answer.await.ok()["content_uri"].is_string());
}
