//! Reports the outcome of a request, and says whether a refusal is in force.

use super::Findings;
use crate::{
    denial::Denial,
    outcome::{Decision, Outcome},
    panics::unless_it_panics,
    request::act::Act,
    shared::Shared,
};

impl<S> Shared<S> {
    /// Tells that the request passes.
    #[inline]
    pub(crate) fn passed(&self, found: &Findings, act: Act<'_>) {
        if self.settings.observer.is_none() && found.failure.is_none() {
            return;
        }
        let decision = match found.failure {
            None => Decision::Passed,
            Some(_) => Decision::PassedUnchecked,
        };
        self.tell(&found.outcome(decision, act));
    }

    /// Tells that the request is refused. Gives the denial back, unless the layer only reports.
    pub(crate) fn refused(
        &self,
        denial: Denial,
        found: &Findings,
        act: Act<'_>,
    ) -> Result<(), Denial> {
        if !self.settings.report_only {
            return Err(self.answered(denial, found, act));
        }
        let mut outcome = found.outcome(Decision::WouldRefuse, act);
        outcome.denial = Some(&denial);
        self.tell(&outcome);
        Ok(())
    }

    /// Tells that the request is refused, and that the denial is what it is answered with.
    pub(super) fn answered(&self, denial: Denial, found: &Findings, act: Act<'_>) -> Denial {
        // Is there anyone to tell?
        if !cfg!(feature = "tracing") && self.settings.observer.is_none() {
            return denial;
        }
        let mut outcome = found.outcome(Decision::Refused, act);
        outcome.denial = Some(&denial);
        self.tell(&outcome);
        denial
    }

    /// Tells that a request which waited has been ended.
    pub(super) fn ended(&self, denial: &Denial, act: Act<'_>) {
        let mut outcome = Outcome::new(Decision::Ended, act);
        outcome.denial = Some(denial);
        self.tell(&outcome);
    }

    fn tell(&self, outcome: &Outcome<'_>) {
        #[cfg(feature = "tracing")]
        outcome.trace(&self.failures);
        let Some(observer) = &self.settings.observer else {
            return;
        };
        let heard = unless_it_panics(|| observer(outcome));
        #[cfg(feature = "tracing")]
        if heard.is_err() {
            tracing::error!("the observer panicked");
        }
        // Without a log the panic hook has told it.
        #[cfg(not(feature = "tracing"))]
        let _ = heard;
    }
}

impl Findings {
    fn outcome<'a>(&'a self, decision: Decision, act: Act<'a>) -> Outcome<'a> {
        let mut outcome = Outcome::new(decision, act);
        outcome.account = self.accounts.iter().map(|account| &account.user).next();
        outcome.lookup_time = self.lookup_time;
        outcome.store_error = self.failure.as_ref().map(|failure| failure as _);
        outcome
    }
}
