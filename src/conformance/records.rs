//! The checks of a [`RestrictionStore`].

use std::time::SystemTime;

use super::{
    concurrent, listing, many,
    record_run::Run,
    report::{Passed, Promise, Report},
    samples::{REASONS, end_in},
    wait,
};
use crate::{
    account::{Restriction, RestrictionKind},
    store::{RestrictionRecord, RestrictionStore},
};

/// Checks the promises of a [`RestrictionStore`].
///
/// The store may hold other accounts, as long as nobody changes them during the check.
///
/// # Errors
///
/// Every promise that was found broken.
pub async fn check_restrictions<R: RestrictionStore>(store: &R) -> Result<Passed, Report> {
    let mut run = Run::new(store);
    Box::pin(unknown(&mut run)).await;
    Box::pin(records(&mut run)).await;
    Box::pin(independence(&mut run)).await;
    Box::pin(ends(&mut run)).await;
    Box::pin(user_ids(&mut run)).await;
    Box::pin(lifting(&mut run)).await;
    Box::pin(announcements(&mut run)).await;
    Box::pin(concurrent::check(&mut run)).await;
    Box::pin(listing::check(&mut run)).await;
    Box::pin(many::check_restrictions(&mut run)).await;
    run.lift_all().await;
    run.findings.into_result()
}

async fn unknown<R: RestrictionStore>(run: &mut Run<'_, R>) {
    let user = run.names.user("unknown");
    run.expect_kinds(Promise::UnknownUserIsActive, &user, &[])
        .await;
    let lifted = run
        .lift(Promise::LiftSaysWhatItDid, &user, RestrictionKind::Locked)
        .await;
    let question = format!("lifting a lock of {user:?}, who has none");
    run.findings
        .same(Promise::LiftSaysWhatItDid, question, &lifted, &Some(false));
}

async fn records<R: RestrictionStore>(run: &mut Run<'_, R>) {
    let user = run.names.user("records");
    let long_reason = "\u{1f512}".repeat(4 * 1024);
    let moderators = run.names.hard_users();
    for &kind in RestrictionKind::ALL {
        for reason in REASONS.into_iter().chain([long_reason.as_str()]) {
            let record = Restriction::new(kind).with_reason(reason).into();
            run.round_trip(Promise::ReasonComesBack, &user, record)
                .await;
        }
        let record = RestrictionRecord::new(Restriction::new(kind).with_reason("Spam"))
            .with_set_by(run.names.user("moderator"))
            .with_set_at(end_in(-5));
        run.round_trip(Promise::RecordComesBack, &user, record)
            .await;
        // The new record keeps nothing of an earlier one.
        run.round_trip(Promise::RecordComesBack, &user, kind.into())
            .await;
    }
    for moderator in moderators {
        let record = RestrictionRecord::new(RestrictionKind::Locked).with_set_by(moderator);
        run.round_trip(Promise::RecordComesBack, &user, record)
            .await;
    }
}

async fn independence<R: RestrictionStore>(run: &mut Run<'_, R>) {
    use RestrictionKind::{Deactivated, Locked, Suspended};
    let promise = Promise::RestrictionsAreIndependent;
    let user = run.names.user("independent");
    run.restrict(promise, &user, Suspended).await;
    run.restrict(promise, &user, Deactivated).await;
    run.expect_kinds(promise, &user, &[Deactivated, Suspended])
        .await;
    run.restrict(promise, &user, Restriction::new(Locked).with_reason("Spam"))
        .await;
    run.expect_kinds(promise, &user, RestrictionKind::ALL).await;
    if let Ok(state) = wait::answer(run.store.state_of(&user)).await {
        let deciding = state.in_force(SystemTime::now()).map(Restriction::kind);
        let question = "the restriction that decides of all together";
        run.findings
            .same(Promise::Precedence, question, &deciding, &Some(Deactivated));
    }
    run.lift(promise, &user, Deactivated).await;
    run.expect_kinds(promise, &user, &[Locked, Suspended]).await;
    run.lift(promise, &user, Locked).await;
    run.expect_kinds(promise, &user, &[Suspended]).await;
}

async fn ends<R: RestrictionStore>(run: &mut Run<'_, R>) {
    let promise = Promise::EndComesBack;
    let user = run.names.user("ends");
    for &kind in RestrictionKind::ALL {
        for seconds in [-86_400, -1, 3600, i64::from(u32::MAX)] {
            let restriction = Restriction::new(kind).with_until(end_in(seconds));
            run.round_trip(promise, &user, restriction.into()).await;
            if let Ok(state) = wait::answer(run.store.state_of(&user)).await {
                let question =
                    format!("whether {kind} is in force, with its end {seconds} s from now");
                let in_force = state
                    .restriction(kind)
                    .is_some_and(|restriction| restriction.is_in_force(SystemTime::now()));
                run.findings
                    .same(promise, question, &in_force, &(seconds > 0));
            }
        }
    }
}

async fn user_ids<R: RestrictionStore>(run: &mut Run<'_, R>) {
    let promise = Promise::UserIdsAreBytes;
    let users = run.names.hard_users();
    for (place, user) in users.iter().enumerate() {
        let restriction = Restriction::new(RestrictionKind::Locked).with_reason(place.to_string());
        run.restrict(promise, user, restriction).await;
    }
    for (place, user) in users.iter().enumerate() {
        match wait::answer(run.store.record(user, RestrictionKind::Locked)).await {
            Ok(record) => {
                let reason = record
                    .as_ref()
                    .and_then(|record| record.restriction().reason());
                let question = format!("the reason of {user:?}");
                let expected = place.to_string();
                run.findings
                    .same(promise, question, &reason, &Some(expected.as_str()));
            }
            Err(error) => run
                .findings
                .add(promise, format!("the record of {user:?}: {error}")),
        }
        run.expect_kinds(promise, user, &[RestrictionKind::Locked])
            .await;
    }
    for (place, user) in users.iter().enumerate() {
        run.lift(promise, user, RestrictionKind::Locked).await;
        run.expect_kinds(promise, user, &[]).await;
        if let Some(next) = users.get(place + 1) {
            run.expect_kinds(promise, next, &[RestrictionKind::Locked])
                .await;
        }
    }
}

async fn lifting<R: RestrictionStore>(run: &mut Run<'_, R>) {
    let promise = Promise::LiftSaysWhatItDid;
    let user = run.names.user("lifted");
    for &kind in RestrictionKind::ALL {
        let ended = Restriction::new(kind).with_until(end_in(-60));
        for restriction in [Restriction::new(kind), ended] {
            run.restrict(promise, &user, restriction).await;
            for expected in [true, false] {
                let lifted = run.lift(promise, &user, kind).await;
                let question = format!("lifting {kind} of {user:?}");
                run.findings
                    .same(promise, question, &lifted, &Some(expected));
                run.expect_kinds(Promise::ChangeIsVisibleAtOnce, &user, &[])
                    .await;
            }
        }
    }
}

async fn announcements<R: RestrictionStore>(run: &mut Run<'_, R>) {
    let promise = Promise::ChangeIsAnnounced;
    let Some(changes) = run.store.restriction_changes() else {
        let why = "`restriction_changes` is `None`";
        return run.findings.skip("announcements", why);
    };
    let user = run.names.user("announced");
    for &kind in RestrictionKind::ALL {
        let mut subscription = changes.subscribe(&user);
        if run.restrict(promise, &user, kind).await && !wait::has_heard(&mut subscription).await {
            let detail = format!("{user:?} was {kind}, and that was not announced");
            run.findings.add(promise, detail);
        }
        let mut subscription = changes.subscribe(&user);
        let lifted = run.lift(promise, &user, kind).await;
        if lifted == Some(true) && !wait::has_heard(&mut subscription).await {
            let detail = format!("{user:?} was no longer {kind}, and that was not announced");
            run.findings.add(promise, detail);
        }
    }
}
