//! A refusal of a large upload is read by clients that go on sending, on HTTP/1.1.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::json;

use crate::{UPLOAD, WHOAMI, gateway::Gateway, upstream::Upstream};

const LOCK: &str = "/_matrix/client/v1/admin/lock/@alice:localhost";
const LEN: usize = 15 << 20;

/// Sends all of an upload before it looks for an answer; says the answer's status line, and that of
/// another request on the same connection.
fn upload(address: &str, len: usize) -> std::io::Result<[String; 2]> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let head = format!(
        "POST {UPLOAD} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer alice\r\ncontent-length: {len}\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(&vec![b'x'; len])?;
    let first = status_line(&mut stream)?;
    let head = format!("GET {WHOAMI} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer alice\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    Ok([first, status_line(&mut stream)?])
}

/// Reads a whole answer, each of which has a length.
fn status_line(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        answer.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&answer).into_owned();
    let mut lengths = head
        .lines()
        .filter_map(|line| line.strip_prefix("content-length: "));
    let length = lengths.next().and_then(|length| length.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body)?;
    Ok(head.lines().next().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn rule_11_a_client_that_sends_on_reads_its_401_and_keeps_its_connection() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&upstream.address, &[]).await;
    gateway
        .put(LOCK, "admin", json!({ "locked": true }))
        .await
        .ok();
    let address = gateway.address.clone();
    let answers = tokio::task::spawn_blocking(move || {
        (0..40).map(|_| upload(&address, LEN)).collect::<Vec<_>>()
    });
    let refused = ["HTTP/1.1 401 Unauthorized"; 2];
    for (number, answer) in answers.await.expect("no panic").into_iter().enumerate() {
        let answer = answer.unwrap_or_else(|error| panic!("client {number}: {error}"));
        assert_eq!(answer, refused, "client {number}");
    }
    assert!(
        upstream
            .take_heads()
            .iter()
            .all(|head| head.uri.path() != UPLOAD)
    );
}

#[tokio::test]
async fn what_is_longer_than_the_limit_is_not_read() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&upstream.address, &["--drain", "1"]).await;
    gateway
        .put(LOCK, "admin", json!({ "locked": true }))
        .await
        .ok();
    let address = gateway.address.clone();
    let sent = tokio::task::spawn_blocking(move || upload(&address, 256 << 20));
    // It is cut off long before it has sent so much.
    assert!(sent.await.expect("no panic").is_err());
}
