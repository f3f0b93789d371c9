//! The states of accounts.

use std::{future::poll_fn, pin::pin, task::Poll, time::SystemTime};

use super::{
    Fixture, Promise,
    account_run::{Run, access},
    samples::{REASONS, end_in},
    wait,
};
use crate::{
    account::{AccountState, Restriction, RestrictionKind, UserId},
    changes::Subscription,
    store::AccountStateStore as _,
};

pub(super) async fn check<F: Fixture>(run: &mut Run<'_, F>) {
    each_kind(run).await;
    independence_and_precedence(run).await;
    each_has_its_own(run).await;
    match run.fixture.scope().has_reasons() {
        true => reasons(run).await,
        false => run.findings.skip("reasons", OUTSIDE),
    }
    match run.fixture.scope().has_ends() {
        true => ends(run).await,
        false => run.findings.skip("ends", OUTSIDE),
    }
    user_ids(run).await;
    announcements(run).await;
    concurrent_changes(run).await;
}

const OUTSIDE: &str = "they are outside the fixture's scope";

/// All kinds at the same time, each with its own reason and end. With one column for all kinds, the
/// restriction that was set last would end the others.
async fn each_has_its_own<F: Fixture>(run: &mut Run<'_, F>) {
    let promise = Promise::EachHasItsOwnEnd;
    let kinds = run.fixture.scope().kinds().to_vec();
    let (reasons, ends) = {
        let scope = run.fixture.scope();
        (scope.has_reasons(), scope.has_ends())
    };
    if kinds.len() < 2 || !(reasons || ends) {
        return;
    }
    let user = run.names.user("own-ends");
    // The shortest is set last once, and first once.
    for order in [0, 1] {
        let state: AccountState = kinds
            .iter()
            .enumerate()
            .map(|(place, &kind)| {
                let mut restriction = Restriction::new(kind);
                if reasons {
                    restriction = restriction.with_reason(format!("{kind}, number {place}"));
                }
                match (ends, (place + order) % kinds.len()) {
                    (true, 0) => restriction,
                    (true, hours) => restriction.with_until(end_in(3600 * (hours as i64))),
                    (false, _) => restriction,
                }
            })
            .collect();
        run.round_trip(promise, &user, &state).await;
    }
}

async fn each_kind<F: Fixture>(run: &mut Run<'_, F>) {
    let promise = Promise::ChangeIsVisibleAtOnce;
    let user = run.names.user("kinds");
    let token = run.token_of(promise, &user).await;
    for kind in run.fixture.scope().kinds().to_vec() {
        for state in [kind.into(), AccountState::ACTIVE, kind.into()] {
            run.round_trip(promise, &user, &state).await;
            let what = format!("the token of a user in the state {state:?}");
            run.ways_agree(&what, access(&token)).await;
        }
    }
}

async fn independence_and_precedence<F: Fixture>(run: &mut Run<'_, F>) {
    let promise = Promise::RestrictionsAreIndependent;
    let user = run.names.user("independent");
    let kinds = run.fixture.scope().kinds().to_vec();
    let all: AccountState = kinds.iter().copied().collect();
    for kind in &kinds {
        run.round_trip(promise, &user, &all).await;
        run.round_trip(promise, &user, &all.clone().without(*kind))
            .await;
    }
    for (place, kind) in kinds.iter().enumerate() {
        let state: AccountState = kinds[place..].iter().copied().collect();
        if !run.set(Promise::Precedence, &user, &state).await {
            continue;
        }
        let Some(answered) = run.state(Promise::Precedence, &user).await else {
            continue;
        };
        let deciding = answered.in_force(SystemTime::now()).map(Restriction::kind);
        let question = format!("the restriction that decides in the state {state:?}");
        run.findings
            .same(Promise::Precedence, question, &deciding, &Some(*kind));
    }
}

async fn reasons<F: Fixture>(run: &mut Run<'_, F>) {
    let user = run.names.user("reasons");
    let longest = "\u{1f512}".repeat(Restriction::MAX_REASON_LEN / 4);
    for kind in run.fixture.scope().kinds().to_vec() {
        for reason in REASONS.into_iter().chain([longest.as_str()]) {
            let state = Restriction::new(kind).with_reason(reason).into();
            run.round_trip(Promise::ReasonComesBack, &user, &state)
                .await;
        }
        // A reason does not outlive its restriction.
        run.round_trip(Promise::ReasonComesBack, &user, &kind.into())
            .await;
    }
}

async fn ends<F: Fixture>(run: &mut Run<'_, F>) {
    let promise = Promise::EndComesBack;
    let user = run.names.user("ends");
    for kind in run.fixture.scope().kinds().to_vec() {
        for (seconds, is_in_force) in [
            (-86_400, false),
            (-1, false),
            (3600, true),
            (i64::from(u32::MAX), true),
        ] {
            let state = Restriction::new(kind).with_until(end_in(seconds)).into();
            run.round_trip(promise, &user, &state).await;
            if let Some(answered) = run.state(promise, &user).await {
                let question =
                    format!("whether {kind} is in force, with its end {seconds} s from now");
                let answered = answered.in_force(SystemTime::now()).is_some();
                run.findings
                    .same(promise, question, &answered, &is_in_force);
            }
        }
        run.round_trip(promise, &user, &kind.into()).await;
    }
}

async fn user_ids<F: Fixture>(run: &mut Run<'_, F>) {
    let promise = Promise::UserIdsAreBytes;
    let Some(&kind) = run.fixture.scope().kinds().first() else {
        return;
    };
    let users = run.names.hard_users();
    // The places of any two users differ in a bit. So one of the two is restricted in some round, and
    // the other is not.
    for bit in 0..users.len().ilog2() + 1 {
        for (place, user) in users.iter().enumerate() {
            let state = match place >> bit & 1 {
                1 => kind.into(),
                _ => AccountState::ACTIVE,
            };
            run.set(promise, user, &state).await;
        }
        for (place, user) in users.iter().enumerate() {
            if let Some(state) = run.state(promise, user).await {
                let question = format!("whether {user:?} is {kind}");
                let answered = state.restriction(kind).is_some();
                run.findings
                    .same(promise, question, &answered, &(place >> bit & 1 == 1));
            }
        }
    }
}

async fn announcements<F: Fixture>(run: &mut Run<'_, F>) {
    let promise = Promise::ChangeIsAnnounced;
    let Some(changes) = run.fixture.store().changes() else {
        return run.findings.skip("announcements", "`changes` is `None`");
    };
    let (user, fixture) = (run.names.user("announced"), run.fixture);
    for kind in run.fixture.scope().kinds().to_vec() {
        for state in [kind.into(), AccountState::ACTIVE] {
            let mut subscription = changes.subscribe(&user);
            // The store is asked when it announces the change, before `announce` returns.
            let set = run.set(promise, &user, &state);
            let expected: Vec<_> = state.restrictions().map(Restriction::kind).collect();
            let see = || async {
                let seen = wait::answer(fixture.store().state(&user)).await?;
                Ok::<Vec<_>, String>(seen.restrictions().map(Restriction::kind).collect())
            };
            let is_expected = |seen: &Result<Vec<_>, _>| seen.as_ref() == Ok(&expected);
            let (is_set, seen) = with_what_is_seen(set, &mut subscription, see, is_expected).await;
            if !is_set {
                continue;
            }
            match seen {
                Some(Ok(seen)) => {
                    let question = format!("the state of {user:?} when its change was announced");
                    let promise = Promise::AnnouncedWhenVisible;
                    run.findings.same(promise, question, &seen, &expected);
                }
                Some(Err(error)) => run.findings.add(promise, error),
                None => {
                    let detail = format!("the change of {user:?} to {state:?} was not announced");
                    run.findings.add(promise, detail);
                }
            }
            if let Some(answered) = run.state(promise, &user).await {
                run.compare(promise, &user, &answered, &state);
            }
        }
    }
}

/// How many announcements the checks wait for after a change.
const LATE: usize = 4;

/// Runs `set` and calls `see` at each announcement. Returns the result of `set`, and what was seen: the
/// expected, if any announcement showed it. An earlier change, or a second way, may announce once more.
async fn with_what_is_seen<T, S: Future>(
    set: impl Future<Output = T>,
    subscription: &mut Subscription,
    see: impl Fn() -> S,
    is_expected: impl Fn(&S::Output) -> bool,
) -> (T, Option<S::Output>) {
    let mut set = pin!(set);
    let mut seen: Option<S::Output> = None;
    let done = loop {
        let step = {
            let mut changed = pin!(subscription.changed());
            poll_fn(|context| match set.as_mut().poll(context) {
                Poll::Ready(done) => Poll::Ready(Some(done)),
                Poll::Pending => changed.as_mut().poll(context).map(|()| None),
            })
            .await
        };
        match step {
            Some(done) => break done,
            None if seen.as_ref().is_some_and(&is_expected) => {}
            None => seen = Some(see().await),
        }
    };
    for _ in 0..LATE {
        if seen.as_ref().is_some_and(&is_expected) || !wait::hears(subscription).await {
            break;
        }
        seen = Some(see().await);
    }
    (done, seen)
}

async fn concurrent_changes<F: Fixture>(run: &mut Run<'_, F>) {
    const USERS: u32 = 16;
    let promise = Promise::ConcurrentChangesHold;
    let kinds = run.fixture.scope().kinds().to_vec();
    if kinds.is_empty() {
        return;
    }
    let users: Vec<UserId> = (0..USERS)
        .map(|number| run.names.user(&format!("concurrent-{number}")))
        .collect();
    let last = |number: usize| kinds[number % kinds.len()];
    // A state is a change for each kind.
    let changes = USERS * u32::try_from(kinds.len()).unwrap_or(1);
    let fixture = run.fixture;
    let failures = wait::all(users.iter().enumerate().map(|(number, user)| {
        let states = [
            last(number + 1).into(),
            AccountState::ACTIVE,
            last(number).into(),
        ];
        async move {
            let mut failures = Vec::new();
            for state in states {
                let set = wait::answer_among(changes, fixture.set_state(user, state)).await;
                let asked = wait::answer(fixture.store().state(user)).await.map(drop);
                failures.extend(set.err());
                failures.extend(asked.err());
            }
            failures
        }
    }))
    .await;
    for failure in failures.into_iter().flatten() {
        let detail = format!("while {USERS} states were changed at the same time, {failure}");
        run.findings.add(promise, detail);
    }
    for (number, user) in users.iter().enumerate() {
        if let Some(state) = run.state(promise, user).await {
            let answered: Vec<RestrictionKind> =
                state.restrictions().map(Restriction::kind).collect();
            let question = format!("the restrictions of {user:?}, set among {USERS}");
            run.findings
                .same(promise, question, &answered, &vec![last(number)]);
        }
        run.set(promise, user, &AccountState::ACTIVE).await;
    }
}
