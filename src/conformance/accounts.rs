//! The checks of an [`AccountStateStore`], and how they ask.

use std::{collections::BTreeSet, time::SystemTime};

use super::{
    Fixture, Promise, Report, credentials, report::Findings, samples::Names, states, wait,
};
use crate::{
    account::{Account, AccountState, Restriction, UserId},
    credential::Credential,
    store::{AccountStateStore, Peek, StoreError, ask},
};

/// Checks the promises of an [`AccountStateStore`].
///
/// # Errors
///
/// With every promise that was found broken.
pub async fn check<F: Fixture>(fixture: &F) -> Result<(), Report> {
    let mut run = Run {
        fixture,
        names: Names::new(),
        findings: Findings::default(),
        touched: BTreeSet::new(),
    };
    credentials::check(&mut run).await;
    states::check(&mut run).await;
    for user in std::mem::take(&mut run.touched) {
        run.set(Promise::ChangeIsVisibleAtOnce, &user, &AccountState::ACTIVE)
            .await;
    }
    run.findings.into_result()
}

pub(super) struct Run<'a, F> {
    pub(super) fixture: &'a F,
    pub(super) names: Names,
    pub(super) findings: Findings,
    touched: BTreeSet<UserId>,
}

impl<F: Fixture> Run<'_, F> {
    /// Makes an access token of `user`, and says which.
    pub(super) async fn token_of(&mut self, promise: Promise, user: &UserId) -> String {
        let token = self.names.token(user);
        let inserted = self.fixture.insert_access_token(&token, user);
        if let Err(error) = wait::answer(inserted).await {
            self.findings
                .add(promise, format!("making a token of {user:?}: {error}"));
        }
        token
    }

    /// Puts `user` into `state`, and says whether that succeeded.
    pub(super) async fn set(
        &mut self,
        promise: Promise,
        user: &UserId,
        state: &AccountState,
    ) -> bool {
        self.touched.insert(user.clone());
        let set = self.fixture.set_state(user, state.clone());
        if let Err(error) = wait::answer(set).await {
            let detail = format!("putting {user:?} into {state:?}: {error}");
            self.findings.add(promise, detail);
            return false;
        }
        true
    }

    /// The state of `user`, which has to be answered, and to agree with what is answered at once.
    pub(super) async fn state(&mut self, promise: Promise, user: &UserId) -> Option<AccountState> {
        let store = self.fixture.store();
        match wait::answer(store.state(user)).await {
            Ok(state) => {
                if let Some(peeked) = store.peek_state(user) {
                    let question = format_args!("`peek_state` of {user:?}");
                    self.findings
                        .same(Promise::PeekAgrees, question, &peeked, &state);
                }
                Some(state)
            }
            Err(error) => {
                self.findings
                    .add(promise, format!("the state of {user:?}: {error}"));
                None
            }
        }
    }

    /// Whose `credential` is, which has to be answered.
    pub(super) async fn owner(
        &mut self,
        promise: Promise,
        what: &str,
        credential: Credential<'_>,
    ) -> Option<Option<UserId>> {
        match wait::answer(ask::owner(self.fixture.store(), credential)).await {
            Ok(owner) => Some(owner),
            Err(error) => {
                self.findings
                    .add(promise, format!("whose {what} is: {error}"));
                None
            }
        }
    }

    /// Asks in all ways that there are, and compares them with each other.
    pub(super) async fn ways_agree(&mut self, what: &str, credential: Credential<'_>) {
        let store = self.fixture.store();
        let apart = wait::answer(async {
            let Some(user) = ask::owner(store, credential).await? else {
                return Ok::<_, StoreError>(None);
            };
            let state = store.state(&user).await?;
            Ok(Some(Account::new(user, state)))
        })
        .await;
        if let Credential::AccessToken(_) = credential {
            let joint = wait::answer(ask::account(store, credential)).await;
            let question = format_args!("`access_token_and_state` of {what}");
            self.findings
                .same(Promise::BothQuestionsAgree, question, &joint, &apart);
        }
        let peek = store.peek(credential);
        let Ok(expected) = apart.map(Peek::from) else {
            return;
        };
        if peek != Peek::Ask {
            let question = format_args!("`peek` of {what}");
            self.findings
                .same(Promise::PeekAgrees, question, &peek, &expected);
        }
        let glanced = store.glance(credential);
        let expected = match &peek {
            Peek::Account(account) if account.state.is_active() => None,
            other => Some(other.clone()),
        };
        let question = format_args!("`glance` of {what}");
        self.findings
            .same(Promise::PeekAgrees, question, &glanced, &expected);
    }

    /// Puts `user` into `state` and compares every part that the server can store, under the
    /// promise that the part belongs to.
    pub(super) async fn round_trip(
        &mut self,
        promise: Promise,
        user: &UserId,
        state: &AccountState,
    ) {
        if !self.set(promise, user, state).await {
            return;
        }
        let Some(answered) = self.state(promise, user).await else {
            return;
        };
        self.compare(promise, user, &answered, state);
    }

    pub(super) fn compare(
        &mut self,
        promise: Promise,
        user: &UserId,
        answered: &AccountState,
        expected: &AccountState,
    ) {
        let scope = self.fixture.scope();
        let kinds = |state: &AccountState| -> Vec<_> {
            state.restrictions().map(Restriction::kind).collect()
        };
        let question = format_args!("the restrictions of {user:?}");
        self.findings
            .same(promise, question, &kinds(answered), &kinds(expected));
        for expected in expected.restrictions() {
            let Some(answered) = answered.restriction(expected.kind()) else {
                continue; // reported above
            };
            let what = format!("of {user:?}, {}", expected.kind());
            if scope.has_reasons() {
                let (answered, expected) = (answered.reason(), expected.reason());
                let question = format_args!("the reason {what}");
                self.findings
                    .same(Promise::ReasonComesBack, question, &answered, &expected);
            }
            if scope.has_ends() {
                let end = |restriction: &Restriction| -> Option<SystemTime> {
                    restriction.until().map(super::samples::to_millis)
                };
                let question = format_args!("the end {what}");
                let (answered, expected) = (end(answered), end(expected));
                self.findings
                    .same(Promise::EndComesBack, question, &answered, &expected);
            }
        }
    }
}

/// The credential of an access token.
pub(super) fn access(token: &str) -> Credential<'_> {
    Credential::AccessToken(token.into())
}
