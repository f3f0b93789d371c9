//! A path as routers may read it.
//!
//! What stands behind this crate may compare a path as it was sent (axum does), decode each
//! segment first, decode the whole and only then look for slashes, or leave empty segments out. A
//! path that is permitted has to be harmless for all of them, so there are three readings:
//! [`Segments::sent`], [`Segments::dense`] and [`Segments::folded`].

use percent_encoding::percent_decode_str;

/// More segments than any endpoint has. A longer path is none of them.
const MAX_SEGMENTS: usize = 32;

/// Where an endpoint is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Root {
    /// `/_matrix/client/{version}/`
    Client,
    /// `/_matrix/client/`
    ClientUnversioned,
    /// `/_matrix/media/{version}/`
    Media,
    /// `/.well-known/matrix/`
    WellKnown,
}

/// The segments of a path, each as it was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segments<'p> {
    segments: [&'p str; MAX_SEGMENTS],
    len: usize,
}

impl<'p> Segments<'p> {
    /// What stands between the slashes. `None` for a path without a leading slash or with too
    /// many segments.
    pub(super) fn sent(path: &'p str) -> Option<Self> {
        Self::collect(path.strip_prefix('/')?.split('/'))
    }

    /// What stands between the slashes, empty segments apart. `None` as for [`sent`](Self::sent).
    pub(super) fn dense(path: &'p str) -> Option<Self> {
        Self::collect(path.split('/').filter(|part| !part.is_empty()))
    }

    /// What stands between the slashes, encoded or not, empty segments apart. `None` for a path
    /// that cannot be told even so: one with a dot segment, a backslash, or too many segments.
    pub(super) fn folded(path: &'p str) -> Option<Self> {
        if percent_decode_str(path).any(|byte| byte == b'\\') {
            return None;
        }
        let segments = Self::collect(SplitSlashes(Some(path)).filter(|part| !part.is_empty()))?;
        let dots = segments
            .as_slice()
            .iter()
            .any(|s| is(s, ".") || is(s, ".."));
        (!dots).then_some(segments)
    }

    fn collect(parts: impl Iterator<Item = &'p str>) -> Option<Self> {
        let (mut segments, mut len) = ([""; MAX_SEGMENTS], 0);
        for part in parts {
            *segments.get_mut(len)? = part;
            len += 1;
        }
        Some(Self { segments, len })
    }

    pub(super) fn as_slice(&self) -> &[&'p str] {
        &self.segments[..self.len]
    }
}

/// Splits at `/` and at `%2F`.
struct SplitSlashes<'p>(Option<&'p str>);

impl<'p> Iterator for SplitSlashes<'p> {
    type Item = &'p str;

    fn next(&mut self) -> Option<&'p str> {
        let rest = self.0?;
        let mut bytes = rest.bytes().enumerate();
        let slash = bytes.find_map(|(at, byte)| match byte {
            b'/' => Some((at, 1)),
            b'%' if encodes_slash(&rest.as_bytes()[at..]) => Some((at, 3)),
            _ => None,
        });
        let (part, rest) = match slash {
            Some((at, len)) => (&rest[..at], Some(&rest[at + len..])),
            None => (rest, None),
        };
        self.0 = rest;
        Some(part)
    }
}

fn encodes_slash(bytes: &[u8]) -> bool {
    matches!(bytes, [b'%', b'2', b'F' | b'f', ..])
}

/// Whether `segment`, percent-decoded, is `text`.
pub(super) fn is(segment: &str, text: &str) -> bool {
    percent_decode_str(segment).eq(text.bytes())
}

/// Where the path is mounted, and its segments behind that. Nothing is decoded here.
pub(super) fn mounted<'s, 'p>(segments: &'s [&'p str]) -> Option<(Root, &'s [&'p str])> {
    match segments {
        ["_matrix", "client", "versions"] => Some((Root::ClientUnversioned, &segments[2..])),
        ["_matrix", "client", rest @ ..] => Some((Root::Client, unversioned(rest)?)),
        ["_matrix", "media", rest @ ..] => Some((Root::Media, unversioned(rest)?)),
        [".well-known", "matrix", rest @ ..] => Some((Root::WellKnown, rest)),
        _ => None,
    }
}

/// What stands behind the version: `r0`, `v1` and so on, the two from before r0, `unstable`, and
/// `unstable` with the name of a feature, which has a dot in it where no endpoint begins with one.
fn unversioned<'s, 'p>(segments: &'s [&'p str]) -> Option<&'s [&'p str]> {
    match segments {
        ["unstable", feature, rest @ ..] if feature.contains('.') => Some(rest),
        ["unstable" | "r0" | "v2_alpha", rest @ ..] | ["api", "v1", rest @ ..] => Some(rest),
        [version, rest @ ..] => {
            let number = version.strip_prefix('v')?;
            let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
            digits.then_some(rest)
        }
        [] => None,
    }
}

/// How literally a template is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Literals {
    /// Byte by byte.
    AsSent,
    /// Percent-decoded.
    Decoded,
}

/// Whether `segments` are an instance of `template`, whose parameters stand in braces and are not
/// empty.
pub(super) fn matches(template: &str, segments: &[&str], literals: Literals) -> bool {
    let mut parts = template.split('/');
    for segment in segments {
        let matched = match parts.next() {
            None => false,
            Some(part) if part.starts_with('{') => !segment.is_empty(),
            Some(part) if literals == Literals::AsSent => part == *segment,
            Some(part) => is(segment, part),
        };
        if !matched {
            return false;
        }
    }
    parts.next().is_none()
}

/// The segment that stands where `template` has `{name}`.
pub(super) fn parameter<'p>(template: &str, segments: &[&'p str], name: &str) -> Option<&'p str> {
    let mut pairs = template.split('/').zip(segments);
    pairs
        .find(|(part, _)| part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) == Some(name))
        .map(|(_, segment)| *segment)
}

#[cfg(test)]
mod tests {
    use super::{Literals, MAX_SEGMENTS, Root, Segments, matches, mounted, parameter};

    fn folded(path: &str) -> Option<Vec<&str>> {
        Segments::folded(path).map(|segments| segments.as_slice().to_vec())
    }

    #[test]
    fn folding_finds_encoded_slashes_and_drops_empty_segments() {
        assert_eq!(folded("/a%2Fb%2fc//d/"), Some(vec!["a", "b", "c", "d"]));
        assert_eq!(folded("/%2"), Some(vec!["%2"]));
        assert_eq!(folded("/a%252Fb"), Some(vec!["a%252Fb"]));
        assert_eq!(folded("/ä%2Fö"), Some(vec!["ä", "ö"]));
    }

    #[test]
    fn dots_backslashes_and_endless_paths_are_not_folded() {
        for odd in [
            "/a/../b",
            "/a/%2E%2e/b",
            "/./a",
            "/a%2F..",
            "/a\\b",
            "/a%5cb",
        ] {
            assert_eq!(folded(odd), None, "{odd}");
        }
        assert!(folded(&"/a".repeat(MAX_SEGMENTS)).is_some());
        assert_eq!(folded(&"/a".repeat(MAX_SEGMENTS + 1)), None);
        assert!(Segments::sent(&"/a".repeat(MAX_SEGMENTS + 1)).is_none());
        assert!(Segments::sent("a/b").is_none());
    }

    #[test]
    fn versions_are_taken_off() {
        for version in [
            "r0",
            "v1",
            "v3",
            "v4",
            "v12",
            "api/v1",
            "v2_alpha",
            "unstable",
            "unstable/org.matrix.msc3575",
        ] {
            for (api, root) in [("client", Root::Client), ("media", Root::Media)] {
                let path = format!("/_matrix/{api}/{version}/sync/x");
                let segments = Segments::sent(&path).unwrap();
                let tail = mounted(segments.as_slice());
                assert_eq!(tail, Some((root, &["sync", "x"][..])), "{path}");
            }
        }
        for odd in [
            "V3",
            "v",
            "v3x",
            "v-1",
            "%763",
            "",
            "r1",
            "api",
            "unstable%2Fa.b",
        ] {
            let path = format!("/_matrix/client/{odd}/sync");
            let segments = Segments::sent(&path).unwrap();
            assert_eq!(mounted(segments.as_slice()), None, "{path}");
        }
    }

    #[test]
    fn templates() {
        use Literals::{AsSent, Decoded};
        let template = "rooms/{roomId}/leave";
        assert!(matches(template, &["rooms", "%2F", "leave"], AsSent));
        assert!(!matches(template, &["rooms", "", "leave"], AsSent));
        assert!(!matches(template, &["rooms", "x", "leave", ""], AsSent));
        assert!(!matches(template, &["rooms", "x"], AsSent));
        assert!(!matches(template, &["rooms", "x", "le%61ve"], AsSent));
        assert!(matches(template, &["rooms", "x", "le%61ve"], Decoded));
        assert_eq!(
            parameter(template, &["rooms", "x", "leave"], "roomId"),
            Some("x")
        );
        assert_eq!(
            parameter(template, &["rooms", "x", "leave"], "eventId"),
            None
        );
    }
}
