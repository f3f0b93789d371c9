//! What is refused before anybody asks whose request it is.

use hyper::{Method, Request, header};
use percent_encoding::percent_decode_str;

use crate::answer::Problem;

/// Why a request goes no further, if it does not.
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
    let has_form = !body.is_end_stream() && has_form_type(request);
    (has_form && takes_access_tokens(request.uri().path())).then_some(Problem::Form)
}

/// Whether some server may read the body as a form. Servers differ in which of several types
/// counts and in how they read one, so one that is mentioned is enough.
fn has_form_type<B>(request: &Request<B>) -> bool {
    const FORMS: [&[u8]; 2] = [b"x-www-form-urlencoded", b"form-data"];

    let mentions = |value: &[u8], form: &[u8]| {
        value
            .windows(form.len())
            .any(|part| part.eq_ignore_ascii_case(form))
    };
    request
        .headers()
        .get_all(header::CONTENT_TYPE)
        .iter()
        .any(|value| FORMS.iter().any(|form| mentions(value.as_bytes(), form)))
}

/// Whether a path may be, in any spelling, one on which an access token says who asks: not the
/// pages of single sign-on and the OAuth endpoints, which are made for forms.
fn takes_access_tokens(path: &str) -> bool {
    let mut path = path.to_ascii_lowercase();
    // Each round makes it shorter, or is the last.
    while path.contains('%') {
        let decoded = percent_decode_str(&path).decode_utf8_lossy();
        let decoded = decoded.to_ascii_lowercase();
        if decoded == path {
            break;
        }
        path = decoded;
    }
    path.contains("_matrix") || (path.contains("_synapse") && path.contains("admin"))
}
