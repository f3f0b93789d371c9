//! What a suspended account may do. Only for this restriction the verdict depends on the request.
//!
//! [`judge`] looks at the method and the path and answers most requests without an allocation. For the few
//! that depend on more it returns a question: about the body, which [`judge_body`] answers, or about the
//! sender of an event, which [`judge_redaction`] answers.

mod body;
mod entries;
mod event;
mod index;
mod judgement;
mod membership;
mod path;
mod policy;
mod reading;
mod redaction;
mod room;
mod rows;
mod scheduled;
mod table;
#[cfg(test)]
mod tests;

use std::iter;

use http::Method;

pub(crate) use body::judge_body;
pub(crate) use judgement::{BodyQuestion, Judgement, Redaction};
pub use policy::{SuspensionPolicy, UnattributedRedactions};
pub(crate) use redaction::judge_redaction;
pub(crate) use rows::judge_event;

use self::{
    index::{Endpoint, MAX_PARTS},
    path::{Fit, Root, is, may_be_in, mounted},
    reading::Readings,
    table::TABLE,
};
use crate::{account::UserId, action::Action};

/// The verdict on a request of `user`, who is suspended. `path` is the whole path as it was sent, without the
/// query.
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
    let mut readings = Readings::new();
    if readings.read(path).is_none() {
        // It might be any endpoint of this method that has its words in the path.
        return match reads && permits_reads_in(policy, path) {
            true => Judgement::Permit,
            false => Judgement::Refuse(Action::Unknown),
        };
    }
    if readings.is_plain() && policy.permits_endpoint(method, readings.sent()) {
        return Judgement::Permit;
    }
    let request = Request {
        policy,
        bit: bit(method),
        reads,
        user,
    };
    request
        .endpoint(&readings)
        .unwrap_or_else(|| request.unknown(&readings))
}

/// The template of the endpoint of `path`, which is a whole path as it was sent.
pub(crate) fn template(path: &str) -> Option<&'static str> {
    let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    let (root, tail) = mounted(&segments)?;
    index::candidates(tail)
        .iter()
        .find(|endpoint| endpoint.root() == root && endpoint.fit(tail) == Some(Fit::Exact))
        .map(Endpoint::template)
}

/// Whether every read is permitted that the path may be to some server.
fn permits_reads_in(policy: &SuspensionPolicy, path: &str) -> bool {
    let mut rows = TABLE.iter().flat_map(|(_, rows)| *rows);
    policy.permits(Action::UnknownRead)
        && (policy.permits(Action::ReadAdmin) || !may_be_in("admin", path))
        && rows.all(|&(methods, template, action)| {
            methods & table::GET == 0 || policy.permits(action) || !may_be_in(template, path)
        })
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

/// Whether some server may take the path for one of its administration's, a nested router's
/// stripped one among them.
fn is_administration(reading: &[&str]) -> bool {
    match reading {
        [first, .., _] if is(first, "admin") => true,
        [server, admin, .., _] => {
            is(admin, "admin") && (is(server, "_synapse") || is(server, "_dendrite"))
        }
        _ => false,
    }
}

#[derive(Clone, Copy)]
struct Request<'a> {
    policy: &'a SuspensionPolicy,
    bit: u8,
    reads: bool,
    user: &'a UserId,
}

impl<'a> Request<'a> {
    /// An endpoint behind a known prefix: permitted by its row, if its path is the row's as it was
    /// sent, and if no other reading is a row that says otherwise. `None` if it is no row's, or if
    /// it is not the same prefix in every reading.
    fn endpoint<'p>(&self, readings: &Readings<'p>) -> Option<Judgement<'p>> {
        let sent = readings.sent();
        let (root, tail) = mounted(sent)?;
        let at = sent.len() - tail.len();
        let same_prefix = |reading: &[&str]| reading.get(..at) == sent.get(..at);
        if !readings.others().all(same_prefix) {
            return None;
        }
        let mut known: Option<Judgement<'p>> = None;
        let mut otherwise = Refusal::default();
        let here = |endpoint: &&Endpoint| endpoint.root() == root;
        for endpoint in self.endpoints(tail).filter(here) {
            match endpoint.fit(tail) {
                Some(Fit::Exact) => {
                    let judgement = self.judge(endpoint, tail);
                    known = Some(match known {
                        Some(known) => known.and(judgement),
                        None => judgement,
                    });
                }
                Some(Fit::Loose) => self.refuse(endpoint, tail, &mut otherwise),
                None => {}
            }
        }
        let known = match root {
            Root::Administration => known.unwrap_or_else(|| self.administration()),
            _ => known?,
        };
        let tails = readings.others().map(|reading| &reading[at..]);
        for other in tails.filter(|other| *other != tail) {
            let fitting = self.endpoints(other).filter(here);
            for endpoint in fitting.filter(|endpoint| endpoint.fit(other).is_some()) {
                self.refuse(endpoint, other, &mut otherwise);
            }
        }
        Some(known.and(otherwise.into()))
    }

    /// A path that is no row's, or of another API, or one whose beginning a router has taken off:
    /// never permitted as the endpoint that its end looks like, but refused as that.
    fn unknown<'p>(&self, readings: &Readings<'p>) -> Judgement<'p> {
        let mut refusal = Refusal::default();
        for reading in iter::once(readings.sent()).chain(readings.others()) {
            for from in reading.len().saturating_sub(MAX_PARTS)..reading.len() {
                let end = &reading[from..];
                let fitting = self.endpoints(end);
                for endpoint in fitting.filter(|endpoint| endpoint.fit(end).is_some()) {
                    self.refuse(endpoint, end, &mut refusal);
                }
            }
        }
        let unknown = match self.reads {
            true => Action::UnknownRead,
            false => Action::Unknown,
        };
        let mut judgement = Judgement::from(refusal).and(Judgement::by(self.policy, unknown));
        let mut all = iter::once(readings.sent()).chain(readings.others());
        if all.any(is_administration) {
            judgement = judgement.and(self.administration());
        }
        judgement
    }

    /// The verdict on a request to a server's administration, whatever it does.
    fn administration<'p>(&self) -> Judgement<'p> {
        let action = match self.reads {
            true => Action::ReadAdmin,
            false => Action::Administer,
        };
        Judgement::by(self.policy, action)
    }

    /// The endpoints with this method that `segments` may be an instance of.
    fn endpoints(&self, segments: &[&str]) -> impl Iterator<Item = &'static Endpoint> + use<> {
        let bit = self.bit;
        let candidates = index::candidates(segments).iter();
        candidates.filter(move |endpoint| endpoint.has_method(bit))
    }

    fn judge<'p>(&self, endpoint: &Endpoint, segments: &[&'p str]) -> Judgement<'p> {
        rows::judge(self.policy, endpoint, segments, self.user)
    }

    /// The verdict on a reading that no client needs. It is refused unless it is simply permitted.
    fn refuse(&self, endpoint: &Endpoint, segments: &[&str], refusal: &mut Refusal) {
        match self.judge(endpoint, segments) {
            Judgement::Permit => {}
            Judgement::Refuse(action) => refusal.note(endpoint, action),
            _ => refusal.note(endpoint, endpoint.action()),
        }
    }
}

/// The action as which other readings are refused: that of the first one in the table.
#[derive(Clone, Copy, Debug, Default)]
struct Refusal(Option<(usize, Action)>);

impl Refusal {
    fn note(&mut self, endpoint: &Endpoint, action: Action) {
        let place = endpoint.place();
        if self.0.is_none_or(|(first, _)| place < first) {
            self.0 = Some((place, action));
        }
    }
}

impl From<Refusal> for Judgement<'_> {
    fn from(Refusal(first): Refusal) -> Self {
        first.map_or(Judgement::Permit, |(_, action)| Judgement::Refuse(action))
    }
}
