//! A store that breaks one promise, for the conformance kit to find.

#![allow(unreachable_pub, clippy::unwrap_used)] // a test fails by panicking

use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tower_account_status::{
    Account, AccountState, AccountStateStore, Changes, Credential, MemoryStore, Peek, Restriction,
    RestrictionKind::{self, Locked},
    RestrictionRecord, RestrictionStore, UserId,
    conformance::{BoxError, Fixture},
};

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
    ChangesInParts,
    SetByIsForgotten,
    LiftAlwaysSaysYes,
    ListForgetsTheLastOfAPage,
    ListFollowsNoOrder,
    Fails,
}

pub struct Broken {
    inner: MemoryStore,
    fault: Fault,
    /// Announces nothing.
    silent: Changes,
    asked: Mutex<BTreeSet<Vec<u8>>>,
    before: Mutex<Vec<(UserId, AccountState)>>,
    changing: AtomicUsize,
}

impl Broken {
    pub fn new(fault: Fault) -> Self {
        Self {
            inner: MemoryStore::new(),
            fault,
            silent: Changes::new(),
            asked: Mutex::default(),
            before: Mutex::default(),
            changing: AtomicUsize::new(0),
        }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn key(&self, user: &UserId) -> UserId {
        match self.has(Fault::UsersInLowerCase) {
            true => user.to_lowercase().into(),
            false => user.clone(),
        }
    }

    /// What is stored in place of the state.
    fn spoilt(&self, state: &AccountState) -> AccountState {
        let one = |restriction: Option<&Restriction>| restriction.cloned().into_iter().collect();
        match self.fault {
            Fault::OneRestrictionOnly => one(state.restrictions().next()),
            Fault::LeastRestrictionOnly => one(state.restrictions().last()),
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

    fn remember(&self, user: &UserId) {
        let state = AccountStateStore::peek_state(&self.inner, &self.key(user)).unwrap();
        self.before.lock().unwrap().push((user.clone(), state));
    }

    async fn read_state(&self, user: &UserId) -> Result<AccountState, BoxError> {
        if self.has(Fault::Fails) {
            return Err("the database is on fire".into());
        }
        if self.has(Fault::OldStateIsShownOnce) {
            let mut before = self.before.lock().unwrap();
            if let Some(place) = before.iter().position(|(known, _)| known == user) {
                return Ok(before.swap_remove(place).1);
            }
        }
        let state = AccountStateStore::state(&self.inner, &self.key(user)).await?;
        Ok(
            match self.has(Fault::UnknownUserIsLocked) && state.is_active() {
                true => Locked.into(),
                false => state,
            },
        )
    }
}

impl AccountStateStore for Broken {
    type Error = BoxError;

    async fn account(&self, credential: Credential<'_>) -> Result<Option<UserId>, BoxError> {
        let owner = self.inner.account(credential).await?;
        if self.has(Fault::UnknownTokenFails) && owner.is_none() {
            return Err("no rows returned".into());
        }
        if self.has(Fault::OwnerInLowerCase) {
            return Ok(owner.map(|owner| owner.to_lowercase().into()));
        }
        let token = match credential {
            Credential::AccessToken(access) => {
                if let (Fault::AssertedUserIsBelieved, Some(user)) =
                    (self.fault, access.asserted_user())
                {
                    return Ok(Some(user.into()));
                }
                return Ok(owner);
            }
            Credential::RefreshToken(token) => token,
            Credential::LoginToken(login) => login.token(),
            _ => return Ok(owner),
        };
        let is_used_up = !self.asked.lock().unwrap().insert(token.expose().to_vec());
        Ok(owner.filter(|_| !(is_used_up && self.has(Fault::TokensAreUsedUp))))
    }

    async fn state(&self, user: &UserId) -> Result<AccountState, BoxError> {
        self.read_state(user).await
    }

    async fn account_and_state(
        &self,
        credential: Credential<'_>,
    ) -> Result<Option<Account>, BoxError> {
        let Some(user) = self.account(credential).await? else {
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
                Peek::Account(Account::new(account.user, AccountState::ACTIVE))
            }
            _ => Peek::Ask,
        }
    }

    fn changes(&self) -> Option<Changes> {
        match self.fault {
            Fault::NothingIsAnnounced => Some(self.silent.clone()),
            _ => AccountStateStore::changes(&self.inner),
        }
    }
}

impl RestrictionStore for Broken {
    type Error = BoxError;

    async fn state(&self, user: &UserId) -> Result<AccountState, BoxError> {
        self.read_state(user).await
    }

    async fn restrict(&self, user: &UserId, record: RestrictionRecord) -> Result<(), BoxError> {
        self.remember(user);
        let spoilt = RestrictionRecord::new(self.spoilt_one(record.restriction()))
            .with_set_at(record.set_at());
        let spoilt = match record.set_by() {
            Some(by) if !self.has(Fault::SetByIsForgotten) => spoilt.with_set_by(by.clone()),
            _ => spoilt,
        };
        let key = self.key(user);
        if self.has(Fault::OneRestrictionOnly) {
            AccountStateStore::state(&self.inner, &key).await?;
            self.inner.set_state(key.clone(), AccountState::ACTIVE);
        }
        if self.has(Fault::ChangesInParts) {
            // Reads what is there, waits, and writes it back with the change.
            let before = AccountStateStore::state(&self.inner, &key).await?;
            self.changing.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            self.inner
                .set_state(key, before.with(spoilt.restriction().clone()));
            return Ok(());
        }
        RestrictionStore::restrict(&self.inner, &key, spoilt).await?;
        Ok(())
    }

    async fn lift(&self, user: &UserId, kind: RestrictionKind) -> Result<bool, BoxError> {
        self.remember(user);
        let lifted = RestrictionStore::lift(&self.inner, &self.key(user), kind).await?;
        Ok(lifted || self.has(Fault::LiftAlwaysSaysYes))
    }

    async fn record(
        &self,
        user: &UserId,
        kind: RestrictionKind,
    ) -> Result<Option<RestrictionRecord>, BoxError> {
        Ok(self.inner.record(&self.key(user), kind).await?)
    }

    async fn restricted(
        &self,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<(UserId, Vec<RestrictionRecord>)>, BoxError> {
        let mut page = self.inner.restricted(after, limit).await?;
        match self.fault {
            Fault::ListForgetsTheLastOfAPage if page.len() > 1 => drop(page.pop()),
            Fault::ListFollowsNoOrder => page.sort_by_key(|(user, _)| user.to_lowercase()),
            _ => {}
        }
        Ok(page)
    }

    fn peek_state(&self, user: &UserId) -> Option<AccountState> {
        (self.has(Fault::PeekSaysActive)
            && AccountStateStore::peek_state(&self.inner, user).is_some())
        .then_some(AccountState::ACTIVE)
    }

    fn changes(&self) -> Option<Changes> {
        AccountStateStore::changes(self)
    }
}

impl Fixture for Broken {
    type Store = Self;

    fn store(&self) -> &Self {
        self
    }

    async fn insert_access_token(&self, token: &str, user: &UserId) -> Result<(), BoxError> {
        self.inner.insert_access_token(token, user.clone());
        Ok(())
    }

    async fn insert_refresh_token(&self, token: &str, user: &UserId) -> Result<bool, BoxError> {
        self.inner.insert_refresh_token(token, user.clone());
        Ok(true)
    }

    async fn insert_login_token(&self, token: &str, user: &UserId) -> Result<bool, BoxError> {
        self.inner.insert_login_token(token, user.clone());
        Ok(true)
    }

    async fn set_state(&self, user: &UserId, state: AccountState) -> Result<(), BoxError> {
        self.remember(user);
        if self.has(Fault::ChangesInParts) && self.changing.fetch_add(1, Ordering::Relaxed) % 2 == 0
        {
            // Every second change waits, and is lost where another one came between.
            let turn = self.changing.load(Ordering::Relaxed);
            tokio::task::yield_now().await;
            if self.changing.load(Ordering::Relaxed) != turn {
                return Ok(());
            }
        }
        self.inner.set_state(self.key(user), self.spoilt(&state));
        Ok(())
    }
}
