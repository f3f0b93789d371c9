//! In a `ServiceBuilder` over a layer that changes the response body.

use axum::Router;
use tower::ServiceBuilder;
use tower_account_status::{AccountStatusLayer, MemoryStore};
use tower_http::trace::TraceLayer;

fn main() {
    let stack = ServiceBuilder::new()
        .layer(AccountStatusLayer::new(MemoryStore::new()))
        .layer(TraceLayer::new_for_http());
    let _: Router = Router::new().layer(stack);
}
