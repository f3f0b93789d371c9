//! The errors of the handlers.

use std::fmt;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde_json::json;
use tower_account_status::Denial;

/// The result of all functions of the server.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a request failed.
#[derive(Debug)]
pub enum Error {
    /// A Matrix error: status, code and text.
    Matrix(StatusCode, &'static str, &'static str),
    /// The guard refuses it, in the layer's own words.
    Denied(Denial),
    /// The database failed.
    Database(rusqlite::Error),
    /// What is in the database, or beside it, cannot be used.
    BadDatabase(&'static str),
}

impl Error {
    pub(crate) const fn forbidden(text: &'static str) -> Self {
        Self::Matrix(StatusCode::FORBIDDEN, "M_FORBIDDEN", text)
    }

    pub(crate) const fn unknown_token() -> Self {
        let text = "Unknown access token";
        Self::Matrix(StatusCode::UNAUTHORIZED, "M_UNKNOWN_TOKEN", text)
    }
}

impl From<Denial> for Error {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Matrix(_, code, text) => write!(f, "{code}: {text}"),
            Self::Denied(denial) => denial.fmt(f),
            Self::Database(_) => f.write_str("the database failed"),
            Self::BadDatabase(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Database(error) => Some(error),
            Self::Matrix(..) | Self::Denied(_) | Self::BadDatabase(_) => None,
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, code, text) = match self {
            Self::Matrix(status, code, text) => (status, code, text),
            Self::Denied(denial) => return denial.into_response(),
            Self::Database(_) | Self::BadDatabase(_) => {
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                (status, "M_UNKNOWN", "The database failed")
            }
        };
        (status, Json(json!({ "errcode": code, "error": text }))).into_response()
    }
}
