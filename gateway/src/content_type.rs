//! The `Content-Type`, and the values of it that every server reads alike.
//!
//! Servers differ in what they make of a `Content-Type` that is malformed, repeated or in several
//! parts. The framework behind Synapse parses it as that of an e-mail, decodes the encoded words in
//! it ([RFC 2047](https://www.rfc-editor.org/rfc/rfc2047)), and so finds a form where the header
//! names none.

use hyper::{HeaderMap, header};

/// The kind of a body by its request's headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyType {
    /// None, or a media type that no server takes for a form.
    NoForm,
    /// A form, in which some servers look for an access token.
    Form,
    /// Not exactly one media type, so that servers may differ in what it is.
    Unclear,
}

/// Reads every `Content-Type` of the request.
pub(crate) fn body_type(headers: &HeaderMap) -> BodyType {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (first, second) = (values.next(), values.next());
    let mentions_form = headers
        .get_all(header::CONTENT_TYPE)
        .iter()
        .any(|value| mentions_form(value.as_bytes()));
    match (first, second) {
        // One mention is enough, at any place.
        _ if mentions_form => BodyType::Form,
        (None, _) => BodyType::NoForm,
        (Some(value), None) if is_media_type(value.as_bytes()) => BodyType::NoForm,
        _ => BodyType::Unclear,
    }
}

fn mentions_form(value: &[u8]) -> bool {
    const FORMS: [&[u8]; 2] = [b"x-www-form-urlencoded", b"form-data"];

    FORMS.iter().any(|form| {
        value
            .windows(form.len())
            .any(|part| part.eq_ignore_ascii_case(form))
    })
}

/// Whether this is a `media-type` of
/// [RFC 9110, section 8.3.1](https://www.rfc-editor.org/rfc/rfc9110#section-8.3.1), to the letter,
/// whose type and subtype can be registered
/// ([RFC 6838, section 4.2](https://www.rfc-editor.org/rfc/rfc6838#section-4.2)).
pub(crate) fn is_media_type(value: &[u8]) -> bool {
    let after_subtype = name(value)
        .and_then(|rest| rest.strip_prefix(b"/"))
        .and_then(name);
    let Some(mut rest) = after_subtype else {
        return false;
    };
    while !rest.is_empty() {
        let Some(after) = white_space(rest).strip_prefix(b";") else {
            return false;
        };
        rest = white_space(after);
        if matches!(rest, [] | [b';', ..]) {
            // An empty parameter.
            continue;
        }
        let value = token(rest).and_then(|rest| rest.strip_prefix(b"="));
        match value.and_then(|value| token(value).or_else(|| quoted(value))) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    true
}

/// What follows a type or a subtype of at least one character.
fn name(text: &[u8]) -> Option<&[u8]> {
    after_some(text, b"!#$&-^_.+")
}

/// What follows a token of at least one character.
fn token(text: &[u8]) -> Option<&[u8]> {
    after_some(text, b"!#$%&'*+-.^_`|~")
}

/// What follows some letters, digits and characters of `others`.
fn after_some<'t>(text: &'t [u8], others: &[u8]) -> Option<&'t [u8]> {
    let is_one = |byte: &u8| byte.is_ascii_alphanumeric() || others.contains(byte);
    let len = text.iter().take_while(|byte| is_one(byte)).count();
    (len > 0).then(|| &text[len..])
}

/// What follows a quoted string.
fn quoted(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text.strip_prefix(b"\"")?;
    loop {
        rest = match rest {
            [b'"', after @ ..] => return Some(after),
            [b'\\', byte, after @ ..] | [byte, after @ ..]
                if *byte == b'\t' || !byte.is_ascii_control() =>
            {
                after
            }
            _ => return None,
        };
    }
}

fn white_space(text: &[u8]) -> &[u8] {
    let len = text
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    &text[len..]
}
