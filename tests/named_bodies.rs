//! The bodies that the layer reads for the accounts in them: how much, how long, and what the
//! handler receives (rules 10, 11 and 13).

mod support;

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};
use support::{
    ALICE, Answer, Handler, LOGIN, TOKEN, anonymous, ask, bear, call, frames::Frames, layer,
    locked, passed, store, store_with, verdict,
};
use tower::Layer;
use tower_account_status::{Denial, DenialCause, NamedAccountCheck, NamedIn, RestrictionKind};

const LIMIT: usize = 64 * 1024;

fn post(path: &str, body: Frames) -> Request<Frames> {
    let request = Request::post(path).body(body);
    request.unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A login of Bob, who is active, with this many bytes.
fn login_with_len(len: usize) -> String {
    let (start, end) = (r#"{"user":"bob","x":""#, r#""}"#);
    format!("{start}{}{end}", "y".repeat(len - start.len() - end.len()))
}

async fn answer_to(body: Frames) -> Answer {
    let layer = layer(&store_with(RestrictionKind::Locked));
    call(layer.layer(Handler::default()), post(LOGIN, body)).await
}

fn assert_cause(answer: &Answer, cause: DenialCause) {
    let denial = answer.denial.as_ref().expect("a denial");
    assert_eq!(denial.cause(), cause);
    assert_eq!(denial.user(), None);
    assert_ne!(answer.json()["error"], "");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn rule_10_64_kib_are_read_and_no_byte_more() {
    let largest = login_with_len(LIMIT);
    assert_eq!(answer_to(Frames::new([largest])).await.verdict(), passed());
    let too_large = verdict(413, "M_TOO_LARGE");
    for body in [
        // Too large by its declared length, found while it is read, and never ending.
        Frames::new([login_with_len(LIMIT + 1)]),
        Frames::new([login_with_len(LIMIT + 1)]).then_broken(),
        Frames::new(["{".repeat(LIMIT), " ".to_owned()]).then_nothing(),
    ] {
        let answer = answer_to(body).await;
        assert_eq!(answer.verdict(), too_large);
        assert_cause(&answer, DenialCause::BodyTooLarge);
    }
}

#[tokio::test]
async fn rule_10_the_limit_is_a_setting_and_holds_where_bodies_name_accounts_only() {
    let layer = layer(&store()).with_body_limit(10);
    for (path, expected) in [
        (LOGIN, verdict(413, "M_TOO_LARGE")),
        (
            "/_matrix/client/v3/account/password",
            verdict(413, "M_TOO_LARGE"),
        ),
        (
            "/_matrix/client/v3/account/deactivate",
            verdict(413, "M_TOO_LARGE"),
        ),
        ("/_matrix/client/v3/register", verdict(413, "M_TOO_LARGE")),
        ("/_matrix/client/v3/account/3pid/add", passed()),
        ("/_matrix/media/v3/upload", passed()),
    ] {
        let request = anonymous(Method::POST, path, r#"{"user":"bob"}"#);
        assert_eq!(ask(&layer, request).await.verdict(), expected, "{path}");
    }
    let refresh = "/_matrix/client/v3/refresh";
    let request = anonymous(Method::POST, refresh, r#"{"user":"bob"}"#);
    let answer = ask(&layer, request).await;
    let cause = answer.denial.as_ref().map(Denial::cause);
    assert_eq!(cause, Some(DenialCause::BodyTooLarge));
    let off = layer.with_named_account_check(NamedIn::Login, NamedAccountCheck::Off);
    let request = anonymous(Method::POST, LOGIN, r#"{"user":"bob"}"#);
    assert_eq!(ask(&off, request).await.verdict(), passed());
}

#[tokio::test]
async fn rule_10_what_is_not_json_is_refused() {
    for body in [
        "x",
        "{",
        r#"{"user":"bob"} x"#,
        r#"{"user":"bob",}"#,
        " ",
        "\u{feff}{}",
        "user=bob",
        "{'user':'bob'}",
        r#"{"user":"\ud800"}"#,
    ] {
        let answer = answer_to(Frames::new([body.to_owned()])).await;
        assert_eq!(answer.verdict(), verdict(400, "M_NOT_JSON"), "{body}");
        assert_cause(&answer, DenialCause::BodyNotJson);
    }
    let not_utf8 = Frames::new([&b"{\"user\":\"\xff\"}"[..]]);
    assert_eq!(
        answer_to(not_utf8).await.verdict(),
        verdict(400, "M_NOT_JSON")
    );
}

#[tokio::test]
async fn rule_10_a_name_that_is_no_text_is_refused() {
    for body in [
        r#"{"user":1}"#,
        r#"{"user":["alice"]}"#,
        r#"{"identifier":"alice"}"#,
        r#"{"identifier":[{"user":"alice"}]}"#,
        r#"{"token":{"x":1}}"#,
    ] {
        let answer = answer_to(Frames::new([body])).await;
        assert_eq!(answer.verdict(), verdict(400, "M_BAD_JSON"), "{body}");
        assert_cause(&answer, DenialCause::BodyBadJson);
    }
}

#[tokio::test]
async fn rule_10_a_body_that_is_no_object_is_refused_as_that() {
    for body in [
        "[]",
        "null",
        "\"alice\"",
        "7",
        "true",
        r#"[{"user":"bob"}]"#,
    ] {
        let answer = answer_to(Frames::new([body])).await;
        assert_eq!(answer.verdict(), verdict(400, "M_BAD_JSON"), "{body}");
        assert_cause(&answer, DenialCause::BodyNotObject);
        assert_eq!(
            answer.json()["error"],
            "The request body is not a JSON object"
        );
    }
}

#[tokio::test]
async fn rule_10_a_body_that_some_server_reads_otherwise_is_refused_as_that() {
    let deep = format!(
        r#"{{"user":"bob","x":{}{}}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    for body in [
        r#"{"user":"bob","auth":{"session":"s"}}"#,
        r#"{"user":"bob","$serde_json::private::RawValue":"{}"}"#,
        r#"{"user":"bob\u0000"}"#,
        &deep,
    ] {
        let answer = answer_to(Frames::new([body.to_owned()])).await;
        assert_eq!(answer.verdict(), verdict(400, "M_BAD_JSON"), "{body}");
        assert_cause(&answer, DenialCause::BodyUnclear);
    }
}

/// The content of an encoded body is not known before it is decoded. The text that is read could name
/// another account.
#[tokio::test]
async fn rule_10_an_encoded_body_is_415_wherever_one_has_to_be_read() {
    let layer = layer(&store_with(RestrictionKind::Locked));
    let ask = async |codings: &[&'static str], body: &str| {
        let mut request = post(LOGIN, Frames::new([body.to_owned()]));
        for coding in codings {
            let coding = HeaderValue::from_static(coding);
            request.headers_mut().append(CONTENT_ENCODING, coding);
        }
        call(layer.layer(Handler::default()), request).await
    };
    let bob = r#"{"user":"bob"}"#;
    for codings in [
        &["gzip"][..],
        &["br"],
        &["GZIP"],
        &["identity", "deflate"],
        &["identity, zstd"],
        &["x"],
    ] {
        let answer = ask(codings, bob).await;
        assert_eq!(answer.verdict(), verdict(415, "M_UNKNOWN"), "{codings:?}");
        assert_cause(&answer, DenialCause::BodyEncoded);
    }
    for codings in [&["identity"][..], &["Identity, identity"], &[""]] {
        assert_eq!(ask(codings, bob).await.verdict(), passed(), "{codings:?}");
    }
    // Where no body is read, its encoding is the handler's concern.
    let mut request = post(
        "/_matrix/client/v3/createRoom",
        Frames::new(["\u{1f}\u{8b}"]),
    );
    let gzip = HeaderValue::from_static("gzip");
    request.headers_mut().insert(CONTENT_ENCODING, gzip);
    let answer = call(layer.layer(Handler::default()), request).await;
    assert_eq!(answer.verdict(), passed());
}

#[tokio::test]
async fn rule_10_five_accounts_are_too_many() {
    let users = r#"{"user":"1","user":"2","user":"3","user":"4","token":"5"}"#;
    let answer = answer_to(Frames::new([users])).await;
    assert_eq!(answer.verdict(), verdict(400, "M_INVALID_PARAM"));
    let four = r#"{"user":"1","user":"2","user":"3","user":"alice"}"#;
    assert_eq!(answer_to(Frames::new([four])).await.verdict(), locked());
}

#[tokio::test]
async fn rule_10_an_empty_body_names_nobody() {
    for body in [Frames::new::<&str>([]), Frames::new(["", ""])] {
        assert_eq!(answer_to(body).await.verdict(), passed());
    }
}

#[tokio::test]
async fn rule_13_a_body_that_fails_is_answered_400() {
    for body in [
        Frames::new::<&str>([]).then_broken(),
        Frames::new([r#"{"user":"alice"}"#]).then_broken(),
    ] {
        let answer = answer_to(body).await;
        assert_eq!(answer.verdict(), verdict(400, "M_UNKNOWN"));
        assert_cause(&answer, DenialCause::BodyFailed);
    }
}

#[tokio::test(start_paused = true)]
async fn rule_13_a_body_that_takes_too_long_is_answered_408() {
    let start = tokio::time::Instant::now();
    let answer = answer_to(Frames::new([r#"{"user":"#]).then_nothing()).await;
    assert_eq!(answer.verdict(), verdict(408, "M_UNKNOWN"));
    assert_cause(&answer, DenialCause::BodyTimedOut);
    let waited = start.elapsed();
    assert!(waited >= Duration::from_secs(30), "{waited:?}");
    assert!(waited < Duration::from_secs(31), "{waited:?}");
    let layer = layer(&store()).with_body_timeout(Duration::from_millis(100));
    let body = Frames::new::<&str>([]).then_nothing();
    let start = tokio::time::Instant::now();
    let answer = call(layer.layer(Handler::default()), post(LOGIN, body)).await;
    assert_eq!(answer.status, 408);
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn rule_10_the_handler_gets_the_body_byte_for_byte() {
    let odd = " {\"user\" : \"bob\",\n\"user\":\"b\\u006fb\", \"x\": 1.0e5} \r\n";
    for chunks in [
        vec![odd],
        odd.split_inclusive(' ').collect(),
        odd.split("").collect(),
        vec!["", odd, ""],
    ] {
        let handler = Handler::default();
        let layer = layer(&store_with(RestrictionKind::Locked));
        let chunks = || {
            chunks
                .iter()
                .map(|chunk| Bytes::copy_from_slice(chunk.as_bytes()))
        };
        let mut request = post(LOGIN, Frames::new(chunks()));
        request
            .headers_mut()
            .insert("x-own", "kept".try_into().unwrap());
        request.extensions_mut().insert("kept");
        let answer = call(layer.layer(handler.clone()), request).await;
        assert_eq!(answer.verdict(), passed());
        let seen = handler.only().request;
        assert_eq!(seen.body(), odd);
        assert_eq!(seen.headers()["x-own"], "kept");
        assert_eq!(seen.extensions().get(), Some(&"kept"));
        assert_eq!(seen.uri(), LOGIN);

        let wrapped = layer.with_wrapped_bodies().layer(handler.clone());
        let body = Frames::new(chunks()).with_trailers("x-sum", "1");
        call(wrapped, post(LOGIN, body)).await;
        let seen = handler.only();
        assert_eq!(seen.request.body(), odd);
        let trailers = seen.trailers.expect("wrapped bodies keep trailers");
        assert_eq!(trailers["x-sum"], "1");
    }
}

#[tokio::test]
async fn rule_10_a_form_for_another_application_passes_where_no_matrix_path_is() {
    let layer = layer(&store_with(RestrictionKind::Locked));
    let form = "application/x-www-form-urlencoded";
    for (path, content_type, body, expected) in [
        ("/login", form, "user=alice&password=p", passed()),
        ("/v1/login", form, "user=alice", passed()),
        (
            "/login",
            "Multipart/Form-Data; boundary=x",
            "--x\r\n\r\nalice\r\n--x--",
            passed(),
        ),
        (LOGIN, form, "user=alice", verdict(400, "M_NOT_JSON")),
        (
            "/login",
            "text/plain",
            "user=alice",
            verdict(400, "M_NOT_JSON"),
        ),
        (
            "/login",
            "application/json",
            "user=alice",
            verdict(400, "M_NOT_JSON"),
        ),
        // What a lenient server could read as JSON is read as JSON.
        ("/login", form, r#"{"user":"alice"}"#, locked()),
        (
            "/login",
            form,
            r#"{"user":"alice"} x"#,
            verdict(400, "M_NOT_JSON"),
        ),
    ] {
        let mut request = anonymous(Method::POST, path, body);
        let value = content_type.try_into().unwrap();
        request.headers_mut().insert(CONTENT_TYPE, value);
        let verdict = ask(&layer, request).await.verdict();
        assert_eq!(verdict, expected, "{path} {content_type} {body}");
    }
}

#[tokio::test]
async fn rule_11_no_other_body_is_read() {
    let layer = layer(&store_with(RestrictionKind::Locked));
    let never = || Frames::new::<&str>([]).then_nothing();
    for path in [
        "/_matrix/media/v3/upload",
        "/_matrix/client/v3/account/password",
    ] {
        let mut request = post(path, never());
        bear(&mut request, TOKEN);
        let answer = call(layer.layer(Handler::default()), request).await;
        assert_eq!(answer.verdict(), locked(), "refused on its head: {path}");
    }
    let exempt = layer.add_exempt(Method::POST, LOGIN);
    let body = format!(r#"{{"user":"{ALICE}"}}"#);
    let request = anonymous(Method::POST, LOGIN, body);
    assert_eq!(ask(&exempt, request).await.verdict(), passed());
}
