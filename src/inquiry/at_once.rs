//! Whatever can be decided without waiting.

use super::{Failure, Head, Judged, Passage, limits::unless_it_panics};
use crate::{
    AccountStateStore, Denial, DenialCause, Peek, StoreFailure,
    request::{credentials::HeadCredentials, endpoint},
    shared::Shared,
};

/// What is known of a request without waiting.
pub(crate) enum AtOnce {
    Pass(Passage),
    Deny(Denial, Passage),
    /// The store has to be awaited, or the body read.
    Ask,
}

/// What the store says at once of all the credentials in a head.
enum Peeked {
    Clear,
    Denied(Denial),
    Ask,
}

impl<S: AccountStateStore> Shared<S> {
    pub(crate) fn decide_at_once(&self, head: &Head<'_>) -> AtOnce {
        let settings = &self.settings;
        let mut passage = Passage::free();
        let naming = endpoint::naming(head.method, &head.path);
        let peeked = match &head.credentials() {
            Ok(credentials) => self.peek_all(head, credentials, &mut passage),
            Err(_) => Peeked::Denied(settings.denial(DenialCause::TooManyCredentials)),
        };
        // The usual case first: nobody is restricted, and no body names anyone.
        if let (Peeked::Clear, None) = (&peeked, naming) {
            return AtOnce::Pass(passage);
        }
        if settings.always_passes(head.method, &head.path) {
            return AtOnce::Pass(Passage::free());
        }
        if head.ignores_access_token() {
            passage = Passage::free();
        } else {
            match peeked {
                Peeked::Denied(denial) => return AtOnce::Deny(denial, passage),
                Peeked::Ask => return AtOnce::Ask,
                Peeked::Clear => {}
            }
        }
        match naming {
            Some(naming) if settings.asks_for_named(naming, head, &mut passage) => AtOnce::Ask,
            _ => AtOnce::Pass(passage),
        }
    }

    fn peek_all(
        &self,
        head: &Head<'_>,
        credentials: &HeadCredentials<'_>,
        passage: &mut Passage,
    ) -> Peeked {
        let mut has_to_ask = false;
        for credential in credentials.iter() {
            match unless_it_panics(|| self.store.peek(credential)) {
                Ok(Peek::Account(account)) => {
                    match self.settings.judge(&account, head) {
                        Judged::Clear => {}
                        Judged::LeaveToHandler => passage.hands_on_guard = true,
                        Judged::Denied(denial) => return Peeked::Denied(denial),
                        Judged::Depends(_) => has_to_ask = true,
                    }
                    // There are no more accounts than credentials.
                    passage.accounts.push(account).unwrap_or_default();
                }
                Ok(Peek::Nobody) => {}
                Ok(Peek::Ask) => has_to_ask = true,
                Err(failure) => {
                    if let Some(denial) = self.failed(failure, passage) {
                        return Peeked::Denied(denial);
                    }
                }
            }
        }
        match has_to_ask {
            true => Peeked::Ask,
            false => Peeked::Clear,
        }
    }

    /// The denial for a store that gives no answer, if that is what the settings want.
    pub(super) fn failed(&self, failure: Failure, passage: &mut Passage) -> Option<Denial> {
        passage.failure = Some(failure);
        match self.settings.store_failure {
            StoreFailure::Refuse => Some(self.settings.denial(DenialCause::StoreFailed)),
            StoreFailure::LetEveryoneThrough => None,
        }
    }
}
