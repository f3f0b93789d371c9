//! The one place that refuses an account.
//!
//! The check at once, the awaited check, a waiting long poll and the guard all ask [`judge`]. It knows
//! only its arguments.

use std::time::SystemTime;

use http::Method;

use crate::{
    account::{Account, Restriction, RestrictionKind, UserId},
    action::Action,
    denial::Denial,
    request::{act::Act, class::Class},
    suspension::{self, BodyQuestion, Judgement, Redaction, SuspensionPolicy},
};

/// What an account's state means for what it wants to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict<'a> {
    Pass,
    /// It passes, and the handler must look closer, with the guard's help.
    LeaveToHandler,
    Refuse(Refusal),
    /// The body decides: [`judge_body`].
    NeedsBody(BodyQuestion<'a>),
    /// The sender of an event decides: [`judge_sender`].
    NeedsSender(Redaction<'a>),
}

/// Why an account is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    kind: RestrictionKind,
    /// The action, if that decided.
    action: Option<Action>,
    now: SystemTime,
}

/// Judges `account` at `now` for an act of this class.
pub(crate) fn judge<'a>(
    policy: &SuspensionPolicy,
    class: Class,
    act: Act<'a>,
    account: &Account,
    now: SystemTime,
) -> Verdict<'a> {
    if class.passes {
        return Verdict::Pass;
    }
    let Some(kind) = account.state().in_force(now).map(Restriction::kind) else {
        return Verdict::Pass;
    };
    if kind != RestrictionKind::Suspended {
        // Only requests that pass whatever the state are left to it.
        let action = None;
        return Verdict::Refuse(Refusal { kind, action, now });
    }
    let judgement = match act {
        Act::Action(action) => Judgement::by(policy, action),
        Act::Event(event) => suspension::judge_event(policy, &event, &account.user),
        Act::Request { method, path } => {
            suspension::judge(policy, suspended_as(method, path), path, &account.user)
        }
    };
    Verdict::of_suspended(judgement, now)
}

/// Judges a suspended account at `now` by the body of its request.
pub(crate) fn judge_body<'a>(
    policy: &SuspensionPolicy,
    question: BodyQuestion<'a>,
    body: &[u8],
    user: &UserId,
    now: SystemTime,
) -> Verdict<'a> {
    let judgement = suspension::judge_body(policy, question, body, user);
    Verdict::of_suspended(judgement, now)
}

/// Judges a suspended account at `now` that redacts an event. `own` says whether the event is its own, if
/// that is known.
pub(crate) fn judge_sender(
    policy: &SuspensionPolicy,
    own: Option<bool>,
    now: SystemTime,
) -> Verdict<'static> {
    Verdict::of_suspended(suspension::judge_redaction(policy, own), now)
}

/// The method that a suspension is judged by. Over HTTP/2 a `CONNECT` with a path
/// ([RFC 8441](https://www.rfc-editor.org/rfc/rfc8441)) takes the place of the `GET` that asks for an
/// upgrade.
fn suspended_as<'a>(method: &'a Method, path: &str) -> &'a Method {
    match method == Method::CONNECT && path.starts_with('/') {
        true => &Method::GET,
        false => method,
    }
}

impl<'a> Verdict<'a> {
    fn of_suspended(judgement: Judgement<'a>, now: SystemTime) -> Self {
        match judgement {
            Judgement::Permit => Self::Pass,
            Judgement::PermitUnattributed => Self::LeaveToHandler,
            Judgement::Refuse(action) => Self::Refuse(Refusal {
                kind: RestrictionKind::Suspended,
                action: Some(action),
                now,
            }),
            Judgement::ReadBody(question) => Self::NeedsBody(question),
            Judgement::RedactionOf(redaction) => Self::NeedsSender(redaction),
        }
    }
}

impl Refusal {
    /// The answer to `account`.
    pub(crate) fn denial(self, account: Account) -> Denial {
        Denial::restricted(account, self.kind, self.action, self.now)
    }
}
