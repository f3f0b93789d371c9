//! Every question that the layer and the guard put to the store.
//!
//! A store that panics, hangs or fails gives no answer, whichever question it is.

use std::future::Future;

use tokio::time::Instant;

use super::limits::{Failure, before, within_limits};
use crate::{
    account::{Account, AccountState, UserId},
    credential::{Claim, Credential, Secret},
    panics::unless_it_panics,
    request::{credentials, few::MAX_PER_REQUEST},
    shared::Shared,
    store::{
        AccountStateStore, Peek, StoreError,
        ask::{self, Known, Rest},
    },
};

/// What is known of a request on the fast path.
pub(crate) enum FastPath {
    /// It passes, and there is nothing else to do for it.
    Passes,
    /// Its path leaves it open that it is anything but ordinary ([`Class::may_be_special`]).
    MayBeSpecial,
    /// Nothing for certain.
    Unclear,
    /// What the store says at once of the only token in the head, which is not that it is an
    /// unrestricted account's. It is not asked that again, and the head has nothing else that
    /// counts.
    Glanced(Peek),
}

/// What the store has said at once of the credentials in a head, in their order. It is carried to
/// where the store is awaited, so that nothing is asked twice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answers {
    said: [Option<Said>; MAX_PER_REQUEST],
    /// Whether they are of the only token of a plain header ([`credentials::HeadCredentials::Only`]), which is
    /// then not looked for again.
    pub(super) are_of_plain_token: bool,
}

/// What the store has said at once of one credential. Small, because it is carried.
#[derive(Clone, Copy, Debug)]
pub(super) enum Said {
    /// It is this one of the accounts that have been found at once.
    Account(u8),
    Unknown,
    /// It has to be awaited.
    Await(Rest),
}

impl Answers {
    pub(super) const fn none() -> Self {
        Self {
            said: [None; MAX_PER_REQUEST],
            are_of_plain_token: false,
        }
    }

    pub(super) fn keep(&mut self, turn: usize, said: Said) {
        if let Some(place) = self.said.get_mut(turn) {
            *place = Some(said);
        }
    }

    pub(super) fn of(self, turn: usize) -> Option<Said> {
        self.said.get(turn).copied().flatten()
    }
}

impl<S: AccountStateStore> Shared<S> {
    /// Whether the store knows at once that the token is an unrestricted account's.
    #[inline]
    pub(super) fn glance(&self, token: &[u8]) -> FastPath {
        let credential = Credential::AccessToken(Secret::from(token));
        match unless_it_panics(|| self.store.glance(credential)) {
            Ok(None) => FastPath::Passes,
            Ok(Some(peek)) => seen(token, peek),
            Err(_) => FastPath::Unclear,
        }
    }

    /// What the store says at once.
    #[inline]
    pub(super) fn peek(&self, claim: Claim<'_>, glanced: Option<Peek>) -> Result<Known, Failure> {
        unless_it_panics(|| ask::at_once(&*self.store, claim, glanced))
            .map_err(|_| Failure::Panicked)
    }

    /// Whose the claim is, and in which state that account is, before `deadline`. `rest` is what
    /// the store has left open when it was asked at once, if it was.
    pub(super) fn account_before(
        &self,
        deadline: Instant,
        claim: Claim<'_>,
        rest: Option<Rest>,
    ) -> impl Future<Output = Result<Option<Account>, Failure>> + Send {
        before(deadline, async move {
            let rest = match rest {
                Some(rest) => rest,
                None => match ask::at_once(&*self.store, claim, None) {
                    Known::Account(account) => return Ok(Some(account)),
                    Known::Unknown => return Ok(None),
                    Known::Await(rest) => rest,
                },
            };
            ask::ask(&*self.store, &claim, rest).await
        })
    }

    /// The state of `user` now.
    pub(crate) fn state_now(
        &self,
        user: &UserId,
    ) -> impl Future<Output = Result<AccountState, Failure>> + Send {
        within_limits(self.settings.store_timeout, ask::state(&*self.store, user))
    }

    /// The states of `users` now, in their order.
    pub(super) fn states_now(
        &self,
        users: &[UserId],
    ) -> impl Future<Output = Result<Vec<Result<AccountState, StoreError>>, Failure>> + Send {
        within_limits(self.settings.store_timeout, async move {
            Ok::<_, StoreError>(self.store.states(users).await)
        })
    }

    /// Who has sent the event, if the store knows.
    pub(super) fn sender_of(
        &self,
        room: &str,
        event: &str,
    ) -> impl Future<Output = Result<Option<UserId>, Failure>> + Send {
        within_limits(self.settings.store_timeout, async move {
            self.store.event_sender(room, event).await
        })
    }
}

/// What a glance at the token of the only header has shown. Where the token is in several pieces,
/// each of them counts.
#[cold]
fn seen(token: &[u8], peek: Peek) -> FastPath {
    match credentials::is_in_one_piece(token) {
        true => FastPath::Glanced(peek),
        false => FastPath::Unclear,
    }
}
