//! How the checks of an [`AccountStateStore`] ask, and what they keep.

use std::{collections::BTreeSet, time::SystemTime};

use super::{
    fixture::Fixture,
    report::{Findings, Promise},
    samples::{Names, to_millis},
    wait::{self, Asked},
};
use crate::{
    account::{Account, AccountState, Restriction, UserId},
    credential::{Credential, Logout},
    store::{
        AccountStateStore, Peek, StoreError,
        account_state::{account, owner},
    },
};

/// One run of the checks.
pub(super) struct Run<'a, F> {
    pub(super) fixture: &'a F,
    pub(super) names: Names,
    pub(super) findings: Findings,
    pub(super) touched: BTreeSet<UserId>,
    /// Methods that hung or panicked. They are not called again.
    broken: BTreeSet<&'static str>,
    /// Methods that held their thread. A busy machine can be the reason for one time.
    blocking: BTreeSet<&'static str>,
}

impl<'a, F: Fixture> Run<'a, F> {
    pub(super) fn new(fixture: &'a F) -> Self {
        Self {
            fixture,
            names: Names::new(),
            findings: Findings::default(),
            touched: BTreeSet::new(),
            broken: BTreeSet::new(),
            blocking: BTreeSet::new(),
        }
    }

    /// Makes an access token of `user` and returns it.
    pub(super) async fn token_of(&mut self, promise: Promise, user: &UserId) -> String {
        let token = self.names.token(user);
        let inserted = self.fixture.insert_access_token(&token, user);
        if let Err(error) = wait::answer(inserted).await {
            self.findings
                .add(promise, format!("making a token of {user:?}: {error}"));
        }
        token
    }

    /// Whether the fixture could make something. An error is reported.
    pub(super) async fn made(
        &mut self,
        promise: Promise,
        what: &'static str,
        why_not: &'static str,
        made: impl Future<Output = Result<bool, StoreError>>,
    ) -> bool {
        match wait::answer(made).await {
            Ok(true) => return true,
            Ok(false) => self.findings.skip(what, why_not),
            Err(error) => self
                .findings
                .add(promise, format!("making {what}: {error}")),
        }
        false
    }

    /// Puts `user` into `state`. Returns whether that succeeded.
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

    /// The answer to a question that must be answered. A method that hangs or panics is reported by
    /// its name and is not called again. One that blocks is reported if it blocks a second time.
    async fn answered<T, Q: Future<Output = Result<T, StoreError>>>(
        &mut self,
        promise: Promise,
        method: &'static str,
        what: &str,
        question: impl FnOnce() -> Q,
    ) -> Option<T> {
        if self.broken.contains(method) {
            return None;
        }
        let (promise, detail) = match wait::ask(question).await {
            Asked::Answered(answer) => return Some(answer),
            Asked::Blocked(time, answer) => {
                if !self.blocking.insert(method) {
                    let detail = format!("`{method}` of {what} held its thread for {time:?}");
                    self.findings.add(Promise::NothingBlocks, detail);
                }
                return Some(answer);
            }
            Asked::Failed(error) => (promise, format!("`{method}` of {what} failed: {error}")),
            Asked::Panicked(message) => {
                self.broken.insert(method);
                let detail = format!("`{method}` of {what}: {message}");
                (Promise::NothingPanics, detail)
            }
            Asked::Hung(_) => {
                self.broken.insert(method);
                (Promise::NothingHangs, format!("`{method}` of {what}"))
            }
        };
        self.findings.add(promise, detail);
        None
    }

    /// The answer of a method that does not wait.
    fn peeked<T>(
        &mut self,
        method: &'static str,
        what: &str,
        ask: impl FnOnce() -> T,
    ) -> Option<T> {
        if self.broken.contains(method) {
            return None;
        }
        match wait::at_once(ask) {
            Ok(answer) => Some(answer),
            Err(error) => {
                self.broken.insert(method);
                let detail = format!("`{method}` of {what}: {error}");
                self.findings.add(Promise::NothingPanics, detail);
                None
            }
        }
    }

    /// The state of `user`. The store must answer, and agree with its `peek_state`.
    pub(super) async fn state(&mut self, promise: Promise, user: &UserId) -> Option<AccountState> {
        let store = self.fixture.store();
        let what = format!("{user:?}");
        let state = self
            .answered(promise, "state", &what, || store.state(user))
            .await?;
        let peeked = self.peeked("peek_state", &what, || store.peek_state(user));
        if let Some(peeked) = peeked.flatten() {
            let question = format!("`peek_state` of {what}");
            self.findings
                .same(Promise::PeekAgrees, question, &peeked, &state);
        }
        Some(state)
    }

    /// The states of several users. The store must answer.
    pub(super) async fn states(
        &mut self,
        promise: Promise,
        users: &[UserId],
    ) -> Option<Vec<Result<AccountState, StoreError>>> {
        let store = self.fixture.store();
        let what = format!("{} users", users.len());
        let ask = || async { Ok(store.states(users).await) };
        self.answered(promise, "states", &what, ask).await
    }

    /// Tells the store of a logout.
    pub(super) fn logged_out(&mut self, token: &str, logout: Logout) {
        let store = self.fixture.store();
        self.peeked("logged_out", "a token", || store.logged_out(token, logout));
    }

    /// The owner of `credential`. The store must answer.
    pub(super) async fn owner(
        &mut self,
        promise: Promise,
        what: &str,
        credential: Credential<'_>,
    ) -> Option<Option<UserId>> {
        let store = self.fixture.store();
        let method = method(credential);
        self.answered(promise, method, what, || owner(store, credential))
            .await
    }

    /// The sender of an event. The store must answer.
    pub(super) async fn sender(&mut self, room: &str, event: &str) -> Option<Option<UserId>> {
        let store = self.fixture.store();
        let promise = Promise::EventFindsItsSender;
        self.answered(promise, "event_sender", "an event", || {
            store.event_sender(room, event)
        })
        .await
    }

    /// Asks by every method and compares the answers.
    pub(super) async fn ways_agree(&mut self, what: &str, credential: Credential<'_>) {
        let store = self.fixture.store();
        let promise = Promise::BothQuestionsAgree;
        let Some(owner) = self.owner(promise, what, credential).await else {
            return;
        };
        let apart = match owner {
            Some(user) => match self.state(promise, &user).await {
                Some(state) => Some(Account::new(user, state)),
                None => return,
            },
            None => None,
        };
        if let Credential::AccessToken(_) = credential {
            let method = "access_token_and_state";
            let joint = self
                .answered(promise, method, what, || account(store, credential))
                .await;
            if let Some(joint) = joint {
                let question = format!("`{method}` of {what}");
                self.findings.same(promise, question, &joint, &apart);
            }
        }
        let Some(peek) = self.peeked("peek", what, || store.peek(credential)) else {
            return;
        };
        if peek != Peek::Ask {
            let question = format!("`peek` of {what}");
            let expected = Peek::from(apart);
            self.findings
                .same(Promise::PeekAgrees, question, &peek, &expected);
        }
        let expected = match peek {
            Peek::Account(account) if account.state.is_active() => None,
            other => Some(other),
        };
        if let Some(glanced) = self.peeked("glance", what, || store.glance(credential)) {
            let question = format!("`glance` of {what}");
            self.findings
                .same(Promise::PeekAgrees, question, &glanced, &expected);
        }
    }

    /// Puts `user` into `state` and compares every part that the server can store. A difference breaks
    /// the promise that names the part.
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
            // If several restrictions are set at once, this promise is broken, whichever part differs.
            let of = |own| match promise {
                Promise::EachHasItsOwnEnd => Promise::EachHasItsOwnEnd,
                _ => own,
            };
            let what = format!("of {user:?}, {}", expected.kind());
            if scope.has_reasons() {
                let (answered, expected) = (answered.reason(), expected.reason());
                let question = format!("the reason {what}");
                let promise = of(Promise::ReasonComesBack);
                self.findings.same(promise, question, &answered, &expected);
            }
            if scope.has_ends() {
                let end = |restriction: &Restriction| -> Option<SystemTime> {
                    restriction.until().map(to_millis)
                };
                let question = format!("the end {what}");
                let (answered, expected) = (end(answered), end(expected));
                let promise = of(Promise::EndComesBack);
                self.findings.same(promise, question, &answered, &expected);
            }
        }
    }
}

/// The name of the method that looks a credential up.
fn method(credential: Credential<'_>) -> &'static str {
    match credential {
        Credential::AccessToken(_) => "access_token",
        Credential::ApplicationService(_) => "application_service",
        Credential::LoginName(_) => "login_name",
        Credential::ThirdParty(_) => "third_party",
        Credential::LoginToken(_) => "login_token",
        Credential::RefreshToken(_) => "refresh_token",
    }
}

/// An access token as a credential.
pub(super) fn access(token: &str) -> Credential<'_> {
    Credential::AccessToken(token.into())
}
