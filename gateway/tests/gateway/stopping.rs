//! A gateway that is told to stop: waiting syncs end at once, other requests finish, and a second
//! signal ends everything.

use std::{
    fs,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::{SYNC, gateway::Gateway, homeserver::BOUND, upstream::Upstream};

async fn send(gateway: &Gateway, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(&gateway.address)
        .await
        .expect("a connection");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("the request is sent");
    stream
}

async fn sync(gateway: &Gateway) -> TcpStream {
    let head = format!("GET {SYNC} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer alice\r\n\r\n");
    send(gateway, &head).await
}

/// Two bytes of an upload of four, which the gateway has begun to forward.
async fn upload(gateway: &Gateway) -> TcpStream {
    let head = "POST /_matrix/media/v3/upload HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\
                authorization: Bearer alice\r\nexpect: 100-continue\r\n\r\n";
    let mut stream = send(gateway, head).await;
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).await.expect("an answer");
    stream.write_all(b"ab").await.expect("a part is sent");
    stream
}

async fn rest(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    timeout(BOUND, stream.read_to_string(&mut answer))
        .await
        .expect("an answer in time")
        .expect("a whole answer");
    answer
}

async fn wait_for(upstream: &Upstream, waiting: usize) {
    let reached = timeout(BOUND, async {
        while upstream.waiting() != waiting {
            sleep(Duration::from_millis(5)).await;
        }
    });
    reached.await.expect("the syncs reach the homeserver");
}

/// A thousand, or as many as the files allow that a process may have open: a sync takes two of this
/// one, and two of the gateway, and other tests run beside this one.
fn number_of_syncs() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let mut lines = limits.lines();
    let files = lines.find_map(|line| line.strip_prefix("Max open files"));
    let soft = files.and_then(|files| files.split_whitespace().next()?.parse().ok());
    soft.map_or(1000, |soft: usize| {
        (soft.saturating_sub(512) / 2).clamp(50, 1000)
    })
}

#[tokio::test]
async fn a_thousand_syncs_end_at_once_with_no_word_of_the_session() {
    let count = number_of_syncs();
    let upstream = Upstream::start().await;
    // Without the end of the syncs it would go on for an hour.
    let mut gateway = Gateway::start(&upstream.address, &["--grace", "3600"]).await;
    let mut syncs = Vec::new();
    for _ in 0..count {
        syncs.push(sync(&gateway).await);
    }
    wait_for(&upstream, count).await;
    let mut running = upload(&gateway).await;
    // A connection on which nothing was sent delays nothing.
    let silent = TcpStream::connect(&gateway.address).await;

    let told = Instant::now();
    gateway.signal("TERM");
    for sync in syncs {
        let answer = rest(sync).await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("\r\nretry-after: 2\r\n"), "{answer}");
        assert!(answer.contains(r#""errcode":"M_UNKNOWN""#), "{answer}");
    }
    // The request that was running finishes.
    running.write_all(b"cd").await.expect("the rest is sent");
    let answer = rest(running).await;
    assert!(answer.contains(r#"{"received":4}"#), "{answer}");
    assert!(gateway.ended().await.success());
    println!("{count} syncs: stopped in {:?}", told.elapsed());
    drop(silent);
}

#[tokio::test]
async fn a_second_signal_ends_what_still_runs() {
    let upstream = Upstream::start().await;
    let mut gateway = Gateway::start(&upstream.address, &["--grace", "3600"]).await;
    let running = upload(&gateway).await;
    gateway.signal("TERM");
    // It has received the first signal when it accepts no more connections.
    let closed = timeout(BOUND, async {
        while TcpStream::connect(&gateway.address).await.is_ok() {
            sleep(Duration::from_millis(5)).await;
        }
    });
    closed.await.expect("nobody gets in");
    gateway.signal("TERM");
    assert!(gateway.ended().await.success());
    assert!(gateway.log().contains("still running"), "{}", gateway.log());
    drop(running);
}

#[tokio::test]
async fn health_says_that_the_gateway_stops() {
    let upstream = Upstream::start().await;
    let arguments = ["--grace", "3600", "--monitor", "127.0.0.1:0"];
    let mut gateway = Gateway::start(&upstream.address, &arguments).await;
    let running = upload(&gateway).await;
    let monitor = gateway.monitor();
    gateway.signal("TERM");
    let stopping = timeout(BOUND, async {
        loop {
            let health = monitor.get("/health", ()).await;
            if health.status == 503 {
                break health.json();
            }
        }
    });
    let health = stopping.await.expect("it says so");
    assert_eq!(health["stopping"], true, "{health}");
    gateway.signal("TERM");
    assert!(gateway.ended().await.success());
    drop(running);
}
