//! What reaches the homeserver, and what comes back.

use std::io::ErrorKind;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Version};
use hyper_util::{client::legacy, rt::TokioExecutor};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{assert_locked, gateway::Gateway, homeserver::BOUND, upstream::Upstream};

/// Sends these lines, and reads until the connection is closed.
async fn raw(gateway: &Gateway, lines: &[&str]) -> String {
    let mut stream = TcpStream::connect(&gateway.address)
        .await
        .expect("a connection");
    let head = lines.join("\r\n") + "\r\n\r\n";
    stream
        .write_all(head.as_bytes())
        .await
        .expect("the head is sent");
    let mut answer = Vec::new();
    loop {
        let read = timeout(BOUND, stream.read_buf(&mut answer)).await;
        match read.expect("an answer in time") {
            Ok(1..) => {}
            Ok(0) => break,
            // The rest of a head that is too large may arrive after the answer.
            Err(error) if error.kind() == ErrorKind::ConnectionReset && !answer.is_empty() => break,
            Err(error) => panic!("{error}"),
        }
    }
    String::from_utf8(answer).expect("text")
}

#[tokio::test]
async fn heads_are_rebuilt_with_what_is_about_one_connection_left_out() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&upstream.address, &[]).await;
    let answer = raw(
        &gateway,
        &[
            "GET /a%2Fb//c/../d?x=%20&&y HTTP/1.1",
            "Host: matrix.example.org",
            "Connection: close, x-mine",
            "X-Mine: 1",
            "X-Yours: 2",
            "TE: trailers",
            "X-Forwarded-For: 203.0.113.9",
        ],
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(!answer.contains("x-hop"), "{answer}");
    assert!(answer.contains("x-end-to-end: 1"), "{answer}");

    let heads = upstream.take_heads();
    let [head] = &heads[..] else {
        panic!("{heads:?}")
    };
    let target = head.uri.path_and_query().map(ToString::to_string);
    assert_eq!(target.as_deref(), Some("/a%2Fb//c/../d?x=%20&&y"));
    let header = |name| {
        head.headers
            .get(name)
            .map(|value| value.to_str().expect("text"))
    };
    assert_eq!(header("host"), Some("matrix.example.org"));
    assert_eq!(header("x-yours"), Some("2"));
    assert_eq!(header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(header("via"), Some("1.1 account-gateway"));
    for gone in ["x-mine", "te", "connection", "content-length"] {
        assert_eq!(header(gone), None, "{gone}");
    }
}

#[tokio::test]
async fn a_length_that_is_known_is_told_and_one_that_is_not_makes_chunks() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&upstream.address, &[]).await;
    let close = "connection: close";
    for (method, framing, body, expected) in [
        ("GET", "x-none: x", "", (None, None)),
        ("POST", "content-length: 0", "", (Some("0"), None)),
        ("POST", "content-length: 3", "abc", (Some("3"), None)),
        ("GET", "content-length: 3", "abc", (Some("3"), None)),
        ("DELETE", "content-length: 3", "abc", (Some("3"), None)),
        (
            "POST",
            "transfer-encoding: chunked",
            "3\r\nabc\r\n0\r\n\r\n",
            (None, Some("chunked")),
        ),
        (
            "GET",
            "transfer-encoding: chunked",
            "3\r\nabc\r\n0\r\n\r\n",
            (None, Some("chunked")),
        ),
    ] {
        let first = format!("{method} /x HTTP/1.1");
        let rest = format!("{close}\r\n\r\n{body}");
        let mut lines = vec![&*first, "host: x", framing, &rest];
        if body.is_empty() {
            lines[3] = close;
        }
        let answer = raw(&gateway, &lines).await;
        let received = if body.is_empty() { 0 } else { 3 };
        let received = format!(r#"{{"received":{received}}}"#);
        assert!(answer.contains(&received), "{method} {framing}: {answer}");
        let heads = upstream.take_heads();
        let headers = &heads.first().expect("a request").headers;
        let header = |name| headers.get(name).map(|value| value.to_str().expect("text"));
        let framing = (header("content-length"), header("transfer-encoding"));
        assert_eq!(framing, expected, "{method} {body}");
    }
}

#[tokio::test]
async fn two_lengths_of_one_body_are_one_request_or_none() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&upstream.address, &[]).await;
    let smuggled = "GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n";
    for lengths in [
        ["content-length: 5", "transfer-encoding: chunked"],
        ["transfer-encoding: chunked", "content-length: 5"],
        ["content-length: 5", "content-length: 44"],
        ["transfer-encoding: chunked", "transfer-encoding: identity"],
    ] {
        let body = format!("connection: close\r\n\r\n0\r\n\r\n{smuggled}");
        let lines = [
            "POST /outer HTTP/1.1",
            "host: x",
            lengths[0],
            lengths[1],
            &body,
        ];
        raw(&gateway, &lines).await;
        for head in upstream.take_heads() {
            assert_eq!(head.uri.path(), "/outer", "{lengths:?}");
            let lengths = head.headers.get_all("content-length").iter().count();
            let is_chunked = head.headers.contains_key("transfer-encoding");
            assert!(lengths + usize::from(is_chunked) <= 1, "{:?}", head.headers);
        }
    }
}

#[tokio::test]
async fn heads_that_are_too_large_or_too_many_hosts_are_refused() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&upstream.address, &[]).await;
    let long = format!("x-long: {}", "x".repeat(100_000));
    let answer = raw(
        &gateway,
        &["GET / HTTP/1.1", "host: x", "connection: close", &long],
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let many: Vec<_> = (0..200).map(|number| format!("x-{number}: x")).collect();
    let mut lines = vec!["GET / HTTP/1.1", "host: x", "connection: close"];
    lines.extend(many.iter().map(String::as_str));
    let answer = raw(&gateway, &lines).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let hosts = ["GET / HTTP/1.1", "host: x", "host: y", "connection: close"];
    let answer = raw(&gateway, &hosts).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(upstream.take_heads().is_empty());
}

#[tokio::test]
async fn a_proxy_in_front_is_believed_where_the_command_line_says_so() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&upstream.address, &["--trusted-proxy", "127.0.0.1"]).await;
    let client = legacy::Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http::<Empty<Bytes>>();
    let request = Request::get(format!("http://{}/x", gateway.address))
        .version(Version::HTTP_2)
        .header("x-forwarded-for", "203.0.113.9")
        .header("x-forwarded-proto", "https")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .body(Empty::new())
        .expect("a request");
    let answer = client.request(request).await.expect("an answer");
    assert_eq!(
        (answer.status().as_u16(), answer.version()),
        (200, Version::HTTP_2)
    );
    answer.into_body().collect().await.expect("a whole body");

    let heads = upstream.take_heads();
    let headers = &heads.first().expect("a request").headers;
    assert_eq!(headers["x-forwarded-for"], "203.0.113.9, 127.0.0.1");
    assert_eq!(headers["x-forwarded-proto"], "https");
    assert_eq!(headers["host"], *gateway.address);
    assert_eq!(headers["cookie"], "a=1; b=2");
    assert_eq!(headers["via"], "2 account-gateway");
}

#[tokio::test]
async fn rule_6_what_the_command_line_excludes_passes_for_a_locked_account() {
    let upstream = Upstream::start().await;
    let arguments = ["--exclude", "/oauth2", "--exempt-versions"];
    let gateway = Gateway::start(&upstream.address, &arguments).await;
    let lock = "/_matrix/client/v1/admin/lock/@alice:localhost";
    let locked = serde_json::json!({ "locked": true });
    gateway.put(lock, "admin", locked).await.ok();
    for path in ["/oauth2/token", "/_matrix/client/versions"] {
        gateway.get(path, "alice").await.ok();
    }
    for path in ["/oauth2x", "/oauth2/../x", "/_matrix/client/versions/"] {
        assert_locked(&gateway.get(path, "alice").await);
    }
    // An OAuth client sends forms.
    let form = Request::post(format!("http://{}/oauth2/token", gateway.address))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("authorization", "Bearer alice")
        .body("grant_type=refresh_token".into())
        .expect("a request");
    let answer = gateway.send(form).await;
    assert_eq!(answer.ok(), serde_json::json!({ "received": 24 }));
}
