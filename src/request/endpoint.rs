//! Which endpoint a request is for, as far as the rules need to know.

use http::Method;

use super::{
    path::{
        Forgiving, has_hidden_structure, is_one_plain_segment, is_plain, segment_is,
        undisputed_last_segment,
    },
    version::may_be_version,
};
use crate::credential::Logout;

/// The API that this is about.
const CLIENT_API: &str = "/_matrix/client/";

/// `POST /logout` and `POST /logout/all`: what a locked account may still do
/// ([account locking](https://spec.matrix.org/latest/client-server-api/#account-locking)).
///
/// The raw path and nothing else: a looser match than the router's would be a way past the lock.
pub(crate) fn logout(method: &Method, path: &str) -> Option<Logout> {
    if method != Method::POST {
        return None;
    }
    match path {
        "/_matrix/client/v3/logout" | "/_matrix/client/r0/logout" => Some(Logout::Session),
        "/_matrix/client/v3/logout/all" | "/_matrix/client/r0/logout/all" => {
            Some(Logout::AllSessions)
        }
        _ => None,
    }
}

/// `GET /_matrix/client/versions`.
pub(crate) fn is_versions(method: &Method, path: &str) -> bool {
    is_read(method) && path == "/_matrix/client/versions"
}

/// Whether the path is below `/.well-known/`, where a locked client finds its server's support
/// contact.
///
/// The other Matrix APIs are judged as the Client-Server API is. The specification has no access
/// token there, so that nobody who keeps to it is refused; and some servers take one all the same.
pub(crate) fn is_well_known(path: &str) -> bool {
    path.strip_prefix("/.well-known/").is_some_and(is_plain)
}

/// Whether `path` lies at or below `prefix`, whichever way a router reads it.
pub(crate) fn is_below(prefix: &str, path: &str) -> bool {
    let Some(rest) = path.strip_prefix(prefix) else {
        return false;
    };
    if prefix.ends_with('/') || rest.is_empty() {
        return is_plain(rest);
    }
    rest.strip_prefix('/').is_some_and(is_plain)
}

/// Whether the specification authenticates nobody by access token here: a token in the head of
/// such a request is a left-over of the account that the client had before.
fn ignores_access_token(method: &Method, path: &str) -> bool {
    let Some(path) = path.strip_prefix(CLIENT_API) else {
        return false;
    };
    let is_request_token = |rest| {
        matches!(
            rest,
            "register/email/requestToken"
                | "register/msisdn/requestToken"
                | "account/password/email/requestToken"
                | "account/password/msisdn/requestToken"
                | "account/3pid/email/requestToken"
                | "account/3pid/msisdn/requestToken"
        )
    };
    let stable = path
        .strip_prefix("v3/")
        .or_else(|| path.strip_prefix("r0/"));
    let Some(rest) = stable else {
        let refreshes = matches!(
            path,
            "v1/refresh" | "unstable/refresh" | "unstable/org.matrix.msc2918/refresh"
        );
        return (method == Method::POST && refreshes)
            || is_read(method)
                && matches!(
                    path,
                    "v1/auth_metadata"
                        | "v1/register/m.login.registration_token/validity"
                        | "unstable/org.matrix.msc2965/auth_metadata"
                );
    };
    match rest {
        "login" => is_read(method) || method == Method::POST,
        "refresh" | "register" => method == Method::POST,
        "register/available" | "login/sso/redirect" => is_read(method),
        _ => {
            (method == Method::POST && is_request_token(rest))
                || (is_read(method)
                    && rest
                        .strip_prefix("login/sso/redirect/")
                        .is_some_and(is_one_plain_segment))
        }
    }
}

/// Which of the access tokens in a head count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CountedTokens {
    All,
    /// Those of application services, which authenticate them where nobody else is authenticated:
    /// in logging in and registering as one.
    OfServices,
    None,
}

pub(crate) fn counted_tokens(method: &Method, path: &str) -> CountedTokens {
    if !ignores_access_token(method, path) {
        return CountedTokens::All;
    }
    match path.strip_prefix(CLIENT_API) {
        Some("v3/login" | "r0/login" | "v3/register" | "r0/register") if method == Method::POST => {
            CountedTokens::OfServices
        }
        _ => CountedTokens::None,
    }
}

fn is_read(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

/// An endpoint that names an account in its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NamingEndpoint {
    /// `POST /login`: the account that is to be logged in.
    Login,
    /// `POST /refresh`: the owner of the refresh token.
    Refresh,
    /// `POST /account/password` and `POST /account/deactivate`: without an access token, the
    /// account that proves itself in `auth`.
    Reauthentication,
    /// `POST /register`: the guest whose account is upgraded.
    GuestUpgrade,
    /// One of them, but dot segments in the path leave it open which.
    Unclear,
}

/// A [`NamingEndpoint`], and how sure it is that the request is meant for the Matrix API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Naming {
    pub(crate) endpoint: NamingEndpoint,
    /// Whether the path has `/_matrix/client` in it. Where it has not, the layer may sit in a
    /// nested router that took it off, or this may be another application's `/login`.
    pub(crate) is_matrix: bool,
}

impl Naming {
    /// Whether the body decides who is meant. Where one can also authenticate by access token, it
    /// decides unless a token in the head belongs to somebody, to every server alike.
    pub(crate) fn goes_by_body(self, is_surely_owned: bool) -> bool {
        self.endpoint != NamingEndpoint::Reauthentication || !is_surely_owned
    }
}

/// Whether the body of this request may name an account, whatever the path's spelling.
///
/// Wider than any router, since what it finds is only looked at.
#[inline]
pub(crate) fn naming(method: &Method, path: &str) -> Option<Naming> {
    if method != Method::POST {
        return None;
    }
    if let Some(endpoint) = naming_exactly(path) {
        return Some(Naming {
            endpoint,
            is_matrix: true,
        });
    }
    match may_name_accounts(path) {
        true => naming_path(path),
        false => None,
    }
}

/// Whether the path's last segment leaves it open that the body names an account.
///
/// It tells nearly every path apart.
#[inline]
pub(crate) fn may_name_accounts(path: &str) -> bool {
    undisputed_last_segment(path).is_none_or(is_naming_name)
}

fn naming_path(path: &str) -> Option<Naming> {
    // Wherever a router ends it, none of its segments is one of these.
    if !has_hidden_structure(path) && !path.split('/').any(is_naming_name) {
        return None;
    }
    let path = Forgiving::read(path);
    if path.has_dots {
        return naming_somewhere(&path);
    }
    let mut segments = path.segments_from_the_end();
    let last = segments.next()?;
    let endpoint = if segment_is(last, "login") {
        NamingEndpoint::Login
    } else if segment_is(last, "refresh") {
        NamingEndpoint::Refresh
    } else if segment_is(last, "register") {
        NamingEndpoint::GuestUpgrade
    } else if (segment_is(last, "password") || segment_is(last, "deactivate"))
        && segment_is(segments.next()?, "account")
    {
        NamingEndpoint::Reauthentication
    } else {
        return None;
    };
    // What stands before it, nearest first: the version, `client`, `_matrix`, and a mount point.
    let before: Vec<&str> = segments.collect();
    let is_matrix = before
        .windows(2)
        .any(|pair| segment_is(pair[0], "client") && segment_is(pair[1], "_matrix"));
    // A single one may be a parameter of the server's route in the place of the version.
    let could_be_stripped = before.len() < 2
        || before
            .last()
            .is_some_and(|first| segment_is(first, "client") || may_be_version(first));
    (is_matrix || could_be_stripped).then_some(Naming {
        endpoint,
        is_matrix,
    })
}

/// As the specification spells them.
fn naming_exactly(path: &str) -> Option<NamingEndpoint> {
    let path = path.strip_prefix(CLIENT_API)?;
    match path
        .strip_prefix("v3/")
        .or_else(|| path.strip_prefix("r0/"))?
    {
        "login" => Some(NamingEndpoint::Login),
        "refresh" => Some(NamingEndpoint::Refresh),
        "register" => Some(NamingEndpoint::GuestUpgrade),
        "account/password" | "account/deactivate" => Some(NamingEndpoint::Reauthentication),
        _ => None,
    }
}

/// Any of them, anywhere in a path with dot segments.
fn naming_somewhere(path: &Forgiving<'_>) -> Option<Naming> {
    let is_named = path.segments_from_the_end().any(is_naming_name);
    is_named.then(|| Naming {
        endpoint: NamingEndpoint::Unclear,
        is_matrix: path
            .segments_from_the_end()
            .any(|segment| segment_is(segment, "_matrix")),
    })
}

/// Whether it is the last segment of a path whose body may name an account.
fn is_naming_name(segment: &str) -> bool {
    // By the first letter nearly all others are told apart, and no two names need be compared.
    let names: &[&str] = match segment.as_bytes().first().map(|byte| byte | 0x20) {
        Some(b'l') => &["login"],
        Some(b'r') => &["refresh", "register"],
        Some(b'p') => &["password"],
        Some(b'd') => &["deactivate"],
        // It is encoded.
        Some(b'%') => &["login", "refresh", "register", "password", "deactivate"],
        _ => return false,
    };
    names.iter().any(|name| segment_is(segment, name))
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::{
        NamingEndpoint, ignores_access_token, is_below, is_versions, is_well_known, logout, naming,
    };

    #[test]
    fn rule_5_the_allow_list_is_exact() {
        for version in ["r0", "v3"] {
            for end in ["logout", "logout/all"] {
                let path = format!("/_matrix/client/{version}/{end}");
                assert!(logout(&Method::POST, &path).is_some(), "{path}");
                for method in [Method::GET, Method::PUT, Method::DELETE, Method::HEAD] {
                    assert!(logout(&method, &path).is_none(), "{method} {path}");
                }
                for odd in ["/", "//", "/.", "?", ";x", "%20", " ", "/x"] {
                    assert!(
                        logout(&Method::POST, &format!("{path}{odd}")).is_none(),
                        "{odd}"
                    );
                }
            }
        }
        for path in [
            "/_matrix/client/v1/logout",
            "/_matrix/client/unstable/logout",
            "/_matrix/client/v3/Logout",
            "/_matrix/client/v3//logout",
            "/_matrix/client/v3/./logout",
            "/_matrix/client/v3/x/../logout",
            "/_matrix/client/v3/%6Cogout",
            "/_matrix/client%2Fv3/logout",
            "//_matrix/client/v3/logout",
            "/logout",
            "logout",
            "*",
            "",
        ] {
            assert!(logout(&Method::POST, path).is_none(), "{path}");
        }
    }

    #[test]
    fn rule_6_of_all_prefixes_only_the_well_known_files_pass() {
        assert!(is_well_known("/.well-known/matrix/support"));
        for path in [
            "/.well-known",
            "/.well-knownx/matrix",
            "/.well-known/../_matrix/client/v3/sync",
            "/.well-known/%2e%2e/_matrix/client/v3/sync",
            "/.well-known/..%2f_matrix/client/v3/sync",
            "/.well-known/..\\_matrix/client/v3/sync",
            "/.well-known//x",
            "/_matrix/federation/v1/version",
            "/_matrix/key/v2/server",
            "/_matrix/media/v3/config",
            "/_matrix/client/v3/sync",
            "/_synapse/admin/v1/users",
        ] {
            assert!(!is_well_known(path), "{path}");
        }
    }

    #[test]
    fn rule_6_a_prefix_ends_at_a_segment() {
        assert!(is_below("/oauth2", "/oauth2"));
        assert!(is_below("/oauth2", "/oauth2/token"));
        assert!(is_below("/oauth2/", "/oauth2/token"));
        assert!(!is_below("/oauth2", "/oauth2x"));
        assert!(!is_below("/oauth2", "/oauth2/../_matrix/client/v3/sync"));
        assert!(!is_below("/oauth2/", "/oauth2//_matrix/client/v3/sync"));
    }

    #[test]
    fn rule_6_endpoints_that_authenticate_nobody_by_token() {
        for (method, path) in [
            (Method::GET, "/_matrix/client/v3/login"),
            (Method::POST, "/_matrix/client/r0/login"),
            (Method::GET, "/_matrix/client/v3/login/sso/redirect"),
            (Method::GET, "/_matrix/client/v3/login/sso/redirect/idp%3A1"),
            (Method::POST, "/_matrix/client/v3/register"),
            (Method::GET, "/_matrix/client/v3/register/available"),
            (
                Method::GET,
                "/_matrix/client/v1/register/m.login.registration_token/validity",
            ),
            (
                Method::POST,
                "/_matrix/client/v3/account/password/email/requestToken",
            ),
            (Method::POST, "/_matrix/client/v3/refresh"),
            (Method::GET, "/_matrix/client/v1/auth_metadata"),
        ] {
            assert!(ignores_access_token(&method, path), "{method} {path}");
        }
        for (method, path) in [
            (Method::POST, "/_matrix/client/v1/login/get_token"),
            (
                Method::GET,
                "/_matrix/client/v3/login/sso/redirect/../../../sync",
            ),
            (Method::GET, "/_matrix/client/v3/login/sso/redirect/%2e%2e"),
            (Method::GET, "/_matrix/client/v3/login/sso/redirect/a/b"),
            (Method::GET, "/_matrix/client/v3/login/sso/redirect/a%2fb"),
            (Method::POST, "/_matrix/client/v3/login/"),
            (Method::POST, "/_matrix/client/v3/%6cogin"),
            (Method::POST, "/_matrix/client/v3/account/password"),
            (Method::DELETE, "/_matrix/client/v3/login"),
            (Method::GET, "/_matrix/client/v3/sync"),
        ] {
            assert!(!ignores_access_token(&method, path), "{method} {path}");
        }
    }

    #[test]
    fn rule_10_a_body_that_names_an_account_is_found_in_any_spelling() {
        let found = |path| naming(&Method::POST, path);
        for path in [
            "/_matrix/client/v3/login",
            "/_matrix/client/r0/login",
            "/_matrix/client/api/v1/login",
            "/_matrix/client/unstable/org.example/login",
            "/_matrix/client/v3/login/",
            "/_matrix/client/v3//login",
            "/_matrix/client/v3/%6cOgin",
            "/_matrix/client/v3/login;x=1",
            "/_matrix%2fclient%2fv3%2flogin",
            "/_matrix/client/v3%c0%aflogin",
            "/_matrix/client/v3%u002flogin",
            "/_matrix/client/v3/login%20",
            "/_matrix/client/v3/%c1%acogin",
            "/base/_matrix/client/v3/login",
        ] {
            let naming = found(path).expect(path);
            assert_eq!(naming.endpoint, NamingEndpoint::Login, "{path}");
            assert!(naming.is_matrix, "{path}");
        }
        for path in [
            "/_matrix/client/v3/x/../login",
            "/_matrix/client/%2e%2e/login",
            "/_matrix/client/v3/login/x/..",
            "/_matrix/client/v3/account/..;/../deactivate",
            "/_matrix/client/v3/account/%2e%2e/../deactivate",
            "/_matrix/client/v3/login%3Fx=1",
            "/_matrix/client/v3/login%23",
            "/_matrix/client/v3/login%00.png",
            "/_matrix/client/v3/login/%23x",
            "/_matrix/client/%c0%ae%c0%ae/login",
            "/_matrix/client/%u002e%u002e/login",
        ] {
            let naming = found(path).expect(path);
            assert_eq!(naming.endpoint, NamingEndpoint::Unclear, "{path}");
            assert!(naming.is_matrix, "{path}");
        }
        // A router may have stripped what stood before; or it is another application's, whose
        // prefix can be excluded.
        for path in [
            "/login",
            "/v3/login",
            "/client/v3/login",
            "/foo/login",
            "/admin/refresh",
        ] {
            assert!(!found(path).expect(path).is_matrix, "{path}");
        }
        assert_eq!(
            found("/_matrix/client/v3/refresh").map(|naming| naming.endpoint),
            Some(NamingEndpoint::Refresh)
        );
        for path in [
            "/_matrix/client/v3/account/password",
            "/v3/account/deactivate",
        ] {
            let naming = found(path).expect(path);
            assert_eq!(naming.endpoint, NamingEndpoint::Reauthentication, "{path}");
        }
        for path in [
            "/",
            "*",
            "/_matrix/client/v3/logins",
            "/_matrix/client/v3/password",
            "/_matrix/client/v1/login/get_token",
            "/oauth2/v/login",
            "/admin/x/refresh",
        ] {
            assert_eq!(found(path), None, "{path}");
        }
        assert_eq!(naming(&Method::GET, "/_matrix/client/v3/login"), None);
    }

    #[test]
    fn rule_5_versions() {
        assert!(is_versions(&Method::GET, "/_matrix/client/versions"));
        assert!(!is_versions(&Method::POST, "/_matrix/client/versions"));
        assert!(!is_versions(&Method::GET, "/_matrix/client/versions/"));
    }
}
