//! The head of a request: the path that the rules use, and the credentials.

use std::{borrow::Cow, fmt};

use http::{HeaderMap, HeaderValue, Method, Request, Uri, header::AUTHORIZATION};

use super::{
    act::Act,
    class::Class,
    credentials::{Collected, is_in_one_piece, may_be_in_query},
    few::TooMany,
    request_path::{KeptPath, RequestPath},
};
use crate::credential::AccessToken;

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

/// The access tokens of a request, and the users that it asserts to act for.
pub(crate) enum HeadCredentials<'a> {
    /// Neither a header nor anything in the query that could be one.
    Nothing,
    /// One token in one plain header, and nothing else: nearly every request. Apart from the
    /// others, so that nobody makes room for what is not there.
    Only(&'a [u8]),
    Collected(Collected<'a>),
}

impl<'a> HeadCredentials<'a> {
    /// Collects all of them, or says that there are too many to look up.
    pub(crate) fn read(headers: &'a HeaderMap, uri: &'a Uri) -> Result<Self, TooMany> {
        match Self::read_plain(headers, uri) {
            Some(plain) => Ok(plain),
            None => Collected::read(headers, uri).map(Self::Collected),
        }
    }

    /// Each token alone as well, whatever it asserts.
    fn and_alone(self) -> Result<Self, TooMany> {
        match self {
            Self::Collected(found) => found.and_alone().map(Self::Collected),
            plain => Ok(plain),
        }
    }

    /// What nobody can misread: no token, or one in one header, as nearly every client writes it,
    /// and nothing in the query. Whatever else there is takes the long way to the same result.
    pub(super) fn read_plain(headers: &'a HeaderMap, uri: &Uri) -> Option<Self> {
        if uri.query().is_some_and(may_be_in_query) {
            return None;
        }
        let Some(header) = headers.get(AUTHORIZATION) else {
            return Some(Self::Nothing);
        };
        let token = header.as_bytes().strip_prefix(b"Bearer ")?;
        // Where no header is repeated there are as many names as values.
        let is_only = || {
            headers.len() == headers.keys_len()
                || headers.get_all(AUTHORIZATION).iter().nth(1).is_none()
        };
        (is_only() && !token.is_empty() && is_in_one_piece(token)).then_some(Self::Only(token))
    }

    /// Every token with every asserted user, and alone where some server may see none.
    pub(crate) fn iter(&self) -> impl Iterator<Item = AccessToken<'_>> {
        let (only, collected) = match self {
            Self::Nothing => (None, None),
            Self::Only(token) => (Some(AccessToken::new(*token)), None),
            Self::Collected(collected) => (None, Some(collected)),
        };
        only.into_iter()
            .chain(collected.into_iter().flat_map(Collected::iter))
    }

    /// Whether there is one token, which no server overlooks: a single `Bearer` header as the
    /// specification spells it. (Servers differ in whether they take a token from the query.)
    pub(crate) fn is_unmistakable(&self) -> bool {
        match self {
            Self::Nothing => false,
            Self::Only(_) => true,
            Self::Collected(collected) => collected.has_plain_header && collected.tokens.len() == 1,
        }
    }
}

/// How many there are, and no token.
impl fmt::Debug for HeadCredentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tokens, asserted_users) = match self {
            Self::Nothing => (0, 0),
            Self::Only(_) => (1, 0),
            Self::Collected(found) => (found.tokens.len(), found.asserted_users.len()),
        };
        f.debug_struct("HeadCredentials")
            .field("tokens", &tokens)
            .field("asserted_users", &asserted_users)
            .finish_non_exhaustive()
    }
}

/// The token of a plain header.
pub(crate) fn plain_token(header: &HeaderValue) -> Option<&[u8]> {
    header.as_bytes().strip_prefix(b"Bearer ")
}
