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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::Full;
    use hyper::Request;

    use super::problem;
    use crate::answer::Problem;

    fn request(path: &str, content_type: &str, body: &'static str) -> Request<Full<Bytes>> {
        Request::post(path)
            .header("content-type", content_type)
            .body(Full::new(Bytes::from(body)))
            .unwrap()
    }

    const FORM: &str = "application/x-www-form-urlencoded";

    #[test]
    fn a_form_in_which_a_server_may_find_a_token_is_refused_however_it_is_spelled() {
        for path in [
            "/_matrix/client/v3/sync",
            "/_matrix/media/v3/upload",
            "//%5fmatrix/client",
            "/%255F%256datrix/x/../client/v3/sync",
            "/_synapse/admin/v1/users",
        ] {
            for form in [
                FORM,
                "Application/X-WWW-Form-Urlencoded ; charset=utf-8",
                "multipart/form-data; boundary=x",
                "text/plain, application/x-www-form-urlencoded",
            ] {
                let problem = problem(&request(path, form, "access_token=x"), 100);
                assert_eq!(problem, Some(Problem::Form), "{path} {form}");
            }
        }
    }

    #[test]
    fn json_and_empty_forms_and_the_forms_of_other_applications_pass() {
        for (path, content_type, body) in [
            ("/_matrix/client/v3/login", "application/json", "{}"),
            ("/_matrix/client/v3/logout", FORM, ""),
            ("/_synapse/client/pick_username/submit", FORM, "username=x"),
            ("/oauth2/token", FORM, "grant_type=refresh_token"),
            ("/%", FORM, "x=y"),
        ] {
            let problem = problem(&request(path, content_type, body), 100);
            assert_eq!(problem, None, "{path}");
        }
    }

    #[test]
    fn what_is_no_request_for_a_path_and_what_is_too_long_is_refused() {
        let mut asterisk = request("/", "text/plain", "");
        *asterisk.uri_mut() = "*".parse().unwrap();
        assert!(matches!(
            problem(&asterisk, 100),
            Some(Problem::BadRequest(_))
        ));
        let mut hosts = request("/", "text/plain", "");
        for host in ["a", "b"] {
            hosts.headers_mut().append("host", host.parse().unwrap());
        }
        assert!(matches!(problem(&hosts, 100), Some(Problem::BadRequest(_))));
        let long = request("/", "text/plain", "12345");
        assert_eq!(problem(&long, 4), Some(Problem::TooLarge));
        assert_eq!(problem(&long, 5), None);
    }
}
