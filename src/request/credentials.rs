//! Every access token in the head of a request.
//!
//! Servers differ in which token they take when there are several, and in how they read one. So
//! all of them count, in every reading that a server is likely to have: whichever the server
//! behind would pick, a restricted account does not pass with it. A reading that no server shares
//! costs a look-up of a token that is nobody's.

use std::{borrow::Cow, fmt};

use http::{HeaderMap, Uri, header::AUTHORIZATION};
use percent_encoding::percent_decode;

use super::few::{Few, MAX_PER_REQUEST, TooMany};
use crate::credential::AccessToken;

#[cfg(test)]
mod plain_token;

/// The access tokens of a request, and the users that it asserts to act for.
pub(crate) enum HeadCredentials<'a> {
    /// One token in one plain header, and nothing else: nearly every request. Apart from the
    /// others, so that nobody makes room for what is not there.
    Only(&'a [u8]),
    Collected(Collected<'a>),
}

impl<'a> HeadCredentials<'a> {
    /// Collects all of them, or says that there are too many to look up.
    pub(crate) fn read(headers: &'a HeaderMap, uri: &'a Uri) -> Result<Self, TooMany> {
        match the_only_token(headers, uri) {
            Some(token) => Ok(Self::Only(token)),
            None => Collected::read(headers, uri).map(Self::Collected),
        }
    }

    /// Every token with every asserted user, and alone where some server may see none.
    pub(crate) fn iter(&self) -> impl Iterator<Item = AccessToken<'_>> {
        let (only, collected) = match self {
            Self::Only(token) => (Some(AccessToken::new(*token)), None),
            Self::Collected(collected) => (None, Some(collected)),
        };
        only.into_iter()
            .chain(collected.into_iter().flat_map(Collected::iter))
    }

    /// Whether there is nothing but one token in one plain header.
    pub(crate) fn is_only(&self) -> bool {
        matches!(self, Self::Only(_))
    }

    /// Whether there is one token, which no server overlooks: a single `Bearer` header as the
    /// specification spells it. (Servers differ in whether they take a token from the query.)
    pub(crate) fn is_unmistakable(&self) -> bool {
        match self {
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
        let mut asserts_plainly = false;
        for value in headers.get_all(AUTHORIZATION) {
            let value = value.as_bytes();
            if let Some(token) = bearer_token(after_odd_space(value)) {
                found.push_header_token(token)?;
                found.has_plain_header |= value.strip_prefix(b"Bearer ") == Some(token);
                continue;
            }
            // A comma joins what were two headers.
            for joined in value.split(|&byte| byte == b',') {
                if let Some(token) = bearer_token(after_odd_space(joined)) {
                    found.push_header_token(token)?;
                }
            }
        }
        if let Some(query) = uri.query() {
            found.push_query(query)?;
            asserts_plainly = asserts_one_user_plainly(query);
        }
        found.may_assert_nobody = !asserts_plainly;
        if found.tokens.len() * found.assertions() > MAX_PER_REQUEST {
            return Err(TooMany);
        }
        Ok(found)
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
    /// repeated headers) or anything else that tokens do not have, each piece counts too.
    fn push_header_token(&mut self, token: &'a [u8]) -> Result<(), TooMany> {
        self.tokens.push(Cow::Borrowed(token))?;
        if !is_in_one_piece(token) {
            for piece in token.split(is_separator) {
                if !piece.is_empty() {
                    self.tokens.push(Cow::Borrowed(piece))?;
                }
            }
        }
        Ok(())
    }

    /// Splits the query at `&`, and again at `;`, which some parsers take for the same.
    fn push_query(&mut self, query: &'a str) -> Result<(), TooMany> {
        for pair in query.split('&') {
            self.push_pair(pair)?;
            if pair.contains(';') {
                for piece in pair.split(';') {
                    self.push_pair(piece)?;
                }
            }
        }
        Ok(())
    }

    fn push_pair(&mut self, pair: &'a str) -> Result<(), TooMany> {
        let Some((name, value)) = pair.split_once('=') else {
            return Ok(());
        };
        if value.is_empty() {
            return Ok(());
        }
        if decodes_to(name, "access_token") {
            for reading in readings(value) {
                self.tokens.push(reading)?;
            }
        } else if decodes_to(name, "user_id") {
            for reading in readings(value) {
                self.asserted_users.push(text(reading))?;
            }
        }
        Ok(())
    }
}

/// What separates the pieces of a token: nothing that stands in one, whatever server made it up.
fn is_separator(byte: &u8) -> bool {
    !byte.is_ascii_graphic() || *byte == b','
}

fn is_in_one_piece(token: &[u8]) -> bool {
    // Not `any`: looking at all of them at once is faster than stopping early.
    !token
        .iter()
        .fold(false, |found, byte| found | is_separator(byte))
}

/// The token of a request that nobody can misread: one header, as nearly every client writes it,
/// and nothing in the query. Whatever else there is takes the long way to the same result.
fn the_only_token<'a>(headers: &'a HeaderMap, uri: &Uri) -> Option<&'a [u8]> {
    // Where no header is repeated there are as many names as values.
    if headers.len() != headers.keys_len() || uri.query().is_some_and(may_be_in_query) {
        return None;
    }
    let token = headers
        .get(AUTHORIZATION)?
        .as_bytes()
        .strip_prefix(b"Bearer ")?;
    (!token.is_empty() && is_in_one_piece(token)).then_some(token)
}

/// The token of a `Bearer` header in any case, with any white space around it or none; `None` for
/// other schemes and where there is no token.
#[inline]
pub(crate) fn bearer_token(value: &[u8]) -> Option<&[u8]> {
    // As nearly every client writes it: seven bytes compared at once.
    let token = match value.strip_prefix(b"Bearer ") {
        Some(token) => token.trim_ascii(),
        None => return unusual_bearer_token(value),
    };
    (!token.is_empty()).then_some(token)
}

#[inline(never)]
fn unusual_bearer_token(value: &[u8]) -> Option<&[u8]> {
    let value = value.trim_ascii();
    let (scheme, token) = value.split_at_checked(b"bearer".len())?;
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return None;
    }
    let token = token.trim_ascii_start();
    (!token.is_empty()).then_some(token)
}

/// What follows white space of any kind: `trim` knows more than HTTP does, and servers use it.
fn after_odd_space(value: &[u8]) -> &[u8] {
    let start = value.iter().position(u8::is_ascii_graphic);
    &value[start.unwrap_or(0)..]
}

/// Whether every server finds the same `user_id` parameters in the query, and no empty one.
fn asserts_one_user_plainly(query: &str) -> bool {
    let mut is_there = false;
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if name == "user_id" && !value.is_empty() && !pair.contains(';') {
            is_there = true;
        } else if pair.split(';').any(|pair| {
            let name = pair.split('=').next().unwrap_or_default();
            decodes_to(name, "user_id")
        }) {
            return false;
        }
    }
    is_there
}

/// Whether a query may have a token or an asserted user, however it spells their names. Most have
/// neither, and looking closer costs more than this.
#[inline(never)]
pub(crate) fn may_be_in_query(query: &str) -> bool {
    // A name that is not encoded anywhere stands there as it is.
    query.contains('%') || query.contains("access_token") || query.contains("user_id")
}

fn decodes_to(encoded: &str, name: &str) -> bool {
    // A percent sign makes it longer, never shorter.
    encoded.len() >= name.len() && percent_decode(encoded.as_bytes()).eq(name.bytes())
}

/// The value as a URI means it, and as an HTML form means it where that differs: there a plus
/// sign is a space.
fn readings(value: &str) -> impl Iterator<Item = Cow<'_, [u8]>> {
    let as_form = value.contains('+').then(|| {
        let spaced = value.replace('+', " ");
        Cow::Owned(percent_decode(spaced.as_bytes()).collect())
    });
    std::iter::once(Cow::from(percent_decode(value.as_bytes()))).chain(as_form)
}

fn text(bytes: Cow<'_, [u8]>) -> Cow<'_, str> {
    match bytes {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

/// How many there are, and no token.
impl fmt::Debug for HeadCredentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tokens, asserted_users) = match self {
            Self::Only(_) => (1, 0),
            Self::Collected(found) => (found.tokens.len(), found.asserted_users.len()),
        };
        f.debug_struct("HeadCredentials")
            .field("tokens", &tokens)
            .field("asserted_users", &asserted_users)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, header::AUTHORIZATION};

    use super::{HeadCredentials, TooMany};
    use crate::credential::AccessToken;

    type Found = Result<Vec<(String, Option<String>)>, TooMany>;

    fn read(uri: &str, headers: &[&[u8]]) -> Found {
        let mut request = Request::builder().uri(uri);
        for &header in headers {
            request = request.header(AUTHORIZATION, header);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let found = HeadCredentials::read(&head.headers, &head.uri)?;
        let text = |access: AccessToken<'_>| {
            (
                String::from_utf8_lossy(access.token().expose()).into_owned(),
                access.asserted_user().map(str::to_owned),
            )
        };
        Ok(found.iter().map(text).collect())
    }

    fn tokens(uri: &str, headers: &[&[u8]]) -> Vec<String> {
        let found = read(uri, headers).expect("not too many");
        found.into_iter().map(|(token, _)| token).collect()
    }

    #[test]
    fn rule_7_a_bearer_header_in_any_case_with_any_white_space() {
        for header in [
            "Bearer t",
            "bearer t",
            "BEARER t",
            "bEaReR \t  t",
            "Bearer\tt",
            "  Bearer t  ",
            "\u{a0}Bearer t",
            "Basic dXNlcjpw, Bearer t",
            "Bearert",
        ] {
            assert_eq!(tokens("/", &[header.as_bytes()]), ["t"], "{header:?}");
        }
    }

    #[test]
    fn rule_9_no_token() {
        for header in [
            "",
            "Bearer",
            "Bearer ",
            "Bear t",
            "Basic dXNlcjpw",
            "Digest x",
            "t",
            "X-Matrix origin=a, key=\"b\",sig=\"Bearer t\"",
        ] {
            assert!(tokens("/", &[header.as_bytes()]).is_empty(), "{header:?}");
        }
        for uri in [
            "/",
            "/?",
            "/?access_token",
            "/?access_token=",
            "/?Access_token=t",
            "*",
        ] {
            assert!(tokens(uri, &[]).is_empty(), "{uri}");
        }
    }

    #[test]
    fn rule_7_names_and_values_of_the_query_are_percent_decoded() {
        for uri in [
            "/?access_token=a%2Db",
            "/?access%5Ftoken=a-b",
            "/?%61%63%63%65%73%73%5f%74%6F%6b%65%6e=%61%2d%62",
            "/?x=y&access_token=a-b&z",
            "/?x=y;access_token=a-b",
            "http://example.org/sync?access_token=a-b",
        ] {
            assert_eq!(tokens(uri, &[]), ["a-b"], "{uri}");
        }
    }

    #[test]
    fn rule_7_every_reading_of_an_odd_spelling_counts() {
        assert_eq!(tokens("/?access_token=a+b", &[]), ["a+b", "a b"]);
        assert_eq!(tokens("/?access_token=a;b", &[]), ["a;b", "a"]);
        assert_eq!(tokens("/", &[b"Bearer a b"]), ["a b", "a", "b"]);
        assert_eq!(
            tokens("/", &[b"Bearer a, Bearer b"]),
            ["a, Bearer b", "a", "Bearer", "b"]
        );
        assert_eq!(tokens("/", &["Bearer a\u{a0}".as_bytes()])[1], "a");
    }

    #[test]
    fn rule_7_all_headers_and_parameters_together() {
        let found = tokens(
            "/?access_token=c&access_token=d",
            &[b"Bearer a", b"Basic x", b"bearer b"],
        );
        assert_eq!(found, ["a", "b", "c", "d"]);
        let same = tokens(
            "/?access_token=a&access_token=%61",
            &[b"Bearer a", b"Bearer a"],
        );
        assert_eq!(same, ["a"]);
    }

    #[test]
    fn rule_7_more_than_four_distinct_ones_are_too_many() {
        let found = read(
            "/?access_token=c&access_token=d&access_token=e",
            &[b"Bearer a", b"Bearer b"],
        );
        assert_eq!(found, Err(TooMany));
        let pairs = "/?access_token=c&user_id=1&user_id=2&user_id=3";
        assert_eq!(read(pairs, &[b"Bearer a"]), Err(TooMany));
    }

    #[test]
    fn rule_8_an_asserted_user_goes_with_every_token() {
        let found = read("/?user_id=%40a%3Ab&access_token=u", &[b"Bearer t"]).unwrap();
        let user = Some("@a:b".to_owned());
        assert_eq!(
            found,
            [("t".to_owned(), user.clone()), ("u".to_owned(), user)]
        );
        assert_eq!(read("/?user_id=@a:b", &[]), Ok(vec![]));
    }

    #[test]
    fn bytes_of_any_kind_have_a_defined_answer() {
        let long = [b"Bearer ".as_slice(), &[b'x'; 65536]].concat();
        assert_eq!(tokens("/", &[&long])[0].len(), 65536);
        assert_eq!(tokens("/?access_token=%ff%00%zz%", &[]).len(), 1);
        assert_eq!(
            read("/?user_id=%ff", &[b"Bearer \xff\xfe"]).unwrap().len(),
            1
        );
    }
}
