//! What each state permits.

#[cfg_attr(
    not(test),
    expect(dead_code, unused_imports, reason = "asked from the next change on")
)]
pub(crate) mod suspension;

use http::Method;

use crate::RestrictionKind;

/// What becomes of a request by an account under a restriction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    Deny,
}

/// Judges a request that is on no allow-list.
pub(crate) fn verdict(kind: RestrictionKind, _method: &Method, _path: &str) -> Verdict {
    match kind {
        RestrictionKind::Locked | RestrictionKind::Deactivated => Verdict::Deny,
        RestrictionKind::Suspended => Verdict::Pass,
    }
}
