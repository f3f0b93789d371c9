//! Every question that the layer and the guard put to the store.
//!
//! A store that panics, hangs or fails gives no answer, whichever question it is.

use std::future::Future;

use tokio::time::Instant;

use super::limits::{Failure, before, within_limits};
use crate::{
    account::{Account, AccountState, UserId},
    credential::Credential,
    panics::unless_it_panics,
    shared::Shared,
    store::{AccountStateStore, Peek},
};

impl<S: AccountStateStore> Shared<S> {
    /// Whether the store knows at once that the credential is an unrestricted account's. `false`
    /// promises nothing.
    #[inline]
    pub(super) fn is_active(&self, credential: Credential<'_>) -> bool {
        unless_it_panics(|| self.store.is_active(credential)).unwrap_or(false)
    }

    /// What the store says at once.
    #[inline]
    pub(super) fn peek(&self, credential: Credential<'_>) -> Result<Peek, Failure> {
        unless_it_panics(|| self.store.peek(credential)).map_err(|_| Failure::Panicked)
    }

    /// Whose the credential is, and in which state that account is, before `deadline`.
    pub(super) fn account_before(
        &self,
        deadline: Instant,
        credential: Credential<'_>,
    ) -> impl Future<Output = Result<Option<Account>, Failure>> + Send {
        before(deadline, async move {
            match self.store.peek(credential) {
                Peek::Account(account) => Ok(Some(account)),
                Peek::Nobody => Ok(None),
                Peek::Ask => self.store.account_and_state(credential).await,
            }
        })
    }

    /// The state of `user` now.
    pub(crate) fn state_now(
        &self,
        user: &UserId,
    ) -> impl Future<Output = Result<AccountState, Failure>> + Send {
        within_limits(self.settings.store_timeout, async move {
            match self.store.peek_state(user) {
                Some(state) => Ok(state),
                None => self.store.state(user).await,
            }
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
