//! The memory that the layer takes to read a body, beside the body itself: no more than its length,
//! whatever it is made of, and once more if it comes in pieces.

mod support;

use std::pin::pin;

use bytes::Bytes;
use http::{Method, Request};
use http_body::Body;
use support::{ALICE, LOGIN, TOKEN, anonymous, bear, frames::Frames, layer, poll_once, store_with};
use tower::{Layer, Service};
use tower_account_status::RestrictionKind;

const LIMIT: usize = 64 * 1024;

/// What a request takes beside its body: futures, answers, the accounts that are asked for.
const BESIDE: usize = 16 * 1024;

/// The most bytes that are allocated at one time while `request` is answered.
fn peak<B>(request: impl Fn() -> Request<B>) -> usize
where
    B: Body<Data = Bytes, Error: std::fmt::Debug> + Send + 'static,
{
    let layer = layer(&store_with(RestrictionKind::Suspended)).with_wrapped_bodies();
    let mut service = layer.layer(tower::service_fn(
        |request: Request<tower_account_status::RequestBody<B>>| async move {
            drop(request);
            Ok::<_, std::convert::Infallible>(
                http::Response::new(Bytes::new()).map(http_body_util::Full::new),
            )
        },
    ));
    let mut answer = || {
        let request = request();
        let counted = allocation_counter::measure(|| {
            let mut future = pin!(service.call(request));
            while poll_once(future.as_mut()).is_pending() {}
        });
        usize::try_from(counted.bytes_max).expect("a size")
    };
    answer();
    answer()
}

fn filled(start: &str, filling: &str, end: &str) -> String {
    let room = LIMIT - start.len() - end.len() - filling.len();
    let mut body = start.to_owned();
    body.push_str(&filling.repeat(room / filling.len()));
    body + end
}

fn bodies(start: &str) -> Vec<String> {
    [
        ("\"x\":[", "[],", "0]}"),
        ("\"x\":[", "{},", "0]}"),
        ("\"x\":[", "0,", "0]}"),
        ("\"x\":{", "\"a\":\"b\",", "\"c\":0}}"),
        ("", "\"a\":null,", "\"c\":0}"),
        ("", "\"\":0,", "\"c\":0}"),
        ("\"x\":\"", "\\u0061", "\"}"),
        ("\"", "\\u0061", "\":0}"),
        ("\"x\":\"", "\\n", "\"}"),
        ("", "\"reason\":\"\",", "\"c\":0}"),
    ]
    .map(|(before, filling, end)| filled(&format!("{start}{before}"), filling, end))
    .to_vec()
}

#[tokio::test]
async fn the_body_of_a_suspended_accounts_event_is_read_without_a_copy() {
    let member = format!("/_matrix/client/v3/rooms/!r:localhost/state/m.room.member/{ALICE}");
    let redaction = "/_matrix/client/v3/rooms/!r:localhost/send/m.room.redaction/1";
    for (path, start) in [
        (&*member, r#"{"membership":"leave","#),
        (redaction, r#"{"redacts":"$e","#),
    ] {
        for body in bodies(start) {
            let peak = peak(|| {
                let mut request = anonymous(Method::PUT, path, body.clone());
                bear(&mut request, TOKEN);
                request
            });
            assert!(peak <= BESIDE, "{peak} bytes for {}", &body[..60]);
        }
    }
}

#[tokio::test]
async fn the_names_in_a_body_take_no_more_than_it_is_long() {
    let mut all = bodies(r#"{"user":"bob","#);
    let long = "m".repeat(7_000);
    let texts = |key: &str| {
        let text = |number| format!("\"{key}\":\"\\n{long}{number}\"");
        (0..4).map(text).collect::<Vec<_>>().join(",")
    };
    all.push(format!("{{{},{}}}", texts("medium"), texts("address")));
    all.push(format!("{{{},\"token\":\"\\n{long}\"}}", texts("type")));
    all.push(format!(
        "{{\"type\":\"\\nx\",\"token\":\"\\n{}\"}}",
        "t".repeat(60_000)
    ));
    all.push(format!(
        "{{{},\"address\":\"\\n{}\"}}",
        [
            "\"medium\":\"1\"",
            "\"medium\":\"2\"",
            "\"medium\":\"3\"",
            "\"medium\":\"4\""
        ]
        .join(","),
        "a".repeat(60_000)
    ));
    for body in all {
        assert!(body.len() <= LIMIT);
        let peak = peak(|| anonymous(Method::POST, LOGIN, body.clone()));
        // Escaped text is decoded into a copy, and this store copies an address again to look it up.
        let most = 2 * body.len() + BESIDE;
        assert!(peak <= most, "{peak} bytes for {}", &body[..60]);
    }
}

#[tokio::test]
async fn a_body_in_pieces_is_put_together_once() {
    let body = filled(r#"{"user":"bob","x":""#, "y", "\"}");
    for len in [1, 7, 1_000, 16_000, 40_000] {
        let pieces = || {
            let pieces = body.as_bytes().chunks(len).map(Bytes::copy_from_slice);
            Frames::new(pieces.collect::<Vec<_>>())
        };
        let peak = peak(|| Request::post(LOGIN).body(pieces()).expect("a request"));
        assert!(
            peak <= 2 * LIMIT + BESIDE,
            "{peak} bytes for pieces of {len}"
        );
    }
}
