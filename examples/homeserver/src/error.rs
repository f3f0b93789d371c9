//! Refusals, in the form that the specification gives them.

use axum::{
    Json,
    extract::rejection::{PathRejection, QueryRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tower_account_status::store::StoreError;

use crate::database;

/// What a handler returns.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// A status and the body that goes with it.
#[derive(Debug)]
pub(crate) struct Error {
    status: StatusCode,
    body: Value,
}

impl Error {
    pub(crate) fn new(status: StatusCode, errcode: &str, error: &str) -> Self {
        Self {
            status,
            body: json!({ "errcode": errcode, "error": error }),
        }
    }

    pub(crate) fn with_body(status: StatusCode, body: Value) -> Self {
        Self { status, body }
    }

    pub(crate) fn is_forbidden(&self) -> bool {
        self.status == StatusCode::FORBIDDEN
    }

    /// Adds a key to the body.
    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.body[key] = value.into();
        self
    }

    pub(crate) fn bad_request(errcode: &str, error: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, errcode, error)
    }

    pub(crate) fn invalid_param(error: &str) -> Self {
        Self::bad_request("M_INVALID_PARAM", error)
    }

    pub(crate) fn forbidden(error: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "M_FORBIDDEN", error)
    }

    pub(crate) fn not_found(error: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "M_NOT_FOUND", error)
    }

    pub(crate) fn too_large() -> Self {
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        Self::new(status, "M_TOO_LARGE", "The body is too large")
    }

    pub(crate) fn missing_token() -> Self {
        let status = StatusCode::UNAUTHORIZED;
        Self::new(status, "M_MISSING_TOKEN", "Missing access token")
    }

    /// The token is unknown: the client forgets the session.
    pub(crate) fn unknown_token() -> Self {
        let status = StatusCode::UNAUTHORIZED;
        Self::new(status, "M_UNKNOWN_TOKEN", "Unknown token").with("soft_logout", false)
    }

    /// The token has expired: the client keeps its keys, and refreshes or logs in again.
    pub(crate) fn expired_token() -> Self {
        let status = StatusCode::UNAUTHORIZED;
        Self::new(status, "M_UNKNOWN_TOKEN", "The token has expired").with("soft_logout", true)
    }

    /// The account states could not be changed.
    pub(crate) fn states(error: impl std::error::Error + Send + 'static) -> Self {
        // `StoreError` shows the sources, too.
        eprintln!("account states: {}", StoreError::from(error));
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "M_UNKNOWN",
            "Account states cannot be changed at the moment",
        )
    }

    fn internal() -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new(status, "M_UNKNOWN", "Internal server error")
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}

impl From<database::Error> for Error {
    fn from(error: database::Error) -> Self {
        eprintln!("database: {error}");
        Self::internal()
    }
}

impl From<crate::secret::Error> for Error {
    fn from(error: crate::secret::Error) -> Self {
        eprintln!("secrets: {error}");
        Self::internal()
    }
}

impl From<PathRejection> for Error {
    fn from(rejection: PathRejection) -> Self {
        Self::invalid_param(&rejection.body_text())
    }
}

impl From<QueryRejection> for Error {
    fn from(rejection: QueryRejection) -> Self {
        Self::invalid_param(&rejection.body_text())
    }
}

/// No route has this path.
pub(crate) async fn unknown_path() -> Error {
    let status = StatusCode::NOT_FOUND;
    Error::new(status, "M_UNRECOGNIZED", "Unrecognized request")
}

/// The route has no such method.
pub(crate) async fn wrong_method() -> Error {
    let status = StatusCode::METHOD_NOT_ALLOWED;
    Error::new(status, "M_UNRECOGNIZED", "Method not allowed")
}
