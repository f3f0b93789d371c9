//! The prefix under which a path is mounted, and the template that it matches.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::request::version::unversioned;

/// The prefix under which an endpoint is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Root {
    /// `/_matrix/client/{version}/`
    Client,
    /// `/_matrix/client/`
    ClientUnversioned,
    /// `/_matrix/media/{version}/`
    Media,
    /// `/_matrix/media_proxy/{version}/`
    MediaProxy,
    /// `/.well-known/matrix/`
    WellKnown,
    /// `/_synapse/admin/`, `/_dendrite/admin/` and `/_matrix/media/{version}/admin/`. Every path there belongs to
    /// a server's administration, even without a row.
    Administration,
}

/// Whether `segment`, percent-decoded, is `text`.
pub(super) fn is(segment: &str, text: &str) -> bool {
    percent_decode_str(segment).eq(text.bytes())
}

/// A property of an event, as a segment of a path or in plain text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part<'p> {
    /// Percent-encoded, as it was sent.
    Segment(&'p str),
    /// As it is.
    Plain(&'p str),
}

impl<'p> Part<'p> {
    /// Whether it is `text`, once it is decoded.
    pub(super) fn is(self, text: &str) -> bool {
        match self {
            Self::Segment(segment) => is(segment, text),
            Self::Plain(plain) => plain == text,
        }
    }

    /// Whether it is `text` to those, too, who do not decode it.
    pub(super) fn is_as_sent(self, text: &str) -> bool {
        let (Self::Segment(sent) | Self::Plain(sent)) = self;
        sent == text
    }

    /// What follows `start`, byte by byte and decoded, if it begins with that.
    pub(super) fn after<'t>(
        self,
        start: &'t str,
    ) -> Option<impl Iterator<Item = u8> + use<'p, 't>> {
        let (segment, plain) = match self {
            Self::Segment(segment) => (Some(percent_decode_str(segment)), None),
            Self::Plain(plain) => (None, Some(plain.bytes())),
        };
        let mut bytes = segment
            .into_iter()
            .flatten()
            .chain(plain.into_iter().flatten());
        start
            .bytes()
            .all(|byte| bytes.next() == Some(byte))
            .then_some(bytes)
    }

    /// Decoded.
    pub(super) fn decode(self) -> Cow<'p, str> {
        match self {
            Self::Segment(segment) => percent_decode_str(segment).decode_utf8_lossy(),
            Self::Plain(plain) => Cow::Borrowed(plain),
        }
    }
}

/// Where the path is mounted, and its segments behind that. Nothing is decoded here.
pub(super) fn mounted<'s, 'p>(segments: &'s [&'p str]) -> Option<(Root, &'s [&'p str])> {
    match segments {
        ["_matrix", "client", "versions"] => Some((Root::ClientUnversioned, &segments[2..])),
        ["_matrix", "client", rest @ ..] => Some((Root::Client, unversioned(rest)?)),
        ["_matrix", "media", rest @ ..] => match unversioned(rest)? {
            ["admin", rest @ ..] => Some((Root::Administration, rest)),
            rest => Some((Root::Media, rest)),
        },
        ["_matrix", "media_proxy", rest @ ..] => Some((Root::MediaProxy, unversioned(rest)?)),
        ["_synapse" | "_dendrite", "admin", rest @ ..] => Some((Root::Administration, rest)),
        [".well-known", "matrix", rest @ ..] => Some((Root::WellKnown, rest)),
        _ => None,
    }
}

/// How closely a path has to fit a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// Literals byte by byte, and no parameter empty.
    Exact,
    /// Literals only once they are percent-decoded, or a parameter is empty: some routers take that.
    Loose,
}

/// How closely `segments` fit the template with these parts, whose parameters are in braces, if
/// they do.
pub(super) fn fit<'t>(mut parts: impl Iterator<Item = &'t str>, segments: &[&str]) -> Option<Fit> {
    let mut fit = Fit::Exact;
    for segment in segments {
        let part = parts.next()?;
        let exact = match part.starts_with('{') {
            true => !segment.is_empty(),
            false if part == *segment => true,
            false if is(segment, part) => false,
            false => return None,
        };
        if !exact {
            fit = Fit::Loose;
        }
    }
    parts.next().is_none().then_some(fit)
}

/// Whether a path that cannot be read may be an instance of the template to some server: each of
/// its literals is somewhere in it, decoded, or may be there once it is decoded again.
pub(super) fn may_be_in(template: &str, path: &str) -> bool {
    let is_in = |literal: &str| {
        let mut rest = percent_decode_str(path);
        loop {
            let mut here = rest.clone();
            match literal.bytes().all(|byte| here.next() == Some(byte)) {
                true => return true,
                false if rest.next().is_none() => return false,
                false => {}
            }
        }
    };
    let mut parts = template.split('/');
    path.contains("%25") || parts.all(|part| part.starts_with('{') || is_in(part))
}

/// The segment at the place of `{name}` in the template with these parts.
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
    use super::{Fit, Root, fit, mounted, parameter};

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
        let template = || "rooms/{roomId}/leave".split('/');
        for (segments, expected) in [
            (&["rooms", "%2F", "leave"][..], Some(Fit::Exact)),
            (&["rooms", "", "leave"], Some(Fit::Loose)),
            (&["rooms", "x", "le%61ve"], Some(Fit::Loose)),
            (&["r%6foms", "x", "leave"], Some(Fit::Loose)),
            (&["rooms", "x", "leave", ""], None),
            (&["rooms", "x"], None),
            (&["rooms", "x", "join"], None),
            (&["rooms", "x", ""], None),
        ] {
            assert_eq!(fit(template(), segments), expected, "{segments:?}");
        }
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
