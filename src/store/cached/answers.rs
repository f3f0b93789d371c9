//! How the cache answers as a store: the order in which it looks into its tables and asks.

use std::future::Future;

use super::{
    CachedStore,
    key::Key,
    table::Now,
    tables::{Found, Owner, Read},
};
use crate::{
    account::{Account, AccountState, UserId},
    changes::Changes,
    credential::{Credential, LoginToken, Logout, ThirdParty},
    store::{AccountStateStore, Answer, Peek, StoreError, account_state::owner},
};

/// The steps of a look-up.
impl<S: AccountStateStore> CachedStore<S> {
    /// Joins the look-up of a token that is not known, or begins it: of its owner, and of the
    /// owner's state along with it if `load` asks for that.
    async fn find<
        F: Future<Output = Result<(Option<UserId>, Option<AccountState>), StoreError>>,
    >(
        &self,
        key: Key,
        load: impl FnOnce() -> F,
    ) -> Result<Found, StoreError> {
        let tables = self.tables();
        let load = |epoch| async move {
            let (as_of, at) = (tables.invalidations(), tables.time());
            let (user, state) = self.ask(load).await?;
            let owner = user.map(|user| Owner {
                user_key: tables.keys.user(&user),
                user,
            });
            let found = Found {
                owner,
                state,
                as_of,
                at,
            };
            tables.keep_state_of(&found, epoch);
            Ok(found)
        };
        tables
            .owner_flights
            .join(
                key,
                || tables.epoch(),
                |epoch| tables.found_before(key, epoch),
                load,
                |found, epoch| tables.keep_found(key, found, epoch),
            )
            .await
    }

    /// The state of an account that is not known to be in one, or only by hearsay.
    async fn find_state(&self, key: Key, user: &str) -> Result<AccountState, StoreError> {
        let tables = self.tables();
        let load = |_| async {
            let at = tables.time();
            let state = self.ask(|| self.store.state(user)).await?;
            Ok(Read { state, at })
        };
        let read = tables
            .state_flights
            .join(
                key,
                || tables.epoch(),
                |epoch| tables.state_before(key, epoch),
                load,
                |read, epoch| tables.keep_state(key, read, epoch),
            )
            .await;
        match read {
            Ok(read) => Ok(read.state),
            Err(error) => tables
                .last_known_state(key)
                .ok_or_else(|| error.with_account(user)),
        }
    }

    async fn ask<F: Future<Output = Result<T, StoreError>>, T>(
        &self,
        load: impl FnOnce() -> F,
    ) -> Result<T, StoreError> {
        let tables = self.tables();
        let lookups = &tables.lookups;
        lookups.ask(tables.settings(), &tables.counters, load).await
    }

    /// The owner of a token, whose key is `key`.
    async fn owner_of<F: Future<Output = Answer>>(
        &self,
        key: Key,
        load: impl FnOnce() -> F,
    ) -> Answer {
        let tables = self.tables();
        if let Some(known) = tables.owner(key, tables.now()) {
            tables.counters.hit(key);
            return Ok(known.map(|owner| owner.user));
        }
        tables.counters.misses.count();
        let load = || async move { Ok((load().await?, None)) };
        match self.find(key, load).await {
            Ok(found) => Ok(found.owner.map(|owner| owner.user)),
            Err(error) => match tables.last_known_owner(key) {
                Some(owner) => Ok(Some(owner.user)),
                None => Err(error),
            },
        }
    }

    /// The owner of what is not remembered.
    async fn ask_owner(&self, credential: Credential<'_>) -> Answer {
        self.ask(|| owner(&self.store, credential)).await
    }

    /// What the tables answer to both questions, counted as a hit.
    #[inline]
    fn answer(&self, key: Key, known: Option<&Option<Owner>>, now: Now) -> Option<Option<Account>> {
        let tables = self.tables();
        let answer = match known? {
            None => None,
            Some(owner) => {
                let state = tables.state(owner.user_key, now)?;
                Some(Account::new(owner.user.clone(), state))
            }
        };
        tables.counters.hit(key);
        Some(answer)
    }
}

impl<S: AccountStateStore> AccountStateStore for CachedStore<S> {
    async fn access_token(&self, token: &str) -> Answer {
        let key = self.tables().keys.access_token(token.as_bytes());
        self.owner_of(key, || self.store.access_token(token)).await
    }

    /// Remembered apart from the users' tokens: a server may know the same token in both places,
    /// and which of them counts depends on the request.
    async fn application_service(&self, token: &str) -> Answer {
        let key = self.tables().keys.application_service(token.as_bytes());
        self.owner_of(key, || self.store.application_service(token))
            .await
    }

    async fn login_name(&self, name: &str) -> Answer {
        self.ask_owner(Credential::LoginName(name)).await
    }

    async fn third_party(&self, id: ThirdParty<'_>) -> Answer {
        self.ask_owner(Credential::ThirdParty(id)).await
    }

    async fn login_token(&self, token: &str, login_type: Option<&str>) -> Answer {
        let login = LoginToken::new(token, login_type);
        self.ask_owner(Credential::LoginToken(login)).await
    }

    async fn refresh_token(&self, token: &str) -> Answer {
        self.ask_owner(Credential::RefreshToken(token.into())).await
    }

    async fn state(&self, user: &str) -> Result<AccountState, StoreError> {
        if let Some(state) = self.peek_state(user) {
            return Ok(state);
        }
        self.tables().counters.misses.count();
        self.find_state(self.tables().keys.user(user), user).await
    }

    async fn states(&self, users: &[UserId]) -> Vec<Result<AccountState, StoreError>> {
        self.find_states(users).await
    }

    fn changes(&self) -> Option<Changes> {
        Some(self.handle.changes.clone())
    }

    async fn access_token_and_state(&self, token: &str) -> Result<Option<Account>, StoreError> {
        let tables = self.tables();
        let key = tables.keys.access_token(token.as_bytes());
        let began = tables.invalidations();
        let now = tables.now();
        let known = tables.owner(key, now);
        if let Some(answer) = self.answer(key, known.as_ref(), now) {
            return Ok(answer);
        }
        tables.counters.misses.count();
        let found = match known.flatten() {
            Some(owner) => Ok((owner, None)),
            None => {
                let load = || async move {
                    let account = self.store.access_token_and_state(token).await?;
                    Ok(account.map_or((None, None), |Account { user, state }| {
                        (Some(user), Some(state))
                    }))
                };
                match self.find(key, load).await {
                    Ok(Found { owner: None, .. }) => return Ok(None),
                    Ok(Found {
                        owner: Some(owner),
                        state,
                        as_of,
                        ..
                    }) => {
                        // A flight that was boarded here may have taken off before an
                        // invalidation of this very user that came before this request.
                        Ok((owner, state.filter(|_| as_of >= began)))
                    }
                    Err(error) => Err(error),
                }
            }
        };
        match found {
            Ok((Owner { user, .. }, Some(state))) => Ok(Some(Account { user, state })),
            Ok((owner, None)) => {
                let state = self.find_state(owner.user_key, &owner.user).await?;
                Ok(Some(Account::new(owner.user, state)))
            }
            Err(error) => tables.last_known(key).map(Some).ok_or(error),
        }
    }

    /// Not kept: it is asked only when a suspended account redacts.
    async fn event_sender(&self, room: &str, event: &str) -> Answer {
        self.store.event_sender(room, event).await
    }

    fn logged_out(&self, token: &str, logout: Logout) {
        // What is behind a cache forgets first, or it would be asked while it still knows.
        self.store.logged_out(token, logout);
        self.tables().forget_logged_out(token, logout);
    }

    #[inline]
    fn peek(&self, credential: Credential<'_>) -> Peek {
        let Some(key) = self.tables().key(credential) else {
            return Peek::Ask;
        };
        let now = self.tables().now();
        match self.answer(key, self.tables().owner(key, now).as_ref(), now) {
            Some(account) => account.into(),
            None => Peek::Ask,
        }
    }

    #[inline]
    fn peek_state(&self, user: &str) -> Option<AccountState> {
        let tables = self.tables();
        let key = tables.keys.user(user);
        let state = tables.state(key, tables.now())?;
        tables.counters.hit(key);
        Some(state)
    }

    #[inline]
    fn glance(&self, credential: Credential<'_>) -> Option<Peek> {
        match credential {
            Credential::AccessToken(token)
                if self
                    .tables()
                    .is_active(self.tables().keys.access_token(token.expose())) =>
            {
                None
            }
            _ => self.glance_closer(credential),
        }
    }
}

impl<S: AccountStateStore> CachedStore<S> {
    /// Out of line: what is rare would cost the usual case its registers.
    #[cold]
    fn glance_closer(&self, credential: Credential<'_>) -> Option<Peek> {
        match self.peek(credential) {
            Peek::Account(account) if account.state.is_active() => None,
            other => Some(other),
        }
    }
}
