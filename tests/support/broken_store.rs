//! A store that breaks one promise, for the conformance kit to find.

#![allow(unreachable_pub, clippy::unwrap_used)] // a test fails by panicking

#[path = "broken_fixture.rs"]
mod fixture;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tower_account_status::{
    Account, AccountState, AccountStateStore, Changes, Credential, Logout, MemoryStore, Peek,
    Restriction,
    RestrictionKind::{self, Locked},
    RestrictionRecord, RestrictionStore, UserId,
};
use tower_account_status::{
    by_credential,
    store::{Answer, ChangeRecord, StoreError},
};

const JWT: &str = "org.matrix.login.jwt";

/// What a store does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    UnknownTokenFails,
    UnknownUserIsLocked,
    OwnerInLowerCase,
    TokensAreUsedUp,
    AssertedUserIsBelieved,
    OldStateIsShownOnce,
    OneRestrictionOnly,
    LeastRestrictionOnly,
    ReasonsLoseTheirQuotes,
    EndsAreForgotten,
    UsersInLowerCase,
    JointQuestionForgetsState,
    PeekSaysActive,
    NothingIsAnnounced,
    AnnouncesTwice,
    ChangesInParts,
    SetByIsForgotten,
    LiftAlwaysSaysYes,
    ListForgetsTheLastOfAPage,
    ListFollowsNoOrder,
    Fails,
    ExpiredIsUnknown,
    ServiceIsUnknown,
    LocalpartIsUnknown,
    EmailIsUnknown,
    LookUpMakesASuccessor,
    LoginTypeIsIgnored,
    OneEndForAll,
    AnnouncesTooEarly,
    SendersAreUnknown,
    StatesAreActive,
    StatesHaveNoOrder,
    StatesForgetTheRepeated,
    StatesFailTogether,
    UnreadableIsActive,
    UnreadableIsActiveAmongMany,
    LogoutIsForgotten,
    LogoutEndsOneSession,
    Blocks,
    Panics,
    Hangs,
}

pub struct Broken {
    inner: MemoryStore,
    fault: Fault,
    /// Announces nothing, except what is announced too early.
    silent: Changes,
    asked: Mutex<BTreeSet<Vec<u8>>>,
    before: Mutex<Vec<(UserId, AccountState)>>,
    changing: AtomicUsize,
    expired: Mutex<BTreeSet<String>>,
    tokens: AtomicUsize,
    events: Mutex<Vec<(String, UserId)>>,
    /// Accounts whose record cannot be read.
    unreadable: Mutex<BTreeSet<UserId>>,
    /// JSON Web Tokens, and whose they are.
    signed: Mutex<BTreeMap<String, UserId>>,
}

impl Broken {
    pub fn new(fault: Fault) -> Self {
        Self {
            inner: MemoryStore::new().with_server_name("example.org"),
            fault,
            silent: Changes::new(),
            asked: Mutex::default(),
            before: Mutex::default(),
            changing: AtomicUsize::new(0),
            expired: Mutex::default(),
            tokens: AtomicUsize::new(0),
            events: Mutex::default(),
            unreadable: Mutex::default(),
            signed: Mutex::default(),
        }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn key(&self, user: &str) -> UserId {
        match self.has(Fault::UsersInLowerCase) {
            true => user.to_lowercase().into(),
            false => user.into(),
        }
    }

    /// What is stored instead of the state.
    fn spoilt(&self, state: &AccountState) -> AccountState {
        let one = |restriction: Option<&Restriction>| restriction.cloned().into_iter().collect();
        match self.fault {
            Fault::OneRestrictionOnly => one(state.restrictions().next()),
            Fault::LeastRestrictionOnly => one(state.restrictions().last()),
            // One column for all kinds: what is written last counts.
            Fault::OneEndForAll => {
                let last = state.restrictions().last();
                let all = state.restrictions().map(|restriction| {
                    let one = Restriction::new(restriction.kind());
                    match last.and_then(Restriction::until) {
                        Some(until) => one.with_until(until),
                        None => one,
                    }
                });
                all.collect()
            }
            _ => state
                .restrictions()
                .map(|restriction| self.spoilt_one(restriction))
                .collect(),
        }
    }

    fn spoilt_one(&self, restriction: &Restriction) -> Restriction {
        let mut spoilt = Restriction::new(restriction.kind());
        if let Some(reason) = restriction.reason() {
            spoilt = spoilt.with_reason(match self.has(Fault::ReasonsLoseTheirQuotes) {
                true => reason.replace('"', ""),
                false => reason.to_owned(),
            });
        }
        match restriction.until() {
            Some(until) if !self.has(Fault::EndsAreForgotten) => spoilt.with_until(until),
            _ => spoilt,
        }
    }

    fn is_unreadable(&self, user: &str) -> bool {
        self.unreadable.lock().unwrap().contains(user)
    }

    /// The states of several users, by one query.
    async fn read_states(&self, users: &[UserId]) -> Vec<Result<AccountState, StoreError>> {
        let mut states = Vec::new();
        for user in users {
            let is_active = match self.fault {
                Fault::StatesAreActive => true,
                Fault::UnreadableIsActiveAmongMany => self.is_unreadable(user),
                _ => false,
            };
            states.push(match is_active {
                true => Ok(AccountState::ACTIVE),
                false => self.read_state(user).await,
            });
        }
        match self.fault {
            Fault::StatesHaveNoOrder => states.reverse(),
            Fault::StatesForgetTheRepeated => {
                let known = users.iter().collect::<BTreeSet<_>>().len();
                states.truncate(known);
            }
            Fault::StatesFailTogether if states.iter().any(Result::is_err) => {
                let failure = || Err(StoreError::msg("a record is broken"));
                return users.iter().map(|_| failure()).collect();
            }
            _ => {}
        }
        states
    }

    fn remember(&self, user: &str) {
        let state = self.inner.peek_state(&self.key(user)).unwrap();
        self.before.lock().unwrap().push((user.into(), state));
    }

    async fn read_state(&self, user: &str) -> Result<AccountState, StoreError> {
        if self.has(Fault::Fails) {
            return Err(StoreError::msg("the database is on fire"));
        }
        if self.is_unreadable(user) && !self.has(Fault::UnreadableIsActive) {
            return Err(StoreError::msg("the record is broken"));
        }
        if self.has(Fault::OldStateIsShownOnce) {
            let mut before = self.before.lock().unwrap();
            if let Some(place) = before.iter().position(|(known, _)| *known == *user) {
                return Ok(before.swap_remove(place).1);
            }
        }
        let state = self.inner.state(&self.key(user)).await?;
        Ok(
            match self.has(Fault::UnknownUserIsLocked) && state.is_active() {
                true => Locked.into(),
                false => state,
            },
        )
    }
}

impl Broken {
    async fn owner(&self, credential: Credential<'_>) -> Answer {
        match (self.fault, credential) {
            (Fault::ExpiredIsUnknown, Credential::AccessToken(token)) => {
                let expired = self.expired.lock().unwrap();
                if token.expose_str().is_some_and(|it| expired.contains(it)) {
                    return Ok(None);
                }
            }
            (Fault::ServiceIsUnknown, Credential::ApplicationService(_))
            | (Fault::EmailIsUnknown, Credential::ThirdParty(_)) => return Ok(None),
            (Fault::LocalpartIsUnknown, Credential::LoginName(name)) if !name.starts_with('@') => {
                return Ok(None);
            }
            (fault, Credential::LoginToken(login))
                if fault != Fault::LoginTypeIsIgnored && login.login_type() == Some(JWT) =>
            {
                let token = login.token().expose_str().unwrap_or_default();
                return Ok(self.signed.lock().unwrap().get(token).cloned());
            }
            (Fault::LookUpMakesASuccessor, Credential::RefreshToken(_)) => {
                self.tokens.fetch_add(1, Ordering::Relaxed);
            }
            (Fault::Blocks, Credential::RefreshToken(_)) => {
                std::thread::sleep(std::time::Duration::from_millis(300));
            }
            (Fault::Panics, Credential::LoginName(_)) => panic!("a row without a column"),
            (Fault::Hangs, Credential::RefreshToken(_)) => std::future::pending().await,
            _ => {}
        }
        let owner = match self.inner.peek(credential) {
            Peek::Account(account) => Some(account.into_parts().0),
            _ => None,
        };
        if self.has(Fault::UnknownTokenFails) && owner.is_none() {
            return Err(StoreError::msg("no rows returned"));
        }
        if self.has(Fault::OwnerInLowerCase) {
            return Ok(owner.map(|owner| owner.to_lowercase().into()));
        }
        let token = match credential {
            Credential::ApplicationService(token) if self.has(Fault::AssertedUserIsBelieved) => {
                return match self.inner.peek(Credential::AccessToken(token)) {
                    Peek::Account(account) => Ok(Some(account.into_parts().0)),
                    _ => Ok(None),
                };
            }
            Credential::RefreshToken(token) => token,
            Credential::LoginToken(login) => login.token(),
            _ => return Ok(owner),
        };
        let is_used_up = !self.asked.lock().unwrap().insert(token.expose().to_vec());
        Ok(owner.filter(|_| !(is_used_up && self.has(Fault::TokensAreUsedUp))))
    }
}

impl AccountStateStore for Broken {
    by_credential! { owner }

    async fn state(&self, user: &str) -> Result<AccountState, StoreError> {
        self.read_state(user).await
    }

    async fn states(&self, users: &[UserId]) -> Vec<Result<AccountState, StoreError>> {
        self.read_states(users).await
    }

    fn logged_out(&self, token: &str, _: Logout) {
        if self.has(Fault::LogoutEndsOneSession) {
            self.inner.remove_access_token(token);
        }
    }

    async fn access_token_and_state(&self, token: &str) -> Result<Option<Account>, StoreError> {
        let Some(user) = self.access_token(token).await? else {
            return Ok(None);
        };
        let state = match self.has(Fault::JointQuestionForgetsState) {
            true => AccountState::ACTIVE,
            false => self.read_state(&user).await?,
        };
        Ok(Some(Account::new(user, state)))
    }

    fn peek(&self, credential: Credential<'_>) -> Peek {
        match (self.fault, self.inner.peek(credential)) {
            (Fault::PeekSaysActive, Peek::Account(account)) => {
                Peek::Account(Account::new(account.into_parts().0, AccountState::ACTIVE))
            }
            _ => Peek::Ask,
        }
    }

    async fn event_sender(&self, _: &str, event: &str) -> Answer {
        let events = self.events.lock().unwrap();
        let found = events.iter().find(|(known, _)| known == event);
        Ok(found
            .map(|(_, user)| user.clone())
            .filter(|_| !self.has(Fault::SendersAreUnknown)))
    }

    fn changes(&self) -> Option<Changes> {
        match self.fault {
            Fault::NothingIsAnnounced | Fault::AnnouncesTooEarly => Some(self.silent.clone()),
            _ => self.inner.changes(),
        }
    }
}

impl RestrictionStore for Broken {
    type Error = StoreError;

    async fn state_of(&self, user: &str) -> Result<AccountState, StoreError> {
        self.read_state(user).await
    }

    async fn states_of(&self, users: &[UserId]) -> Vec<Result<AccountState, StoreError>> {
        self.read_states(users).await
    }

    async fn set_restriction(
        &self,
        user: &UserId,
        record: RestrictionRecord,
    ) -> Result<(), StoreError> {
        self.remember(user);
        let spoilt = RestrictionRecord::new(self.spoilt_one(record.restriction()))
            .with_set_at(record.set_at());
        let spoilt = match record.set_by() {
            Some(by) if !self.has(Fault::SetByIsForgotten) => spoilt.with_set_by(by.clone()),
            _ => spoilt,
        };
        let key = self.key(user);
        if self.has(Fault::OneRestrictionOnly) {
            self.inner.state(&key).await?;
            self.inner.set_state(key.clone(), AccountState::ACTIVE);
        }
        if self.has(Fault::ChangesInParts) {
            // Reads what is there, waits, and writes it back with the change.
            let before = self.inner.state(&key).await?;
            self.changing.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            self.inner
                .set_state(key, before.with(spoilt.restriction().clone()));
            return Ok(());
        }
        self.inner.set_restriction(&key, spoilt).await?;
        Ok(())
    }

    async fn lift_restriction(
        &self,
        user: &UserId,
        kind: RestrictionKind,
        change: &ChangeRecord,
    ) -> Result<bool, StoreError> {
        self.remember(user);
        let lifted = self
            .inner
            .lift_restriction(&self.key(user), kind, change)
            .await?;
        Ok(lifted || self.has(Fault::LiftAlwaysSaysYes))
    }

    async fn record(
        &self,
        user: &UserId,
        kind: RestrictionKind,
    ) -> Result<Option<RestrictionRecord>, StoreError> {
        Ok(self.inner.record(&self.key(user), kind).await?)
    }

    async fn restricted(
        &self,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<(UserId, Vec<RestrictionRecord>)>, StoreError> {
        let mut page = self.inner.restricted(after, limit).await?;
        match self.fault {
            Fault::ListForgetsTheLastOfAPage if page.len() > 1 => drop(page.pop()),
            Fault::ListFollowsNoOrder => page.sort_by_key(|(user, _)| user.to_lowercase()),
            _ => {}
        }
        Ok(page)
    }

    fn peek_state_of(&self, _: &str) -> Option<AccountState> {
        self.has(Fault::PeekSaysActive)
            .then_some(AccountState::ACTIVE)
    }

    fn restriction_changes(&self) -> Option<Changes> {
        AccountStateStore::changes(self)
    }
}
