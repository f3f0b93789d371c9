//! A path as routers may read it.
//!
//! What stands behind this crate may compare a path as it was sent (axum does), decode each
//! segment first, decode the whole and only then look for slashes, or leave empty segments out. A
//! path that is permitted has to be harmless for all of them; hence the four [`Readings`].

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
struct Segments<'p> {
    segments: [&'p str; MAX_SEGMENTS],
    len: usize,
}

impl<'p> Segments<'p> {
    fn collect(parts: impl Iterator<Item = &'p str>) -> Option<Self> {
        let (mut segments, mut len) = ([""; MAX_SEGMENTS], 0);
        for part in parts {
            *segments.get_mut(len)? = part;
            len += 1;
        }
        Some(Self { segments, len })
    }

    fn as_slice(&self) -> &[&'p str] {
        &self.segments[..self.len]
    }
}

/// The segments that a path may be read to have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Readings<'p> {
    /// Split at slashes.
    sent: Segments<'p>,
    /// The same without empty segments.
    sent_dense: Segments<'p>,
    /// Split at slashes, encoded or not.
    decoded: Segments<'p>,
    /// The same without empty segments.
    decoded_dense: Segments<'p>,
}

impl<'p> Readings<'p> {
    /// `None` for a path that cannot be told even so: one with a dot segment, a backslash or too
    /// many segments, or without a leading slash.
    pub(super) fn of(path: &'p str) -> Option<Self> {
        let path = path.strip_prefix('/')?;
        let decoded = Segments::collect(SplitSlashes(Some(path)))?;
        let dots = decoded.as_slice().iter().any(|s| is(s, ".") || is(s, ".."));
        if dots || percent_decode_str(path).any(|byte| byte == b'\\') {
            return None;
        }
        let full = |segment: &&str| !segment.is_empty();
        Some(Self {
            sent: Segments::collect(path.split('/'))?,
            sent_dense: Segments::collect(path.split('/').filter(full))?,
            decoded,
            decoded_dense: Segments::collect(SplitSlashes(Some(path)).filter(full))?,
        })
    }

    /// All of them. The first is the path as it was sent.
    pub(super) fn all(&self) -> [&[&'p str]; 4] {
        [
            self.sent.as_slice(),
            self.sent_dense.as_slice(),
            self.decoded.as_slice(),
            self.decoded_dense.as_slice(),
        ]
    }

    /// Whether no segment has an encoded slash in it.
    pub(super) fn is_plain(&self) -> bool {
        self.sent.len == self.decoded.len
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

/// How closely a path has to fit a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// Literals byte by byte, and no parameter empty.
    Exact,
    /// Literals percent-decoded, and parameters as they come: some routers take empty ones.
    Loose,
}

/// Whether `segments` are an instance of `template`, whose parameters stand in braces.
pub(super) fn matches(template: &str, segments: &[&str], fit: Fit) -> bool {
    let mut parts = template.split('/');
    for segment in segments {
        let matched = match (parts.next(), fit) {
            (None, _) => false,
            (Some(part), Fit::Exact) if part.starts_with('{') => !segment.is_empty(),
            (Some(part), Fit::Loose) if part.starts_with('{') => true,
            (Some(part), Fit::Exact) => part == *segment,
            (Some(part), Fit::Loose) => is(segment, part),
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
    use super::{Fit, MAX_SEGMENTS, Readings, Root, matches, mounted, parameter};

    #[test]
    fn a_path_is_read_in_four_ways() {
        let readings = Readings::of("/a%2Fb%2fc//d/").unwrap();
        assert!(!readings.is_plain());
        let all = [
            &["a%2Fb%2fc", "", "d", ""][..],
            &["a%2Fb%2fc", "d"][..],
            &["a", "b", "c", "", "d", ""][..],
            &["a", "b", "c", "d"][..],
        ];
        assert_eq!(readings.all(), all);
        for plain in ["/", "/%2", "/a%252Fb", "/ä/ö%", "/a//b/"] {
            assert!(Readings::of(plain).unwrap().is_plain(), "{plain}");
        }
    }

    #[test]
    fn dots_backslashes_and_endless_paths_are_not_read() {
        for odd in [
            "/a/../b",
            "/a/%2E%2e/b",
            "/./a",
            "/a%2F..",
            "/a\\b",
            "/a%5cb",
            "a/b",
            "",
        ] {
            assert!(Readings::of(odd).is_none(), "{odd}");
        }
        assert!(Readings::of(&"/a".repeat(MAX_SEGMENTS)).is_some());
        assert!(Readings::of(&"/a".repeat(MAX_SEGMENTS + 1)).is_none());
        assert!(Readings::of(&"%2Fa".repeat(MAX_SEGMENTS + 1)).is_none());
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
                let readings = Readings::of(&path).unwrap();
                let tail = mounted(readings.all()[0]);
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
            let readings = Readings::of(&path).unwrap();
            assert_eq!(mounted(readings.all()[0]), None, "{path}");
        }
    }

    #[test]
    fn templates() {
        use Fit::{Exact, Loose};
        let template = "rooms/{roomId}/leave";
        assert!(matches(template, &["rooms", "%2F", "leave"], Exact));
        assert!(!matches(template, &["rooms", "", "leave"], Exact));
        assert!(matches(template, &["rooms", "", "leave"], Loose));
        assert!(!matches(template, &["rooms", "x", "leave", ""], Exact));
        assert!(!matches(template, &["rooms", "x"], Exact));
        assert!(!matches(template, &["rooms", "x", "le%61ve"], Exact));
        assert!(matches(template, &["rooms", "x", "le%61ve"], Loose));
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
