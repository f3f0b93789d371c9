//! Rules 10, 11 and 13: whatever a body is made of, the handler receives what was sent, or the answer
//! is an error, and no handler sees a name in it that the store was not asked for.

mod harness;
mod parsers;
mod readers;

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body::{Body, Frame};
use proptest::{collection::vec, prelude::*, sample::select, test_runner::Config};

use crate::{
    harness::{DEACTIVATE, LOGIN, REFRESH, RUNTIME, check, post},
    readers::{OF_LOGINS, OF_REAUTHENTICATIONS, OF_REFRESHES},
};

/// JSON, nearly: what a body may be made of.
fn json() -> impl Strategy<Value = String> {
    let text = select(
        &[
            r#""alice""#,
            r#""@a:b""#,
            r#""""#,
            r#""m.id.user""#,
            r#""m.id.thirdparty""#,
            r#""m.id.phone""#,
            r#""m.login.token""#,
            r#""\ud800""#,
            r#""\ud83d\ude00""#,
            r#""\u0000""#,
            r#""a\u0000b""#,
            r#""\"alice\"""#,
            r#""{\"user\":\"alice\"}""#,
            r#""{\"identifier\":{\"user\":\"alice\"}}""#,
            r#""7""#,
            "\"a\tb\"",
            "null",
            "true",
            "0",
            "-0.0",
            "1e400",
            "123456789012345678901234567890",
            "0x1",
            "[]",
            "{}",
            "NaN",
        ][..],
    );
    let key = select(
        &[
            "type",
            "identifier",
            "user",
            "medium",
            "address",
            "country",
            "phone",
            "number",
            "token",
            "auth",
            "refresh_token",
            "password",
            "us\\u0065r",
            "User",
            "IDENTIFIER",
            "to\u{212a}en",
            "session",
            "",
            "$serde_json::private::RawValue",
            "$serde_json::private::Number",
            "$symbol",
            "$id",
            "$ref",
            "__proto__",
            "user\\u0000",
        ][..],
    );
    let leaf = text.prop_map(str::to_owned);
    leaf.prop_recursive(4, 24, 6, move |inner| {
        let entry = (key.clone(), inner.clone());
        let object = vec(entry, 0..6).prop_map(|entries| {
            let entry = |(key, value): (&str, String)| format!("\"{key}\":{value}");
            format!(
                "{{{}}}",
                entries.into_iter().map(entry).collect::<Vec<_>>().join(",")
            )
        });
        let array = vec(inner, 0..6).prop_map(|values| format!("[{}]", values.join(",")));
        prop_oneof![5 => object, 1 => array]
    })
}

fn cases() -> Config {
    let asked = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|text| text.parse().ok());
    Config {
        cases: asked.unwrap_or(0).max(20_000),
        failure_persistence: None,
        ..Config::default()
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn rule_10_no_handler_reads_a_name_that_was_not_asked_for(
        json in json(),
        before in select(&["", "", "", "\u{feff}", " ", "\n", "//\n"][..]),
        after in select(&["", "", "", " ", "x", "{}", "{\"user\":\"b\"}", ",", "\0"][..]),
        flipped in proptest::option::weighted(0.1, (any::<proptest::sample::Index>(), any::<u8>())),
        wide in proptest::option::weighted(0.05, any::<bool>()),
    ) {
        let text = format!("{before}{json}{after}");
        let mut body = match wide {
            None => text.into_bytes(),
            Some(true) => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            Some(false) => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        };
        if let Some((at, byte)) = flipped {
            let at = at.index(body.len());
            body[at] = byte;
        }
        check(LOGIN, OF_LOGINS, &body);
        check(REFRESH, OF_REFRESHES, &body);
        check(DEACTIVATE, OF_REAUTHENTICATIONS, &body);
    }
}

#[test]
fn rule_10_bodies_that_are_read_in_more_than_one_way() {
    let deep = |depth: usize| {
        format!(
            "{{\"x\":{}{},\"user\":\"a\"}}",
            "[".repeat(depth),
            "]".repeat(depth)
        )
    };
    for body in [
        r#"{"user":"a","user":"b","user":"c","user":"d"}"#,
        r#"{"identifier":{"user":"a"},"identifier":{"user":"b"}}"#,
        r#"{"identifier":{"type":"m.id.user","user":"a","user":"b"}}"#,
        r#"{"User":"a"}"#,
        r#"{"identifier":["a","b","c","d","e"]}"#,
        r#"["m.login.password",{"user":"a"},"b",null,null,null]"#,
        r#"{"type":"m.login.token","type":"other","token":"t"}"#,
        r#"{"password":1e999999999,"user":"a"}"#,
        r#"{"password":"\ud800","user":"a"}"#,
        r#"{"identifier":{"$serde_json::private::RawValue":"{\"user\":\"a\"}"}}"#,
        r#"{"$serde_json::private::RawValue":"{\"user\":\"a\"}"}"#,
        r#"{"user":{"$symbol":"a"}}"#,
        r#"{"x":{"$id":"1","user":"a"},"identifier":{"$ref":"1"}}"#,
        r#"{"__proto__":{"user":"a"}}"#,
        r#"{"user":"a\u0000b"}"#,
        r#"{"user\u0000":"a"}"#,
        r#"{"user":"a","auth":{"session":"s"}}"#,
        &deep(20_000),
        &deep(100),
        "\u{feff}{\"user\":\"a\"}",
        "{\"user\":\"a\"}{\"user\":\"b\"}",
        "{\"user\":\"a\"}\0",
        "",
        " ",
        "null",
        "0",
    ] {
        check(LOGIN, OF_LOGINS, body.as_bytes());
    }
    // The readers see the names, so that a layer that misses one would be found.
    let named = |name: &str, body: &str| {
        let reader = OF_LOGINS.iter().find(|(reader, _)| *reader == name);
        reader.expect("a reader").1(body.as_bytes()).unwrap_or_default()
    };
    for (reader, body, name) in [
        (
            "private keys",
            r#"{"identifier":{"$serde_json::private::RawValue":"{\"user\":\"a\"}"}}"#,
            "user a",
        ),
        ("extended values", r#"{"user":{"$symbol":"a"}}"#, "user a"),
        (
            "references",
            r#"{"x":{"$id":"1","user":"a"},"identifier":{"$ref":"1"}}"#,
            "user a",
        ),
        ("prototypes", r#"{"__proto__":{"user":"a"}}"#, "user a"),
        ("texts of C", r#"{"user\u0000":"a\u0000b"}"#, "user a"),
        (
            "merged over a session's first",
            r#"{"user":"a","auth":{"session":"s"}}"#,
            "user of the session",
        ),
    ] {
        let names = named(reader, body);
        assert!(
            names.iter().any(|found| found == name),
            "{reader}: {names:?}"
        );
    }
    // Names that are asked for, so that the checks above are not empty.
    let asked = |path, readers, body: &str| check(path, readers, body.as_bytes()).asked;
    assert_eq!(
        asked(LOGIN, OF_LOGINS, r#"{"user":"a","user":"b"}"#),
        ["user a", "user b"]
    );
    assert_eq!(asked(LOGIN, OF_LOGINS, r#"{"USER":"a"}"#), ["user a"]);
    assert_eq!(
        asked(REFRESH, OF_REFRESHES, r#"{"refresh_token":"t"}"#),
        ["refresh token t"]
    );
    let auth = r#"{"auth":{"identifier":{"type":"m.id.user","user":"a"}}}"#;
    assert_eq!(asked(DEACTIVATE, OF_REAUTHENTICATIONS, auth), ["user a"]);
}

#[test]
fn rule_10_what_is_compressed_is_not_json() {
    // The beginning of a gzip member, and of zlib's.
    for body in [
        &b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xabV*-N-R"[..],
        b"x\x9c\xabV*-N-R\xb2RJTR\xaa\x05\0",
    ] {
        let sent = check(LOGIN, OF_LOGINS, body);
        assert_eq!(sent.status, StatusCode::BAD_REQUEST);
    }
}

/// A body of frames that are ready, or never come.
struct Frames {
    frames: std::vec::IntoIter<Option<Frame<Bytes>>>,
    is_endless: bool,
    /// A frame that failed.
    fails: bool,
}

impl Body for Frames {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.frames.next() {
            Some(Some(frame)) => Poll::Ready(Some(Ok(frame))),
            // Not now, but at once.
            Some(None) => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            None if self.fails => Poll::Ready(Some(Err("the client went away"))),
            None if self.is_endless => Poll::Ready(Some(Ok(Frame::data(Bytes::new())))),
            None => Poll::Ready(None),
        }
    }
}

fn frames(frames: Vec<Option<Frame<Bytes>>>) -> Frames {
    Frames {
        frames: frames.into_iter(),
        is_endless: false,
        fails: false,
    }
}

const BODY: &str =
    r#"{"type":"m.login.password","identifier":{"type":"m.id.user","user":"alicé"}}"#;

#[test]
fn rule_13_a_body_may_be_cut_into_chunks_anywhere() {
    let bytes = Bytes::from_static(BODY.as_bytes());
    for at in 0..=bytes.len() {
        for end in [at, (at + 1).min(bytes.len()), bytes.len()] {
            let pieces = [bytes.slice(..at), bytes.slice(at..end), bytes.slice(end..)];
            let pieces = pieces
                .into_iter()
                .flat_map(|piece| [Some(Frame::data(piece)), None]);
            let sent = RUNTIME.block_on(post(LOGIN, frames(pieces.collect())));
            assert_eq!(sent.asked, ["user alicé"], "{at} {end}");
            assert_eq!(sent.received.expect("it passes").0, bytes, "{at} {end}");
        }
    }
    let each = bytes
        .iter()
        .map(|&byte| Some(Frame::data(Bytes::from(vec![byte]))));
    let sent = RUNTIME.block_on(post(LOGIN, frames(each.collect())));
    assert_eq!(sent.received.expect("it passes").0, bytes);
}

#[test]
fn rule_13_trailers_are_handed_on() {
    let mut trailers = HeaderMap::new();
    trailers.append("x-sum", HeaderValue::from_static("1"));
    trailers.append("x-sum", HeaderValue::from_static("2"));
    let body = vec![
        Some(Frame::data(Bytes::from(BODY))),
        None,
        Some(Frame::trailers(trailers.clone())),
    ];
    let sent = RUNTIME.block_on(post(LOGIN, frames(body)));
    assert_eq!(sent.received.expect("it passes").1, Some(trailers));
}

#[test]
fn rule_13_trailers_without_end_are_too_large() {
    let trailer = |number: usize| {
        let mut trailers = HeaderMap::new();
        let name = http::HeaderName::try_from(format!("x-{number}")).expect("a name");
        trailers.insert(name, HeaderValue::from_static("1"));
        Some(Frame::trailers(trailers))
    };
    let sent = RUNTIME.block_on(post(LOGIN, frames((0..100_000).map(trailer).collect())));
    assert_eq!(sent.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[test]
fn rule_13_a_body_that_fails_anywhere_is_answered() {
    for at in 0..BODY.len() {
        let body = Frames {
            fails: true,
            ..frames(vec![Some(Frame::data(Bytes::from_static(
                &BODY.as_bytes()[..at],
            )))])
        };
        let sent = RUNTIME.block_on(post(LOGIN, body));
        assert_eq!(sent.status, StatusCode::BAD_REQUEST, "{at}");
        assert!(sent.received.is_none() && sent.asked.is_empty(), "{at}");
    }
}

/// A body that always has another empty frame once blocked its task for ever.
#[tokio::test(start_paused = true)]
async fn rule_13_empty_frames_without_end_run_into_the_time_limit() {
    // Time that is paused goes on only when nobody has anything to do.
    let clock = tokio::spawn(async {
        for _ in 0..100 {
            tokio::time::advance(Duration::from_secs(1)).await;
            tokio::task::yield_now().await;
        }
    });
    let body = Frames {
        is_endless: true,
        ..frames(vec![])
    };
    let sent = post(LOGIN, body).await;
    assert_eq!(sent.status, StatusCode::REQUEST_TIMEOUT);
    clock.await.expect("the clock runs down");
}

/// A sender who never ends, a byte at a time: answered at the limit of time or of size.
#[tokio::test(start_paused = true)]
async fn rule_13_a_slow_sender_is_answered() {
    struct Slow(Pin<Box<tokio::time::Sleep>>);
    impl Body for Slow {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            std::task::ready!(self.0.as_mut().poll(context));
            self.0 = Box::pin(tokio::time::sleep(Duration::from_secs(1)));
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b" ")))))
        }
    }
    let before = tokio::time::Instant::now();
    let sent = post(LOGIN, Slow(Box::pin(tokio::time::sleep(Duration::ZERO)))).await;
    assert_eq!(sent.status, StatusCode::REQUEST_TIMEOUT);
    assert!(
        before.elapsed() <= Duration::from_secs(31),
        "{:?}",
        before.elapsed()
    );
}

#[test]
fn rule_10_a_body_without_end_is_read_to_the_limit_and_no_further() {
    let chunk = Bytes::from(vec![b' '; 1024]);
    let body = frames(
        (0..1_000)
            .map(|_| Some(Frame::data(chunk.clone())))
            .collect(),
    );
    let sent = RUNTIME.block_on(post(LOGIN, body));
    assert_eq!(sent.status, StatusCode::PAYLOAD_TOO_LARGE);
}
