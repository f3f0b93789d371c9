//! Rule 14 over HTTP/1.1; `tests/http2_cuts` is the same over HTTP/2.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tower_account_status::{AccountStatusLayer, MemoryStore, RestrictionKind::Locked};
use tower_layer::Layer as _;

/// A login that is cut off after each of its bytes, over HTTP/1.1.
#[tokio::test]
async fn rule_14_a_connection_may_be_cut_in_every_phase() {
    let store = MemoryStore::new();
    store.insert_access_token("locked", "@l:x");
    store.restrict("@l:x", Locked);
    let store = Arc::new(store);
    let complete = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&complete);
    let app = tower::service_fn(
        move |request: Request<tower_account_status::RequestBody<hyper::body::Incoming>>| {
            let counts = Arc::clone(&counts);
            async move {
                let body = request.into_body().collect().await;
                if body.is_ok_and(|body| body.to_bytes() == BODY) {
                    counts.fetch_add(1, SeqCst);
                }
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
            }
        },
    );
    const BODY: &str = r#"{"identifier":{"type":"m.id.user","user":"@a:x"}}"#;
    let layer = AccountStatusLayer::new(Arc::clone(&store)).with_wrapped_request_body();
    let service = layer.layer(app);
    let text = format!(
        "POST /_matrix/client/v3/login HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{BODY}",
        BODY.len()
    );
    for end in 0..=text.len() {
        let (mut client, server) = tokio::io::duplex(4096);
        let service = hyper_util::service::TowerToHyperService::new(service.clone());
        let connection = hyper::server::conn::http1::Builder::new()
            .half_close(end == text.len())
            .serve_connection(TokioIo::new(server), service);
        let connection = tokio::spawn(connection);
        client
            .write_all(&text.as_bytes()[..end])
            .await
            .expect("room for it");
        if end == text.len() {
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.expect("an answer");
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        drop(client);
        let ended = tokio::time::timeout(Duration::from_secs(10), connection).await;
        let _ = ended
            .expect("the connection's task ends")
            .expect("and does not panic");
        let expected = usize::from(end == text.len());
        assert_eq!(complete.load(SeqCst), expected, "cut after {end} bytes");
    }
    drop((service, layer));
    assert_eq!(
        Arc::strong_count(&store),
        1,
        "nobody holds the store any more"
    );
}
