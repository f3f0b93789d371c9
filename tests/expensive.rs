//! How much a request that is made to be expensive may allocate. The bench of the same name counts its
//! instructions.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::ServiceExt as _;
use tower_account_status::{AccountStatusLayer, MemoryStore};
use tower_layer::Layer as _;

fn get(query: &str, header: Option<String>) -> Request<Full<Bytes>> {
    let mut request = Request::get(format!("/_matrix/client/v3/account/whoami{query}"));
    if let Some(header) = header {
        request = request.header("authorization", header);
    }
    request.body(Full::default()).expect("a request")
}

fn login(body: String) -> Request<Full<Bytes>> {
    let request = Request::post("/_matrix/client/v3/login");
    request.body(Full::from(body)).expect("a request")
}

async fn answer(layer: &AccountStatusLayer<MemoryStore>, request: Request<Full<Bytes>>) {
    let inner = tower::service_fn(|_| async { Ok(Response::new(Full::<Bytes>::default())) });
    let response: Result<_, Infallible> = layer.layer(inner).oneshot(request).await;
    assert!(response.is_ok());
}

/// What is made of 60 KB does not grow with the number of pieces of which they consist: nothing is
/// kept of what is only looked at, and what is decoded is bounded.
#[test]
fn rules_7_and_10_what_is_allocated_for_a_request_is_bounded() {
    const LARGE: usize = 60_000;
    let full = |piece: &str| piece.repeat(LARGE / piece.len());
    let entries = |piece: &str| format!("{{{}\"x\":0}}", full(&format!("{piece},")));
    let queries = [
        "access_token=%61&",
        "access_token=+&",
        "%61ccess_token=&",
        "%61ccess_tokex=1&",
        "user_id=%40&",
        "a=%&",
        ";",
    ];
    let queries = queries.map(|piece| get(&format!("?{}", full(piece)), None));
    let headers = [
        "Bearer a,",
        "Bearer \"",
        "Basic bearer ",
        "X-Matrix ,bearer a",
    ];
    let headers = headers.map(|piece| get("", Some(full(piece))));
    let logins = [
        r#""a":1"#,
        r#""a":"b""#,
        r#""\u0061":"\u0061""#,
        r#""a":{"b":[]}"#,
        r#""user":"a""#,
        r#""user":"\u0061""#,
        r#""identifier":{}"#,
        r#""identifier":{"user":"\u0061"}"#,
        r#""\u0075ser":"a""#,
    ];
    let logins = logins.map(|entry| login(entries(entry)));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let layer = AccountStatusLayer::new(MemoryStore::new());
    for request in queries.into_iter().chain(headers).chain(logins) {
        let what = format!(
            "{:.60?}",
            (request.uri(), request.headers(), request.body())
        );
        let counted = allocation_counter::measure(|| {
            runtime.block_on(answer(&layer, request));
        });
        // Three for each reading that is decoded, or two for each name.
        assert!(counted.count_total <= 160, "{what}: {counted:?}");
        assert!(counted.bytes_max <= 40_000, "{what}: {counted:?}");
    }
}
