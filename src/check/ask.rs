//! Every question that the layer and the guard ask the store.
//!
//! A store that panics, hangs or fails gives no answer, to any question.

use std::future::Future;

use super::limits::{Deadline, Failure, before, within_limits};
use crate::{
    account::{Account, AccountState, UserId},
    credential::{AccessToken, Claim},
    panics::unless_it_panics,
    request::{class::CountedTokens, few::MAX_PER_REQUEST},
    shared::Shared,
    store::{
        AccountStateStore, Peek, StoreError,
        ask::{self, Known, Rest},
    },
};

/// What the store has said at once about the credentials in a head, in their order. It is kept until the
/// store is awaited, so that nothing is asked twice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answers([Option<Said>; MAX_PER_REQUEST]);

/// What the store has said at once about one credential. Small, because it is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Said {
    /// Its owner is this one of the accounts that were found at once.
    Account(u8),
    Unknown,
    /// The store must be awaited.
    Await(Rest),
}

impl Answers {
    pub(super) const fn none() -> Self {
        Self([None; MAX_PER_REQUEST])
    }

    pub(super) fn keep(&mut self, turn: usize, said: Said) {
        if let Some(place) = self.0.get_mut(turn) {
            *place = Some(said);
        }
    }

    pub(super) fn of(self, turn: usize) -> Option<Said> {
        self.0.get(turn).copied().flatten()
    }
}

impl<S: AccountStateStore> Shared<S> {
    /// What the store says at once.
    #[inline]
    pub(super) fn peek(&self, claim: Claim<'_>, glanced: Option<Peek>) -> Result<Known, Failure> {
        unless_it_panics(|| ask::at_once(&*self.store, claim, glanced))
            .map_err(|_| Failure::Panicked)
    }

    /// The account that the claim names, and its state, before `deadline`. `rest` is what the store left
    /// open when it was asked at once, if it was.
    pub(super) fn account_before(
        &self,
        deadline: &mut Deadline,
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

    /// The sender of the event, if the store knows.
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

/// What a token in the head claims, if such tokens count.
pub(super) fn counted(tokens: CountedTokens, access: AccessToken<'_>) -> Claim<'_> {
    match tokens {
        CountedTokens::OfServices => Claim::of_service(access),
        CountedTokens::All | CountedTokens::None => access.into(),
    }
}
