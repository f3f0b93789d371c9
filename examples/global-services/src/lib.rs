//! A small server shaped like Conduit, tuwunel and continuwuity: services that every handler
//! reaches by a global function, a synchronous database, application services whose tokens are in
//! their registrations, logins by JSON Web Token, guests, and a deactivation that leaves no flag.
//!
//! To lock, suspend and deactivate accounts it adds `account_status.rs`, the lines in `router`
//! below and three in `services.rs`. `docs/adopting/conduit.md` explains them. `web_form.rs` shows
//! a login that the layer cannot see, and how it asks the guard.

mod account_status;
mod api;
mod database;
mod error;
pub mod jwt;
mod services;
mod web_form;

use axum::{Extension, Router};
use tower::ServiceBuilder;
use tower_account_status::{AccountModerationLayer, AccountStatusLayer, Combined};
use tower_http::{catch_panic::CatchPanicLayer, cors::CorsLayer, limit::RequestBodyLimitLayer};

use account_status::RESTRICTIONS;
pub use error::{Error, Result};
pub use services::{Config, Registration, services, start};

/// The whole server. Call [`start`] first.
pub fn router() -> Router {
    let status = AccountStatusLayer::new(Combined::new(services(), &*RESTRICTIONS));
    let moderation = AccountModerationLayer::new(services(), &*RESTRICTIONS);
    // For the one handler that checks for itself.
    let guard = Extension(status.guard());
    let routes = api::routes().merge(web_form::routes().layer(guard));
    let routes = routes.layer(moderation).layer(status);
    // The server's own stack comes last, so that a refusal passes through it, too.
    routes.layer(
        ServiceBuilder::new()
            .layer(CatchPanicLayer::new())
            .layer(CorsLayer::permissive())
            .layer(RequestBodyLimitLayer::new(20 << 20)),
    )
}
