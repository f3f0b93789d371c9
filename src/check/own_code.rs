//! The server's own code asks, through the guard.

use bytes::Bytes;
use http::HeaderMap;
use tokio::time::Instant;

use super::{
    Findings,
    body::{Collected, Held},
};
use crate::{
    account::{Account, AccountState, UserId},
    denial::{Denial, DenialCause},
    request::{
        act::Act,
        class::{Class, CountedTokens},
    },
    shared::Shared,
    store::AccountStateStore,
};

impl<S: AccountStateStore> Shared<S> {
    /// Answers as the layer does if `user` sends a request for this with this body.
    ///
    /// A check that passes is not told, because the layer has already told that the request passes.
    pub(crate) async fn check_own(
        &self,
        user: &UserId,
        act: Act<'_>,
        body: Bytes,
    ) -> Result<(), Denial> {
        let mut found = Findings::new();
        let class = Class::of(act, &self.settings.exemptions);
        match self.check_user(user, class, act, body, &mut found).await {
            Ok(()) => {
                if found.failure.is_some() {
                    self.passed(&found, act);
                }
                Ok(())
            }
            Err(denial) if class.is_refresh() => self.refused(denial.of_refresh(), &found, act),
            Err(denial) => self.refused(denial, &found, act),
        }
    }

    async fn check_user(
        &self,
        user: &UserId,
        class: Class,
        act: Act<'_>,
        body: Bytes,
        found: &mut Findings,
    ) -> Result<(), Denial> {
        // If no token counts and no body names anyone, the request is not the user's.
        let has_no_owner = class.tokens != CountedTokens::All && class.naming.is_none();
        if class.passes || has_no_owner {
            return Ok(());
        }
        let started = self.reads_time().then(Instant::now);
        let asked = self.state_now(user).await;
        found.waited(started.map(|started| started.elapsed()));
        let account = match asked {
            Ok(state) => Account::new(user.clone(), state),
            // As in the layer: clients sign out when a refresh fails.
            Err(failure) if class.is_refresh() => {
                found.failure = Some(failure);
                return Ok(());
            }
            Err(failure) => return self.failed(failure, found),
        };
        found.accounts.push(account.clone()).unwrap_or_default();
        match self.judge(class, act, &account) {
            Ok(verdict) => {
                // Any body type will do, because this body is never read again.
                let mut body = Held::<String>::Read(Collected {
                    data: body,
                    trailers: None,
                });
                let headers = HeaderMap::new();
                self.look_closer(&account, verdict, &headers, &mut body, found)
                    .await
            }
            Err(failure) => self.failed(failure, found),
        }
    }

    /// The state of `user`, or the answer to a store that fails.
    pub(crate) async fn state_or_denial(&self, user: &UserId) -> Result<AccountState, Denial> {
        let state = self.state_now(user).await;
        state.map_err(|_| self.denial(DenialCause::StoreFailed))
    }
}
