//! The checks of an [`AccountStateStore`], and how they ask.

use std::{collections::BTreeSet, time::SystemTime};

use super::{
    Fixture, Promise, Report, credentials, report::Findings, samples::Names, states, wait,
};
use crate::{
    account::{Account, AccountState, Restriction, UserId},
    credential::{AccessToken, Credential},
    store::{AccountStateStore, Peek},
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
                    let question = format!("`peek_state` of {user:?}");
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
        match wait::answer(self.fixture.store().account(credential)).await {
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
        let joint = wait::answer(store.account_and_state(credential)).await;
        let apart = wait::answer(async {
            let Some(user) = store.account(credential).await? else {
                return Ok::<_, <F::Store as AccountStateStore>::Error>(None);
            };
            let state = store.state(&user).await?;
            Ok(Some(Account::new(user, state)))
        })
        .await;
        let question = format!("`account_and_state` of {what}");
        self.findings
            .same(Promise::BothQuestionsAgree, question, &joint, &apart);

        let peek = store.peek(credential);
        let expected = match &apart {
            Ok(Some(account)) => Peek::Account(account.clone()),
            Ok(None) => Peek::Nobody,
            Err(_) => return,
        };
        if peek != Peek::Ask {
            let question = format!("`peek` of {what}");
            self.findings
                .same(Promise::PeekAgrees, question, &peek, &expected);
        }
        let is_active = matches!(&peek, Peek::Account(account) if account.state.is_active());
        let question = format!("`is_active` of {what}");
        let answered = store.is_active(credential);
        self.findings
            .same(Promise::PeekAgrees, question, &answered, &is_active);
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
        let question = format!("the restrictions of {user:?}");
        self.findings
            .same(promise, question, &kinds(answered), &kinds(expected));
        for expected in expected.restrictions() {
            let Some(answered) = answered.restriction(expected.kind()) else {
                continue; // reported above
            };
            let what = format!("of {user:?}, {}", expected.kind());
            if scope.has_reasons() {
                let (answered, expected) = (answered.reason(), expected.reason());
                let question = format!("the reason {what}");
                self.findings
                    .same(Promise::ReasonComesBack, question, &answered, &expected);
            }
            if scope.has_ends() {
                let end = |restriction: &Restriction| -> Option<SystemTime> {
                    restriction.until().map(super::samples::to_millis)
                };
                let question = format!("the end {what}");
                let (answered, expected) = (end(answered), end(expected));
                self.findings
                    .same(Promise::EndComesBack, question, &answered, &expected);
            }
        }
    }
}

/// The credential of an access token.
pub(super) fn access(token: &str) -> Credential<'_> {
    Credential::AccessToken(AccessToken::new(token))
}
