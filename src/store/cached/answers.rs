//! How the cache answers as a store: the order in which it looks into its tables and asks.

use std::future::Future;

use super::{
    CachedStore, CachedStoreError,
    key::Key,
    table::Now,
    tables::{Found, Owner, Read},
};
use crate::{
    account::{Account, AccountState, UserId},
    changes::Changes,
    credential::{AccessToken, Credential, Secret},
    store::{AccountStateStore, Peek},
};

/// The steps of a look-up.
impl<S: AccountStateStore> CachedStore<S> {
    /// What stands for the token, and what the store may be asked about it: an asserted user
    /// counts beside the token of an application service, and nowhere else.
    #[inline]
    fn identify<'a>(&self, access: AccessToken<'a>) -> (Key, AccessToken<'a>) {
        let token = access.token();
        if access.asserted_user().is_some() && self.store.is_application_service(token) {
            if let Some(key) = self.tables().assertion_key(access) {
                return (key, access);
            }
        }
        let key = self.tables().keys.access_token(token.expose());
        (key, AccessToken::new(token))
    }

    /// Joins the look-up of a token that is not known, or begins it: of its owner, and of the
    /// owner's state along with it if `load` asks for that.
    async fn find<F: Future<Output = Result<(Option<UserId>, Option<AccountState>), S::Error>>>(
        &self,
        key: Key,
        load: impl FnOnce() -> F,
    ) -> Result<Found, CachedStoreError> {
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
    async fn find_state(&self, key: Key, user: &UserId) -> Result<AccountState, CachedStoreError> {
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
            Err(error) => tables.last_known_state(key).ok_or(error),
        }
    }

    async fn ask<F: Future<Output = Result<T, S::Error>>, T>(
        &self,
        load: impl FnOnce() -> F,
    ) -> Result<T, CachedStoreError> {
        let tables = self.tables();
        let lookups = &tables.lookups;
        lookups.ask(tables.settings(), &tables.counters, load).await
    }

    async fn account_and_state_of(
        &self,
        access: AccessToken<'_>,
    ) -> Result<Option<Account>, CachedStoreError> {
        let tables = self.tables();
        let (key, access) = self.identify(access);
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
                    let account = self.store.account_and_state(access.into()).await?;
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
    type Error = CachedStoreError;

    async fn account(
        &self,
        credential: Credential<'_>,
    ) -> Result<Option<UserId>, CachedStoreError> {
        let Credential::AccessToken(access) = credential else {
            return self.ask(|| self.store.account(credential)).await;
        };
        let tables = self.tables();
        let (key, access) = self.identify(access);
        if let Some(known) = tables.owner(key, tables.now()) {
            tables.counters.hit(key);
            return Ok(known.map(|owner| owner.user));
        }
        tables.counters.misses.count();
        let load = || async move { Ok((self.store.account(access.into()).await?, None)) };
        match self.find(key, load).await {
            Ok(found) => Ok(found.owner.map(|owner| owner.user)),
            Err(error) => match tables.last_known_owner(key) {
                Some(owner) => Ok(Some(owner.user)),
                None => Err(error),
            },
        }
    }

    async fn state(&self, user: &UserId) -> Result<AccountState, CachedStoreError> {
        if let Some(state) = self.peek_state(user) {
            return Ok(state);
        }
        self.tables().counters.misses.count();
        self.find_state(self.tables().keys.user(user), user).await
    }

    async fn account_and_state(
        &self,
        credential: Credential<'_>,
    ) -> Result<Option<Account>, CachedStoreError> {
        if let Credential::AccessToken(access) = credential {
            return self.account_and_state_of(access).await;
        }
        let Some(user) = self.account(credential).await? else {
            return Ok(None);
        };
        let state = self.state(&user).await?;
        Ok(Some(Account::new(user, state)))
    }

    #[inline]
    fn peek(&self, credential: Credential<'_>) -> Peek {
        let Credential::AccessToken(access) = credential else {
            return Peek::Ask;
        };
        let (key, _) = self.identify(access);
        let now = self.tables().now();
        match self.answer(key, self.tables().owner(key, now).as_ref(), now) {
            Some(Some(account)) => Peek::Account(account),
            Some(None) => Peek::Nobody,
            None => Peek::Ask,
        }
    }

    #[inline]
    fn peek_state(&self, user: &UserId) -> Option<AccountState> {
        let tables = self.tables();
        let key = tables.keys.user(user);
        let state = tables.state(key, tables.now())?;
        tables.counters.hit(key);
        Some(state)
    }

    #[inline]
    fn is_active(&self, credential: Credential<'_>) -> bool {
        match credential {
            Credential::AccessToken(access) => self.tables().is_active(self.identify(access).0),
            _ => false,
        }
    }

    fn is_application_service(&self, token: Secret<'_>) -> bool {
        self.store.is_application_service(token)
    }

    /// Not kept: it is asked only when a suspended account redacts.
    async fn event_sender(
        &self,
        room: &str,
        event: &str,
    ) -> Result<Option<UserId>, CachedStoreError> {
        let sender = self.store.event_sender(room, event).await;
        sender.map_err(|error| CachedStoreError::store(error.into()))
    }

    fn changes(&self) -> Option<Changes> {
        Some(self.handle.changes.clone())
    }
}
