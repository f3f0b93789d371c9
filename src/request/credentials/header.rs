//! The tokens of one `Authorization` header.

use crate::request::few::TooMany;

/// Hands every token in the value of a header to `push`, which pieces of it apart.
pub(super) fn each_token<'a>(
    value: &'a [u8],
    mut push: impl FnMut(&'a [u8]) -> Result<(), TooMany>,
) -> Result<(), TooMany> {
    if let Some(token) = bearer_token(after_odd_space(value)) {
        return push(token);
    }
    if !is_signature(value) {
        // A server that looks for the scheme anywhere finds it wherever it is.
        return each_bearer_inside(value, push);
    }
    // No parameter of a signature is a token. A comma outside of them joins what were two headers.
    let mut is_quoted = false;
    let joined = value.split(|&byte| {
        is_quoted ^= byte == b'"';
        byte == b',' && !is_quoted
    });
    joined
        .filter_map(|header| bearer_token(after_odd_space(header)))
        .try_for_each(&mut push)
}

/// The token of a `Bearer` header in any case, with any white space around it or none; `None` for
/// other schemes and where there is no token.
#[inline]
fn bearer_token(value: &[u8]) -> Option<&[u8]> {
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
    let token = after_scheme(value, b"bearer")?.trim_ascii_start();
    (!token.is_empty()).then_some(token)
}

/// What follows `scheme`, which is in lower case.
fn after_scheme<'a>(value: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = value.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// What follows white space of any kind: `trim` knows more than HTTP does, and servers use it.
fn after_odd_space(value: &[u8]) -> &[u8] {
    let start = value.iter().position(u8::is_ascii_graphic);
    &value[start.unwrap_or(0)..]
}

/// Whether it is the signature of another server, whatever it says.
fn is_signature(value: &[u8]) -> bool {
    after_scheme(value.trim_ascii_start(), b"x-matrix").is_some()
}

/// The word after each `Bearer`, in any case.
fn each_bearer_inside<'a>(
    value: &'a [u8],
    mut push: impl FnMut(&'a [u8]) -> Result<(), TooMany>,
) -> Result<(), TooMany> {
    for at in 0..value.len() {
        let Some(rest) = after_scheme(&value[at..], b"bearer") else {
            continue;
        };
        let token = after_odd_space(rest);
        // Without white space it is the end of another word, and without more no token.
        if token.len() == rest.len() || !token[0].is_ascii_graphic() {
            continue;
        }
        let end = token.iter().position(|byte| !byte.is_ascii_graphic());
        push(&token[..end.unwrap_or(token.len())])?;
    }
    Ok(())
}
