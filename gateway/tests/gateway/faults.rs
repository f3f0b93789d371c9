//! Whose fault it is that a request gets no answer, and what a client makes of the answer.

use hyper::{Method, header::CONTENT_TYPE};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    gateway::Gateway,
    homeserver::{BOUND, reserve},
    upstream::Upstream,
};

const REFRESH: &str = "/_matrix/client/v3/refresh";

#[tokio::test]
async fn malformed_chunks_are_the_clients_fault() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&upstream.address, &[]).await;
    for (path, chunks) in [
        ("/x", "zz\r\n"),
        ("/x", "3\r\nabcdef\r\n"),
        ("/x", "3\r\nabc\r\nffffffffffffffffff\r\n"),
        ("/_matrix/client/v3/createRoom", "3\r\nabc\r\n-1\r\n"),
    ] {
        let mut stream = TcpStream::connect(&gateway.address)
            .await
            .expect("a connection");
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             transfer-encoding: chunked\r\n\r\n{chunks}"
        );
        stream
            .write_all(request.as_bytes())
            .await
            .expect("the request is sent");
        let mut answer = String::new();
        timeout(BOUND, stream.read_to_string(&mut answer))
            .await
            .expect("an answer in time")
            .expect("a whole answer");
        assert!(answer.starts_with("HTTP/1.1 400 "), "{chunks:?}: {answer}");
    }
    let log = gateway.log();
    assert!(!log.contains("WARN"), "{log}");
}

#[tokio::test]
async fn rule_10_on_refresh_no_problem_has_the_form_of_a_matrix_error() {
    let nobody = reserve("127.0.0.1:0");
    let address = nobody.local_addr().expect("an address").to_string();
    let away = Gateway::start(&address, &["--max-body", "1"]).await;
    let long = vec![b' '; (1 << 20) + 1];
    let elsewhere = away.get("/_matrix/client/v3/sync", ()).await;
    elsewhere.error(502, "M_UNKNOWN");
    let answers = [
        (502, away.request(Method::POST, REFRESH, (), "{}").await),
        (
            502,
            away.request(Method::POST, "/_matrix/client/v1/refresh", (), "{}")
                .await,
        ),
        // The last, because the connection ends with a body that is not read.
        (413, away.request(Method::POST, REFRESH, (), long).await),
    ];
    for (status, answer) in answers {
        assert_eq!(answer.status, status, "{:?}", answer.body);
        assert_eq!(answer.headers[CONTENT_TYPE], "text/plain; charset=utf-8");
        let json = serde_json::from_slice::<serde_json::Value>(&answer.body);
        assert!(json.is_err(), "{:?}", answer.body);
        assert_eq!(answer.headers["access-control-allow-origin"], "*");
    }
}
