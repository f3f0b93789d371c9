//! Which requests wait at the homeserver: the ones that a gateway that stops does not wait for.

use hyper::{Method, Request};

/// Whether this is a sync, in any version of it. Clients repeat one that fails, and lose nothing.
pub(crate) fn waits<B>(request: &Request<B>) -> bool {
    let Some(path) = request.uri().path().strip_prefix("/_matrix/client/") else {
        return false;
    };
    let name = path.rsplit('/').next();
    match *request.method() {
        Method::GET => matches!(name, Some("sync" | "events")),
        // Sliding sync.
        Method::POST => name == Some("sync"),
        _ => false,
    }
}
