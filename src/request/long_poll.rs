//! Requests that wait for new events, and a test that is cheap enough for every request.

use std::ops::Deref;

use http::Method;

use super::{
    act::Act,
    path::{Forgiving, segment_is},
    version::{MAY_BE_LEFT, may_lead},
};

/// A kind of request that waits for new events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LongPoll {
    /// `GET /sync` and `GET /events`.
    Sync,
    /// `POST …/sync`, sliding sync
    /// ([MSC4186](https://github.com/matrix-org/matrix-spec-proposals/pull/4186)), under every
    /// version and unstable prefix.
    SlidingSync,
}

/// A long poll as nearly every client writes it.
#[derive(Debug)]
pub(crate) struct UsualPoll {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) kind: LongPoll,
}

pub(crate) static USUAL_POLLS: [UsualPoll; 3] = [
    UsualPoll {
        method: Method::GET,
        path: "/_matrix/client/v3/sync",
        kind: LongPoll::Sync,
    },
    UsualPoll {
        method: Method::POST,
        path: "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync",
        kind: LongPoll::SlidingSync,
    },
    UsualPoll {
        method: Method::GET,
        path: "/_matrix/client/r0/sync",
        kind: LongPoll::Sync,
    },
];

impl UsualPoll {
    /// Which of [`USUAL_POLLS`] this request is, if it is one.
    #[inline]
    pub(crate) fn find(method: &Method, path: &str) -> Option<usize> {
        USUAL_POLLS
            .iter()
            .position(|usual| usual.path == path && usual.method == *method)
    }

    pub(crate) fn act(&self) -> Act<'_> {
        Act::Request {
            method: &self.method,
            path: self.path,
        }
    }
}

/// Which kind of long poll the request is, however its path is spelled. `forgiving` is the same path.
pub(crate) fn long_poll<'p>(
    method: &Method,
    path: &str,
    forgiving: &impl Deref<Target = Forgiving<'p>>,
) -> Option<LongPoll> {
    if !may_be_long_poll(path) {
        return None;
    }
    let path: &Forgiving<'_> = forgiving;
    let kind_of = |segment| {
        if segment_is(segment, "sync") {
            match *method {
                Method::GET => Some(LongPoll::Sync),
                Method::POST => Some(LongPoll::SlidingSync),
                _ => None,
            }
        } else {
            let is_events = segment_is(segment, "events") && method == Method::GET;
            is_events.then_some(LongPoll::Sync)
        }
    };
    if path.has_dots {
        return path.segments_from_the_end().find_map(kind_of);
    }
    let mut segments = path.segments_from_the_end();
    let kind = kind_of(segments.next()?)?;
    // A version or an unstable feature precedes it, in several pieces if the path was decoded.
    // `…/rooms/{id}/events` would be another.
    let (mut before, mut leads) = (0, false);
    for segment in segments.take(MAY_BE_LEFT + 1) {
        before += 1;
        leads |= may_lead(segment);
    }
    (path.is_decoded() || leads || before <= MAY_BE_LEFT).then_some(kind)
}

/// The last two bytes of such a path: any of the first, then any of the second.
const ENDINGS: [(&[u8], &[u8]); 6] = [
    // What a forgiving router strips from an end, behind anything.
    (&EVERY_BYTE, b"/.\\"),
    // The same encoded: `%2f`, `%2e`. (An encoded digit ends in that digit again.)
    (b"2", b"fFeE"),
    // The last letter of either encoded (`%2%46`), its `5` or `6` perhaps in turn.
    (b"346", b"56"),
    // `sync`, its `n` perhaps encoded (`%6e`, whose `e` may be encoded in turn: `%65`); `%5c`.
    (b"nNeE5", b"cC"),
    // `events`, its `t` perhaps encoded (`%74`, `%54`).
    (b"tT4", b"sS"),
    // The last letter of either encoded: `%63`, `%43`, `%73`, `%53`, the `3` perhaps in turn.
    (b"34567", b"3"),
];

const EVERY_BYTE: [u8; 256] = {
    let mut bytes = [0; 256];
    let mut byte = 1;
    while byte < bytes.len() {
        bytes[byte] = bytes[byte - 1] + 1;
        byte += 1;
    }
    bytes
};

/// For each byte a bit for each of the [`ENDINGS`] that it may be in: as the last byte, or as the
/// one before.
const fn table(of_last: bool) -> [u8; 256] {
    let mut table = [0; 256];
    let mut ending = 0;
    while ending < ENDINGS.len() {
        let (before, last) = ENDINGS[ending];
        let bytes = if of_last { last } else { before };
        let mut at = 0;
        while at < bytes.len() {
            table[bytes[at] as usize] |= 1 << ending;
            at += 1;
        }
        ending += 1;
    }
    table
}

static BEFORE: [u8; 256] = table(false);
static LAST: [u8; 256] = table(true);

/// Whether the path's last two bytes leave it open that this is a long poll in any spelling.
///
/// Two of them, so that the many endpoints whose names end in `s` or `e` are told apart at once;
/// and two tables, since every request comes by, and comparing with each byte in turn takes twice
/// as many instructions.
#[inline]
pub(crate) fn may_be_long_poll(path: &str) -> bool {
    match path.as_bytes() {
        [.., before, last] => BEFORE[usize::from(*before)] & LAST[usize::from(*last)] != 0,
        [only] => LAST[usize::from(*only)] & LAST[usize::from(b'/')] != 0,
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::{Forgiving, LongPoll, long_poll, may_be_long_poll};

    /// Every spelling of a letter that decodes to it, however often it is encoded.
    fn spellings(letter: char, depth: usize) -> Vec<String> {
        let mut all = vec![letter.to_string(), letter.to_ascii_uppercase().to_string()];
        if depth > 0 {
            for plain in [letter as u8, letter.to_ascii_uppercase() as u8] {
                for hex in [format!("{plain:02x}"), format!("{plain:02X}")] {
                    let (high, low) = hex.split_at(1);
                    let digits = |digit: &str| {
                        let digit = digit.chars().next().expect("a digit");
                        let mut all = spellings(digit, depth - 1);
                        all.retain(|spelling| spelling != &digit.to_ascii_uppercase().to_string());
                        all.push(digit.to_string());
                        all
                    };
                    for high in digits(high) {
                        for low in digits(low) {
                            all.push(format!("%{high}{low}"));
                        }
                    }
                }
            }
        }
        all
    }

    #[test]
    fn rule_16_a_long_poll_may_end_in_any_spelling_of_its_last_letters() {
        for (before, last) in [('n', 'c'), ('t', 's')] {
            for before in spellings(before, 2) {
                for last in spellings(last, 2) {
                    let path = format!("/_matrix/client/v3/x{before}{last}");
                    assert!(may_be_long_poll(&path), "{path}");
                    for end in [
                        "/", "/.", "\\", "%2f", "%2F", "%2e", "%2E", "%5c", "%5C", "%252f",
                        "%2%46", "%2%66", "%2%45", "%2%65", "%2%4%36", "%2%6%35", "%5%43", "%5%63",
                        "%5%4%33",
                    ] {
                        assert!(may_be_long_poll(&format!("{path}{end}")), "{path}{end}");
                    }
                }
            }
        }
        for other in [
            "joined_rooms",
            "versions",
            "messages",
            "state",
            "profile",
            "c",
            "",
        ] {
            assert!(!may_be_long_poll(other), "{other}");
        }
    }

    #[test]
    fn rule_16_long_polls() {
        let read = |method, path| long_poll(method, path, &Box::new(Forgiving::read(path)));
        let get = |path| read(&Method::GET, path);
        let post = |path| read(&Method::POST, path);
        for path in [
            "/_matrix/client/v3/sync",
            "/_matrix/client/r0/sync",
            "/_matrix/client/v3/events",
            "/_matrix/client/v3/sync/",
            "/_matrix/client/v3//s%79nc",
            "/_matrix/client/v3/syn%63",
            "/_matrix/client/%2e%2e/sync",
            "/_matrix/client/r%2F0/sync",
            "/_matrix/client/v3/sync/%2e%2e/..",
            "/v3/sync",
            "/foo/sync",
            "/sync",
        ] {
            assert_eq!(get(path), Some(LongPoll::Sync), "{path}");
        }
        for path in [
            "/_matrix/client/v4/sync",
            "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync",
            "/_matrix/client/unstable/org.matrix.msc3575/sync",
        ] {
            assert_eq!(post(path), Some(LongPoll::SlidingSync), "{path}");
        }
        for path in [
            "/_matrix/client/v3/events/%24event",
            "/_matrix/client/v3/initialSync",
            "/_matrix/client/v3/rooms/!r/messages",
            "/_matrix/client/versions",
            "/_matrix/media/v3/download/example.org/sync",
            "/v3/rooms/!r/events",
            "/foo/bar/sync",
            "/",
            "*",
            "",
        ] {
            assert_eq!(get(path), None, "{path}");
        }
        assert_eq!(post("/_matrix/client/v3/events"), None);
        assert_eq!(read(&Method::PUT, "/_matrix/client/v3/sync"), None);
    }
}
