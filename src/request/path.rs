//! Ways to look at a path other than byte by byte.
//!
//! What lets a request *through* is compared on the raw bytes. What makes the layer *look* at a
//! request may be spelled in any way that some router could still understand.

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// Whether every segment of `rest` means just what it says to every router: none is empty, a dot
/// segment, or holds a backslash or a control character, however often any of it is
/// percent-encoded. (Some parsers of URLs drop tabs and line ends: `.%09.` is `..` to them.)
pub(crate) fn is_plain(rest: &str) -> bool {
    if rest.is_empty() {
        return true;
    }
    let decoded = decode_fully(rest.as_bytes());
    let is_odd = |byte: &u8| *byte == b'\\' || byte.is_ascii_control();
    !decoded.iter().any(is_odd)
        && decoded
            .split(|&byte| byte == b'/')
            .all(|segment| !matches!(name_of(segment), b"" | b"." | b".."))
}

/// Whether `rest` is [plain](is_plain), and a single segment to every router.
pub(crate) fn is_one_plain_segment(rest: &str) -> bool {
    !rest.is_empty() && is_plain(rest) && !decode_fully(rest.as_bytes()).contains(&b'/')
}

/// A segment without its matrix parameters: `..;x` is a dot segment to servers that know them.
fn name_of(segment: &[u8]) -> &[u8] {
    segment
        .split(|&byte| byte == b';')
        .next()
        .unwrap_or(segment)
}

/// Percent-decodes until there is nothing left to decode, in one go: whoever nests thousands of
/// encodings pays for them, and not the server.
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
fn has_hidden_structure(path: &str) -> bool {
    let bytes = path.as_bytes();
    let is_structure = |at: usize| match bytes[at] {
        b'/' => matches!(bytes.get(at + 1), Some(b'/' | b'.')),
        b'%' => decodes_to_structure(bytes, at),
        _ => true,
    };
    // A table, since nearly every byte is none of these.
    (0..bytes.len()).any(|at| MAY_BE_STRUCTURE[usize::from(bytes[at])] && is_structure(at))
}

static MAY_BE_STRUCTURE: [bool; 256] = {
    let mut table = [false; 256];
    table[b'/' as usize] = true;
    table[b'%' as usize] = true;
    table[b'\\' as usize] = true;
    table
};

/// Whether the percent sign there begins an encoding of what separates segments, ends them or is
/// itself encoding.
fn decodes_to_structure(path: &[u8], at: usize) -> bool {
    let digit = |at| path.get(at).copied().and_then(hex_digit);
    match (digit(at + 1), digit(at + 2)) {
        (Some(high), Some(low)) => b"/.%\\;".contains(&(high << 4 | low)),
        // What follows may be decoded to the digits that are missing.
        _ => true,
    }
}

/// The last segment, where every router sees the same one, whatever it makes of those before it.
/// `None` promises nothing.
pub(crate) fn undisputed_last_segment(path: &str) -> Option<&str> {
    let bytes = path.as_bytes();
    let mut start = bytes.len();
    while start > 0 && bytes[start - 1] != b'/' {
        start -= 1;
        match bytes[start] {
            b'\\' | b';' => return None,
            b'%' if decodes_to_structure(bytes, start) => return None,
            _ => {}
        }
    }
    let last = path.get(start..)?;
    (!matches!(last, "" | "." | "..")).then_some(last)
}

/// A path as the most forgiving router would take it: decoded, backslashes as slashes. Borrowed
/// where that changes no segment's borders.
pub(crate) struct Forgiving<'p> {
    path: Cow<'p, str>,
    /// Whether it has dot segments. Routers differ in whether they resolve them, and in when, so
    /// that any of the segments may be the last.
    pub(crate) has_dots: bool,
}

impl<'p> Forgiving<'p> {
    pub(crate) fn read(path: &'p str) -> Self {
        if !has_hidden_structure(path) {
            return Self {
                path: Cow::Borrowed(path),
                has_dots: false,
            };
        }
        let decoded = String::from_utf8_lossy(&decode_fully(path.as_bytes())).replace('\\', "/");
        let is_dots = |segment: &str| matches!(name_of(segment.as_bytes()), b"." | b"..");
        Self {
            has_dots: decoded.split('/').any(is_dots),
            path: Cow::Owned(decoded),
        }
    }

    /// Whether it differs from the path as it was sent, and may have more segments.
    pub(crate) fn is_decoded(&self) -> bool {
        matches!(self.path, Cow::Owned(_))
    }

    /// The segments that have a name, the last one first.
    pub(crate) fn segments_from_the_end(&self) -> impl Iterator<Item = &str> {
        let has_name = |segment: &&str| !name_of(segment.as_bytes()).is_empty();
        self.path.rsplit('/').filter(has_name)
    }
}

/// Whether a raw segment, its matrix parameters apart, decodes to `literal`, in any case of its
/// letters.
pub(crate) fn segment_is(segment: &str, literal: &str) -> bool {
    let name = name_of(segment.as_bytes());
    if name.len() <= literal.len() {
        // An encoded one is longer.
        return name.eq_ignore_ascii_case(literal.as_bytes());
    }
    name.contains(&b'%')
        && percent_decode(name)
            .map(|byte| byte.to_ascii_lowercase())
            .eq(literal.bytes())
}

#[cfg(test)]
mod tests {
    use super::{
        Forgiving, decode_fully, is_one_plain_segment, is_plain, segment_is,
        undisputed_last_segment,
    };

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
    fn rule_6_a_single_segment() {
        for one in ["oidc", "oidc%3A1", "a%2Eb", "a.b", "a;b"] {
            assert!(is_one_plain_segment(one), "{one}");
        }
        for odd in [
            "", "..", "%2e%2e", "a/b", "a%2fb", "a%252Fb", ";a", "a%5Cb", "a%09b",
        ] {
            assert!(!is_one_plain_segment(odd), "{odd}");
        }
    }

    #[test]
    fn rule_10_a_forgiving_reading_finds_the_endpoint() {
        for odd in [
            "/a/login",
            "/a//login",
            "/a%2flogin",
            "\\a\\login",
            "/a%5Clogin",
            "/a%252Flogin",
            "/a%252flogin//",
            "/a%%32flogin",
            "/a/;/login/;x",
        ] {
            let path = Forgiving::read(odd);
            let segments: Vec<&str> = path.segments_from_the_end().collect();
            assert_eq!(segments, ["login", "a"], "{odd}");
            assert!(!path.has_dots, "{odd}");
        }
        for odd in [
            "/a/./login",
            "/a/b/../login",
            "/%252e%252e/login",
            "/login/..;x",
        ] {
            assert!(Forgiving::read(odd).has_dots, "{odd}");
        }
        for login in ["login", "%6cOgin", "login;x=1"] {
            assert!(segment_is(login, "login"), "{login}");
        }
        assert!(!segment_is("logins", "login"));
        assert!(!segment_is("logi", "login"));
    }

    #[test]
    fn rule_6_decoding_goes_on_until_nothing_is_left_to_decode() {
        for (encoded, decoded) in [
            ("", ""),
            ("%", "%"),
            ("%2", "%2"),
            ("%zz%41", "%zzA"),
            ("%2%35%35", "%5"),
            ("%%32%35%32%65", "."),
            ("%25252e", "."),
            ("a%2525zz", "a%zz"),
        ] {
            assert_eq!(
                *decode_fully(encoded.as_bytes()),
                *decoded.as_bytes(),
                "{encoded}"
            );
        }
    }

    #[test]
    fn an_encoding_of_an_encoding_of_an_encoding_costs_no_more_than_its_length() {
        let nested = format!("%{}2e", "25".repeat(32_000));
        let started = std::time::Instant::now();
        assert_eq!(*decode_fully(nested.as_bytes()), *b".");
        // Decoding it again and again took several seconds.
        assert!(started.elapsed() < std::time::Duration::from_millis(500));
    }

    #[test]
    fn rule_10_a_last_segment_that_no_router_disputes() {
        for (path, last) in [
            ("/a/b", "b"),
            ("b", "b"),
            ("/a/../b", "b"),
            ("/a;x/b", "b"),
            ("/a%2fb/%21c%3Ad", "%21c%3Ad"),
            ("/a/...", "..."),
        ] {
            assert_eq!(undisputed_last_segment(path), Some(last), "{path}");
        }
        for path in [
            "",
            "/",
            "/a/",
            "/a/.",
            "/a/..",
            "/a/b;x",
            "/a/;",
            "/a/b\\c",
            "/a/b%2Fc",
            "/a/%2e%2e",
            "/a/b%3bx",
            "/a/%252e",
            "/a/b%",
            "/a/%6",
            "/a/%%32f",
        ] {
            assert_eq!(undisputed_last_segment(path), None, "{path}");
        }
    }
}
