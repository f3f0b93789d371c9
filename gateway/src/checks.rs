//! Requests that are refused before their account is looked up.

use hyper::{Method, Request, header};
use percent_encoding::percent_decode_str;

use crate::{
    answer::Problem,
    content_type::{self, BodyType},
};

/// Why a request is refused, if it is.
pub(crate) fn problem<B: hyper::body::Body>(
    request: &Request<B>,
    max_body: usize,
) -> Option<Problem> {
    if request.method() == Method::CONNECT || !request.uri().path().starts_with('/') {
        return Some(Problem::BadRequest("The request target is not a path"));
    }
    if request.headers().get_all(header::HOST).iter().count() > 1 {
        return Some(Problem::BadRequest("There is more than one Host header"));
    }
    let body = request.body();
    if body.size_hint().lower() > max_body as u64 {
        return Some(Problem::TooLarge);
    }
    if body.is_end_stream() || !takes_access_tokens(request.uri().path()) {
        return None;
    }
    match content_type::body_type(request.headers()) {
        BodyType::NoForm => None,
        BodyType::Form => Some(Problem::Form),
        BodyType::Unclear => Some(Problem::MediaType),
    }
}

/// Whether a path may be, in any spelling, one on which an access token counts. The pages of single sign-on and
/// the OAuth endpoints, which are made for forms, are not.
fn takes_access_tokens(path: &str) -> bool {
    if is_page(path) {
        return false;
    }
    // One round. A path that is encoded twice, or is no plain text, could be any path to some server.
    let decoded: Vec<u8> = percent_decode_str(path).collect();
    let mentions = |name: &[u8]| {
        decoded
            .windows(name.len())
            .any(|part| part.eq_ignore_ascii_case(name))
    };
    !decoded.is_ascii()
        || decoded.contains(&b'%')
        || mentions(b"_matrix")
        || (mentions(b"_synapse") && mentions(b"admin"))
}

/// Whether this is a page below `/_matrix` that a person fills in and on which no access token
/// counts: Synapse's consent and SAML pages, and the
/// [fallback](https://spec.matrix.org/latest/client-server-api/#fallback) of user-interactive
/// authentication. The raw path and nothing else.
fn is_page(path: &str) -> bool {
    if matches!(path, "/_matrix/consent" | "/_matrix/saml2/authn_response") {
        return true;
    }
    let stage = path
        .strip_prefix("/_matrix/client/v3/auth/")
        .or_else(|| path.strip_prefix("/_matrix/client/r0/auth/"))
        .and_then(|rest| rest.strip_suffix("/fallback/web"));
    stage.is_some_and(|stage| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        stage.bytes().all(is_plain) && stage.bytes().any(|byte| byte.is_ascii_alphanumeric())
    })
}
