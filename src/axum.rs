//! Servers on axum: a [`Denial`] is a response, and handlers extract the guard and the checked accounts.
//!
//! The layer itself works with axum without this feature. The feature depends on `axum-core` 0.5,
//! which axum 0.8 uses as well.
//!
//! # The guard, in a handler that checks for itself
//!
//! Under [`NamedAccountCheck::ByHandler`] the layer hands the [`AccountGuard`] on. A [`Denial`] is
//! the whole answer: status, headers and body are those of the layer.
//!
//! ```
//! use axum::{Json, Router, routing::post};
//! use tower_account_status::{
//!     AccountGuard, AccountStatusLayer, Denial, MemoryStore, NamedAccountCheck, NamedIn, UserId,
//! };
//! # use serde_json::{Value, json};
//!
//! async fn log_in(guard: AccountGuard, Json(login): Json<Value>) -> Result<Json<Value>, Denial> {
//!     // when the password is right, and before a device is made:
//!     let name = login["identifier"]["user"].as_str().unwrap_or_default();
//!     guard.check(&UserId::local(name, "example.org")).await?;
//!     Ok(Json(json!({ "access_token": "…" })))
//! }
//!
//! let layer = AccountStatusLayer::new(MemoryStore::new())
//!     .with_named_account_check(NamedIn::Login, NamedAccountCheck::ByHandler);
//! let app: Router = Router::new()
//!     .route("/_matrix/client/v3/login", post(log_in))
//!     .layer(layer);
//! ```
//!
//! Other handlers extract the guard once it is added to all requests, by
//! `.layer(axum::Extension(layer.guard()))`.
//!
//! # The checked accounts
//!
//! With [`with_checked_accounts`] each request has [`CheckedAccounts`]. They are empty if no account
//! was checked: the request has no token, has an unknown one, or passes unchecked.
//!
//! ```
//! use tower_account_status::CheckedAccounts;
//!
//! async fn limit_rate(accounts: CheckedAccounts) -> String {
//!     match accounts.first() {
//!         Some(account) => format!("by account: {}", account.user()),
//!         None => "by address".to_owned(),
//!     }
//! }
//! ```
//!
//! # When the layer is missing
//!
//! A handler that extracts one of the two answers 500 if the layer or its setting was forgotten
//! ([`MissingLayer`]). There is no extractor for an `Option` of either, because `None`
//! would let everyone pass in silence:
//!
//! ```compile_fail
//! # use tower_account_status::AccountGuard;
//! async fn log_in(guard: Option<AccountGuard>) {}
//! let app: axum::Router = axum::Router::new().route("/", axum::routing::post(log_in));
//! ```
//!
//! [`NamedAccountCheck::ByHandler`]: crate::NamedAccountCheck::ByHandler
//! [`with_checked_accounts`]: crate::AccountStatusLayer::with_checked_accounts

use std::{error::Error, fmt};

use axum_core::{
    body::Body,
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{
    StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
    request::Parts,
};

use crate::{checked_accounts::CheckedAccounts, denial::Denial, guard::AccountGuard};

/// The same answer that the layer gives, with the denial in its extensions.
impl IntoResponse for Denial {
    fn into_response(self) -> Response {
        Self::into_response::<Body>(self)
    }
}

/// Extracts the guard that the layer hands on if
/// [the handler checks](crate::NamedAccountCheck::ByHandler), or one that the server added to its requests
/// as an extension.
///
/// Rejects with [`MissingLayer`] if the request has none.
impl<S: Sync> FromRequestParts<S> for AccountGuard {
    type Rejection = MissingLayer;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, MissingLayer> {
        extract(parts, Wanted::Guard)
    }
}

/// Extracts the accounts that were checked for the request, under
/// [the setting](crate::AccountStatusLayer::with_checked_accounts) that hands them on.
///
/// Rejects with [`MissingLayer`] if the request has none. A request without an account has an empty
/// list.
impl<S: Sync> FromRequestParts<S> for CheckedAccounts {
    type Rejection = MissingLayer;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, MissingLayer> {
        extract(parts, Wanted::CheckedAccounts)
    }
}

fn extract<T: Clone + Send + Sync + 'static>(
    parts: &Parts,
    wanted: Wanted,
) -> Result<T, MissingLayer> {
    parts.extensions.get().cloned().ok_or_else(|| {
        let missing = MissingLayer(wanted);
        #[cfg(feature = "tracing")]
        tracing::error!(method = %parts.method, error = %missing, "a handler extracts what no layer provides");
        missing
    })
}

/// A handler extracts something that no layer has handed on. This is a mistake in the server, and is answered
/// 500 `M_UNKNOWN`.
///
/// Its text says which layer or setting is missing. It is in the answer and, under the feature
/// `tracing`, in the log as an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissingLayer(Wanted);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Guard,
    CheckedAccounts,
}

impl fmt::Display for MissingLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Wanted::Guard => {
                "the handler extracts an AccountGuard, and the request has none: add an \
                 AccountStatusLayer around this route whose with_named_account_check leaves this \
                 check to the handler, or Extension(layer.guard())"
            }
            Wanted::CheckedAccounts => {
                "the handler extracts CheckedAccounts, and the request has none: add an \
                 AccountStatusLayer with_checked_accounts() around this route"
            }
        })
    }
}

impl Error for MissingLayer {}

impl IntoResponse for MissingLayer {
    fn into_response(self) -> Response {
        let body = serde_json::json!({ "errcode": "M_UNKNOWN", "error": self.to_string() });
        let headers = [
            (CONTENT_TYPE, "application/json"),
            (CACHE_CONTROL, "no-store"),
        ];
        (StatusCode::INTERNAL_SERVER_ERROR, headers, body.to_string()).into_response()
    }
}
