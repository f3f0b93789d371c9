//! The head of a request, with the path that the rules use.

use std::borrow::Cow;

use http::{HeaderMap, HeaderValue, Method, Request, Uri};

use super::{
    act::Act,
    class::Class,
    credentials::HeadCredentials,
    few::TooMany,
    request_path::{KeptPath, RequestPath},
};

/// The head of a request.
pub(crate) struct Head<'a> {
    pub(crate) method: &'a Method,
    uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) path: Cow<'a, str>,
    /// Whether the path is the one that the settings ask for.
    pub(crate) knows_path: bool,
}

impl<'a> Head<'a> {
    pub(crate) fn of<B>(request: &'a Request<B>, path: &RequestPath) -> Self {
        let found = path.of(request.uri(), request.extensions());
        Self {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            path: found.path,
            knows_path: found.is_known,
        }
    }

    /// Keeps the path, because the request is about to move.
    pub(crate) fn keep_path(self) -> KeptPath {
        KeptPath::new(self.path, self.uri)
    }

    /// The head of the same request where it has moved to.
    pub(crate) fn of_moved(
        method: &'a Method,
        uri: &'a Uri,
        headers: &'a HeaderMap,
        path: &'a KeptPath,
    ) -> Self {
        Self {
            method,
            uri,
            headers,
            path: Cow::Borrowed(path.of(uri)),
            // A path that the settings' function could not tell has been dealt with by now.
            knows_path: true,
        }
    }

    /// Whether the path is not known and may be one whose body names accounts.
    #[inline]
    pub(crate) fn may_name_accounts_unseen(&self) -> bool {
        !self.knows_path && self.method == Method::POST
    }

    /// The act that the request is for.
    pub(crate) fn act(&self) -> Act<'_> {
        Act::Request {
            method: self.method,
            path: &self.path,
        }
    }

    pub(crate) fn credentials(&self) -> Result<HeadCredentials<'a>, TooMany> {
        HeadCredentials::read(self.headers, self.uri)
    }

    /// Those that count in a request of this class.
    ///
    /// Where an application service logs in or registers, no server uses the user that it asserts, so that
    /// the state of its own account counts there.
    pub(crate) fn credentials_for(&self, class: Class) -> Result<HeadCredentials<'a>, TooMany> {
        let credentials = self.credentials()?;
        match class.may_authenticate_service_itself() {
            true => credentials.and_alone(),
            false => Ok(credentials),
        }
    }

    /// Whether its one access token is one that every server uses.
    pub(crate) fn has_unmistakable_token(&self) -> bool {
        self.credentials()
            .is_ok_and(|credentials| credentials.is_unmistakable())
    }
}

/// The token of a plain header.
pub(crate) fn plain_token(header: &HeaderValue) -> Option<&[u8]> {
    header.as_bytes().strip_prefix(b"Bearer ")
}
