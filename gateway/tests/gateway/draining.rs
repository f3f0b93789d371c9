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

struct Upload(TcpStream);

impl Upload {
    /// Sends a head, and `len` bytes of the body.
    fn begin(address: &str, length: usize, len: usize) -> std::io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let head = format!(
            "POST {UPLOAD} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer alice\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(&vec![b'x'; len])?;
        Ok(Self(stream))
    }

    /// Reads an answer, which has a length.
    fn answer(&mut self) -> std::io::Result<String> {
        let mut answer = Vec::new();
        let mut byte = [0];
        while !answer.ends_with(b"\r\n\r\n") {
            self.0.read_exact(&mut byte)?;
            answer.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&answer).into_owned();
        let mut lengths = head
            .lines()
            .filter_map(|line| line.strip_prefix("content-length: "));
        let length = lengths.next().and_then(|length| length.parse().ok());
        let mut body = vec![0; length.expect("a length")];
        self.0.read_exact(&mut body)?;
        Ok(head + &String::from_utf8_lossy(&body))
    }
}

/// Sends everything before it looks for an answer.
fn upload(address: &str, len: usize) -> std::io::Result<String> {
    Upload::begin(address, len, len)?.answer()
}

const CLOSES: &str = "\r\nconnection: close\r\n";

async fn locked(arguments: &[&str]) -> (Upstream, Gateway) {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&upstream.address, arguments).await;
    gateway
        .put(LOCK, "admin", json!({ "locked": true }))
        .await
        .ok();
    (upstream, gateway)
}

/// Runs blocking work beside the servers.
async fn blocking<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(what).await.expect("no panic")
}

#[tokio::test]
async fn rule_11_a_client_that_sends_on_reads_its_401_and_keeps_its_connection() {
    let (upstream, gateway) = locked(&[]).await;
    let address = gateway.address.clone();
    blocking(move || {
        let mut kept = 0;
        for number in 0..40 {
            let answers = Upload::begin(&address, LEN, LEN).and_then(|mut upload| {
                let first = upload.answer()?;
                // On a busy machine a client may have paused for so long that it was answered.
                if first.contains(CLOSES) {
                    return Ok(vec![first]);
                }
                let head = format!(
                    "GET {WHOAMI} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer alice\r\n\r\n"
                );
                upload.0.write_all(head.as_bytes())?;
                Ok(vec![first, upload.answer()?])
            });
            let answers = answers.unwrap_or_else(|error| panic!("client {number}: {error}"));
            for answer in &answers {
                assert!(
                    answer.starts_with("HTTP/1.1 401 "),
                    "client {number}: {answer}"
                );
                assert!(
                    answer.ends_with(r#""soft_logout":true}"#),
                    "client {number}: {answer}"
                );
            }
            if let [_, second] = &answers[..] {
                assert!(!second.contains(CLOSES), "client {number}: {second}");
                kept += 1;
            }
        }
        assert!(kept >= 20, "{kept} of 40");
    })
    .await;
    let heads = upstream.take_heads();
    assert!(heads.iter().all(|head| head.uri.path() != UPLOAD));
}

#[tokio::test]
async fn rule_11_a_client_that_waits_reads_its_401_and_no_other_request_follows_its_body() {
    let (_upstream, gateway) = locked(&[]).await;
    let address = gateway.address.clone();
    blocking(move || {
        let mut upload = Upload::begin(&address, LEN, 10).expect("a connection");
        let answer = upload.answer().expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        // A proxy that treats the connection as free would send another request here, and
        // it would be a part of this body.
        assert!(answer.contains(CLOSES), "{answer}");
        upload
            .0
            .write_all(&vec![b'x'; LEN - 10])
            .expect("the rest is read");
        let mut more = Vec::new();
        upload
            .0
            .read_to_end(&mut more)
            .expect("an end without a reset");
        assert!(more.is_empty(), "{}", String::from_utf8_lossy(&more));
    })
    .await;
}

#[tokio::test]
async fn what_is_longer_than_the_limit_is_not_read() {
    let (_upstream, gateway) = locked(&["--drain", "1"]).await;
    let address = gateway.address.clone();
    // It is cut off long before it has sent so much.
    assert!(blocking(move || upload(&address, 256 << 20)).await.is_err());
}

#[tokio::test]
async fn a_body_that_is_read_to_its_end_keeps_its_connection() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&upstream.address, &[]).await;
    let address = gateway.address.clone();
    let answer = blocking(move || upload(&address, 100_000))
        .await
        .expect("an answer");
    assert!(answer.contains(r#"{"received":100000}"#), "{answer}");
    assert!(!answer.contains(CLOSES), "{answer}");
}
