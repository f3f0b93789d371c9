//! The versions in the paths of the Client-Server API.

use super::path::segment_is;

/// What stands behind the version: `r0`, `v1` and so on, the two from before r0, `unstable`, and
/// `unstable` with the name of a feature, which has a dot in it where no endpoint begins with one.
pub(crate) fn unversioned<'s, 'p>(segments: &'s [&'p str]) -> Option<&'s [&'p str]> {
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

/// Whether some server may take the segment for a version, or for the first segment of one: `r0`,
/// `v3`, `v2_alpha`, `api` (as in `api/v1`) or `unstable`.
pub(super) fn may_be_version(segment: &str) -> bool {
    segment_is(segment, "unstable")
        || segment_is(segment, "api")
        || matches!(segment.as_bytes(), [b'r' | b'v' | b'R' | b'V', digit, ..] if digit.is_ascii_digit())
        || segment.contains('%')
}

/// Whether it may be the last segment of a path that leads to an endpoint, or the first that a nested
/// router left of one: a version, which may be one that only this server knows and then follows
/// `client`.
pub(super) fn may_lead(segment: &str) -> bool {
    may_be_version(segment) || segment_is(segment, "client")
}

/// As many segments as this before an endpoint's own may be what a nested router left of a path, whatever
/// they are: a single one may be a parameter of its route in the place of the version.
pub(super) const MAY_BE_LEFT: usize = 1;
