//! What has been learnt of a request, and who is told of it.

use std::time::Duration;

use super::limits::Failure;
#[cfg(feature = "tracing")]
use crate::store::chain;
use crate::{
    account::Account,
    denial::Denial,
    outcome::{Decision, Outcome},
    panics::unless_it_panics,
    request::{act::Act, few::Few},
    shared::Shared,
};

/// What is known of a request that passes or is refused.
#[derive(Debug)]
pub(crate) struct Findings {
    /// The accounts whose states were checked.
    pub(crate) accounts: Few<Account>,
    /// Whether the one credential is the [only token of a plain header][only]. It is then not looked for
    /// again.
    ///
    /// [only]: crate::request::head::HeadCredentials::Only
    pub(crate) has_plain_token: bool,
    /// Whether it is left to the handler to ask the guard.
    pub(crate) hands_on_guard: bool,
    /// Whether the request is a refresh, if the guard is handed on.
    pub(crate) is_refresh: bool,
    /// How long the store was awaited.
    pub(crate) lookup_time: Option<Duration>,
    /// Why the store gave no answer.
    pub(crate) failure: Option<Failure>,
}

impl Findings {
    pub(crate) const fn new() -> Self {
        Self {
            accounts: Few::new(),
            has_plain_token: false,
            hands_on_guard: false,
            is_refresh: false,
            lookup_time: None,
            failure: None,
        }
    }

    pub(crate) fn is_anything(&self) -> bool {
        !self.accounts.is_empty() || self.failure.is_some() || self.hands_on_guard
    }

    /// Forgets the accounts that were found, because their states do not count.
    pub(super) fn forget(&mut self) {
        *self = Self {
            has_plain_token: self.has_plain_token,
            hands_on_guard: self.hands_on_guard,
            is_refresh: self.is_refresh,
            ..Self::new()
        };
    }

    /// Adds to the time that the store took, if it was [measured](Shared::reads_time).
    pub(super) fn waited(&mut self, time: Option<Duration>) {
        if let Some(time) = time {
            *self.lookup_time.get_or_insert_default() += time;
        }
    }
}

impl<S> Shared<S> {
    /// Whether anyone is told how long the store took.
    pub(super) fn reads_time(&self) -> bool {
        self.settings.observer.is_some()
    }

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

    /// Tells that the request is refused with this denial, even by a layer that only reports.
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

    /// Tells that a waiting request is ended.
    pub(super) fn ended(&self, denial: &Denial, act: Act<'_>) {
        let mut outcome = Outcome::new(Decision::Ended, act);
        outcome.denial = Some(denial);
        self.tell(&outcome);
    }

    /// Logs that a waiting request's account could not be looked up. The request goes on waiting.
    pub(super) fn unanswered(&self, failure: &Failure, act: Act<'_>) {
        #[cfg(feature = "tracing")]
        if let Some(untold) = self.failures.is_told(failure) {
            let endpoint = Outcome::new(Decision::Passed, act).endpoint();
            let error = chain(failure);
            tracing::warn!(endpoint, untold, %error, "the account of a waiting request could not be checked");
        }
        #[cfg(not(feature = "tracing"))]
        let _ = (failure, act);
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
