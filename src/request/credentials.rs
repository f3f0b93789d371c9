//! Every access token in the head of a request.
//!
//! Servers differ in which token they take when there are several, and in how they read one. So
//! all of them count, in every reading that a server is likely to have: whichever the server
//! behind would pick, a restricted account does not pass with it. A reading that no server shares
//! costs a look-up of an unknown token.

use std::borrow::Cow;

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

/// All the tokens and asserted users, in all their readings.
pub(crate) struct Collected<'a> {
    pub(super) tokens: Few<Cow<'a, [u8]>>,
    pub(super) asserted_users: Few<Cow<'a, str>>,
    /// Whether some server may see no asserted user where another sees one.
    may_assert_nobody: bool,
    /// Whether a header has a token that every server sees, and sees alike.
    pub(super) has_plain_header: bool,
}

impl<'a> Collected<'a> {
    #[inline(never)]
    pub(super) fn read(headers: &'a HeaderMap, uri: &'a Uri) -> Result<Self, TooMany> {
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

    /// Each token alone as well, whatever it asserts.
    pub(super) fn and_alone(mut self) -> Result<Self, TooMany> {
        self.may_assert_nobody = true;
        self.check_number()?;
        Ok(self)
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

    pub(super) fn iter(&self) -> impl Iterator<Item = AccessToken<'_>> {
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
