//! The layer around a bare hyper service, on HTTP/1.1 and HTTP/2.
//!
//! ```sh
//! cargo run -p example-hyper
//! curl -i -H 'Authorization: Bearer alice-token' http://127.0.0.1:8009/_matrix/client/v3/sync
//! ```

use std::{convert::Infallible, env, error::Error};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use tower::{Layer, service_fn};
use tower_account_status::{
    AccountStatusLayer, MemoryStore, RequestBody, Restriction, RestrictionKind,
};

/// The server. It receives hyper's body in the layer's wrapper, because `Incoming` cannot be
/// made from the bytes of a login that the layer has read.
async fn handle(
    request: Request<RequestBody<Incoming>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let Ok(body) = request.into_body().collect().await else {
        return Ok(Response::new(Full::from("the client went away\n")));
    };
    let length = body.to_bytes().len();
    Ok(Response::new(Full::from(format!(
        "{path} with {length} bytes\n"
    ))))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let store = MemoryStore::new().with_server_name("localhost");
    store.insert_access_token("alice-token", "@alice:localhost");
    store.insert_access_token("bob-token", "@bob:localhost");
    let lock =
        Restriction::new(RestrictionKind::Locked).with_reason("Please write to abuse@localhost");
    store.restrict("@alice:localhost", lock);

    let service = AccountStatusLayer::new(store)
        .with_wrapped_bodies()
        .layer(service_fn(handle));

    let address = env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:8009");
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let service = TowerToHyperService::new(service.clone());
        tokio::spawn(async move {
            let connection = auto::Builder::new(TokioExecutor::new());
            if let Err(error) = connection
                .serve_connection(TokioIo::new(stream), service)
                .await
            {
                eprintln!("connection failed: {error}");
            }
        });
    }
}
