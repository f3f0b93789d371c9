//! Start it with `cargo run -p example-salvo-bridge`. `examples/README.md` has requests to send.

use std::sync::Arc;

use example_salvo_bridge::app;
use salvo::{Listener as _, Server, conn::TcpListener};
use tower_account_status::{MemoryStore, Restriction, RestrictionKind};

#[tokio::main]
async fn main() {
    let store = MemoryStore::new().with_server_name("localhost");
    store.insert_access_token("alice-token", "@alice:localhost");
    store.insert_access_token("bob-token", "@bob:localhost");
    let lock = Restriction::new(RestrictionKind::Locked).with_reason("Write to abuse@localhost");
    store.restrict("@alice:localhost", lock);
    let address = std::env::args().nth(1);
    let address = address.unwrap_or_else(|| "127.0.0.1:8012".to_owned());
    let acceptor = TcpListener::new(address).bind().await;
    Server::new(acceptor)
        .serve(app::service(Arc::new(store)))
        .await;
}
