//! What has been learnt of a request.

use std::time::Duration;

use super::limits::Failure;
use crate::{
    account::Account,
    denial::{Denial, DenialCause},
    judge::{self, Verdict},
    request::{act::Act, class::Class, few::Few},
    settings::StoreFailure,
    shared::Shared,
};

/// What is known of a request that passes or is refused.
#[derive(Debug)]
pub(crate) struct Findings {
    /// Whose states were checked.
    pub(crate) accounts: Few<Account>,
    /// Whether the one credential is the [only token of a plain header][only], which is then not looked
    /// for again.
    ///
    /// [only]: crate::request::credentials::HeadCredentials::Only
    pub(crate) has_plain_token: bool,
    /// Whether the handler has been left to ask the guard.
    pub(crate) hands_on_guard: bool,
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
            lookup_time: None,
            failure: None,
        }
    }

    pub(crate) fn is_anything(&self) -> bool {
        !self.accounts.is_empty() || self.failure.is_some() || self.hands_on_guard
    }

    /// Nobody's state counts that has been found.
    pub(super) fn forget(&mut self) {
        let has_plain_token = self.has_plain_token;
        *self = Self::new();
        self.has_plain_token = has_plain_token;
    }

    /// Adds to the time that the store took, where it was [measured](Shared::reads_time).
    pub(super) fn waited(&mut self, time: Option<Duration>) {
        if let Some(time) = time {
            *self.lookup_time.get_or_insert_default() += time;
        }
    }
}

impl<S> Shared<S> {
    /// Whether anybody learns how long the store took.
    pub(super) fn reads_time(&self) -> bool {
        self.settings.observer.is_some()
    }

    /// What the judge says of an account now.
    ///
    /// # Errors
    ///
    /// If the clock panics.
    #[inline]
    pub(super) fn judge<'a>(
        &self,
        class: Class,
        act: Act<'a>,
        account: &Account,
    ) -> Result<Verdict<'a>, Failure> {
        if account.state().is_active() {
            return Ok(Verdict::Pass);
        }
        let now = self.settings.now_for(&account.state);
        let now = now.map_err(|_| Failure::ClockPanicked)?;
        Ok(judge::judge(
            &self.settings.suspension,
            class,
            act,
            account,
            now,
        ))
    }

    /// Refuses what the store gives no answer for, if that is what the settings want.
    pub(super) fn failed(&self, failure: Failure, found: &mut Findings) -> Result<(), Denial> {
        found.failure = Some(failure);
        match self.settings.store_failure {
            StoreFailure::Refuse => Err(self.denial(DenialCause::StoreFailed)),
            StoreFailure::LetEveryoneThrough => Ok(()),
        }
    }

    /// An answer that is no account's.
    pub(super) fn denial(&self, cause: DenialCause) -> Denial {
        Denial::from_cause(cause).with_cors(self.settings.cors_headers)
    }

    /// The judge's refusal, as this layer answers it.
    pub(super) fn refuse(&self, account: &Account, refusal: judge::Refusal) -> Denial {
        refusal
            .denial(account.clone())
            .with_cors(self.settings.cors_headers)
    }
}
