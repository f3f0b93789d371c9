//! The tables of the cache, which do not depend on the type of the store: two for the two questions, and two
//! small ones for unknown tokens and for failures.

use std::sync::{PoisonError, RwLock, atomic::Ordering};

use super::{
    CacheStats, CachedStoreError,
    clock::{Clock, Moment},
    flights::Flights,
    key::{Key, Keys},
    lookups::Lookups,
    settings::Settings,
    stats::Counters,
    table::{Interned, Now, Table},
};
use crate::{
    account::{Account, AccountState, UserId},
    credential::{Credential, Logout},
    locks::AtomicU64,
    store::StoreError,
};

pub(super) struct Tables {
    pub(super) keys: Keys,
    clock: Clock,
    /// Counts [`forget_all`](Self::forget_all): what was written in an earlier epoch is void.
    epoch: AtomicU64,
    /// Counts [`forget_user`](Self::forget_user). Says of a state that came along with an owner, and so was
    /// looked up before it was known whose it is, whether it may have been invalidated since.
    invalidations: AtomicU64,
    owners: Table<Key>,
    /// The names behind the owners' keys. Apart from them, so that a healthy request reads two
    /// small values and touches no name; and a name cannot be out of date.
    names: Interned<UserId>,
    unknown: Table<()>,
    states: Table<AccountState>,
    failures: Table<StoreError>,
    pub(super) owner_flights: Flights<Result<Found, StoreError>>,
    pub(super) state_flights: Flights<Result<Read, StoreError>>,
    pub(super) counters: Counters,
    pub(super) lookups: Lookups,
    /// In places of their own: many that wait leave those of requests that come now alone.
    pub(super) lookups_of_many: Lookups,
    settings: RwLock<Settings>,
}

/// Whose a token is.
#[derive(Clone)]
pub(super) struct Owner {
    pub(super) user: UserId,
    pub(super) user_key: Key,
}

/// The result of a look-up by credential.
#[derive(Clone)]
pub(super) struct Found {
    pub(super) owner: Option<Owner>,
    /// The owner's state, if it was asked for along with the owner.
    pub(super) state: Option<AccountState>,
    /// How many users had been forgotten when the look-up began.
    pub(super) as_of: u64,
    /// When the look-up began.
    pub(super) at: Moment,
}

/// A state, and when the look-up of it began.
#[derive(Clone)]
pub(super) struct Read {
    pub(super) state: AccountState,
    pub(super) at: Moment,
}

impl Tables {
    pub(super) fn new() -> Self {
        let settings = Settings::default();
        Self {
            keys: Keys::new(),
            clock: Clock::new(),
            epoch: AtomicU64::new(0),
            invalidations: AtomicU64::new(0),
            owners: Table::new(settings.capacity),
            names: Interned::new(settings.capacity),
            unknown: Table::new(settings.unknown_capacity()),
            states: Table::new(settings.capacity),
            failures: Table::new(Settings::FAILURES),
            owner_flights: Flights::new(),
            state_flights: Flights::new(),
            counters: Counters::default(),
            lookups: Lookups::default(),
            lookups_of_many: Lookups::default(),
            settings: RwLock::new(settings),
        }
    }

    pub(super) fn settings(&self) -> Settings {
        *self.settings.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn configure(&self, change: impl FnOnce(&mut Settings)) {
        let mut settings = self
            .settings
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let capacity = settings.capacity;
        change(&mut settings);
        if settings.capacity != capacity {
            self.owners.set_capacity(settings.capacity);
            self.names.set_capacity(settings.capacity);
            self.states.set_capacity(settings.capacity);
            self.unknown.set_capacity(settings.unknown_capacity());
        }
    }

    pub(super) fn stats(&self) -> CacheStats {
        let accounts = self.owners.len() + self.states.len();
        self.counters
            .read(accounts + self.unknown.len() + self.failures.len())
    }

    #[inline]
    pub(super) fn now(&self) -> Now {
        self.now_in(self.epoch())
    }

    #[inline]
    fn now_in(&self, epoch: u64) -> Now {
        Now {
            time: self.time(),
            epoch,
        }
    }

    #[inline]
    pub(super) fn time(&self) -> Moment {
        self.clock.now()
    }

    #[inline]
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    pub(super) fn invalidations(&self) -> u64 {
        self.invalidations.load(Ordering::Acquire)
    }
}

/// Reading.
impl Tables {
    /// `Some(None)` is nobody.
    #[inline]
    pub(super) fn owner(&self, key: Key, now: Now) -> Option<Option<Owner>> {
        match self.owners.get(key, now) {
            Some(user) => self.named(user).map(Some),
            None => self.unknown.get(key, now).map(|()| None),
        }
    }

    fn named(&self, user_key: Key) -> Option<Owner> {
        let user = self.names.get(user_key)?;
        Some(Owner { user, user_key })
    }

    #[inline]
    pub(super) fn state(&self, user: Key, now: Now) -> Option<AccountState> {
        self.states.get(user, now)
    }

    #[inline]
    pub(super) fn is_active(&self, key: Key) -> bool {
        let now = self.now();
        let active = self
            .owners
            .get(key, now)
            .and_then(|user| self.states.get(user, now))
            .is_some_and(|state| state.is_active());
        if active {
            self.counters.hit(key);
        }
        active
    }

    pub(super) fn found_before(&self, key: Key, epoch: u64) -> Option<Result<Found, StoreError>> {
        let now = self.now_in(epoch);
        let found = |owner| Found {
            owner,
            state: None,
            as_of: 0,
            at: now.time,
        };
        let known = self.owner(key, now).map(|owner| Ok(found(owner)));
        known.or_else(|| self.failures.get(key, now).map(Err))
    }

    pub(super) fn state_before(&self, user: Key, epoch: u64) -> Option<Result<Read, StoreError>> {
        let now = self.now_in(epoch);
        let read = |state| Read {
            state,
            at: now.time,
        };
        let known = self.state(user, now).map(|state| Ok(read(state)));
        known.or_else(|| self.failures.get(user, now).map(Err))
    }

    /// The owner as last known, if the setting allows for it.
    pub(super) fn last_known_owner(&self, key: Key) -> Option<Owner> {
        let user = self.owners.get_within(key, self.now(), self.grace()?)?;
        let owner = self.named(user)?;
        self.counters.last_known.count();
        Some(owner)
    }

    /// The state as last known, if the setting allows for it.
    pub(super) fn last_known_state(&self, user: Key) -> Option<AccountState> {
        let state = self.states.get_within(user, self.now(), self.grace()?)?;
        self.counters.last_known.count();
        Some(state)
    }

    /// Both as last known, if the setting allows for it.
    pub(super) fn last_known(&self, key: Key) -> Option<Account> {
        let user = self.owners.get_within(key, self.now(), self.grace()?)?;
        let owner = self.named(user)?;
        let state = self.last_known_state(owner.user_key)?;
        Some(Account::new(owner.user, state))
    }

    fn grace(&self) -> Option<std::time::Duration> {
        Some(self.settings().grace).filter(|grace| !grace.is_zero())
    }
}

/// Writing. Each of these is called under the lock of the key's flight. The time to live of an
/// answer begins with its look-up: the store may have read it at once and taken long to say so.
impl Tables {
    pub(super) fn keep_found(&self, key: Key, found: &Result<Found, StoreError>, epoch: u64) {
        let settings = self.settings();
        let found = match found {
            Ok(found) => found,
            Err(error) => return self.keep_failure(key, error, epoch, &settings),
        };
        let time = found.at;
        let now = Now { time, epoch };
        match &found.owner {
            Some(Owner { user, user_key }) => {
                self.names.insert(*user_key, user);
                self.owners.insert(key, *user_key, now, settings.owner_ttl);
            }
            None => {
                // Otherwise a grace would bring back the owner of a revoked token.
                self.owners.remove(key);
                self.unknown.insert(key, (), now, settings.unknown_ttl);
            }
        }
    }

    pub(super) fn keep_state(&self, user: Key, read: &Result<Read, StoreError>, epoch: u64) {
        let settings = self.settings();
        match read.clone() {
            Ok(Read { state, at: time }) => {
                let now = Now { time, epoch };
                self.states.insert(user, state, now, settings.ttl);
            }
            Err(error) => self.keep_failure(user, &error, epoch, &settings),
        }
    }

    fn keep_failure(&self, key: Key, error: &StoreError, epoch: u64, settings: &Settings) {
        // Too many look-ups under way are no failure of this one.
        let error_of_cache = error.downcast_ref::<CachedStoreError>();
        if !error_of_cache.is_some_and(CachedStoreError::is_overloaded) {
            let now = self.now_in(epoch);
            self.failures
                .insert(key, error.clone(), now, settings.failure_ttl);
        }
    }

    /// Keeps a state that came along with the owner, unless anything was invalidated since the
    /// look-up began.
    pub(super) fn keep_state_of(&self, found: &Found, epoch: u64) {
        let (Some(owner), Some(state)) = (&found.owner, &found.state) else {
            return;
        };
        self.state_flights.exclusively(owner.user_key, || {
            if self.invalidations() == found.as_of {
                let read = Read {
                    state: state.clone(),
                    at: found.at,
                };
                self.keep_state(owner.user_key, &Ok(read), epoch);
            }
        });
    }
}

/// Forgetting.
impl Tables {
    pub(super) fn forget_user(&self, user: &str) {
        let user = self.keys.user(user);
        // Before the lock is taken: see `keep_state_of`, which reads it under the same lock.
        self.invalidations.fetch_add(1, Ordering::AcqRel);
        self.state_flights.invalidate(user, || {
            self.states.remove(user);
            self.failures.remove(user);
        });
    }

    /// An access token is forgotten in both places where its owner is looked for.
    pub(super) fn forget_credential(&self, credential: Credential<'_>) {
        if let Credential::AccessToken(token) | Credential::ApplicationService(token) = credential {
            self.forget_token(self.keys.access_token(token.expose()));
            self.forget_token(self.keys.application_service(token.expose()));
        }
    }

    /// A token that was logged out, or all of its owner's. Of these, one whose look-up is under way
    /// may be kept once more.
    pub(super) fn forget_logged_out(&self, token: &str, logout: Logout) {
        let key = self.keys.access_token(token.as_bytes());
        let owner = self.owners.get(key, self.now());
        self.forget_credential(Credential::AccessToken(token.into()));
        if let (Logout::AllSessions, Some(owner)) = (logout, owner) {
            self.owners.retain(|of| *of != owner);
        }
    }

    /// The key of a credential whose owner is remembered.
    #[inline]
    pub(super) fn key(&self, credential: Credential<'_>) -> Option<Key> {
        match credential {
            Credential::AccessToken(token) => Some(self.keys.access_token(token.expose())),
            Credential::ApplicationService(token) => {
                Some(self.keys.application_service(token.expose()))
            }
            _ => None,
        }
    }

    fn forget_token(&self, key: Key) {
        self.owner_flights.invalidate(key, || {
            self.owners.remove(key);
            self.unknown.remove(key);
            self.failures.remove(key);
        });
    }

    /// Everything, at the price of one addition: what is in the tables is void from now on, what a
    /// flight of an earlier epoch keeps is void as well, and nobody boards it any more.
    pub(super) fn forget_all(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }
}
