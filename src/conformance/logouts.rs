//! Tokens that were logged out.

use super::{
    Fixture, Promise,
    account_run::{Run, access},
    wait,
};
use crate::credential::Logout;

/// What the layer tells a store after a logout that succeeded.
pub(super) async fn check<F: Fixture>(run: &mut Run<'_, F>) {
    let promise = Promise::LogoutIsHeeded;
    let (user, other) = (run.names.user("logged-out"), run.names.user("logged-in"));
    let others = run.token_of(promise, &other).await;
    let mut tokens = Vec::new();
    for number in 0..4 {
        let token = run.names.token(&format!("logged-out-{number}"));
        let inserted = run.fixture.insert_access_token(&token, &user);
        if let Err(error) = wait::answer(inserted).await {
            let detail = format!("making a token of {user:?}: {error}");
            return run.findings.add(promise, detail);
        }
        tokens.push(token);
    }
    // The layer tells of the logouts of restricted accounts.
    if let Some(&kind) = run.fixture.scope().kinds().first() {
        run.set(promise, &user, &kind.into()).await;
    }
    for token in tokens.iter().chain([&others]) {
        // So that a store that remembers owners remembers these.
        run.ways_agree("a token that will be logged out", access(token))
            .await;
    }
    let (one, all) = tokens.split_at(1);
    for (gone, logout) in [(one, Logout::Session), (all, Logout::AllSessions)] {
        for token in gone {
            let removed = run.fixture.remove_access_token(token);
            let why_not = "`remove_access_token` returns `false`";
            if !run.made(promise, "logouts", why_not, removed).await {
                return;
            }
        }
        run.logged_out(&gone[0], logout);
        for token in &tokens {
            let is_gone = one.contains(token) || logout == Logout::AllSessions;
            let what = match is_gone {
                true => "a token that was logged out",
                false => "another token of the person who logged out one",
            };
            let owner = run.owner(promise, what, access(token)).await;
            if let Some(owner) = owner {
                let question = format!("the owner of {what}, after {logout:?}");
                let expected = (!is_gone).then_some(&user);
                run.findings
                    .same(promise, question, &owner.as_ref(), &expected);
            }
            run.ways_agree(what, access(token)).await;
        }
    }
    let what = "a token of somebody else";
    if let Some(owner) = run.owner(promise, what, access(&others)).await {
        let question = format!("the owner of {what} after a logout");
        run.findings
            .same(promise, question, &owner.as_ref(), &Some(&other));
    }
}
