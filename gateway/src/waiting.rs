//! The syncs that wait at the homeserver. A gateway that stops does not wait for them.

use hyper::{Method, Request};

/// Whether this is a sync, in any version of it. Clients repeat one that fails, and lose nothing.
///
/// A sync with an odd spelling of the path is not recognised. The gateway waits for it as for any request.
pub(crate) fn waits<B>(request: &Request<B>) -> bool {
    let Some(path) = request.uri().path().strip_prefix("/_matrix/client/") else {
        return false;
    };
    let segments: Vec<&str> = path.split('/').collect();
    let (["unstable", _, name] | ["api", "v1", name] | [_, name]) = segments[..] else {
        return false;
    };
    match *request.method() {
        Method::GET => matches!(name, "sync" | "events"),
        // Sliding sync.
        Method::POST => name == "sync",
        _ => false,
    }
}
