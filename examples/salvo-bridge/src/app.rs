//! A server that admits one web client, with the layer around all of it.

use std::sync::Arc;

use salvo::{Request, Router, Service, cors::Cors, handler, http::Method, http::ParseError};
use tower_account_status::{AccountStateStore, AccountStatusLayer};

use crate::bridge::AccountStatusHoop;

/// Where the one web client is.
pub const CLIENT: &str = "https://app.example.org";

/// The server with the layer.
#[must_use]
pub fn service<S: AccountStateStore>(store: Arc<S>) -> Service {
    // The CORS hoop adds the headers for the origins in its list, to refusals as well.
    let layer = AccountStatusLayer::new(store).without_cors_headers();
    // The hoop that is added first is the outermost.
    Service::new(router())
        .hoop(cors())
        .hoop(AccountStatusHoop(layer))
}

/// The same without the layer.
#[must_use]
pub fn unchecked_service() -> Service {
    Service::new(router()).hoop(cors())
}

fn cors() -> impl salvo::Handler {
    Cors::new()
        .allow_origin([CLIENT])
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers(vec!["authorization", "content-type"])
        .into_handler()
}

fn router() -> Router {
    Router::with_path("_matrix/client/v3")
        .push(Router::with_path("sync").get(sync))
        .push(Router::with_path("logout").post(log_out))
        .push(Router::with_path("login").post(log_in))
}

#[handler]
async fn sync(request: &Request) -> String {
    // This server never has events.
    if request
        .query::<u64>("timeout")
        .is_some_and(|timeout| timeout > 0)
    {
        std::future::pending::<()>().await;
    }
    r#"{"next_batch":"s1"}"#.to_owned()
}

#[handler]
async fn log_out() -> &'static str {
    "{}"
}

/// Answers with the name in the body.
#[handler]
async fn log_in(request: &mut Request) -> Result<String, ParseError> {
    let body: std::collections::HashMap<String, String> = request.parse_json().await?;
    Ok(format!(
        "hello, {}",
        body.get("user").map_or("nobody", |user| user)
    ))
}
