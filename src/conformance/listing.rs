//! The list of restricted accounts, page by page.

use super::{
    Promise,
    record_run::{Run, state_of},
    wait,
};
use crate::{
    account::{RestrictionKind, UserId},
    store::{RestrictionRecord, RestrictionStore},
};

type Page = Vec<(UserId, Vec<RestrictionRecord>)>;

pub(super) async fn check<R: RestrictionStore>(run: &mut Run<'_, R>) {
    let promise = Promise::ListIsWhole;
    let mut users = run.names.hard_users();
    users.sort_by(|one, other| one.as_bytes().cmp(other.as_bytes()));
    for (place, user) in users.iter().enumerate() {
        // One, two or three restrictions, against the order of precedence.
        for kind in RestrictionKind::ALL
            .iter()
            .copied()
            .rev()
            .take(1 + place % 3)
        {
            run.restrict(promise, user, kind).await;
        }
    }
    for limit in [1, 2, 7, usize::MAX] {
        let Some(listed) = whole(run, limit).await else {
            continue;
        };
        let in_order = listed
            .windows(2)
            .all(|pair| pair[0].0.as_bytes() < pair[1].0.as_bytes());
        if !in_order {
            let detail = format!("in pages of {limit}, users are repeated or out of order");
            run.findings.add(promise, detail);
        }
        for (place, user) in users.iter().enumerate() {
            let Some((_, records)) = listed.iter().find(|(listed, _)| listed == user) else {
                let detail = format!("in pages of {limit}, {user:?} is missing");
                run.findings.add(promise, detail);
                continue;
            };
            let kinds: Vec<_> = records.iter().map(RestrictionRecord::kind).collect();
            let mut expected: Vec<_> = RestrictionKind::ALL
                .iter()
                .copied()
                .rev()
                .take(1 + place % 3)
                .collect();
            expected.sort();
            let question = format!("the restrictions of {user:?} in pages of {limit}");
            run.findings.same(promise, question, &kinds, &expected);
            if let Ok(state) = wait::answer(run.store.state_of(user)).await {
                let question = format!("the state of {user:?} by the list");
                run.findings
                    .same(promise, question, &state_of(records), &state);
            }
        }
    }
    behind_a_stranger(run, &users).await;
    without_the_lifted(run, &users).await;
}

/// Every account, read in pages of `limit`.
async fn whole<R: RestrictionStore>(run: &mut Run<'_, R>, limit: usize) -> Option<Page> {
    let mut all: Page = Vec::new();
    loop {
        let after = all.last().map(|(user, _)| user.clone());
        let page = page(run, after.as_ref(), limit).await?;
        if page.len() > limit {
            let detail = format!("a page of at most {limit} holds {}", page.len());
            run.findings.add(Promise::ListIsWhole, detail);
            return None;
        }
        let is_last = page.len() < limit;
        let goes_on = page
            .last()
            .is_some_and(|(user, _)| after.is_none_or(|after| after.as_bytes() < user.as_bytes()));
        all.extend(page);
        if is_last {
            return Some(all);
        }
        if !goes_on {
            let detail = format!("in pages of {limit}, the list does not end");
            run.findings.add(Promise::ListIsWhole, detail);
            return None;
        }
    }
}

async fn page<R: RestrictionStore>(
    run: &mut Run<'_, R>,
    after: Option<&UserId>,
    limit: usize,
) -> Option<Page> {
    match wait::answer(run.store.restricted(after, limit)).await {
        Ok(page) => Some(page),
        Err(error) => {
            let detail = format!("a page of {limit} behind {after:?}: {error}");
            run.findings.add(Promise::ListIsWhole, detail);
            None
        }
    }
}

/// `after` need not be in the list itself: its restriction may have been lifted.
async fn behind_a_stranger<R: RestrictionStore>(run: &mut Run<'_, R>, users: &[UserId]) {
    for user in users {
        let stranger = UserId::from(format!("{user}\u{1}"));
        let Some(page) = page(run, Some(&stranger), 1).await else {
            continue;
        };
        let first = page.first().map(|(user, _)| user);
        let expected = users
            .iter()
            .find(|user| user.as_bytes() > stranger.as_bytes());
        // Other accounts may be between them.
        let is_right = match (first, expected) {
            (Some(first), Some(expected)) => {
                first.as_bytes() > stranger.as_bytes() && first.as_bytes() <= expected.as_bytes()
            }
            (Some(first), None) => first.as_bytes() > stranger.as_bytes(),
            (None, expected) => expected.is_none(),
        };
        if !is_right {
            let detail =
                format!("the first behind {stranger:?}: answered {first:?}, expected {expected:?}");
            run.findings.add(Promise::ListIsWhole, detail);
        }
    }
    if let Some(page) = page(run, None, 0).await {
        let question = "the number of accounts in a page of 0";
        run.findings
            .same(Promise::ListIsWhole, question, &page.len(), &0);
    }
}

async fn without_the_lifted<R: RestrictionStore>(run: &mut Run<'_, R>, users: &[UserId]) {
    let promise = Promise::ListIsWhole;
    for user in users {
        for &kind in RestrictionKind::ALL {
            run.lift(promise, user, kind).await;
        }
    }
    let Some(listed) = whole(run, usize::MAX).await else {
        return;
    };
    for (user, _) in listed.iter().filter(|(user, _)| users.contains(user)) {
        let detail = format!("{user:?} is listed after its restrictions were lifted");
        run.findings.add(promise, detail);
    }
}
