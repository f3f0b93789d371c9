//! What a request is, as far as the rules need to know. Each request that may be anything but ordinary is
//! classified once.

use std::cell::LazyCell;

use http::Method;

use super::{
    act::Act,
    long_poll::{self, LongPoll, UsualPoll},
    naming::{self, Naming, NamingEndpoint},
    path::{CLIENT_API, Forgiving, is_one_plain_segment, is_plain},
};
use crate::{action::Action, credential::Logout};

/// The class of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class {
    /// It passes whatever the state of any account is.
    pub(crate) passes: bool,
    /// Which of its access tokens say whose it is.
    pub(crate) tokens: CountedTokens,
    /// Its body may name accounts.
    pub(crate) naming: Option<Naming>,
    /// It waits for news.
    pub(crate) long_poll: Option<LongPoll>,
    /// It ends sessions, if it is answered with success.
    pub(crate) logout: Option<Logout>,
}

impl Class {
    pub(crate) fn of(act: Act<'_>, exemptions: &Exemptions) -> Self {
        match act {
            Act::Request { method, path } => Self::of_request(method, path, exemptions),
            Act::Event(_) => Self::ORDINARY,
            // A restricted account may still log out.
            Act::Action(action) => Self {
                passes: action == Action::LogOut,
                ..Self::ORDINARY
            },
        }
    }

    /// The class of one of the [usual long polls](long_poll::USUAL_POLLS) that is not exempt.
    pub(crate) fn of_usual(usual: &UsualPoll) -> Self {
        Self {
            long_poll: Some(usual.kind),
            ..Self::ORDINARY
        }
    }

    fn of_request(method: &Method, path: &str, exemptions: &Exemptions) -> Self {
        if let Some(logout) = logout(method, path) {
            return Self {
                passes: true,
                logout: Some(logout),
                ..Self::ORDINARY
            };
        }
        // Few paths must be read in this way.
        let forgiving = LazyCell::new(|| Forgiving::read(path));
        let naming = match *method {
            Method::POST => naming::naming(path, &forgiving),
            _ => None,
        };
        if exemptions.let_pass(method, path) {
            return Self {
                passes: true,
                // The handler may ask the guard, if the check of its endpoint is left to it.
                naming,
                ..Self::ORDINARY
            };
        }
        Self {
            passes: false,
            tokens: counted_tokens(method, path),
            naming,
            long_poll: long_poll::long_poll(method, path, &forgiving),
            logout: None,
        }
    }

    /// Whether an application service may act as itself here, even if it asserts a user.
    pub(crate) fn may_authenticate_service_itself(&self) -> bool {
        self.naming.is_some_and(|naming| {
            use NamingEndpoint::{GuestUpgrade, Login, Unclear};
            matches!(naming.endpoint, Login | GuestUpgrade | Unclear)
        })
    }

    /// Whether a client signs out when this fails, whatever the answer says.
    pub(crate) fn is_refresh(&self) -> bool {
        self.naming
            .is_some_and(|naming| naming.endpoint == NamingEndpoint::Refresh)
    }

    /// Nearly every request: only its tokens say whose it is.
    const ORDINARY: Self = Self {
        passes: false,
        tokens: CountedTokens::All,
        naming: None,
        long_poll: None,
        logout: None,
    };

    /// Whether the request may be anything but ordinary for an active account, by its path. `false` is a
    /// promise.
    #[inline]
    pub(crate) fn may_be_special(method: &Method, path: &str) -> bool {
        long_poll::may_be_long_poll(path)
            || (method == Method::POST && (naming::may_name_accounts(path) || is_logout(path)))
    }
}

/// The requests that the settings let pass whatever the state of the account, beside those that always
/// pass.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exemptions {
    pub(crate) endpoints: Vec<(Method, Box<str>)>,
    pub(crate) versions: bool,
    pub(crate) prefixes: Vec<Box<str>>,
}

impl Exemptions {
    /// Whether a request that is no logout passes whatever the store says or fails to say.
    fn let_pass(&self, method: &Method, path: &str) -> bool {
        method == Method::OPTIONS
            || (self.versions && is_versions(method, path))
            || self
                .endpoints
                .iter()
                .any(|(exempt, exact)| exempt == method && **exact == *path)
            || is_well_known(path)
            || self.prefixes.iter().any(|prefix| is_below(prefix, path))
    }
}

/// `POST /logout` and `POST /logout/all`, which a locked account may still send
/// ([account locking](https://spec.matrix.org/latest/client-server-api/#account-locking)).
///
/// Only the raw path counts, because a looser match than the router's would be a way past the lock.
fn logout(method: &Method, path: &str) -> Option<Logout> {
    match *method {
        Method::POST => logout_of(path),
        _ => None,
    }
}

/// Whether a `POST` with this path is a logout.
#[inline]
pub(crate) fn is_logout(path: &str) -> bool {
    const ONE: usize = "/_matrix/client/v3/logout".len();
    const ALL: usize = "/_matrix/client/v3/logout/all".len();
    // Nearly every path has another length.
    matches!(path.len(), ONE | ALL) && logout_of(path).is_some()
}

fn logout_of(path: &str) -> Option<Logout> {
    match path {
        "/_matrix/client/v3/logout" | "/_matrix/client/r0/logout" => Some(Logout::Session),
        "/_matrix/client/v3/logout/all" | "/_matrix/client/r0/logout/all" => {
            Some(Logout::AllSessions)
        }
        _ => None,
    }
}

/// `GET /_matrix/client/versions`.
fn is_versions(method: &Method, path: &str) -> bool {
    is_read(method) && path == "/_matrix/client/versions"
}

/// Whether the path is below `/.well-known/`, where a locked client finds its server's support
/// contact.
///
/// The other Matrix APIs are judged as the Client-Server API is. The specification has no access tokens
/// there, so that no client that follows it is refused, but some servers accept one.
fn is_well_known(path: &str) -> bool {
    path.strip_prefix("/.well-known/").is_some_and(is_plain)
}

/// Whether `path` is at or below `prefix`, however a router reads it.
fn is_below(prefix: &str, path: &str) -> bool {
    let Some(rest) = path.strip_prefix(prefix) else {
        return false;
    };
    if prefix.ends_with('/') || rest.is_empty() {
        return is_plain(rest);
    }
    rest.strip_prefix('/').is_some_and(is_plain)
}

/// Whether the specification authenticates no one by access token here. A token in the head of such a
/// request is left over from the client's previous account.
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
    /// Those of application services. They authenticate a login or a registration as a service, and no
    /// one else there.
    OfServices,
    None,
}

fn counted_tokens(method: &Method, path: &str) -> CountedTokens {
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

#[cfg(test)]
mod tests {
    use http::Method;

    use super::{
        Class, Exemptions, ignores_access_token, is_below, is_logout, is_versions, is_well_known,
        logout,
    };
    use crate::request::long_poll::USUAL_POLLS;

    #[test]
    fn rule_16_a_usual_long_poll_has_the_class_of_any_other() {
        for usual in &USUAL_POLLS {
            let class = Class::of(usual.act(), &Exemptions::default());
            assert_eq!(Class::of_usual(usual), class, "{usual:?}");
        }
    }

    #[test]
    fn rule_5_the_allow_list_is_exact() {
        for version in ["r0", "v3"] {
            for end in ["logout", "logout/all"] {
                let path = format!("/_matrix/client/{version}/{end}");
                assert!(logout(&Method::POST, &path).is_some(), "{path}");
                assert!(is_logout(&path), "{path}");
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
    fn rule_5_versions() {
        assert!(is_versions(&Method::GET, "/_matrix/client/versions"));
        assert!(!is_versions(&Method::POST, "/_matrix/client/versions"));
        assert!(!is_versions(&Method::GET, "/_matrix/client/versions/"));
    }
}
