//! The endpoints that the routers of these tests have.

use std::sync::LazyLock;

use http::Method;

/// An endpoint: a method, or `None` for all of them, and a path with parameters in braces; a
/// parameter `{*rest}` at the end takes the rest.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) method: Option<Method>,
    pub(crate) path: String,
}

/// A prefix that the layer of these tests excludes.
pub(crate) const EXCLUDED: &str = "/oauth2";

/// Every endpoint of the specification under each of its names, the other APIs, and what servers
/// have besides.
pub(crate) static ENDPOINTS: LazyLock<Vec<Endpoint>> = LazyLock::new(|| {
    let mut all = Vec::new();
    for line in include_str!("../data/cs-endpoints.tsv").lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [method, path, _, r0] = columns[..] else {
            panic!("four columns: {line}");
        };
        let method: Method = method.parse().expect("a method");
        for path in r0.split(',').filter(|&r0| r0 != "-").chain([path]) {
            all.push(Endpoint {
                method: Some(method.clone()),
                path: path.to_owned(),
            });
        }
    }
    for path in [
        "/_matrix/federation/{*rest}",
        "/_matrix/key/{*rest}",
        "/_matrix/app/{*rest}",
        "/_matrix/identity/{*rest}",
        "/_matrix/push/{*rest}",
        "/_matrix/policy/{*rest}",
        "/_synapse/admin/{*rest}",
        "/.well-known/{*rest}",
        "/oauth2/{*rest}",
    ] {
        all.push(Endpoint {
            method: None,
            path: path.to_owned(),
        });
    }
    all.sort_by(|a, b| {
        (&a.path, a.method.as_ref().map(Method::as_str))
            .cmp(&(&b.path, b.method.as_ref().map(Method::as_str)))
    });
    all.dedup_by(|a, b| a.path == b.path && a.method == b.method);
    all
});

impl Endpoint {
    /// Whether a locked account may reach it: rules 5 and 6, from the endpoint's side.
    pub(crate) fn is_open_to_the_locked(&self) -> bool {
        if ["/.well-known/", EXCLUDED]
            .iter()
            .any(|prefix| self.path.starts_with(prefix))
        {
            return true;
        }
        let Some(method) = &self.method else {
            return false;
        };
        let path = self.path.replace("/r0/", "/v3/");
        let path = path.strip_prefix("/_matrix/client/").unwrap_or_default();
        match method.as_str() {
            "POST" => {
                path.ends_with("/requestToken")
                    || [
                        "v3/logout",
                        "v3/logout/all",
                        "v3/login",
                        "v3/refresh",
                        "v3/register",
                    ]
                    .contains(&path)
            }
            "GET" => [
                "v3/login",
                "v3/login/sso/redirect",
                "v3/login/sso/redirect/{idpId}",
                "v3/register/available",
                "v1/register/m.login.registration_token/validity",
                "v1/auth_metadata",
            ]
            .contains(&path),
            _ => false,
        }
    }

    /// Which of the endpoints it is whose body names an account.
    pub(crate) fn names_account(&self) -> Option<Names> {
        if self.method != Some(Method::POST) || !self.path.starts_with("/_matrix/client/") {
            return None;
        }
        if self.path.ends_with("/account/password") || self.path.ends_with("/account/deactivate") {
            return Some(Names::Auth);
        }
        match self.path.rsplit('/').next()? {
            "login" => Some(Names::Identifier),
            "refresh" => Some(Names::RefreshToken),
            _ => None,
        }
    }
}

/// How a body names an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    Identifier,
    RefreshToken,
    Auth,
}
