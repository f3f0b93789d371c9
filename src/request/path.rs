//! Ways to look at a path other than byte by byte.
//!
//! What lets a request *through* is compared on the raw bytes. What makes the layer *look* at a
//! request may be spelled in any way that some router could still understand.

use std::{borrow::Cow, iter, str};

use percent_encoding::percent_decode;

use super::{
    blocks,
    unseen::{dots_alone, is_cut, is_unseen},
};

/// The API that the rules are about.
pub(super) const CLIENT_API: &str = "/_matrix/client/";

/// Whether every segment of `rest` means just what it says to every router: none is empty, a dot
/// segment, or holds a backslash or a control character, however often any of it is
/// percent-encoded. (Some parsers of URLs drop tabs and line ends: `.%09.` is `..` to them.)
///
/// Nor has it what only some decoders understand: another encoding than percent signs with two
/// digits, a character in more bytes than it takes, or one that stands for a dot or a slash. No
/// segment is nothing but dots and [what nobody sees](super::unseen).
pub(crate) fn is_plain(rest: &str) -> bool {
    if rest.is_empty() {
        return true;
    }
    let decoded = decode_fully(rest.as_bytes());
    let is_odd = |letter: char| {
        letter.is_ascii_control() || matches!(letter, '\\' | '%') || resembles_structure(letter)
    };
    str::from_utf8(&decoded).is_ok_and(|text| {
        !text.contains(is_odd) && text.split('/').all(|segment| dots_alone(segment).is_none())
    })
}

/// Whether some program may take the letter for a dot, a slash or a backslash: by Unicode's
/// compatibility forms, or by Windows' "best fit".
fn resembles_structure(letter: char) -> bool {
    matches!(
        letter,
        '\u{2024}'
            ..='\u{2026}'
                | '\u{2044}'
                | '\u{2100}'
                | '\u{2101}'
                | '\u{2105}'
                | '\u{2106}'
                | '\u{2215}'
                | '\u{2216}'
                | '\u{fe52}'
                | '\u{fe68}'
                | '\u{ff0e}'
                | '\u{ff0f}'
                | '\u{ff3c}'
    )
}

/// Whether `rest` is [plain](is_plain), and a single segment to every router.
pub(crate) fn is_one_plain_segment(rest: &str) -> bool {
    !rest.is_empty() && is_plain(rest) && !decode_fully(rest.as_bytes()).contains(&b'/')
}

/// Percent-decodes until there is nothing left to decode, in one pass, so that thousands of nested
/// encodings cost no more than their length.
fn decode_fully(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'%') {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    for &byte in text {
        decoded.push(byte);
        // What is decoded may be the end of another encoding.
        while let [.., b'%', high, low] = decoded[..] {
            let (Some(high), Some(low)) = (hex_digit(high), hex_digit(low)) else {
                break;
            };
            decoded.truncate(decoded.len() - 3);
            decoded.push(high << 4 | low);
        }
    }
    Cow::Owned(decoded)
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Whether the path could have other segments to a router that decodes or cleans it first.
/// (Whether it could have fewer is another question: see [`Forgiving::has_dots`].)
pub(crate) fn has_hidden_structure(path: &str) -> bool {
    let bytes = path.as_bytes();
    let is_structure = |at: usize| match bytes[at] {
        b'/' => matches!(bytes.get(at + 1), Some(b'/' | b'.')),
        b'%' => decodes_to_structure(bytes, at),
        _ => true,
    };
    // A long path is looked at many bytes at a time first.
    if bytes.len() > USUAL_LEN && !may_have_hidden_structure(bytes) {
        return false;
    }
    // A table, since nearly every byte is none of these.
    (0..bytes.len()).any(|at| MAY_BE_STRUCTURE[usize::from(bytes[at])] && is_structure(at))
}

fn may_have_hidden_structure(path: &[u8]) -> bool {
    let is_structure = |byte: u8, next: u8| {
        (byte == b'%') | (byte == b'\\') | ((byte == b'/') & ((next == b'/') | (next == b'.')))
    };
    blocks::any_pair(path, is_structure) || matches!(path.last(), Some(b'%' | b'\\'))
}

static MAY_BE_STRUCTURE: [bool; 256] = {
    let mut table = [false; 256];
    table[b'/' as usize] = true;
    table[b'%' as usize] = true;
    table[b'\\' as usize] = true;
    table
};

/// Whether the percent sign there begins an encoding of what separates segments or is itself
/// encoding.
fn decodes_to_structure(path: &[u8], at: usize) -> bool {
    // What follows may be decoded to the digits that are missing.
    encoded_byte(path, at).is_none_or(|byte| b"/.%\\".contains(&byte) || begins_overlong(byte))
}

/// Whether the percent sign there begins an encoding of what may end a segment, or the path.
fn decodes_to_cut(path: &[u8], at: usize) -> bool {
    encoded_byte(path, at).is_some_and(|byte| is_cut(byte) || byte <= b' ')
}

fn encoded_byte(path: &[u8], at: usize) -> Option<u8> {
    let digit = |at| path.get(at).copied().and_then(hex_digit);
    Some(digit(at + 1)? << 4 | digit(at + 2)?)
}

/// Whether it is the first byte of what may be a character in more bytes than it takes.
fn begins_overlong(byte: u8) -> bool {
    matches!(byte, 0xc0 | 0xc1 | 0xe0 | 0xf0 | 0xf8 | 0xfc)
}

/// What lenient decoders make of bytes: characters that have more bytes than they take (`c0 ae` is
/// a dot to some), and those that are encoded as in `%u002e`. What else is no UTF-8 is replaced.
fn lenient_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = blocks::position(rest, |byte| (byte == b'%') | begins_overlong(byte)) {
        let (before, odd) = rest.split_at(at);
        let letter = overlong_letter(odd).or_else(|| letter_of_four_digits(odd));
        // Where it is none of these it is what it is to everyone else.
        let (len, letter) = letter.unwrap_or((0, ' '));
        if len == 0 {
            let end = at
                + 1
                + odd[1..]
                    .iter()
                    .take_while(|byte| **byte & 0xc0 == 0x80)
                    .count();
            text.push_str(&String::from_utf8_lossy(&rest[..end]));
            rest = &rest[end..];
        } else {
            text.push_str(&String::from_utf8_lossy(before));
            text.push(letter);
            rest = &odd[len..];
        }
    }
    text.push_str(&String::from_utf8_lossy(rest));
    text
}

/// An ASCII character in more than one byte, and in how many.
fn overlong_letter(bytes: &[u8]) -> Option<(usize, char)> {
    let (first, after) = bytes.split_first()?;
    let len = match first {
        0xc0 | 0xc1 => 1,
        0xe0 => 2,
        0xf0 => 3,
        0xf8 => 4,
        0xfc => 5,
        _ => return None,
    };
    let value = after
        .get(..len)?
        .iter()
        .try_fold(u32::from(first & 1), |value, byte| {
            (byte & 0xc0 == 0x80).then(|| value << 6 | u32::from(byte & 0x3f))
        })?;
    let letter = char::from_u32(value).filter(char::is_ascii)?;
    Some((len + 1, letter))
}

/// A character encoded as in `%u002e`.
fn letter_of_four_digits(bytes: &[u8]) -> Option<(usize, char)> {
    let digits = match bytes {
        [b'%', b'u' | b'U', digits @ ..] => digits.get(..4)?,
        _ => return None,
    };
    let value = digits.iter().try_fold(0, |value, &digit| {
        Some(value << 4 | u32::from(hex_digit(digit)?))
    })?;
    Some((6, char::from_u32(value)?))
}

/// The last segment, where every router sees the same one, whatever it makes of those before it.
/// `None` promises nothing.
pub(crate) fn undisputed_last_segment(path: &str) -> Option<&str> {
    let last = own_last_segment(path)?;
    let before = &path[..path.len() - last.len()];
    (!may_end_in(before)).then_some(last)
}

/// Whether some server may cut the path off within its beginning `before`.
fn may_end_in(before: &str) -> bool {
    let bytes = before.as_bytes();
    // Many room IDs and event IDs are encoded, as `%21`, `%3A`, `%24` and `%40`, and nearly
    // everything else is not. Few comparisons tell these from what may be an end.
    let is_unusual = |percent, high: u8, low: u8| {
        let is_harmless = high.wrapping_sub(b'2') <= 5;
        let is_digit =
            (low.wrapping_sub(b'0') <= 2) | (low == b'4') | (low.wrapping_sub(b'A') <= 4);
        (percent == b'%') & !(is_harmless & is_digit)
    };
    let may_be_odd =
        bytes.ends_with(b"%") || bytes.ends_with(b"%/") || blocks::any_triple(bytes, is_unusual);
    may_be_odd && (0..bytes.len()).any(|at| bytes[at] == b'%' && decodes_to_end_of_path(bytes, at))
}

/// Whether the percent sign there begins an encoding of what may end a path, or of encoding.
fn decodes_to_end_of_path(path: &[u8], at: usize) -> bool {
    // What follows may be decoded to the digits that are missing, or to a `%u003f`.
    encoded_byte(path, at)
        .is_none_or(|byte| matches!(byte, b'?' | b'#' | 0 | b'%') || begins_overlong(byte))
}

/// A path, or a last segment, that is longer is looked at in another way.
const USUAL_LEN: usize = 512;

/// The last segment, where every router that reads the path to its end sees the same one.
fn own_last_segment(path: &str) -> Option<&str> {
    let bytes = path.as_bytes();
    let mut start = bytes.len();
    while start > 0 && bytes[start - 1] != b'/' {
        start -= 1;
        if bytes.len() - start > USUAL_LEN {
            return None;
        }
        match bytes[start] {
            b'\\' | b';' => return None,
            b'%' if decodes_to_structure(bytes, start) || decodes_to_cut(bytes, start) => {
                return None;
            }
            _ => {}
        }
    }
    let last = path.get(start..)?;
    (!may_be_dots(last)).then_some(last)
}

/// Whether some server may take a segment, as it was sent, for an empty one or a dot segment.
fn may_be_dots(segment: &str) -> bool {
    // Nearly all begin with something else.
    let first = match segment.as_bytes() {
        bytes @ [b'%', ..] => encoded_byte(bytes, 0),
        bytes => bytes.first().copied(),
    };
    match first {
        Some(b'!'..=b'-' | b'/'..=b'~') => false,
        // What is no UTF-8 some decoder drops.
        _ => {
            let decoded = decode_fully(segment.as_bytes());
            dots_alone(&String::from_utf8_lossy(&decoded)).is_some()
        }
    }
}

/// A path as the most forgiving router would take it: decoded, backslashes as slashes. Borrowed
/// where that changes no segment's borders.
pub(crate) struct Forgiving<'p> {
    path: Cow<'p, str>,
    /// Whether it has dot segments, or an end before its end. Routers differ in whether they
    /// resolve or heed them, and in when, so that any of the segments may be the last.
    pub(crate) has_dots: bool,
}

impl<'p> Forgiving<'p> {
    pub(crate) fn read(path: &'p str) -> Self {
        let bytes = path.as_bytes();
        let is_encoded = blocks::any(bytes, |byte| byte == b'%');
        let has_cut =
            is_encoded && (0..bytes.len()).any(|at| bytes[at] == b'%' && decodes_to_cut(bytes, at));
        if !has_cut && !has_hidden_structure(path) && !has_unseen(path, is_encoded) {
            return Self {
                path: Cow::Borrowed(path),
                has_dots: false,
            };
        }
        let decoded = lenient_text(&decode_fully(bytes));
        // Where a path is cut, any segment may be the last as well; and where a segment is, before
        // it is decoded, a slash in what is cut off borders none.
        let has_dots = has_dot_segment(&decoded) || blocks::any(decoded.as_bytes(), is_cut);
        Self {
            has_dots,
            path: Cow::Owned(without_empty_segments(&decoded)),
        }
    }

    /// Whether it differs from the path as it was sent, and may have more segments.
    pub(crate) fn is_decoded(&self) -> bool {
        matches!(self.path, Cow::Owned(_))
    }

    /// The segments that have a name, the last one first.
    pub(crate) fn segments_from_the_end(&self) -> impl Iterator<Item = &str> {
        segments_from_the_end(&self.path).filter(|segment| has_name(segment))
    }
}

/// Whether something in a path is seen by nobody, beyond ASCII.
fn has_unseen(path: &str, is_encoded: bool) -> bool {
    let bytes = path.as_bytes();
    // As nearly every path: no encoded byte is beyond ASCII, or part of another encoding.
    let is_of_ascii = |at: usize| match bytes.get(at + 1..at + 3) {
        Some([b'2', b'5']) => false,
        Some([b'0'..=b'7', low]) => low.is_ascii_hexdigit(),
        _ => false,
    };
    let is_plain = |(at, byte): (usize, &u8)| *byte != b'%' || is_of_ascii(at);
    if path.is_ascii() && (!is_encoded || bytes.iter().enumerate().all(is_plain)) {
        return false;
    }
    let decoded = decode_fully(path.as_bytes());
    !decoded.is_ascii() && lenient_text(&decoded).contains(is_unseen)
}

/// The path with slashes in the place of backslashes, and without empty segments and dot segments
/// that are followed by another. Their number is not bounded, and none of them is an endpoint's.
fn without_empty_segments(path: &str) -> String {
    let mut kept = Vec::with_capacity(path.len());
    let mut start = 0;
    for byte in path.bytes() {
        if !matches!(byte, b'/' | b'\\') {
            kept.push(byte);
        } else if matches!(kept[start..], [] | [b'.'] | [b'.', b'.']) {
            kept.truncate(start);
        } else {
            kept.push(b'/');
            start = kept.len();
        }
    }
    // Whole characters have been left out.
    String::from_utf8(kept).unwrap_or_default()
}

/// Byte by byte, because a path may have a segment for each of its bytes, and whatever looks for
/// the next slash in a better way takes longer to begin.
pub(crate) fn segments_from_the_end(path: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(path);
    iter::from_fn(move || {
        let path = rest?;
        let slash = path.bytes().rposition(|byte| byte == b'/');
        let (before, segment) = match slash {
            Some(slash) => (Some(&path[..slash]), &path[slash + 1..]),
            None => (None, path),
        };
        rest = before;
        Some(segment)
    })
}

/// Whether anything is left of a segment without what some servers cut off, and what nobody sees.
fn has_name(segment: &str) -> bool {
    match segment.as_bytes().first() {
        None => false,
        Some(b'!'..=b'"' | b'$'..=b':' | b'<'..=b'>' | b'@'..=b'~') => true,
        Some(_) => dots_alone(segment) != Some(0),
    }
}

/// Whether one of the segments is a dot segment, to a server that cuts something off or to another.
fn has_dot_segment(path: &str) -> bool {
    let bytes = path.as_bytes();
    let is_slash = |byte| matches!(byte, b'/' | b'\\');
    let may_begin_dots = |byte| !matches!(byte, b'!'..=b'-' | b'/'..=b'~');
    let is_dots = |start: usize| {
        let segment = path[start..].split(['/', '\\']).next();
        segment.is_some_and(|segment| dots_alone(segment).is_some_and(|dots| dots > 0))
    };
    // Few segments begin with a dot, or with what nobody sees.
    (0..bytes.len())
        .any(|at| may_begin_dots(bytes[at]) && (at == 0 || is_slash(bytes[at - 1])) && is_dots(at))
}

/// Whether a raw segment, its matrix parameters apart, decodes to `literal`, in any case of its
/// letters.
pub(crate) fn segment_is(segment: &str, literal: &str) -> bool {
    if segment.len() <= literal.len() {
        // No literal has anything that is cut off.
        return segment.eq_ignore_ascii_case(literal);
    }
    let mut decoded = percent_decode(segment.as_bytes());
    // Nearly always over at the first letter.
    literal.bytes().all(|letter| {
        decoded
            .next()
            .is_some_and(|byte| byte.eq_ignore_ascii_case(&letter))
    }) && match decoded.next() {
        None => true,
        Some(byte) if is_cut(byte) || byte <= b' ' => true,
        Some(..=0x7f) => false,
        Some(byte) => {
            let rest: Vec<u8> = iter::once(byte).chain(decoded).collect();
            dots_alone(&String::from_utf8_lossy(&rest)) == Some(0)
        }
    }
}

#[cfg(test)]
mod tests;
