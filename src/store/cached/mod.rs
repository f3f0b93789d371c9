//! A store that remembers another store's answers.
//!
//! # What is remembered
//!
//! The two questions have a table each: an access token leads to its owner, and an owner to a
//! state. So locking a person with nine devices drops one entry, and an answer costs one keyed
//! hash and two reads. A state expires soon, because it changes; an owner may stay, because a
//! token never gets another one, and if it is revoked the inner service refuses it anyway: **a
//! cached owner is no authentication**, it says only whose state was checked.
//!
//! Tokens that are nobody's have a small table of their own, so that a flood of made-up tokens
//! cannot push anyone out. Refresh tokens, login tokens and names at a login are not remembered:
//! each is seen once or a few times, and what a person typed into a login form is nothing to keep.
//! Their owner is asked for each time, and its state comes from the table.
//!
//! # Files
//!
//! `flights` holds the rule that makes revocation race-proof, `tables` what is remembered and how
//! it is forgotten, `lookups` how the store is asked, and this file the order of the steps.

mod clock;
mod error;
mod flights;
mod handle;
mod key;
mod lookups;
#[cfg(all(test, shuttle))]
mod model;
mod settings;
mod stats;
mod sync;
mod table;
mod tables;

use std::{fmt, future::Future, sync::Arc, time::Duration};

pub use error::CachedStoreError;
pub use handle::CacheHandle;
pub use stats::CacheStats;

use self::{
    key::Key,
    tables::{Found, Owner, Tables},
};
use super::{AccountStateStore, Peek};
use crate::{
    AccessToken, Account, AccountState, Credential, Secret, UserId,
    changes::{ChangeListener, Changes},
};

/// Remembers the answers of the store `S`, within bounds, and forgets them when it is told.
///
/// For stores that have to be awaited, such as a database. What is remembered is answered at once
/// and without an allocation.
///
/// ```
/// use std::time::Duration;
/// use tower_account_status::{AccountStateStore, CachedStore, MemoryStore};
///
/// let store = CachedStore::new(MemoryStore::new()) // or your database
///     .with_capacity(50_000)
///     .with_ttl(Duration::from_secs(30));
/// let cache = store.handle(); // goes to whoever locks accounts
/// // … the database now says that the account is locked, and then:
/// cache.invalidate("@alice:example.org");
/// ```
///
/// # How late a lock can be
///
/// No request that starts after [`invalidate`](Self::invalidate) has returned sees the earlier
/// state, and no look-up that was under way brings it back. Where nobody calls it, or the message
/// got lost, a lock takes effect when the [time to live](Self::with_ttl) has passed since the
/// state was read, however busy the client is.
///
/// If the inner store has [`changes`](AccountStateStore::changes), the cache listens there, and
/// nothing needs to be called: by the time that the inner store's
/// [`announce`](Changes::announce) returns, the entry is gone and the news are on the cache's own
/// hub. To announce on that hub does the same.
///
/// # Cost to the store
///
/// One look-up at a time for each token and each account, however many wait for it, and all of
/// them get its failure if it fails. The one that asks may go away; the next one asks then. As
/// with every shared look-up, it gets on only while the future that asks is polled: a caller must
/// not keep it and leave it alone.
pub struct CachedStore<S> {
    store: S,
    handle: CacheHandle,
    _listeners: [Option<ChangeListener>; 2],
}

impl<S: AccountStateStore> CachedStore<S> {
    /// A cache in front of `store`, with room for 100,000 tokens and as many accounts.
    #[must_use]
    pub fn new(store: S) -> Self {
        let tables = Arc::new(Tables::new());
        let changes = Changes::new();
        let own = changes.listen({
            let tables = Arc::clone(&tables);
            move |user| match user {
                Some(user) => tables.forget_user(user),
                None => tables.forget_all(),
            }
        });
        let inner = store.changes().map(|inner| {
            let changes = changes.clone();
            inner.listen(move |user| match user {
                Some(user) => changes.announce(user),
                None => changes.announce_all(),
            })
        });
        Self {
            store,
            handle: CacheHandle { tables, changes },
            _listeners: [Some(own), inner],
        }
    }
}

/// Settings. All of them are for the start: what is remembered already keeps the times that it was
/// written with.
impl<S> CachedStore<S> {
    /// How many tokens, and how many accounts, are remembered; 100,000 of each by default. A
    /// sixteenth as many tokens that are nobody's come on top, and at least 64.
    ///
    /// The tables are split in parts of equal size, so the last few per cent may stay unused, and
    /// a capacity of a few dozen is only kept to roughly.
    #[must_use]
    pub fn with_capacity(self, accounts: usize) -> Self {
        self.with(|settings| settings.capacity = accounts)
    }

    /// How long a state is believed, counted from when it was read; 60 seconds by default. It is
    /// the bound on how late a lock takes effect if nobody says that there is one.
    ///
    /// An entry expires up to a tenth earlier, and never later, so that those that were written
    /// together do not expire together. This goes for the other times below as well.
    #[must_use]
    pub fn with_ttl(self, ttl: Duration) -> Self {
        self.with(|settings| settings.ttl = ttl)
    }

    /// How long a token's owner is believed; an hour by default. A token that is revoked meanwhile
    /// is still the inner service's to refuse.
    #[must_use]
    pub fn with_owner_ttl(self, ttl: Duration) -> Self {
        self.with(|settings| settings.owner_ttl = ttl)
    }

    /// How long a token is believed to be nobody's; 5 seconds by default.
    ///
    /// A token that was tried before it was given out passes unchecked for as long, unless
    /// [`invalidate_credential`](Self::invalidate_credential) is called when it is given out.
    /// Nobody can guess a token that does not exist yet, so this is about tokens that a server
    /// restores.
    #[must_use]
    pub fn with_unknown_ttl(self, ttl: Duration) -> Self {
        self.with(|settings| settings.unknown_ttl = ttl)
    }

    /// How long a failure is told to whoever asks the same, before the store is asked again; 250
    /// milliseconds by default.
    #[must_use]
    pub fn with_failure_ttl(self, ttl: Duration) -> Self {
        self.with(|settings| settings.failure_ttl = ttl)
    }

    /// How many look-ups may be under way at once, for different tokens or accounts; 1024 by
    /// default. One more fails at once, with an error that
    /// [is overloaded](CachedStoreError::is_overloaded), rather than queue behind them.
    #[must_use]
    pub fn with_max_lookups(self, lookups: usize) -> Self {
        self.with(|settings| settings.max_lookups = lookups)
    }

    /// How long one look-up may take before it counts as failed, and is dropped; by default there
    /// is no limit here, but the [layer has one](crate::AccountStatusLayer::with_store_timeout).
    ///
    /// The difference is whom the limit is for. The layer's ends one request's wait; this one ends
    /// the look-up for all who wait for it, and they share the failure. Needs tokio's timer.
    #[must_use]
    pub fn with_lookup_timeout(self, limit: Duration) -> Self {
        self.with(|settings| settings.lookup_timeout = Some(limit))
    }

    /// Answers with the last known state while the store fails, for up to `grace` beyond the time
    /// to live. Off by default.
    ///
    /// **With it, a lock that nobody announced can be late by `ttl` and `grace` together.** In
    /// return, people whose state was known do not get 503s while the database is away. It is for
    /// failed look-ups only, those refused as
    /// [too many](Self::with_max_lookups) included; what was invalidated is never brought back. A
    /// store that hangs, rather than fails, needs a [time limit](Self::with_lookup_timeout) below
    /// the layer's for this to be of use.
    #[must_use]
    pub fn with_last_known_state_while_store_fails(self, grace: Duration) -> Self {
        self.with(|settings| settings.grace = grace)
    }

    fn with(self, change: impl FnOnce(&mut settings::Settings)) -> Self {
        self.tables().configure(change);
        self
    }
}

impl<S> CachedStore<S> {
    /// What tells this cache of changes, to be passed around.
    #[must_use]
    pub fn handle(&self) -> CacheHandle {
        self.handle.clone()
    }

    /// See [`CacheHandle::invalidate`].
    pub fn invalidate(&self, user: &str) {
        self.handle.invalidate(user);
    }

    /// See [`CacheHandle::invalidate_credential`].
    pub fn invalidate_credential(&self, credential: Credential<'_>) {
        self.handle.invalidate_credential(credential);
    }

    /// See [`CacheHandle::invalidate_all`].
    pub fn invalidate_all(&self) {
        self.handle.invalidate_all();
    }

    /// See [`CacheHandle::stats`].
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        self.handle.stats()
    }

    /// The store behind the cache.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        &self.store
    }

    #[inline]
    fn tables(&self) -> &Tables {
        &self.handle.tables
    }
}

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
            let as_of = tables.invalidations();
            let (user, state) = self.ask(load).await?;
            let owner = user.map(|user| Owner {
                user_key: tables.keys.user(&user),
                user,
            });
            let found = Found {
                owner,
                state,
                as_of,
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
        let state = tables
            .state_flights
            .join(
                key,
                || tables.epoch(),
                |epoch| tables.state_before(key, epoch),
                |_| self.ask(|| self.store.state(user)),
                |state, epoch| tables.keep_state(key, state, epoch),
            )
            .await;
        state.or_else(|error| tables.last_known_state(key).ok_or(error))
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
    fn answer(
        &self,
        key: Key,
        known: Option<&Option<Owner>>,
        now: table::Now,
    ) -> Option<Option<Account>> {
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

    fn changes(&self) -> Option<Changes> {
        Some(self.handle.changes.clone())
    }
}

impl<S> fmt::Debug for CachedStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedStore")
            .field("settings", &self.tables().settings())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
