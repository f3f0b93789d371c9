//! The tokens and asserted users of a query.

use std::borrow::Cow;

use percent_encoding::{percent_decode, percent_decode_str};

use crate::request::{blocks, few::TooMany};

/// More parameters than any client sends. Parsers have limits of their own, from a thousand on,
/// past which they see none.
const MAX_PLAIN_PAIRS: usize = 256;

/// A longer query asserts nobody plainly: looking closely at all of it would be expensive.
const MAX_PLAIN_QUERY: usize = 8 * 1024;

/// A user id has at most so many bytes
/// ([user identifiers](https://spec.matrix.org/latest/appendices/#user-identifiers)).
const MAX_USER_ID: usize = 255;

const ACCESS_TOKEN: &str = "access_token";
const USER_ID: &str = "user_id";

pub(super) enum Value<'a> {
    Token(Cow<'a, [u8]>),
    AssertedUser(Cow<'a, str>),
}

/// Whether a query may have a token or an asserted user, however it spells their names. Most have
/// neither, and looking closer costs more than this.
#[inline(never)]
pub(crate) fn may_be_in_query(query: &str) -> bool {
    // A name that is not encoded anywhere stands there as it is. First what all of them have, in
    // one walk: a percent sign, which encodes nothing at the end, or what is around an underscore.
    blocks::any_pair(query.as_bytes(), |byte, next| {
        (byte == b'%') | ((next == b'_') & ((byte == b's') | (byte == b'r')))
    }) && (query.contains('%') || query.contains(ACCESS_TOKEN) || query.contains(USER_ID))
}

/// How much of a query is looked at closely: more than any client's query has. All of it may say
/// the same, so the number of distinct credentials does not bound what a long query costs.
struct Left {
    /// Pairs, whatever they are, and pieces of them. Some parsers have limits of a thousand.
    pairs: usize,
    /// Readings of the two parameters.
    readings: usize,
    /// Bytes of their values that have to be decoded.
    encoded: usize,
}

impl Left {
    const ALL: Self = Self {
        pairs: 1024,
        readings: 32,
        encoded: 16 * 1024,
    };
}

fn take(left: &mut usize, number: usize) -> Result<(), TooMany> {
    *left = left.checked_sub(number).ok_or(TooMany)?;
    Ok(())
}

/// Hands every value to `push`, in every reading. Splits the query at `&`, and each pair again at `;`,
/// which some parsers do as well, and at a second `?`, which some proxies drop or take for the first.
pub(super) fn each_value<'a>(
    query: &'a str,
    mut push: impl FnMut(Value<'a>) -> Result<(), TooMany>,
) -> Result<(), TooMany> {
    let mut left = Left::ALL;
    for pair in query.split('&') {
        push_pair(pair, &mut left, &mut push)?;
        for (separator, other) in [(';', '?'), ('?', ';')] {
            if !pair.contains(separator) {
                continue;
            }
            for piece in pair.split(separator) {
                push_pair(piece, &mut left, &mut push)?;
                if piece.contains(other) {
                    for piece in piece.split(other) {
                        push_pair(piece, &mut left, &mut push)?;
                    }
                }
            }
        }
    }
    Ok(())
}

fn push_pair<'a>(
    pair: &'a str,
    left: &mut Left,
    push: &mut impl FnMut(Value<'a>) -> Result<(), TooMany>,
) -> Result<(), TooMany> {
    take(&mut left.pairs, 1)?;
    let Some((name, value)) = pair.split_once('=') else {
        return Ok(());
    };
    // A percent sign makes a name longer, never shorter.
    if value.is_empty() || name.len() < USER_ID.len() {
        return Ok(());
    }
    let name = after_space(name);
    let is_token = decodes_to(name, ACCESS_TOKEN);
    if !is_token && !decodes_to(name, USER_ID) {
        return Ok(());
    }
    for reading in readings(value, left)? {
        take(&mut left.readings, 1)?;
        if !is_token {
            push(Value::AssertedUser(text(reading)))?;
            continue;
        }
        // Nothing but white space is no token.
        if reading.iter().all(|byte| *byte <= b' ') {
            continue;
        }
        let bare = without_space(&reading);
        let is_other = !bare.is_empty() && bare.len() < reading.len();
        let bare = is_other.then(|| bare.to_vec());
        push(Value::Token(reading))?;
        if let Some(bare) = bare {
            take(&mut left.readings, 1)?;
            push(Value::Token(bare.into()))?;
        }
    }
    Ok(())
}

/// A name without white space in front of it, encoded or not, as some server takes it.
fn after_space(name: &str) -> &str {
    let mut at = 0;
    loop {
        at += match name.as_bytes()[at..] {
            [b'%', high, low, ..] if encoded(high, low).is_some_and(is_space) => 3,
            // There may be many.
            [byte, ..] if is_space(byte) => {
                let end = blocks::position(&name.as_bytes()[at..], |byte| !is_space(byte));
                end.unwrap_or(name.len() - at)
            }
            _ => return &name[at..],
        };
    }
}

/// What stands behind a percent sign, or `None` if it encodes nothing.
fn encoded(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    };
    Some(digit(high)? << 4 | digit(low)?)
}

/// Whether some server takes it for `name`: encoded, with white space or a NUL behind it, or as the
/// name of one of several (`name[]`).
fn decodes_to(encoded: &str, name: &str) -> bool {
    let mut rest = percent_decode_str(encoded);
    name.bytes().all(|byte| rest.next() == Some(byte))
        && rest
            .next()
            .is_none_or(|byte| byte == b'[' || is_space(byte))
}

fn is_space(byte: u8) -> bool {
    (byte <= b' ') | (byte == b'+')
}

/// The value as a URI means it, and as an HTML form means it where that differs: there a plus
/// sign is a space. And once more decoded, as by a proxy and the server behind it.
fn readings<'a>(
    value: &'a str,
    left: &mut Left,
) -> Result<impl Iterator<Item = Cow<'a, [u8]>> + use<'a>, TooMany> {
    let (has_plus, has_percent) = (value.contains('+'), value.contains('%'));
    if has_plus || has_percent {
        take(&mut left.encoded, value.len())?;
    }
    let as_form = has_plus.then(|| {
        let spaced = value.replace('+', " ");
        Cow::Owned(percent_decode_str(&spaced).collect())
    });
    let once = match has_percent {
        true => Cow::from(percent_decode_str(value)),
        false => Cow::Borrowed(value.as_bytes()),
    };
    let is_encoded_again = has_percent && once.contains(&b'%');
    let twice = is_encoded_again.then(|| Cow::Owned(percent_decode(&once).collect()));
    Ok(std::iter::once(once).chain(as_form).chain(twice))
}

/// A token without what a server may trim, and up to a NUL, which ends a text in C.
fn without_space(token: &[u8]) -> &[u8] {
    let is_graphic = |byte: &u8| byte.is_ascii_graphic();
    let Some(start) = token.iter().position(is_graphic) else {
        return &[];
    };
    let token = &token[start..];
    let end = blocks::position(token, |byte| byte == 0);
    let token = &token[..end.unwrap_or(token.len())];
    let end = token
        .iter()
        .rposition(is_graphic)
        .map_or(0, |last| last + 1);
    &token[..end]
}

fn text(bytes: Cow<'_, [u8]>) -> Cow<'_, str> {
    match bytes {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

/// Whether every server reads the same asserted user from the query, and all of the user id.
///
/// What is malformed anywhere may make a parser drop that pair, or all of them: Go's drops pairs
/// with a semicolon or a malformed encoding. And what is no whole user id may be dropped by a
/// server that checks it.
pub(super) fn asserts_one_user_plainly(query: &str) -> bool {
    if query.len() > MAX_PLAIN_QUERY {
        return false;
    }
    let mut user = None;
    for (count, pair) in query.split('&').enumerate() {
        if count == MAX_PLAIN_PAIRS || !is_well_formed(pair) {
            return false;
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if name == USER_ID {
            if user.is_some_and(|user| user != value) {
                return false;
            }
            user = Some(value);
        } else if resembles_user_id(name) {
            return false;
        }
    }
    user.is_some_and(is_whole_user_id)
}

/// Whether no parser has a reason to drop it, or to read it otherwise than others.
fn is_well_formed(pair: &str) -> bool {
    let is_odd = |byte: u8| {
        !byte.is_ascii_graphic() || matches!(byte, b';' | b'?' | b'"' | b'<' | b'>' | b'\\')
    };
    if !pair.contains('=') {
        return false;
    }
    let (mut rest, mut is_ascii) = (pair.as_bytes(), true);
    while let [byte, after @ ..] = rest {
        let (decoded, after) = match (byte, after) {
            (b'%', [high, low, after @ ..]) => (encoded(*high, *low), after),
            (b'%', _) => (None, after),
            (byte, _) => (Some(*byte).filter(|byte| !is_odd(*byte)), after),
        };
        let Some(decoded) = decoded.filter(|byte| !byte.is_ascii_control()) else {
            return false;
        };
        is_ascii &= decoded.is_ascii();
        rest = after;
    }
    is_ascii
        || percent_decode_str(pair)
            .decode_utf8()
            .is_ok_and(|text| !text.contains(char::is_control))
}

/// Whether some server may take it for the name of the parameter: encoded, in another case, or as
/// the name of one of several.
fn resembles_user_id(name: &str) -> bool {
    let mut letters = percent_decode_str(name).filter(|byte| !matches!(byte, b' ' | b'+'));
    USER_ID.bytes().all(|expected| {
        letters
            .next()
            .is_some_and(|byte| byte.to_ascii_lowercase() == expected)
    })
}

fn is_whole_user_id(value: &str) -> bool {
    if value.contains('+') {
        return false;
    }
    let Ok(user) = percent_decode_str(value).decode_utf8() else {
        return false;
    };
    // A percent sign that is left may be decoded once more.
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'%';
    let names_both = user
        .strip_prefix('@')
        .and_then(|rest| rest.split_once(':'))
        .is_some_and(|(localpart, server)| !localpart.is_empty() && !server.is_empty());
    names_both && user.len() <= MAX_USER_ID && user.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::may_be_in_query;

    /// The walk that comes first overlooks no spelling of a name, wherever it is.
    #[test]
    fn rule_7_no_spelling_of_a_name_in_the_query_is_overlooked() {
        for name in ["access_token", "user_id"] {
            let mut spellings = vec![name.to_owned()];
            for (at, byte) in name.bytes().enumerate() {
                let (before, after) = (&name[..at], &name[at + 1..]);
                spellings.push(format!("{before}%{byte:02x}{after}"));
                spellings.push(format!("{before}%{byte:02X}{after}"));
            }
            for spelling in spellings {
                for before in [
                    "",
                    "x&",
                    "x;",
                    "since=s_1&",
                    "_&",
                    "dir=b&limit=20&from=t1&",
                ] {
                    for after in ["=t", "=t&limit=20", "=%", "=&x_y=z"] {
                        let query = format!("{before}{spelling}{after}");
                        assert!(may_be_in_query(&query), "{query}");
                    }
                }
            }
        }
        for query in ["", "_", "s_", "limit=20&dir=b", "since=s72594_4483_1934"] {
            assert!(!may_be_in_query(query), "{query}");
        }
    }
}
