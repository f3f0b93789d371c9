//! Rule 14 over HTTP/2: a connection that is cut after every byte of a request, at every step of its
//! answer and after every byte of that, and a stream that is reset at every step. No locked account
//! passes, and no task, permit or look-up is left behind.

mod server;
mod wire;

use std::time::Duration;

use server::Server;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    task::yield_now,
};

const LOGIN: &str = "/_matrix/client/v3/login";
pub(crate) const WHOAMI: &str = "/_matrix/client/v3/account/whoami";
pub(crate) const SYNC: &str = "/_matrix/client/v3/sync";

pub(crate) fn login(who: &str) -> String {
    format!(r#"{{"identifier":{{"type":"m.id.user","user":"{who}"}}}}"#)
}

fn fields<'a>(method: &'a str, path: &'a str, who: &'a str) -> [(&'a str, &'a str); 5] {
    [
        (":method", method),
        (":scheme", "http"),
        (":authority", "x"),
        (":path", path),
        ("x-who", who),
    ]
}

pub(crate) fn get(stream: u32, path: &str, who: &str) -> Vec<u8> {
    let bearer = format!("Bearer {who}");
    let mut all = fields("GET", path, who).to_vec();
    all.push(("authorization", &bearer));
    wire::request(stream, &all, "")
}

fn post_login(stream: u32, who: &str) -> Vec<u8> {
    wire::request(stream, &fields("POST", LOGIN, who), &login(who))
}

/// Reads until the answer on `stream` is there.
pub(crate) async fn answer(client: &mut DuplexStream, stream: u32) -> wire::Answer {
    let mut bytes = Vec::new();
    let reads = async {
        loop {
            if let Some(answer) = wire::answer(&bytes, stream) {
                return answer;
            }
            let count = client.read_buf(&mut bytes).await.unwrap();
            assert_ne!(count, 0, "closed without an answer: {bytes:?}");
        }
    };
    let read = tokio::time::timeout(Duration::from_secs(10), reads).await;
    read.expect("an answer in time")
}

fn requests() -> [(&'static str, Vec<u8>); 4] {
    [
        ("good", get(1, WHOAMI, "good")),
        ("locked", get(1, WHOAMI, "locked")),
        ("good", post_login(1, "good")),
        ("locked", post_login(1, "locked")),
    ]
}

#[tokio::test]
async fn rule_14_cut_after_every_byte_of_a_request() {
    let server = Server::new();
    for (who, request) in requests() {
        let bytes = [wire::preface(), request].concat();
        for end in 0..bytes.len() {
            for steps in [0, 2, 30] {
                let (mut client, connection) = server.connect(4096);
                client.write_all(&bytes[..end]).await.unwrap();
                for _ in 0..steps {
                    yield_now().await;
                }
                drop(client);
                let what = format!("{who}, {end} bytes of {}, {steps} steps", bytes.len());
                server.nothing_is_left(connection, &what).await;
                let handled = server.handled.lock().unwrap();
                assert!(handled.is_empty(), "{what}: half a request was handled");
            }
        }
        // The same bytes, all of them, are a request.
        let (mut client, connection) = server.connect(4096);
        client.write_all(&bytes).await.unwrap();
        let answer = answer(&mut client, 1).await;
        assert_eq!(answer.is_200, who == "good", "{answer:?}");
        assert_eq!(answer.body.contains("M_USER_LOCKED"), who == "locked");
        drop(client);
        server.nothing_is_left(connection, who).await;
        server.handled.lock().unwrap().clear();
    }
    server.ends_as_new().await;
}

#[tokio::test]
async fn rule_14_cut_or_reset_at_every_step_of_a_request() {
    let server = Server::new();
    for is_reset in [false, true] {
        for (who, request) in requests().into_iter().chain([
            ("good", get(1, SYNC, "good")),
            ("hangs", get(1, WHOAMI, "hangs")),
        ]) {
            let bytes = [wire::preface(), request].concat();
            let (mut met_a_look_up, mut met_a_handler) = (false, false);
            for steps in 0..60 {
                let what = format!("{who}, {steps} steps, reset: {is_reset}");
                let (mut client, connection) = server.connect(4096);
                client.write_all(&bytes).await.unwrap();
                for _ in 0..steps {
                    yield_now().await;
                }
                let (look_ups, handlers, _) = server.under_way();
                met_a_look_up |= look_ups > 0;
                met_a_handler |= handlers > 0;
                if is_reset {
                    client.write_all(&wire::reset(1)).await.unwrap();
                    // The connection goes on, and has the permit.
                    client.write_all(&get(3, WHOAMI, "good")).await.unwrap();
                    assert!(answer(&mut client, 3).await.is_200, "{what}");
                    let (look_ups, handlers, _) = server.under_way();
                    assert_eq!((look_ups, handlers), (0, 0), "{what}");
                }
                drop(client);
                server.nothing_is_left(connection, &what).await;
            }
            assert!(met_a_look_up, "{who}: no step was in a look-up");
            assert_eq!(met_a_handler, who == "good", "{who}: steps in the handler");
        }
    }
    server.ends_as_new().await;
}

#[tokio::test]
async fn rule_14_cut_after_every_byte_of_an_answer() {
    let server = Server::new();
    for (who, request) in requests() {
        let bytes = [wire::preface(), request].concat();
        for end in 0.. {
            // No more room than for a part of the answer: the rest waits for who has gone.
            let (client, connection) = server.connect(64);
            let (mut reader, mut writer) = tokio::io::split(client);
            let mut read = vec![0; end];
            let (written, read_all) =
                tokio::join!(writer.write_all(&bytes), reader.read_exact(&mut read));
            written.unwrap();
            read_all.unwrap();
            drop((reader, writer));
            let what = format!("{who}, {end} bytes of the answer");
            server.nothing_is_left(connection, &what).await;
            if let Some(answer) = wire::answer(&read, 1) {
                assert_eq!(answer.is_200, who == "good", "{answer:?}");
                break;
            }
        }
    }
    server.ends_as_new().await;
}
