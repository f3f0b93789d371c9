//! The extractors of the handlers. Each rejects with a Matrix error.

use axum::{
    body::{Body, to_bytes},
    extract::{FromRequest, FromRequestParts, Request},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::error::Category;

use crate::error::Error;

/// The parameters of the path.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Error))]
pub(crate) struct Path<T>(pub(crate) T);

/// The parameters of the query.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Error))]
pub(crate) struct Query<T>(pub(crate) T);

/// The body, read as JSON whatever its `Content-Type` says: clients need not send one.
pub(crate) struct Json<T>(pub(crate) T);

/// Accepts objects only. serde also reads a struct from an array, and the layer does not: such a
/// body could name an account that the layer does not see.
#[derive(Deserialize)]
struct Object<T> {
    #[serde(flatten)]
    fields: T,
}

/// Longest JSON body, in bytes: the longest event.
const MAX_JSON_LEN: usize = 64 * 1024;

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Json<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        let body = read(request.into_body(), MAX_JSON_LEN).await?;
        // Some endpoints treat an empty body as an empty object.
        let body = if body.is_empty() { b"{}" } else { &*body };
        serde_json::from_slice(body)
            .map(|Object { fields }| Self(fields))
            .map_err(|error| match error.classify() {
                Category::Data => Error::bad_request("M_BAD_JSON", &error.to_string()),
                _ => Error::bad_request("M_NOT_JSON", "The body is not JSON"),
            })
    }
}

/// Reads at most `limit` bytes.
pub(crate) async fn read(body: Body, limit: usize) -> Result<Vec<u8>, Error> {
    match to_bytes(body, limit).await {
        Ok(bytes) => Ok(bytes.into()),
        Err(error) if is_too_large(&error) => Err(Error::too_large()),
        Err(_) => Err(Error::bad_request("M_UNKNOWN", "The body broke off")),
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    std::error::Error::source(error)
        .is_some_and(<dyn std::error::Error>::is::<http_body_util::LengthLimitError>)
}
