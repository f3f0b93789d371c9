//! Application services, and the users that they assert.

use super::{
    Fixture, Promise,
    account_run::{Run, access},
    wait,
};
use crate::{
    account::UserId,
    credential::{AccessToken, Credential},
    store::{StoreError, ask},
};

pub(super) async fn check<F: Fixture>(run: &mut Run<'_, F>) {
    a_person_asserts_nobody(run).await;
    services(run).await;
}

/// A person's token asserts nobody. If it counted as an application service's, it could assert anyone.
async fn a_person_asserts_nobody<F: Fixture>(run: &mut Run<'_, F>) {
    let promise = Promise::AssertionIsHeeded;
    let (user, other) = (run.names.user("asserting"), run.names.user("asserted"));
    let token = run.token_of(promise, &user).await;
    run.token_of(promise, &other).await;
    let credential = Credential::ApplicationService(token.as_str().into());
    let what = "a person's token as an application service's";
    if let Some(owner) = run.owner(promise, what, credential).await {
        run.findings
            .same(promise, format!("the owner of {what}"), &owner, &None);
    }
    run.ways_agree(what, credential).await;
    asserts(run, "a person's token", &token, Some(&other), &user).await;
}

async fn services<F: Fixture>(run: &mut Run<'_, F>) {
    let promise = Promise::ServiceFindsItsAccount;
    let (sender, ghost) = (run.names.user("service"), run.names.user("ghost"));
    let token = run.names.token("service");
    let made = run.fixture.insert_application_service(&token, &sender);
    let why_not = "`insert_application_service` returns `false`";
    if !run
        .made(promise, "application services", why_not, made)
        .await
    {
        return;
    }
    let what = "the token of an application service";
    let credential = Credential::ApplicationService(token.as_str().into());
    if let Some(owner) = run.owner(promise, what, credential).await {
        let question = format!("the owner of {what}");
        run.findings
            .same(promise, question, &owner.as_ref(), &Some(&sender));
    }
    run.ways_agree(what, credential).await;
    run.ways_agree(what, access(&token)).await;
    asserts(run, what, &token, None, &sender).await;
    let promise = Promise::AssertionIsHeeded;
    asserts(run, what, &token, Some(&ghost), &ghost).await;
    let Some(&kind) = run.fixture.scope().kinds().first() else {
        return;
    };
    if run.set(promise, &ghost, &kind.into()).await {
        let asked = AccessToken::new(token.as_str()).with_asserted_user(&ghost);
        let account = wait::answer(ask::account_of(run.fixture.store(), asked)).await;
        let is_restricted =
            account.map(|account| account.is_some_and(|account| !account.state.is_active()));
        let question = format!("whether a {kind} user is restricted when a service asserts it");
        run.findings
            .same(promise, question, &is_restricted, &Ok(true));
    }
}

/// Asks as the layer asks, with and without an assertion.
async fn asserts<F: Fixture>(
    run: &mut Run<'_, F>,
    what: &str,
    token: &str,
    asserted: Option<&UserId>,
    expected: &UserId,
) {
    let token = AccessToken::new(token);
    let access = match asserted {
        Some(user) => token.with_asserted_user(user),
        None => token,
    };
    let store = run.fixture.store();
    let found = wait::answer(async {
        let account = ask::account_of(store, access).await?;
        Ok::<_, StoreError>(account.map(|account| account.user))
    })
    .await;
    let question = format!("whose state counts for {what} that asserts {asserted:?}");
    let expected = Ok(Some(expected.clone()));
    run.findings
        .same(Promise::AssertionIsHeeded, question, &found, &expected);
}
