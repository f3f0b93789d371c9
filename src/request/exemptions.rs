//! What the user lets pass whatever the state of the account is.

use http::Method;

use super::endpoint;

/// Endpoints and prefixes beside those that pass anyway.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exemptions {
    pub(crate) endpoints: Vec<(Method, Box<str>)>,
    pub(crate) versions: bool,
    pub(crate) prefixes: Vec<Box<str>>,
}

impl Exemptions {
    /// Whether the request passes whatever the store says or fails to say.
    pub(crate) fn let_pass(&self, method: &Method, path: &str) -> bool {
        method == Method::OPTIONS
            || endpoint::logout(method, path).is_some()
            || (self.versions && endpoint::is_versions(method, path))
            || self
                .endpoints
                .iter()
                .any(|(exempt, exact)| exempt == method && **exact == *path)
            || endpoint::is_well_known(path)
            || self
                .prefixes
                .iter()
                .any(|prefix| endpoint::is_below(prefix, path))
    }
}
