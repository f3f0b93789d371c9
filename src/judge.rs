//! What each restriction permits.

use http::Method;

use crate::{
    account::{RestrictionKind, UserId},
    action::Action,
    suspension::{BodyQuestion, Judgement, Redaction, SuspensionPolicy, judge},
};

/// What becomes of a request by an account under a restriction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict<'p> {
    Pass,
    /// It passes, and the handler has to look closer, with the guard's help.
    LeaveToHandler,
    /// It is refused, as what it would do, where that decided.
    Deny(Option<Action>),
    /// The body decides.
    AskBody(BodyQuestion<'p>),
    /// Whose event it is decides.
    AskSender(Redaction<'p>),
}

/// Judges a request that is on no allow-list.
pub(crate) fn verdict<'p>(
    kind: RestrictionKind,
    policy: &SuspensionPolicy,
    method: &Method,
    path: &'p str,
    user: &UserId,
) -> Verdict<'p> {
    match kind {
        // Neither may do anything but log out, which is on the allow-list.
        RestrictionKind::Locked | RestrictionKind::Deactivated => Verdict::Deny(None),
        RestrictionKind::Suspended => judge(policy, method, path, user).into(),
    }
}

impl<'p> From<Judgement<'p>> for Verdict<'p> {
    fn from(judgement: Judgement<'p>) -> Self {
        match judgement {
            Judgement::Permit => Self::Pass,
            Judgement::PermitUnattributed => Self::LeaveToHandler,
            Judgement::Refuse(action) => Self::Deny(Some(action)),
            Judgement::ReadBody(question) => Self::AskBody(question),
            Judgement::RedactionOf(redaction) => Self::AskSender(redaction),
        }
    }
}
