//! The tokens of one `Authorization` header.

use crate::request::{blocks, few::TooMany};

/// The scheme, in lower case.
const BEARER: &[u8] = b"bearer";

/// More words, commas or quotation marks than any client's header has among which a token is to be
/// found. Each has to be looked at, so a header full of them would be expensive.
pub(super) const MAX_MARKS: usize = 64;

/// Hands every token in the value of a header to `push`, which pieces of it apart.
pub(super) fn each_token<'a>(
    value: &'a [u8],
    mut push: impl FnMut(&'a [u8]) -> Result<(), TooMany>,
) -> Result<(), TooMany> {
    if let Some(token) = bearer_token(after_odd_space(value)) {
        return push(token);
    }
    match is_signature(value) {
        // A server that looks for the scheme anywhere finds it wherever it is.
        false => each_bearer_inside(value, push),
        true => each_bearer_beside_signature(value, push),
    }
}

/// The token of a `Bearer` header in any case, with any white space around it or none; `None` for
/// other schemes and where there is no token.
#[inline]
fn bearer_token(value: &[u8]) -> Option<&[u8]> {
    // As nearly every client writes it: seven bytes compared at once.
    let token = match value.strip_prefix(b"Bearer ") {
        Some(token) => trim_start(token.trim_ascii_end()),
        None => return unusual_bearer_token(value),
    };
    (!token.is_empty()).then_some(token)
}

#[inline(never)]
fn unusual_bearer_token(value: &[u8]) -> Option<&[u8]> {
    let value = value.trim_ascii_end();
    let token = trim_start(after_scheme(trim_start(value), BEARER)?);
    (!token.is_empty()).then_some(token)
}

/// As `trim_ascii_start`, which is slow where there is much of it.
fn trim_start(value: &[u8]) -> &[u8] {
    // Without branches, so that many bytes are compared at a time.
    let is_space =
        |byte| (byte == b' ') | (byte == b'\t') | (byte == b'\n') | (byte == b'\r') | (byte == 0xc);
    let start = blocks::position(value, |byte| !is_space(byte));
    &value[start.unwrap_or(value.len())..]
}

/// What follows `scheme`, which is in lower case.
fn after_scheme<'a>(value: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = value.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// What follows white space of any kind: `trim` knows more than HTTP does, and servers use it.
fn after_odd_space(value: &[u8]) -> &[u8] {
    let start = blocks::position(value, |byte| byte.is_ascii_graphic());
    &value[start.unwrap_or(0)..]
}

/// Whether it is the signature of another server, whatever it says.
///
/// The scheme ends at a blank, as it does for Synapse and ruma. To a server that looks for `Bearer`
/// anywhere, `X-Matrixy Bearer …` is a token.
fn is_signature(value: &[u8]) -> bool {
    let rest = after_scheme(trim_start(value), b"x-matrix");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b' ' | b'\t')))
}

/// The word after each `Bearer`, in any case.
fn each_bearer_inside<'a>(
    value: &'a [u8],
    mut push: impl FnMut(&'a [u8]) -> Result<(), TooMany>,
) -> Result<(), TooMany> {
    let mut rest = value;
    let mut words = 0;
    while let Some(at) = find_bearer(rest) {
        count(&mut words)?;
        rest = &rest[at + BEARER.len()..];
        let token = after_odd_space(rest);
        // Without white space it is the end of another word, and without more no token.
        if token.len() == rest.len() || !token[0].is_ascii_graphic() {
            continue;
        }
        let end = blocks::position(token, |byte| !byte.is_ascii_graphic());
        push(&token[..end.unwrap_or(token.len())])?;
    }
    Ok(())
}

/// No parameter of a signature is a token. A comma outside of them joins what were two headers.
fn each_bearer_beside_signature<'a>(
    value: &'a [u8],
    mut push: impl FnMut(&'a [u8]) -> Result<(), TooMany>,
) -> Result<(), TooMany> {
    // Most signatures stand alone.
    if find_bearer(value).is_none() {
        return Ok(());
    }
    let (mut rest, mut at, mut is_quoted) = (value, 0, false);
    let mut marks = 0;
    loop {
        let next = blocks::position(&rest[at..], |byte| (byte == b',') | (byte == b'"'));
        at += next.unwrap_or(rest.len() - at);
        match rest.get(at) {
            Some(b'"') => is_quoted = !is_quoted,
            Some(_) if is_quoted => {}
            comma => {
                if let Some(token) = bearer_token(after_odd_space(&rest[..at])) {
                    push(token)?;
                }
                if comma.is_none() {
                    return Ok(());
                }
                rest = &rest[at + 1..];
                at = 0;
                count(&mut marks)?;
                continue;
            }
        }
        at += 1;
        count(&mut marks)?;
    }
}

fn count(marks: &mut usize) -> Result<(), TooMany> {
    *marks += 1;
    match *marks > MAX_MARKS {
        true => Err(TooMany),
        false => Ok(()),
    }
}

/// Where the word is, in any case.
fn find_bearer(value: &[u8]) -> Option<usize> {
    // Without branches: a header may be full of words that begin alike.
    blocks::find(value, |word: &[u8; BEARER.len()]| {
        let letters = BEARER.iter().zip(word);
        letters.fold(true, |is, (letter, byte)| is & (byte | 0x20 == *letter))
    })
}
