//! The states of many accounts, asked for at once.

use super::{
    Fixture, Promise, account_run, record_run,
    report::Findings,
    samples::Names,
    wait::{self, Asked},
};
use crate::{
    account::{AccountState, RestrictionKind, UserId},
    store::{AccountStateStore as _, RestrictionStore, StoreError},
};

/// How many accounts are asked for. One statement of a database may have places for fewer.
const ACCOUNTS: usize = 64;

/// The promises of `states`.
pub(super) async fn check<F: Fixture>(run: &mut account_run::Run<'_, F>) {
    let promise = Promise::ManyAgreeWithEach;
    let kinds = run.fixture.scope().kinds().to_vec();
    let users = users(&run.names);
    for (user, kind) in restricted(&users, &kinds) {
        run.set(promise, user, &kind.into()).await;
    }
    compare(run, promise, &users).await;
    compare(run, promise, &[]).await;
    one_failure(run).await;
}

/// A record that cannot be read, between two that can.
async fn one_failure<F: Fixture>(run: &mut account_run::Run<'_, F>) {
    let promise = Promise::FailureConcernsOne;
    let [before, broken, after] =
        ["before", "unreadable", "after"].map(|what| run.names.user(what));
    if let Some(&kind) = run.fixture.scope().kinds().first() {
        run.set(promise, &before, &kind.into()).await;
    }
    let made = run.fixture.break_record(&broken);
    let why_not = "`break_record` returns `false`";
    let what = "records that cannot be read";
    if !run.made(promise, what, why_not, made).await {
        return;
    }
    let store = run.fixture.store();
    if let Asked::Answered(state) = wait::ask(|| store.state(&broken)).await {
        let detail = format!("the state of {broken:?}, whose record cannot be read, is {state:?}");
        return run.findings.add(promise, detail);
    }
    compare(run, promise, &[before, broken, after]).await;
}

/// Compares `states` with `state` of each.
async fn compare<F: Fixture>(
    run: &mut account_run::Run<'_, F>,
    promise: Promise,
    users: &[UserId],
) {
    let store = run.fixture.store();
    let Some(many) = run.states(promise, users).await else {
        return;
    };
    let mut each = Vec::with_capacity(users.len());
    for user in users {
        each.push(wait::answer(store.state(user)).await);
    }
    found(&mut run.findings, promise, "states", users, &many, &each);
}

/// The promises of `states_of`.
pub(super) async fn check_restrictions<R: RestrictionStore>(run: &mut record_run::Run<'_, R>) {
    let promise = Promise::ManyAgreeWithEach;
    let users = users(&run.names);
    for (user, kind) in restricted(&users, RestrictionKind::ALL) {
        run.restrict(promise, user, kind).await;
    }
    for users in [&users[..], &[]] {
        let asked = async { Ok::<_, StoreError>(run.store.states_of(users).await) };
        let many = match wait::answer(asked).await {
            Ok(many) => many,
            Err(error) => {
                let detail = format!("`states_of` of {} accounts: {error}", users.len());
                return run.findings.add(promise, detail);
            }
        };
        let mut each = Vec::with_capacity(users.len());
        for user in users {
            each.push(wait::answer(run.store.state_of(user)).await);
        }
        let findings = &mut run.findings;
        found(findings, promise, "states_of", users, &many, &each);
    }
}

/// Accounts in no order, of which some are asked for twice and most are not known.
fn users(names: &Names) -> Vec<UserId> {
    let numbers = (0..ACCOUNTS).map(|place| place * 37 % (ACCOUNTS - 5));
    numbers
        .map(|number| names.user(&format!("many-{number}")))
        .collect()
}

/// Every third of them, with a kind of restriction.
fn restricted<'u>(
    users: &'u [UserId],
    kinds: &'u [RestrictionKind],
) -> impl Iterator<Item = (&'u UserId, RestrictionKind)> {
    users.iter().step_by(3).zip(kinds.iter().copied().cycle())
}

/// Reports the first difference: one account too few moves all others.
fn found(
    findings: &mut Findings,
    promise: Promise,
    method: &str,
    users: &[UserId],
    many: &[Result<AccountState, StoreError>],
    each: &[Result<AccountState, String>],
) {
    let question = format!(
        "how many answers `{method}` gives for {} users",
        users.len()
    );
    findings.same(promise, question, &many.len(), &users.len());
    let pairs = users.iter().zip(many.iter().zip(each));
    for (user, (many, each)) in pairs {
        let is_same = match (many, each) {
            (Ok(many), Ok(each)) => many == each,
            (many, each) => many.is_err() && each.is_err(),
        };
        if !is_same {
            let detail = format!(
                "{user:?} among {}: `{method}` answered {many:?}, and alone it is {each:?}",
                users.len()
            );
            return findings.add(promise, detail);
        }
    }
}
