//! What the segments of a path are, in each of the ways that routers may read it.
//!
//! The server behind this crate may compare a path as it was sent (axum does), decode each
//! segment first, decode the whole and only then look for slashes, or leave empty segments out. A
//! path that is permitted has to be harmless for all of them; hence the four [`Readings`].

use percent_encoding::percent_decode_str;

use super::path::is;

/// More segments than any endpoint has. A longer path is none of them.
const MAX_SEGMENTS: usize = 32;

/// The segments of a path, each as it was sent.
#[derive(Clone, Copy, Debug)]
struct Segments<'p> {
    segments: [&'p str; MAX_SEGMENTS],
    len: usize,
}

impl<'p> Segments<'p> {
    fn new() -> Self {
        Self {
            segments: [""; MAX_SEGMENTS],
            len: 0,
        }
    }

    fn collect(parts: impl Iterator<Item = &'p str>) -> Option<Self> {
        let mut segments = Self::new();
        for part in parts {
            segments.push(part)?;
        }
        Some(segments)
    }

    fn push(&mut self, segment: &'p str) -> Option<()> {
        *self.segments.get_mut(self.len)? = segment;
        self.len += 1;
        Some(())
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
    /// `None` where all of them are as it was sent.
    others: Option<Others<'p>>,
}

#[derive(Clone, Copy, Debug)]
struct Others<'p> {
    /// Split at slashes, without empty segments.
    sent_dense: Segments<'p>,
    /// Split at slashes, encoded or not.
    decoded: Segments<'p>,
    /// The same without empty segments.
    decoded_dense: Segments<'p>,
}

impl<'p> Readings<'p> {
    pub(super) fn new() -> Self {
        Self {
            sent: Segments::new(),
            others: None,
        }
    }

    /// Reads `path`, in place, because this is large. `None` for a path that cannot be told even so:
    /// one with a dot segment, a backslash, too many segments or what only some decoders understand, or
    /// without a leading slash.
    pub(super) fn read(&mut self, path: &'p str) -> Option<()> {
        let path = path.strip_prefix('/')?;
        // Nearly every path can be read in one way only, and this one pass tells.
        let (mut from, mut ambiguous) = (0, false);
        for (at, byte) in path.bytes().enumerate() {
            if !IS_MARK[usize::from(byte)] {
                continue;
            }
            match byte {
                b'/' => {
                    let segment = &path[from..at];
                    ambiguous |= is_empty_or_dots(segment);
                    self.sent.push(segment)?;
                    from = at + 1;
                }
                b'\\' => return None,
                _ => ambiguous |= encodes_structure(&path.as_bytes()[at..]),
            }
        }
        let last = &path[from..];
        self.sent.push(last)?;
        match ambiguous || is_empty_or_dots(last) {
            true => self.read_otherwise(path),
            false => Some(()),
        }
    }

    #[cold]
    fn read_otherwise(&mut self, path: &'p str) -> Option<()> {
        self.others = Some(Others::of(path)?);
        Some(())
    }

    /// The path as it was sent.
    pub(super) fn sent(&self) -> &[&'p str] {
        self.sent.as_slice()
    }

    /// The other three, if one of them may differ from [`sent`](Self::sent).
    pub(super) fn others(&self) -> impl Iterator<Item = &[&'p str]> {
        self.others.iter().flat_map(|others| {
            [&others.sent_dense, &others.decoded, &others.decoded_dense].map(Segments::as_slice)
        })
    }

    /// Whether no segment has an encoded slash in it.
    pub(super) fn is_plain(&self) -> bool {
        let others = self.others.as_ref();
        others.is_none_or(|others| others.decoded.len == self.sent.len)
    }
}

impl<'p> Others<'p> {
    fn of(path: &'p str) -> Option<Self> {
        let decoded = Segments::collect(SplitSlashes(Some(path)))?;
        let dots = decoded.as_slice().iter().any(|s| is(s, ".") || is(s, ".."));
        if dots || is_understood_by_some_only(path) {
            return None;
        }
        let full = |segment: &&str| !segment.is_empty();
        Some(Self {
            sent_dense: Segments::collect(path.split('/').filter(full))?,
            decoded,
            decoded_dense: Segments::collect(SplitSlashes(Some(path)).filter(full))?,
        })
    }
}

/// A slash, a backslash or a percent sign. A table, because nearly every byte is none of these.
static IS_MARK: [bool; 256] = {
    let mut table = [false; 256];
    table[b'/' as usize] = true;
    table[b'\\' as usize] = true;
    table[b'%' as usize] = true;
    table
};

fn is_empty_or_dots(segment: &str) -> bool {
    matches!(segment, "" | "." | "..")
}

/// Whether it is an encoding of a slash, a dot or a backslash, or one that only some decoders
/// understand.
fn encodes_structure(bytes: &[u8]) -> bool {
    matches!(
        bytes,
        [b'%', b'2', b'F' | b'f' | b'E' | b'e', ..]
            | [b'%', b'5', b'C' | b'c', ..]
            | [b'%', b'C' | b'c', b'0' | b'1', ..]
            | [b'%', b'E' | b'e' | b'F' | b'f', b'0', ..]
            | [b'%', b'u' | b'U', ..]
    )
}

/// Whether it has an encoded backslash, a character in more bytes than it takes, or another encoding
/// than percent signs with two digits.
fn is_understood_by_some_only(path: &str) -> bool {
    let mut before = 0;
    let mut bytes = percent_decode_str(path);
    path.contains("%u")
        || path.contains("%U")
        || bytes.any(|byte| {
            let is_overlong = matches!(
                (before, byte),
                (_, 0xc0 | 0xc1 | 0xf8..) | (0xe0, 0x80..0xa0) | (0xf0, 0x80..0x90)
            );
            before = byte;
            is_overlong || byte == b'\\'
        })
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

#[cfg(test)]
mod tests {
    use super::{MAX_SEGMENTS, Readings};

    fn read(path: &str) -> Option<Readings<'_>> {
        let mut readings = Readings::new();
        readings.read(path).map(|()| readings)
    }

    #[test]
    fn a_path_is_read_in_four_ways() {
        let readings = read("/a%2Fb%2fc//d/").unwrap();
        assert!(!readings.is_plain());
        let all = [
            &["a%2Fb%2fc", "", "d", ""][..],
            &["a%2Fb%2fc", "d"][..],
            &["a", "b", "c", "", "d", ""][..],
            &["a", "b", "c", "d"][..],
        ];
        let others: Vec<_> = readings.others().collect();
        assert_eq!((readings.sent(), &others[..]), (all[0], &all[1..]));
        for plain in ["/", "/%2", "/a%252Fb", "/ä/ö%", "/a//b/"] {
            assert!(read(plain).unwrap().is_plain(), "{plain}");
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
            "/a/%c0%ae%c0%ae/b",
            "/a%C0%AFb",
            "/a%e0%80%afb",
            "/a%u002fb",
            "a/b",
            "",
        ] {
            assert!(read(odd).is_none(), "{odd}");
        }
        assert!(read(&"/a".repeat(MAX_SEGMENTS)).is_some());
        assert!(read(&"/a".repeat(MAX_SEGMENTS + 1)).is_none());
        assert!(read(&"%2Fa".repeat(MAX_SEGMENTS + 1)).is_none());
    }

    #[test]
    fn only_a_path_that_may_be_read_otherwise_is() {
        for one in [
            "/a",
            "/a/b%20c/%21d",
            "/...",
            "/a/.b/c.",
            "/%2/%5",
            "/%252F",
        ] {
            let readings = read(one).unwrap();
            assert_eq!(readings.others().count(), 0, "{one}");
            let sent: Vec<_> = one[1..].split('/').collect();
            assert_eq!(readings.sent(), sent, "{one}");
        }
        for odd in ["/", "//a", "/a/", "/a//b", "/a%2fb", "/a%2Eb"] {
            let readings = read(odd).unwrap();
            assert_eq!(readings.others().count(), 3, "{odd}");
        }
    }
}
