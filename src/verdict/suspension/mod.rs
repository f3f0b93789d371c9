//! What a suspended account may do: the one restriction whose verdict depends on the request.
//!
//! [`judge`] looks at the method and the path and answers most requests without an allocation. The
//! few that depend on more are handed back as a question: about the body, for [`judge_body`], or
//! about who sent an event, for [`judge_redaction`].

mod body;
mod event;
mod path;
mod policy;
mod redaction;
mod table;
#[cfg(test)]
mod tests;

use http::Method;

pub(crate) use body::{BodyQuestion, judge_body};
pub use policy::{SuspensionPolicy, UnattributedRedactions};
pub(crate) use redaction::{Redaction, judge_redaction};

use self::{
    path::{Literals, Root, Segments, matches, mounted},
    table::{Row, TABLE},
};
use crate::{Action, UserId};

/// What becomes of a suspended account's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Judgement<'p> {
    /// It passes.
    Permit,
    /// It passes, and the handler has to look whose event is redacted, for nobody else knows. The
    /// guard tells it so.
    PermitUnattributed,
    /// It is refused, as this action.
    Refuse(Action),
    /// The body says what it is: [`judge_body`].
    ReadBody(BodyQuestion<'p>),
    /// It depends on who sent the event: [`judge_redaction`].
    RedactionOf(Redaction<'p>),
}

impl<'p> Judgement<'p> {
    fn by(policy: &SuspensionPolicy, action: Action) -> Self {
        match policy.permits(action) {
            true => Self::Permit,
            false => Self::Refuse(action),
        }
    }

    /// The stricter of two. Two questions at once are one too many.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Refuse(action), _) | (_, Self::Refuse(action)) => Self::Refuse(action),
            (Self::Permit, other) => other,
            (this, Self::Permit) => this,
            _ => Self::Refuse(Action::Unknown),
        }
    }
}

/// What becomes of a request of `user`, who is suspended. `path` is the whole path, as it was sent
/// and without a query.
pub(crate) fn judge<'p>(
    policy: &SuspensionPolicy,
    method: &Method,
    path: &'p str,
    user: &UserId,
) -> Judgement<'p> {
    if method == Method::OPTIONS {
        return Judgement::Permit;
    }
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let (Some(sent), Some(folded)) = (Segments::sent(path), Segments::folded(path)) else {
        // It might be any endpoint of this method.
        return match reads && permits_all_reads(policy) {
            true => Judgement::Permit,
            false => Judgement::Refuse(Action::Unknown),
        };
    };
    if folded.as_slice().len() == non_empty(&sent) && policy.permits_endpoint(method, &sent) {
        return Judgement::Permit;
    }
    let request = Request {
        policy,
        bit: bit(method),
        unknown: if reads {
            Action::UnknownRead
        } else {
            Action::Unknown
        },
        user,
    };
    match mounted(sent.as_slice()) {
        Some((root, tail)) => {
            // What stands before the tail has nothing encoded in it and reads the same folded.
            let before = sent.as_slice().len() - tail.len();
            request.endpoint(root, tail, &folded.as_slice()[before..])
        }
        None => request.elsewhere(sent.as_slice(), folded.as_slice()),
    }
}

fn non_empty(segments: &Segments<'_>) -> usize {
    let segments = segments.as_slice().iter();
    segments.filter(|segment| !segment.is_empty()).count()
}

fn permits_all_reads(policy: &SuspensionPolicy) -> bool {
    let mut rows = TABLE.iter().flat_map(|(_, rows)| *rows);
    policy.permits(Action::UnknownRead)
        && rows.all(|&(methods, _, action)| methods & table::GET == 0 || policy.permits(action))
}

fn bit(method: &Method) -> u8 {
    match *method {
        Method::GET | Method::HEAD => table::GET,
        Method::POST => table::POST,
        Method::PUT => table::PUT,
        Method::DELETE => table::DELETE,
        Method::PATCH => table::PATCH,
        _ => 0,
    }
}

#[derive(Clone, Copy)]
struct Request<'a> {
    policy: &'a SuspensionPolicy,
    bit: u8,
    unknown: Action,
    user: &'a UserId,
}

impl<'a> Request<'a> {
    /// An endpoint behind a known prefix: permitted by its row, if its path is the row's as it was
    /// sent, and if no other reading is a row that says otherwise.
    fn endpoint<'p>(&self, root: Root, sent: &[&'p str], folded: &[&'p str]) -> Judgement<'p> {
        let mut known = None;
        let mut otherwise = None;
        for row in self
            .rows()
            .filter(|(at, _)| *at == root)
            .map(|(_, row)| row)
        {
            if matches(row.1, sent, Literals::AsSent) {
                let judgement = self.row(row, sent);
                known = Some(match known {
                    Some(known) => judgement.and(known),
                    None => judgement,
                });
            } else if matches(row.1, sent, Literals::Decoded) {
                otherwise = otherwise.or(self.refusal(row, sent));
            }
            if sent != folded && matches(row.1, folded, Literals::Decoded) {
                otherwise = otherwise.or(self.refusal(row, folded));
            }
        }
        match (known, otherwise) {
            (Some(Judgement::Refuse(action)), _) | (_, Some(action)) => Judgement::Refuse(action),
            (Some(judgement), None) => judgement,
            (None, None) => Judgement::by(self.policy, self.unknown),
        }
    }

    /// A path of another kind, or one whose beginning a router has taken off: never permitted as
    /// the endpoint that its end looks like, but refused as that.
    fn elsewhere<'p>(&self, sent: &[&'p str], folded: &[&'p str]) -> Judgement<'p> {
        for (_, row) in self.rows() {
            let len = row.1.split('/').count();
            for segments in [sent, folded] {
                let Some(from) = segments.len().checked_sub(len) else {
                    continue;
                };
                let end = &segments[from..];
                if !matches(row.1, end, Literals::Decoded) {
                    continue;
                }
                if let Some(action) = self.refusal(row, end) {
                    return Judgement::Refuse(action);
                }
            }
        }
        Judgement::by(self.policy, self.unknown)
    }

    /// The rows with this method.
    fn rows(&self) -> impl Iterator<Item = (Root, &'static Row)> + use<> {
        let bit = self.bit;
        let rows = TABLE
            .iter()
            .flat_map(|(root, rows)| rows.iter().map(|row| (*root, row)));
        rows.filter(move |(_, row)| row.0 & bit != 0)
    }

    fn row<'p>(&self, row: &Row, segments: &[&'p str]) -> Judgement<'p> {
        event::judge(self.policy, row, segments, self.user)
    }

    /// How a reading that nobody should need is refused, if it is not simply permitted.
    fn refusal(&self, row: &Row, segments: &[&str]) -> Option<Action> {
        match self.row(row, segments) {
            Judgement::Permit => None,
            Judgement::Refuse(action) => Some(action),
            _ => Some(row.2),
        }
    }
}
