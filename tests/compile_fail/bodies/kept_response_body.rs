//! A boxed body cannot be made from bytes.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Full, combinators::BoxBody};
use tower::{Layer, Service, service_fn};
use tower_account_status::{AccountStatusLayer, MemoryStore};

fn serve<S: Service<Request<Full<Bytes>>>>(_: S) {}

async fn handle(_: Request<Full<Bytes>>) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    Ok(Response::default())
}

fn main() {
    let layer = AccountStatusLayer::new(MemoryStore::new());
    serve(layer.layer(service_fn(handle)));
}
