//! Ways to look at a path other than byte by byte.
//!
//! What lets a request *through* is compared on the raw bytes. What makes the layer *look* at a
//! request may be spelled in any way that some router could still understand.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Whether every segment of `rest` means just what it says to every router: none is empty, a dot
/// segment, or holds a backslash, however often any of it is percent-encoded.
pub(crate) fn is_plain(rest: &str) -> bool {
    if rest.is_empty() {
        return true;
    }
    let decoded = decode_fully(rest);
    !decoded.contains(&b'\\')
        && decoded.split(|&byte| byte == b'/').all(|segment| {
            // `..;x` is a dot segment to servers that know matrix parameters.
            let name = segment.split(|&byte| byte == b';').next();
            !matches!(name, None | Some(b"" | b"." | b".."))
        })
}

fn decode_fully(text: &str) -> Cow<'_, [u8]> {
    let mut decoded: Cow<'_, [u8]> = percent_decode_str(text).into();
    while decoded.contains(&b'%') {
        let again: Vec<u8> = percent_encoding::percent_decode(&decoded).collect();
        if again.len() == decoded.len() {
            break;
        }
        decoded = Cow::Owned(again);
    }
    decoded
}

/// Whether the path could have other segments to a router that decodes or cleans it first.
fn has_hidden_structure(path: &str) -> bool {
    let bytes = path.as_bytes();
    bytes.windows(2).any(|pair| matches!(pair, b"//" | b"/."))
        || bytes.contains(&b'\\')
        || bytes.windows(3).any(|triple| {
            matches!(
                triple,
                [b'%', b'2', b'f' | b'F' | b'e' | b'E' | b'5'] | [b'%', b'5', b'c' | b'C']
            )
        })
}

/// The path as the most forgiving router would take it: decoded, without empty and dot segments,
/// backslashes as slashes. Borrowed where that changes no segment's borders.
pub(crate) fn forgiving(path: &str) -> Cow<'_, str> {
    if !has_hidden_structure(path) {
        return Cow::Borrowed(path);
    }
    let decoded = String::from_utf8_lossy(&decode_fully(path)).replace('\\', "/");
    let mut segments = Vec::new();
    for segment in decoded.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    Cow::Owned(format!("/{}", segments.join("/")))
}

/// Whether a raw segment decodes to `literal`, in any case of its letters.
pub(crate) fn segment_is(segment: &str, literal: &str) -> bool {
    segment.len() >= literal.len()
        && percent_decode_str(segment)
            .map(|byte| byte.to_ascii_lowercase())
            .eq(literal.bytes())
}

#[cfg(test)]
mod tests {
    use super::{forgiving, is_plain, segment_is};

    #[test]
    fn rule_6_a_plain_rest_has_no_hidden_structure() {
        for plain in [
            "",
            "v1/version",
            "token",
            "v1/event/%24abc%3Aserver",
            "a.b/..c",
        ] {
            assert!(is_plain(plain), "{plain}");
        }
        for odd in [
            "/",
            "a//b",
            "a/",
            "../client",
            "%2e%2e/client",
            "%252E./x",
            "a/%2F/b",
            "a\\b",
            "a%5Cb",
            "a%5c..",
            "./x",
            "a/..;/b",
            "%2525252e",
        ] {
            assert!(!is_plain(odd), "{odd}");
        }
    }

    #[test]
    fn rule_10_a_forgiving_reading_finds_the_endpoint() {
        for odd in [
            "/a/login",
            "/a//login",
            "/a/./login",
            "/a/b/../login",
            "/a%2flogin",
            "\\a\\login",
            "/a%5Clogin",
            "/a/%2e%2e/a/login",
            "/a%252Flogin",
        ] {
            assert_eq!(forgiving(odd), "/a/login", "{odd}");
        }
        assert!(segment_is("%6cOgin", "login"));
        assert!(!segment_is("logins", "login"));
        assert!(!segment_is("logi", "login"));
    }
}
