//! hyper's `Incoming` cannot be made from bytes.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tower::{Layer, Service, service_fn};
use tower_account_status::{AccountStatusLayer, MemoryStore};

fn serve<S: Service<Request<Incoming>>>(_: S) {}

async fn handle(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::default())
}

fn main() {
    let layer = AccountStatusLayer::new(MemoryStore::new());
    serve(layer.layer(service_fn(handle)));
}
