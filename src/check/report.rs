//! Telling what became of a request, and whether a refusal stands.

use std::time::Duration;

use http::Method;

use super::{Answers, Failure};
use crate::{
    denial::Denial,
    outcome::{Decision, Outcome},
    request::few::Few,
    shared::Shared,
};

/// A request that passes or is refused, and what has been learnt of it.
#[derive(Debug)]
pub(crate) struct Passage {
    /// Whose states were checked.
    pub(crate) accounts: Few<crate::account::Account>,
    /// Whether the handler has been left to ask the guard.
    pub(crate) hands_on_guard: bool,
    /// How long the store was awaited.
    pub(crate) lookup_time: Option<Duration>,
    /// Why the store gave no answer.
    pub(crate) failure: Option<Failure>,
    /// What the store has said at once.
    pub(crate) answers: Answers,
}

impl Passage {
    pub(crate) const fn free() -> Self {
        Self {
            accounts: Few::new(),
            hands_on_guard: false,
            lookup_time: None,
            failure: None,
            answers: Answers::none(),
        }
    }

    /// Adds to the time that the store took.
    pub(super) fn waited(&mut self, time: Duration) {
        *self.lookup_time.get_or_insert_default() += time;
    }

    fn outcome<'a>(&'a self, decision: Decision, method: &'a Method) -> Outcome<'a> {
        let mut outcome = Outcome::new(decision, method);
        outcome.account = self.accounts.iter().map(|account| &account.user).next();
        outcome.lookup_time = self.lookup_time;
        outcome.store_error = self.failure.as_ref().map(|failure| failure as _);
        outcome
    }
}

impl<S> Shared<S> {
    /// Tells that the request passes.
    #[inline]
    pub(crate) fn passed(&self, passage: &Passage, method: &Method) {
        if self.settings.observer.is_none() && passage.failure.is_none() {
            return;
        }
        let decision = match passage.failure {
            None => Decision::Passed,
            Some(_) => Decision::PassedUnchecked,
        };
        self.tell(&passage.outcome(decision, method));
    }

    /// Tells that the request is refused. Gives the denial back, unless the layer only reports.
    pub(crate) fn refused(
        &self,
        denial: Denial,
        passage: &Passage,
        method: &Method,
    ) -> Result<(), Denial> {
        let decision = match self.settings.report_only {
            false => Decision::Refused,
            true => Decision::WouldRefuse,
        };
        let mut outcome = passage.outcome(decision, method);
        outcome.denial = Some(&denial);
        self.tell(&outcome);
        match self.settings.report_only {
            false => Err(denial),
            true => Ok(()),
        }
    }

    /// Tells that a request which waited has been ended.
    pub(super) fn ended(&self, denial: &Denial, method: &Method) {
        let mut outcome = Outcome::new(Decision::Ended, method);
        outcome.denial = Some(denial);
        self.tell(&outcome);
    }

    fn tell(&self, outcome: &Outcome<'_>) {
        #[cfg(feature = "tracing")]
        outcome.trace();
        if let Some(observer) = &self.settings.observer {
            observer(outcome);
        }
    }
}
