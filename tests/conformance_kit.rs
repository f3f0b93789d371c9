//! The conformance kit itself: each promise has a store here that breaks it, and the report names
//! that promise. A kit that finds nothing would pass every store.

#![allow(clippy::unwrap_used)] // a test fails by panicking

#[path = "support/broken_store.rs"]
mod broken_store;
#[path = "support/log_faults.rs"]
mod log_faults;
#[path = "support/logging_store.rs"]
mod logging_store;

use std::{collections::BTreeSet, time::Duration};

use broken_store::{Broken, Fault};
use log_faults::{LOG_FAULTS, LogFault, RETENTION_FAULTS};
use logging_store::LoggingStore;
use tower_account_status::{
    Account, AccountState, AccountStateStore, Changes, Credential, MemoryStore, Peek, Restriction,
    RestrictionKind::{Deactivated, Locked, Suspended},
    UserId,
    conformance::{self, Fixture, Passed, Promise, Report, Scope, Violation},
};
use tower_account_status::{
    by_credential,
    store::{Answer, StoreError},
    without,
};

fn broken(result: Result<Passed, Report>) -> BTreeSet<Promise> {
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
    let passed = conformance::check(&store).await.unwrap();
    assert_eq!(passed.skipped().count(), 0, "{passed}");
    let passed = conformance::check_restrictions(&store).await.unwrap();
    assert_eq!(passed.skipped().count(), 0, "{passed}");
}

/// A change may be announced by two ways, of which one is late.
#[tokio::test]
async fn one_announcement_too_many_breaks_nothing() {
    let store = Broken::new(Fault::AnnouncesTwice);
    let passed = conformance::check(&store).await.unwrap();
    assert_eq!(passed.skipped().count(), 0, "{passed}");
}

/// Hearing nothing is noticed after a time, which need not be waited for.
#[tokio::test(start_paused = true)]
async fn every_promise_of_an_account_state_store_is_checked() {
    for (fault, promise) in ACCOUNT_FAULTS {
        check_accounts(*fault, *promise).await;
    }
}

const ACCOUNT_FAULTS: &[(Fault, Promise)] = &[
    (Fault::UnknownTokenFails, Promise::UnknownIsNone),
    (Fault::ExpiredIsUnknown, Promise::ExpiredTokenKeepsItsOwner),
    (Fault::ServiceIsUnknown, Promise::ServiceFindsItsAccount),
    (Fault::LocalpartIsUnknown, Promise::LoginNameFindsItsOwner),
    (Fault::EmailIsUnknown, Promise::LoginNameFindsItsOwner),
    (Fault::LookUpMakesASuccessor, Promise::LookUpConsumesNothing),
    (Fault::LoginTypeIsIgnored, Promise::LoginTypeIsHeeded),
    (Fault::OneEndForAll, Promise::EachHasItsOwnEnd),
    (Fault::AnnouncesTooEarly, Promise::AnnouncedWhenVisible),
    (Fault::SendersAreUnknown, Promise::EventFindsItsSender),
    (Fault::Blocks, Promise::NothingBlocks),
    (Fault::Panics, Promise::NothingPanics),
    (Fault::Hangs, Promise::NothingHangs),
    (Fault::UnknownUserIsLocked, Promise::UnknownUserIsActive),
    (Fault::OwnerInLowerCase, Promise::TokenFindsItsOwner),
    (Fault::TokensAreUsedUp, Promise::LookUpConsumesNothing),
    (Fault::AssertedUserIsBelieved, Promise::AssertionIsHeeded),
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
    (Fault::StatesAreActive, Promise::ManyAgreeWithEach),
    (Fault::StatesHaveNoOrder, Promise::ManyAgreeWithEach),
    (Fault::StatesForgetTheRepeated, Promise::ManyAgreeWithEach),
    (Fault::StatesFailTogether, Promise::FailureConcernsOne),
    (Fault::UnreadableIsActive, Promise::FailureConcernsOne),
    (
        Fault::UnreadableIsActiveAmongMany,
        Promise::FailureConcernsOne,
    ),
    (Fault::LogoutIsForgotten, Promise::LogoutIsHeeded),
    (Fault::LogoutEndsOneSession, Promise::LogoutIsHeeded),
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
    (Fault::StatesAreActive, Promise::ManyAgreeWithEach),
    (Fault::StatesHaveNoOrder, Promise::ManyAgreeWithEach),
    (Fault::StatesForgetTheRepeated, Promise::ManyAgreeWithEach),
];

#[tokio::test]
async fn a_log_without_a_fault_breaks_nothing() {
    let store = LoggingStore::new(LogFault::None);
    let _ = conformance::check_restrictions(&store).await.unwrap();
    let passed = conformance::check_audit_log(&store).await.unwrap();
    assert_eq!(passed.skipped().count(), 0, "{passed}");
    assert!(broken(check_retention(LogFault::None).await).is_empty());
}

#[tokio::test]
async fn every_promise_of_a_log_is_checked() {
    for (fault, expected) in LOG_FAULTS {
        let store = LoggingStore::new(*fault);
        let found = broken(conformance::check_audit_log(&store).await);
        assert!(
            found.contains(expected),
            "{fault:?} was found to break only {found:?}"
        );
    }
}

async fn check_retention(fault: LogFault) -> Result<Passed, Report> {
    let retention = Duration::from_secs(1);
    let store = LoggingStore::new(fault).with_retention(retention);
    conformance::check_audit_retention(&store, retention, Duration::from_millis(200)).await
}

#[tokio::test]
async fn the_retention_of_a_log_is_checked() {
    // Each waits for entries to get old. A machine that stalls meanwhile may miss one.
    let check = |fault: LogFault| async move {
        for _ in 0..5 {
            let found = broken(check_retention(fault).await);
            if !found.is_empty() {
                return found;
            }
        }
        BTreeSet::new()
    };
    let checks = RETENTION_FAULTS
        .iter()
        .map(|fault| (fault, tokio::spawn(check(*fault))));
    let checks: Vec<_> = checks.collect();
    for (fault, check) in checks {
        let expected = BTreeSet::from([Promise::LogKeepsItsRetention]);
        assert_eq!(check.await.unwrap(), expected, "{fault:?}");
    }
}

#[test]
fn every_promise_is_broken_by_some_store_here() {
    let broken: BTreeSet<Promise> = ACCOUNT_FAULTS
        .iter()
        .chain(RECORD_FAULTS)
        .map(|(_, promise)| *promise)
        .chain(LOG_FAULTS.iter().map(|(_, promise)| *promise))
        .chain([Promise::LogKeepsItsRetention])
        .collect();
    let all: BTreeSet<Promise> = Promise::ALL.iter().copied().collect();
    assert_eq!(broken, all);
}

#[tokio::test]
async fn a_report_names_the_promise_and_says_what_was_answered() {
    let store = Broken::new(Fault::UnknownTokenFails);
    let report = conformance::check(&store).await.unwrap_err();
    let text = format!("{report:?}");
    assert!(
        text.contains("- an unknown credential is `None`: "),
        "{text}"
    );
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

    async fn insert_access_token(&self, token: &str, user: &UserId) -> Result<(), StoreError> {
        self.0.insert_access_token(token, user.clone());
        Ok(())
    }

    async fn set_state(&self, user: &UserId, state: AccountState) -> Result<(), StoreError> {
        if state
            .restrictions()
            .any(|restriction| restriction.kind() != Locked)
        {
            return Err(StoreError::msg("there is no such column"));
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
    let passed = conformance::check(&LockColumn(MemoryStore::new()))
        .await
        .unwrap();
    let text = passed.to_string();
    for skipped in [
        "not checked: expired access tokens, because `expire_access_token` returns",
        "not checked: application services, because",
        "not checked: login names, because `login_names` returns none",
        "not checked: records that cannot be read, because `break_record` returns `false`",
        "not checked: logouts, because `remove_access_token` returns `false`",
        "not checked: reasons, because they are outside the fixture's scope",
        "not checked: ends, because",
    ] {
        assert!(text.contains(skipped), "{text}");
    }
}

/// A store that never answers is reported, and the kit does not wait for it.
struct Hanging;

impl AccountStateStore for Hanging {
    async fn access_token(&self, _: &str) -> Answer {
        std::future::pending().await
    }

    without! { application_service, login_name, third_party, login_token, refresh_token, event_sender, changes }

    async fn state(&self, _: &str) -> Result<AccountState, StoreError> {
        std::future::pending().await
    }
}

impl Fixture for Hanging {
    type Store = Self;

    fn store(&self) -> &Self {
        self
    }

    async fn insert_access_token(&self, _: &str, _: &UserId) -> Result<(), StoreError> {
        Ok(())
    }

    async fn set_state(&self, _: &UserId, _: AccountState) -> Result<(), StoreError> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_reported() {
    let report = conformance::check(&Hanging).await.unwrap_err();
    let text = report.to_string();
    for method in ["access_token", "state"] {
        let detail = format!("- no question hangs: `{method}` of ");
        assert!(text.contains(&detail), "{text}");
    }
    assert!(text.lines().count() <= 24 && text.len() <= 4000, "{text}");
}

/// Answers everybody's question with the same wrong account.
struct AllWrong(MemoryStore);

impl AllWrong {
    async fn owner(&self, credential: Credential<'_>) -> Answer {
        match credential {
            Credential::RefreshToken(_) => Err(StoreError::msg("x".repeat(1000))),
            _ => Ok(Some("@wrong:example.org".into())),
        }
    }
}

impl AccountStateStore for AllWrong {
    by_credential! { owner }

    async fn state(&self, _: &str) -> Result<AccountState, StoreError> {
        let reason = "a reason that is never right ".repeat(20);
        Ok(Restriction::new(Suspended).with_reason(reason).into())
    }

    async fn access_token_and_state(&self, _: &str) -> Result<Option<Account>, StoreError> {
        Ok(None)
    }

    fn peek(&self, _: Credential<'_>) -> Peek {
        Peek::Account(Account::new("@wronger:example.org".into(), Locked.into()))
    }

    fn peek_state(&self, _: &str) -> Option<AccountState> {
        Some(AccountState::ACTIVE)
    }

    async fn event_sender(&self, _: &str, _: &str) -> Answer {
        Ok(None)
    }

    fn changes(&self) -> Option<Changes> {
        self.0.changes()
    }
}

impl Fixture for AllWrong {
    type Store = Self;

    fn store(&self) -> &Self {
        self
    }

    async fn insert_access_token(&self, _: &str, _: &UserId) -> Result<(), StoreError> {
        Ok(())
    }

    async fn expire_access_token(&self, _: &str) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn insert_application_service(&self, _: &str, _: &UserId) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn insert_refresh_token(&self, _: &str, _: &UserId) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn insert_event(&self, _: &str, _: &str, _: &UserId) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn login_names(&self, user: &UserId) -> Result<Vec<String>, StoreError> {
        Ok(vec![user.to_string()])
    }

    async fn set_state(&self, _: &UserId, _: AccountState) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Even if many promises are broken.
#[tokio::test(start_paused = true)]
async fn a_report_fits_on_a_screen() {
    let report = conformance::check(&AllWrong(MemoryStore::new()))
        .await
        .unwrap_err();
    let text = report.to_string();
    let promises: BTreeSet<_> = report.violations().iter().map(Violation::promise).collect();
    assert!(promises.len() >= 12, "{text}");
    for promise in promises {
        assert!(text.contains(promise.as_str()), "{promise}: {text}");
    }
    assert!(text.lines().count() <= 24 && text.len() <= 4000, "{text}");
}

/// A question that panics is reported by its name, once, and every other promise is still checked.
#[tokio::test(start_paused = true)]
async fn after_a_panic_the_rest_goes_on() {
    let report = conformance::check(&Broken::new(Fault::Panics))
        .await
        .unwrap_err();
    let [violation] = report.violations() else {
        panic!("{report}");
    };
    assert_eq!(violation.promise(), Promise::NothingPanics);
    let detail = violation.detail();
    assert!(
        detail.starts_with("`login_name` of the login name"),
        "{detail}"
    );
    assert!(detail.ends_with("a row without a column"), "{detail}");
}
