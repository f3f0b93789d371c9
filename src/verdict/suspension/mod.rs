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

use std::array;

use http::Method;

pub(crate) use body::{BodyQuestion, judge_body};
pub use policy::{SuspensionPolicy, UnattributedRedactions};
pub(crate) use redaction::{Redaction, judge_redaction};

use self::{
    path::{Fit, Readings, Root, matches, mounted},
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
    let Some(readings) = Readings::of(path) else {
        // It might be any endpoint of this method.
        return match reads && permits_all_reads(policy) {
            true => Judgement::Permit,
            false => Judgement::Refuse(Action::Unknown),
        };
    };
    let all = readings.all();
    if readings.is_plain() && policy.permits_endpoint(method, all[0]) {
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
    request
        .endpoint(all)
        .unwrap_or_else(|| request.unknown(all))
}

/// The readings without those that say the same as one before them.
fn distinct<'s, 'p>(readings: [&'s [&'p str]; 4]) -> [Option<&'s [&'p str]>; 4] {
    array::from_fn(|at| (!readings[..at].contains(&readings[at])).then_some(readings[at]))
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
    /// sent, and if no other reading is a row that says otherwise. `None` if it is no row's, or if
    /// it is not the same prefix in every reading.
    fn endpoint<'p>(&self, readings: [&[&'p str]; 4]) -> Option<Judgement<'p>> {
        let [sent, ..] = readings;
        let (root, tail) = mounted(sent)?;
        let at = sent.len() - tail.len();
        let same_prefix = |reading: &&[&str]| reading.get(..at) == sent.get(..at);
        if !readings.iter().all(same_prefix) {
            return None;
        }
        let tails = distinct(readings.map(|reading| &reading[at..]));
        let mut known: Option<Judgement<'p>> = None;
        let mut otherwise = Judgement::Permit;
        for (_, row) in self.rows().filter(|(of, _)| *of == root) {
            let exact = matches(row.1, tail, Fit::Exact);
            if exact {
                let judgement = self.row(row, tail);
                known = Some(match known {
                    Some(known) => known.and(judgement),
                    None => judgement,
                });
            }
            for other in tails.into_iter().flatten() {
                let same = exact && other == tail;
                if !same && matches(row.1, other, Fit::Loose) {
                    otherwise = otherwise.and(self.refused(row, other));
                }
            }
        }
        known.map(|known| known.and(otherwise))
    }

    /// A path that is no row's, or of another API, or one whose beginning a router has taken off:
    /// never permitted as the endpoint that its end looks like, but refused as that.
    fn unknown<'p>(&self, readings: [&[&'p str]; 4]) -> Judgement<'p> {
        let mut judgement = Judgement::Permit;
        let readings = distinct(readings);
        for (_, row) in self.rows() {
            let len = row.1.split('/').count();
            for reading in readings.into_iter().flatten() {
                let end = reading.len().checked_sub(len).map(|from| &reading[from..]);
                if let Some(end) = end.filter(|end| matches(row.1, end, Fit::Loose)) {
                    judgement = judgement.and(self.refused(row, end));
                }
            }
        }
        judgement.and(Judgement::by(self.policy, self.unknown))
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

    /// What becomes of a reading that no client needs: whatever is not simply permitted is refused.
    fn refused<'p>(&self, row: &Row, segments: &[&'p str]) -> Judgement<'p> {
        match self.row(row, segments) {
            Judgement::Permit => Judgement::Permit,
            Judgement::Refuse(action) => Judgement::Refuse(action),
            _ => Judgement::Refuse(row.2),
        }
    }
}
