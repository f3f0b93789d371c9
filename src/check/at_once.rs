//! Whatever can be decided without waiting.

use super::{Failure, Head, Judged, Passage};
use crate::{
    denial::{Denial, DenialCause},
    request::{credentials::HeadCredentials, endpoint},
    settings::StoreFailure,
    shared::Shared,
    store::{AccountStateStore, Peek, ask::Known},
};

/// What is known of a request without waiting.
pub(crate) enum AtOnce {
    Pass,
    Deny(Denial),
    /// The store has to be awaited, or the body read.
    Ask,
}

impl<S: AccountStateStore> Shared<S> {
    /// Notes in `passage` what it finds on the way.
    ///
    /// `glanced` is what the store has said of the only token in the head.
    pub(crate) fn decide_at_once(
        &self,
        head: &Head<'_>,
        glanced: Option<Peek>,
        passage: &mut Passage,
    ) -> AtOnce {
        let settings = &self.settings;
        let naming = endpoint::naming(head.method, &head.path);
        let peeked = match &head.credentials() {
            Ok(credentials) => self.peek_all(head, credentials, glanced, passage),
            Err(_) => AtOnce::Deny(settings.denial(DenialCause::TooManyCredentials)),
        };
        // The usual case first: nobody is restricted, and no body names anyone.
        if let (AtOnce::Pass, None) = (&peeked, naming) {
            return AtOnce::Pass;
        }
        if settings.always_passes(head.method, &head.path) {
            *passage = Passage::free();
            return AtOnce::Pass;
        }
        if head.ignores_access_token() {
            *passage = Passage::free();
        } else if let AtOnce::Deny(_) | AtOnce::Ask = peeked {
            return peeked;
        }
        match naming {
            Some(naming) if settings.asks_for_named(naming, head, passage) => AtOnce::Ask,
            _ => AtOnce::Pass,
        }
    }

    /// What the store says at once of all the credentials in a head.
    fn peek_all(
        &self,
        head: &Head<'_>,
        credentials: &HeadCredentials<'_>,
        glanced: Option<Peek>,
        passage: &mut Passage,
    ) -> AtOnce {
        let mut has_to_ask = false;
        let mut glanced = glanced.filter(|_| credentials.is_only());
        let denied = credentials
            .iter()
            .enumerate()
            .try_for_each(|(turn, access)| {
                let known = self.peek(access.into(), glanced.take());
                if let Ok(known) = &known {
                    passage.answers.keep(turn, known);
                }
                match known {
                    Ok(Known::Account(account)) => {
                        match self.settings.judge(&account, head) {
                            Judged::Clear => {}
                            Judged::LeaveToHandler => passage.hands_on_guard = true,
                            Judged::Denied(refusal) => {
                                return Err(self.settings.refuse(account, refusal));
                            }
                            Judged::Depends(_) => has_to_ask = true,
                        }
                        // There are no more accounts than credentials.
                        passage.accounts.push(account).unwrap_or_default();
                    }
                    Ok(Known::Unknown) => {}
                    Ok(Known::Await(_)) => has_to_ask = true,
                    Err(failure) => self.failed(failure, passage)?,
                }
                Ok(())
            });
        match denied {
            Err(denial) => AtOnce::Deny(denial),
            Ok(()) if has_to_ask => AtOnce::Ask,
            Ok(()) => AtOnce::Pass,
        }
    }

    /// Denies what a store gives no answer for, if that is what the settings want.
    pub(super) fn failed(&self, failure: Failure, passage: &mut Passage) -> Result<(), Denial> {
        passage.failure = Some(failure);
        match self.settings.store_failure {
            StoreFailure::Refuse => Err(self.settings.denial(DenialCause::StoreFailed)),
            StoreFailure::LetEveryoneThrough => Ok(()),
        }
    }
}
