//! The conformance kit itself: each promise has a store here that breaks it, and the report names
//! that promise. A kit that finds nothing would pass every store.

#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::{
    collections::BTreeSet,
    convert::Infallible,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tower_account_status::{
    Account, AccountState, AccountStateStore, Changes, Credential, MemoryStore, Peek, Restriction,
    RestrictionKind::{self, *},
    RestrictionRecord, RestrictionStore, UserId,
    conformance::{self, BoxError, Fixture, Promise, Report, Scope, Violation},
};

/// What a store does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
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

struct Broken {
    inner: MemoryStore,
    fault: Fault,
    /// Announces nothing.
    silent: Changes,
    asked: Mutex<BTreeSet<Vec<u8>>>,
    before: Mutex<Vec<(UserId, AccountState)>>,
    changing: AtomicUsize,
}

impl Broken {
    fn new(fault: Fault) -> Self {
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

fn broken(result: Result<(), Report>) -> BTreeSet<Promise> {
    let Err(report) = result else {
        return BTreeSet::new();
    };
    let violations = report.violations().iter();
    violations.map(Violation::promise).collect()
}

async fn check_accounts(fault: Fault, expected: Promise) {
    let found = broken(conformance::check(&Broken::new(fault)).await);
    assert!(
        found.contains(&expected),
        "{fault:?} was found to break only {found:?}"
    );
}

async fn check_records(fault: Fault, expected: Promise) {
    let found = broken(conformance::check_restrictions(&Broken::new(fault)).await);
    assert!(
        found.contains(&expected),
        "{fault:?} was found to break only {found:?}"
    );
}

#[tokio::test]
async fn a_store_without_a_fault_breaks_nothing() {
    let store = Broken::new(Fault::None);
    conformance::check(&store).await.unwrap();
    conformance::check_restrictions(&store).await.unwrap();
}

/// Hearing nothing is noticed after a time, which need not be waited for.
#[tokio::test(start_paused = true)]
async fn every_promise_of_an_account_state_store_is_checked() {
    for (fault, promise) in ACCOUNT_FAULTS {
        check_accounts(*fault, *promise).await;
    }
}

const ACCOUNT_FAULTS: &[(Fault, Promise)] = &[
    (Fault::UnknownTokenFails, Promise::UnknownTokenIsNobodys),
    (Fault::UnknownUserIsLocked, Promise::UnknownUserIsActive),
    (Fault::OwnerInLowerCase, Promise::TokenFindsItsOwner),
    (Fault::TokensAreUsedUp, Promise::LookUpConsumesNothing),
    (
        Fault::AssertedUserIsBelieved,
        Promise::AssertedUserIsNotBelieved,
    ),
    (Fault::OldStateIsShownOnce, Promise::ChangeIsVisibleAtOnce),
    (
        Fault::OneRestrictionOnly,
        Promise::RestrictionsAreIndependent,
    ),
    (Fault::LeastRestrictionOnly, Promise::Precedence),
    (Fault::ReasonsLoseTheirQuotes, Promise::ReasonComesBack),
    (Fault::EndsAreForgotten, Promise::EndComesBack),
    (Fault::UsersInLowerCase, Promise::UserIdsAreBytes),
    (
        Fault::JointQuestionForgetsState,
        Promise::BothQuestionsAgree,
    ),
    (Fault::PeekSaysActive, Promise::PeekAgrees),
    (Fault::NothingIsAnnounced, Promise::ChangeIsAnnounced),
    (Fault::ChangesInParts, Promise::ConcurrentChangesHold),
    (Fault::Fails, Promise::UnknownUserIsActive),
];

#[tokio::test]
async fn every_promise_of_a_restriction_store_is_checked() {
    for (fault, promise) in RECORD_FAULTS {
        check_records(*fault, *promise).await;
    }
}

const RECORD_FAULTS: &[(Fault, Promise)] = &[
    (Fault::UnknownUserIsLocked, Promise::UnknownUserIsActive),
    (Fault::OldStateIsShownOnce, Promise::ChangeIsVisibleAtOnce),
    (
        Fault::OneRestrictionOnly,
        Promise::RestrictionsAreIndependent,
    ),
    (Fault::OneRestrictionOnly, Promise::Precedence),
    (Fault::ReasonsLoseTheirQuotes, Promise::ReasonComesBack),
    (Fault::EndsAreForgotten, Promise::EndComesBack),
    (Fault::UsersInLowerCase, Promise::UserIdsAreBytes),
    (Fault::PeekSaysActive, Promise::PeekAgrees),
    (Fault::NothingIsAnnounced, Promise::ChangeIsAnnounced),
    (Fault::ChangesInParts, Promise::ConcurrentChangesHold),
    (Fault::SetByIsForgotten, Promise::RecordComesBack),
    (Fault::LiftAlwaysSaysYes, Promise::LiftSaysWhatItDid),
    (Fault::ListForgetsTheLastOfAPage, Promise::ListIsWhole),
    (Fault::ListFollowsNoOrder, Promise::ListIsWhole),
    (Fault::Fails, Promise::UnknownUserIsActive),
];

#[test]
fn every_promise_is_broken_by_some_store_here() {
    let broken: BTreeSet<Promise> = ACCOUNT_FAULTS
        .iter()
        .chain(RECORD_FAULTS)
        .map(|(_, promise)| *promise)
        .collect();
    let all: BTreeSet<Promise> = Promise::ALL.iter().copied().collect();
    assert_eq!(broken, all);
}

#[tokio::test]
async fn a_report_names_the_promise_and_says_what_was_answered() {
    let store = Broken::new(Fault::UnknownTokenFails);
    let report = conformance::check(&store).await.unwrap_err();
    let text = format!("{report:?}");
    assert!(text.contains("- an unknown token is nobody's: "), "{text}");
    assert!(text.contains("no rows returned"), "{text}");
    assert_eq!(text, report.to_string());
}

/// A server with a lock column and nothing else.
struct LockColumn(MemoryStore);

impl Fixture for LockColumn {
    type Store = MemoryStore;

    fn store(&self) -> &MemoryStore {
        &self.0
    }

    async fn insert_access_token(&self, token: &str, user: &UserId) -> Result<(), BoxError> {
        self.0.insert_access_token(token, user.clone());
        Ok(())
    }

    async fn set_state(&self, user: &UserId, state: AccountState) -> Result<(), BoxError> {
        if state
            .restrictions()
            .any(|restriction| restriction.kind() != Locked)
        {
            return Err("there is no such column".into());
        }
        let locked = state.restriction(Locked).map(|_| Locked);
        self.0.set_state(user.clone(), locked.into_iter().collect());
        Ok(())
    }

    fn scope(&self) -> Scope {
        Scope::everything()
            .without_kind(Deactivated)
            .without_kind(Suspended)
            .without_reasons()
            .without_ends()
    }
}

#[tokio::test]
async fn what_is_outside_a_servers_scope_is_not_asked_of_it() {
    conformance::check(&LockColumn(MemoryStore::new()))
        .await
        .unwrap();
}

/// A store that never answers is reported, and not waited for.
struct Hanging;

impl AccountStateStore for Hanging {
    type Error = Infallible;

    async fn account(&self, _: Credential<'_>) -> Result<Option<UserId>, Infallible> {
        std::future::pending().await
    }

    async fn state(&self, _: &UserId) -> Result<AccountState, Infallible> {
        std::future::pending().await
    }
}

impl Fixture for Hanging {
    type Store = Self;

    fn store(&self) -> &Self {
        self
    }

    async fn insert_access_token(&self, _: &str, _: &UserId) -> Result<(), BoxError> {
        Ok(())
    }

    async fn set_state(&self, _: &UserId, _: AccountState) -> Result<(), BoxError> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_reported() {
    let report = conformance::check(&Hanging).await.unwrap_err();
    assert!(report.to_string().contains("no answer within"), "{report}");
}
