//! What the server says about itself.

use axum::extract::State;

use super::{Answer, answer};

pub(crate) async fn versions() -> Answer {
    // A server that names a version up to 1.19 has to take an access token in the query.
    answer!({ "versions": ["r0.6.1", "v1.1", "v1.3", "v1.11", "v1.12", "v1.13", "v1.18"] })
}

pub(crate) async fn well_known(State(server): super::State) -> Answer {
    answer!({ "m.homeserver": { "base_url": server.base_url } })
}

/// An endpoint of another API: there account states mean nothing.
pub(crate) async fn federation_version() -> Answer {
    answer!({
        "server": {
            "name": "tower-account-status example",
            "version": env!("CARGO_PKG_VERSION"),
        },
    })
}
