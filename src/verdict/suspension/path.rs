//! Where a path is mounted, and which template it is an instance of.

use percent_encoding::percent_decode_str;

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

/// Whether `segments` are an instance of the template with these parts, whose parameters stand in
/// braces.
pub(super) fn matches<'t>(
    mut parts: impl Iterator<Item = &'t str>,
    segments: &[&str],
    fit: Fit,
) -> bool {
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

/// The segment that stands where the template with these parts has `{name}`.
pub(super) fn parameter<'t, 'p>(
    parts: impl Iterator<Item = &'t str>,
    segments: &[&'p str],
    name: &str,
) -> Option<&'p str> {
    let mut pairs = parts.zip(segments);
    pairs
        .find(|(part, _)| part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) == Some(name))
        .map(|(_, segment)| *segment)
}

#[cfg(test)]
mod tests {
    use super::{Fit, Root, matches, mounted, parameter};

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
                let segments: Vec<_> = path[1..].split('/').collect();
                let tail = mounted(&segments);
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
            let segments: Vec<_> = path[1..].split('/').collect();
            assert_eq!(mounted(&segments), None, "{path}");
        }
    }

    #[test]
    fn templates() {
        use Fit::{Exact, Loose};
        let template = || "rooms/{roomId}/leave".split('/');
        assert!(matches(template(), &["rooms", "%2F", "leave"], Exact));
        assert!(!matches(template(), &["rooms", "", "leave"], Exact));
        assert!(matches(template(), &["rooms", "", "leave"], Loose));
        assert!(!matches(template(), &["rooms", "x", "leave", ""], Exact));
        assert!(!matches(template(), &["rooms", "x"], Exact));
        assert!(!matches(template(), &["rooms", "x", "le%61ve"], Exact));
        assert!(matches(template(), &["rooms", "x", "le%61ve"], Loose));
        assert_eq!(
            parameter(template(), &["rooms", "x", "leave"], "roomId"),
            Some("x")
        );
        assert_eq!(
            parameter(template(), &["rooms", "x", "leave"], "eventId"),
            None
        );
    }
}
