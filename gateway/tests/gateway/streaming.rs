//! Files are streamed, and never held as a whole.

use std::fs;

use http_body_util::BodyExt;
use hyper::Request;
use hyper_util::{client::legacy, rt::TokioExecutor};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    UPLOAD, assert_locked,
    gateway::Gateway,
    upstream::{CHUNK, Chunks, Upstream},
};

const MIB: usize = 1024 * 1024;
const FILE: usize = 100 * MIB;

/// The most memory that the process has ever had resident, in bytes.
fn peak_memory(process: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{process}/status"));
    let status = status.expect("Linux says how much memory a process has");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kib: usize = kib.and_then(|kib| kib.parse().ok()).expect("a number");
    kib * 1024
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn rule_11_100_mib_stream_up_and_down_in_constant_memory() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&upstream.address, &[]).await;
    let client = legacy::Client::builder(TokioExecutor::new()).build_http::<Chunks>();
    let uri = |path: &str| format!("http://{}{path}", gateway.address);
    gateway.get("/x", "alice").await.ok();
    let before = peak_memory(gateway.process_id());

    let upload = Request::post(uri(UPLOAD))
        .header("authorization", "Bearer alice")
        .body(Chunks(FILE / CHUNK))
        .expect("a request");
    let answer = client.request(upload).await.expect("an answer");
    let body = answer
        .into_body()
        .collect()
        .await
        .expect("a body")
        .to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(body, json!({ "received": FILE }));

    let download = Request::get(uri(&format!("/download/{}", FILE / CHUNK)))
        .header("authorization", "Bearer alice")
        .body(Chunks(0))
        .expect("a request");
    let mut answer = client
        .request(download)
        .await
        .expect("an answer")
        .into_body();
    let mut received = 0;
    while let Some(frame) = answer.frame().await {
        let frame = frame.expect("the download goes on");
        received += frame.data_ref().map_or(0, bytes::Bytes::len);
    }
    assert_eq!(received, FILE);

    let grown = peak_memory(gateway.process_id()) - before;
    println!("the gateway's memory grew by {} KiB", grown / 1024);
    assert!(grown < 16 * MIB, "by {grown} bytes");
}

#[tokio::test]
async fn rule_11_a_locked_accounts_upload_is_refused_on_its_head() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&upstream.address, &[]).await;
    let lock = "/_matrix/client/v1/admin/lock/@alice:localhost";
    gateway
        .put(lock, "admin", json!({ "locked": true }))
        .await
        .ok();
    assert_locked(&gateway.get("/x", "alice").await);
    let mut stream = TcpStream::connect(&gateway.address)
        .await
        .expect("a connection");
    let head = format!(
        "POST {UPLOAD} HTTP/1.1\r\nhost: x\r\ncontent-length: {FILE}\r\nconnection: close\r\n\
         authorization: Bearer alice\r\nexpect: 100-continue\r\n\r\n"
    );
    stream
        .write_all(head.as_bytes())
        .await
        .expect("the head is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert!(answer.contains("M_USER_LOCKED"), "{answer}");
    assert!(upstream.take_heads().is_empty());
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_whether_it_says_its_length_or_not() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&upstream.address, &["--max-body", "1"]).await;
    let long = vec![0_u8; MIB + 1];
    let answer = gateway
        .request(hyper::Method::POST, UPLOAD, "alice", long)
        .await;
    answer.error(413, "M_TOO_LARGE");
    assert!(upstream.take_heads().is_empty());

    let client = legacy::Client::builder(TokioExecutor::new()).build_http::<Chunks>();
    let upload = Request::post(format!("http://{}{UPLOAD}", gateway.address))
        .header("authorization", "Bearer alice")
        .body(Chunks(MIB / CHUNK + 1))
        .expect("a request");
    let answer = client.request(upload).await.expect("an answer");
    assert_eq!(answer.status(), 413);
}
