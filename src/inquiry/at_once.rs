//! Whatever can be decided without waiting.

use super::{Head, limits::unless_it_panics};
use crate::{
    Account, AccountStateStore, Denial, DenialCause, NamedAccountCheck, Peek, StoreFailure,
    request::{credentials::HeadCredentials, endpoint, few::Few},
    shared::Shared,
};

/// What is known of a request without waiting.
pub(crate) enum AtOnce {
    Pass(Passage),
    Deny(Denial),
    /// The store has to be awaited, or the body read.
    Ask,
}

/// A request that passes, and what goes with it.
#[derive(Debug)]
pub(crate) struct Passage {
    /// Whose states were checked.
    pub(crate) accounts: Few<Account>,
    /// Whether the handler has been left to ask the guard.
    pub(crate) hands_on_guard: bool,
}

impl Passage {
    pub(crate) fn free() -> Self {
        Self {
            accounts: Few::new(),
            hands_on_guard: false,
        }
    }
}

/// What the store says at once of all the credentials in a head.
enum Peeked {
    Clear(Few<Account>),
    Denied(Denial),
    Ask,
}

impl<S: AccountStateStore> Shared<S> {
    pub(crate) fn decide_at_once(&self, head: &Head<'_>) -> AtOnce {
        let settings = &self.settings;
        let credentials = head.credentials();
        let naming = endpoint::naming(head.method, &head.path);
        let peeked = match &credentials {
            Ok(credentials) => self.peek_all(head, credentials),
            Err(_) => Peeked::Denied(settings.denial(DenialCause::TooManyCredentials)),
        };
        // The usual case first: nobody is restricted, and no body names anyone.
        let peeked = match (peeked, naming) {
            (Peeked::Clear(accounts), None) => {
                return AtOnce::Pass(Passage {
                    accounts,
                    hands_on_guard: false,
                });
            }
            (peeked, _) => peeked,
        };
        if settings.always_passes(head.method, &head.path) {
            return AtOnce::Pass(Passage::free());
        }
        let ignores_token = head.ignores_access_token();
        let accounts = match peeked {
            _ if ignores_token => Few::new(),
            Peeked::Denied(denial) => return AtOnce::Deny(denial),
            Peeked::Ask => return AtOnce::Ask,
            Peeked::Clear(accounts) => accounts,
        };
        let mut passage = Passage {
            accounts,
            hands_on_guard: false,
        };
        if let Some(naming) = naming {
            let is_open = naming.goes_by_body(!passage.accounts.is_empty());
            match settings.check_of(naming.endpoint) {
                NamedAccountCheck::BeforeHandler if is_open => return AtOnce::Ask,
                NamedAccountCheck::ByHandler => passage.hands_on_guard = true,
                NamedAccountCheck::BeforeHandler | NamedAccountCheck::Off => {}
            }
        }
        AtOnce::Pass(passage)
    }

    fn peek_all(&self, head: &Head<'_>, credentials: &HeadCredentials<'_>) -> Peeked {
        let mut accounts = Few::new();
        let mut has_to_ask = false;
        for credential in credentials.iter() {
            match unless_it_panics(|| self.store.peek(credential)) {
                Ok(Peek::Account(account)) => match self.settings.judge(&account, head) {
                    Some(denial) => return Peeked::Denied(denial),
                    // There are no more accounts than credentials.
                    None => accounts.push(account).unwrap_or_default(),
                },
                Ok(Peek::Nobody) => {}
                Ok(Peek::Ask) => has_to_ask = true,
                Err(_) if self.settings.store_failure == StoreFailure::LetEveryoneThrough => {}
                Err(_) => return Peeked::Denied(self.settings.denial(DenialCause::StoreFailed)),
            }
        }
        match has_to_ask {
            true => Peeked::Ask,
            false => Peeked::Clear(accounts),
        }
    }
}
