//! The headers that every answer of the layer has.

#[cfg(feature = "moderation")]
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER,
    },
};

/// How many seconds a client should wait before it asks a failing store again.
pub(crate) const RETRY_AFTER_STORE_FAILURE: &str = "5";

/// The CORS headers that the specification recommends for every response
/// ([web browser clients](https://spec.matrix.org/latest/client-server-api/#web-browser-clients)).
/// Without them a browser shows its client a network error instead of the refusal.
const CORS: [(http::HeaderName, &str); 3] = [
    (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    (
        ACCESS_CONTROL_ALLOW_METHODS,
        "GET, POST, PUT, DELETE, OPTIONS",
    ),
    (
        ACCESS_CONTROL_ALLOW_HEADERS,
        "X-Requested-With, Content-Type, Authorization",
    ),
];

/// An answer of our own with the headers that all of them have. The answer to HEAD has no body.
#[cfg(feature = "moderation")]
pub(crate) fn json_response(
    status: StatusCode,
    body: Bytes,
    length: HeaderValue,
    is_head: bool,
    cors: bool,
) -> Response<Bytes> {
    let body = if is_head { Bytes::new() } else { body };
    response_of(status, headers_of(length, cors), body)
}

pub(super) fn response_of<B>(status: StatusCode, headers: HeaderMap, body: B) -> Response<B> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

pub(super) fn headers_of(length: HeaderValue, cors: bool) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_LENGTH, length);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if cors {
        insert_cors_headers(&mut headers);
    }
    headers
}

pub(crate) fn insert_cors_headers(headers: &mut HeaderMap) {
    for (name, value) in CORS {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// A script in a browser reads the header only if it is exposed.
pub(crate) fn insert_retry_after(headers: &mut HeaderMap, retry_after: HeaderValue, cors: bool) {
    if cors {
        let exposed = HeaderValue::from_static("Retry-After");
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    headers.insert(RETRY_AFTER, retry_after);
}
