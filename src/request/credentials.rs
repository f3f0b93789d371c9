//! Every access token in the head of a request.
//!
//! Servers differ in which token they take when there are several, and in how they read one. So
//! all of them count, in every reading that a server is likely to have: whichever the server
//! behind would pick, a restricted account does not pass with it. A reading that no server shares
//! costs a look-up of an unknown token.

use std::{borrow::Cow, fmt};

use http::{HeaderMap, Uri, header::AUTHORIZATION};

pub(crate) use query::may_be_in_query;

use super::{
    blocks,
    few::{Few, MAX_PER_REQUEST, TooMany},
};
use crate::credential::AccessToken;

mod header;
#[cfg(test)]
mod plain_token;
mod query;
#[cfg(test)]
mod tests;

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
    pub(crate) fn and_alone(mut self) -> Result<Self, TooMany> {
        if let Self::Collected(found) = &mut self {
            found.may_assert_nobody = true;
            found.check_number()?;
        }
        Ok(self)
    }

    /// What nobody can misread: no token, or one in one header, as nearly every client writes it,
    /// and nothing in the query. Whatever else there is takes the long way to the same result.
    fn read_plain(headers: &'a HeaderMap, uri: &Uri) -> Option<Self> {
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

/// All the tokens and asserted users, in all their readings.
pub(crate) struct Collected<'a> {
    tokens: Few<Cow<'a, [u8]>>,
    asserted_users: Few<Cow<'a, str>>,
    /// Whether some server may see no asserted user where another sees one.
    may_assert_nobody: bool,
    /// Whether a header has a token that every server sees, and sees alike.
    has_plain_header: bool,
}

impl<'a> Collected<'a> {
    #[inline(never)]
    fn read(headers: &'a HeaderMap, uri: &'a Uri) -> Result<Self, TooMany> {
        let mut found = Self {
            tokens: Few::new(),
            asserted_users: Few::new(),
            may_assert_nobody: true,
            has_plain_header: false,
        };
        for value in headers.get_all(AUTHORIZATION) {
            let value = value.as_bytes();
            header::each_token(value, |token| {
                found.has_plain_header |= value.strip_prefix(b"Bearer ") == Some(token);
                found.push_header_token(token)
            })?;
        }
        if let Some(query) = uri.query() {
            query::each_value(query, |value| match value {
                query::Value::Token(token) => found.tokens.push(token),
                query::Value::AssertedUser(user) => found.asserted_users.push(user),
            })?;
            found.may_assert_nobody =
                found.asserted_users.is_empty() || !query::asserts_one_user_plainly(query);
        }
        found.check_number()?;
        Ok(found)
    }

    fn check_number(&self) -> Result<(), TooMany> {
        match self.tokens.len() * self.assertions() > MAX_PER_REQUEST {
            true => Err(TooMany),
            false => Ok(()),
        }
    }

    /// With how many asserted users, or none, each token may have been sent.
    fn assertions(&self) -> usize {
        self.asserted_users.len() + usize::from(self.may_assert_nobody)
    }

    fn iter(&self) -> impl Iterator<Item = AccessToken<'_>> {
        self.tokens.iter().flat_map(|token| {
            let alone = AccessToken::new(&**token);
            self.asserted_users
                .iter()
                .map(move |user| alone.with_asserted_user(user))
                .chain(self.may_assert_nobody.then_some(alone))
        })
    }

    /// A token in a header counts as a whole, and where it has white space, commas (which join
    /// repeated headers), quotation marks or anything else that tokens do not have, each piece counts too.
    fn push_header_token(&mut self, token: &'a [u8]) -> Result<(), TooMany> {
        self.tokens.push(Cow::Borrowed(token))?;
        let mut rest = token;
        for marks in 0..=header::MAX_MARKS {
            let end = blocks::position(rest, is_separator);
            if (marks, end) == (0, None) {
                return Ok(());
            }
            let piece = &rest[..end.unwrap_or(rest.len())];
            if !piece.is_empty() {
                self.tokens.push(Cow::Borrowed(piece))?;
            }
            let Some(end) = end else {
                return Ok(());
            };
            rest = &rest[end + 1..];
        }
        Err(TooMany)
    }
}

/// What separates the pieces of a token: nothing that is in one, whatever server made it up.
#[inline]
fn is_separator(byte: u8) -> bool {
    // Not `matches!` and `||`: without branches many bytes are compared at a time.
    !byte.is_ascii_graphic() | (byte == b',') | (byte == b';') | (byte == b'"')
}

/// Whether a token in a header counts as a whole and nothing else.
pub(crate) fn is_in_one_piece(token: &[u8]) -> bool {
    !blocks::any(token, is_separator)
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
