//! The endpoints and their paths.

use percent_encoding::percent_decode_str;

use crate::account::{RestrictionKind, UserId};

/// The target of a request to one of the endpoints.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) kind: Kind,
    /// `None` if the path names nobody, because it is not text.
    pub(super) user: Option<UserId>,
}

/// The restrictions that the endpoints set and lift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Lock,
    Suspension,
}

impl Kind {
    /// The key in the bodies of requests and answers.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Lock => "locked",
            Self::Suspension => "suspended",
        }
    }

    /// The endpoint as a metric's label.
    pub(super) fn endpoint(self) -> &'static str {
        match self {
            Self::Lock => "admin/lock/{userId}",
            Self::Suspension => "admin/suspend/{userId}",
        }
    }

    pub(super) fn restriction(self) -> RestrictionKind {
        match self {
            Self::Lock => RestrictionKind::Locked,
            Self::Suspension => RestrictionKind::Suspended,
        }
    }
}

impl Target {
    /// Reads a raw path: exactly one segment behind an endpoint's own, which is split off before
    /// it is decoded, because a user id may hold a slash.
    #[inline]
    pub(super) fn of(path: &str) -> Option<Self> {
        let rest = path.strip_prefix("/_matrix/client/")?;
        let rest = rest
            .strip_prefix("v1/admin/")
            .or_else(|| rest.strip_prefix("unstable/uk.timedout.msc4323/admin/"))?;
        let (kind, segment) = rest.split_once('/')?;
        let kind = match kind {
            "lock" => Kind::Lock,
            "suspend" => Kind::Suspension,
            _ => return None,
        };
        if segment.is_empty() || segment.contains('/') {
            return None;
        }
        let user = percent_decode_str(segment).decode_utf8().ok();
        Some(Self {
            kind,
            user: user.map(|user| UserId::from(&*user)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Target};

    fn user_of(segment: &str) -> Option<String> {
        let target = Target::of(&format!("/_matrix/client/v1/admin/lock/{segment}"));
        let user = target.expect(segment).user;
        user.map(|user| user.as_str().to_owned())
    }

    #[test]
    fn msc4323_both_endpoints_and_their_unstable_twins() {
        for prefix in [
            "/_matrix/client/v1/admin",
            "/_matrix/client/unstable/uk.timedout.msc4323/admin",
        ] {
            for (name, kind) in [("lock", Kind::Lock), ("suspend", Kind::Suspension)] {
                let path = format!("{prefix}/{name}/@a:b");
                let user = Some("@a:b".into());
                assert_eq!(Target::of(&path), Some(Target { kind, user }), "{path}");
            }
        }
    }

    #[test]
    fn spec_user_identifiers_may_hold_a_slash_and_are_decoded_once() {
        assert_eq!(user_of("@a%2Fb:c").as_deref(), Some("@a/b:c"));
        assert_eq!(user_of("%40a%3Ac").as_deref(), Some("@a:c"));
        assert_eq!(user_of("@a%252Fb:c").as_deref(), Some("@a%2Fb:c"));
        assert_eq!(user_of("@a+b:c").as_deref(), Some("@a+b:c"));
        assert_eq!(user_of("@%C3%A9:c").as_deref(), Some("@é:c"));
        assert_eq!(user_of("@%ff:c"), None);
    }

    #[test]
    fn every_other_path_is_the_inner_services() {
        for path in [
            "/",
            "*",
            "/_matrix/client/v3/admin/lock/@a:b",
            "/_matrix/client/v3/admin/whois/@a:b",
            "/_matrix/client/v1/admin/lock",
            "/_matrix/client/v1/admin/lock/",
            "/_matrix/client/v1/admin/lock/@a:b/",
            "/_matrix/client/v1/admin/lock/@a/b:c",
            "/_matrix/client/v1/admin/locked/@a:b",
            "/_matrix/client/v1/admin/Lock/@a:b",
            "/_matrix/client/v1/admin/%6cock/@a:b",
            "/_matrix/client/v1//admin/lock/@a:b",
            "/_matrix/client/unstable/admin/lock/@a:b",
            "/x/_matrix/client/v1/admin/lock/@a:b",
        ] {
            assert_eq!(Target::of(path), None, "{path}");
        }
    }
}
