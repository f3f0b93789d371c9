//! The checks of an [`AuditLog`].

use super::{
    audit_pages,
    audit_run::Watched,
    record_run::Run,
    report::{Passed, Promise, Report},
    samples::{REASONS, end_in},
    wait,
};
use crate::{
    account::{
        Restriction,
        RestrictionKind::{self, Locked, Suspended},
        UserId,
    },
    store::{
        AuditAction, AuditEntry, AuditLog, AuditQuery, ChangeRecord, Channel, RestrictionRecord,
        RestrictionStore,
    },
};

/// Checks the promises of an [`AuditLog`], but for its retention:
/// [`check_audit_retention`](super::check_audit_retention) checks that.
///
/// Check the same store with [`check_restrictions`](super::check_restrictions) first. The log may
/// have other entries, as long as nobody else changes restrictions meanwhile. The log must not
/// delete entries while the check runs. The entries of the check stay in the log.
///
/// # Errors
///
/// Every promise that was found broken.
pub async fn check_audit_log<R: RestrictionStore + AuditLog>(store: &R) -> Result<Passed, Report> {
    let mut run = Run::new(store);
    Box::pin(changes(&mut run)).await;
    Box::pin(texts(&mut run)).await;
    Box::pin(no_changes(&mut run)).await;
    Box::pin(failures(&mut run)).await;
    Box::pin(given_up(&mut run)).await;
    Box::pin(at_the_same_time(&mut run)).await;
    Box::pin(audit_pages::check(&mut run)).await;
    run.lift_all().await;
    run.findings.into_result()
}

fn by(user: UserId) -> ChangeRecord {
    ChangeRecord::through(Channel::new("conformance"))
        .with_actor(user)
        .with_note("report 4711")
}

/// Somebody, and nobody in particular, sets, replaces and lifts restrictions.
async fn changes<R: RestrictionStore + AuditLog>(run: &mut Run<'_, R>) {
    let [one, other] = ["one", "other"].map(|name| by(run.names.user(name)));
    let nobody = ChangeRecord::through(Channel::SERVER);
    let mut watched = Watched::new(run.names.user("logged"));
    for &kind in RestrictionKind::ALL {
        let spam = Restriction::new(kind).with_reason("Spam");
        let for_an_hour = spam.clone().with_until(end_in(3600));
        let ended = spam.clone().with_until(end_in(-60));
        let bare = Restriction::new(kind);
        watched.set(run, &for_an_hour, &one).await;
        watched.set(run, &spam, &one).await;
        // The same restriction is set again by somebody else, and then later.
        watched.set(run, &spam, &other).await;
        let later = other.clone().with_time(end_in(5)).with_note("appeal");
        watched.set(run, &spam, &later).await;
        let at_the_endpoint = ChangeRecord::through(Channel::ADMIN_ENDPOINT)
            .with_actor(run.names.user("third"))
            .with_time(end_in(-5));
        watched.lift(run, &spam, &at_the_endpoint).await;
        watched.set(run, &bare, &nobody).await;
        watched.lift(run, &bare, &nobody).await;
        watched.set(run, &ended, &one).await;
        watched.lift(run, &ended, &other).await;
    }
    // The lift of one leaves the other.
    for kind in [Locked, Suspended] {
        watched.set(run, &Restriction::new(kind), &one).await;
    }
    watched.lift(run, &Restriction::new(Locked), &other).await;
}

async fn texts<R: RestrictionStore + AuditLog>(run: &mut Run<'_, R>) {
    let users = run.names.hard_users();
    let mut all = Vec::new();
    for (place, user) in users.iter().enumerate() {
        let text = REASONS[place % REASONS.len()];
        let change = ChangeRecord::through(Channel::new(text))
            .with_actor(users[users.len() - 1 - place].clone())
            .with_note(format!("{text}{place}"));
        let restriction = Restriction::new(Locked).with_reason(text);
        let mut watched = Watched::new(user.clone());
        watched.set(run, &restriction, &change).await;
        watched.lift(run, &restriction, &change).await;
        all.push(watched);
    }
    // Entries of one account are not found under another.
    let promise = Promise::LogIsReadByAccountAndTime;
    for watched in &all {
        let Some(entries) = run.entries_of(promise, &watched.user).await else {
            return;
        };
        let strays: Vec<_> = entries
            .iter()
            .map(AuditEntry::user)
            .filter(|user| **user != watched.user)
            .collect();
        let question = format!("other accounts among the entries of {:?}", watched.user);
        run.findings.same(promise, question, &strays, &Vec::new());
        watched.expect(run, "others were locked and unlocked").await;
    }
}

/// A call that changes nothing leaves no entry.
async fn no_changes<R: RestrictionStore + AuditLog>(run: &mut Run<'_, R>) {
    let change = by(run.names.user("moderator")).with_time(end_in(-1));
    let mut watched = Watched::new(run.names.user("unchanged"));
    let lock = Restriction::new(Locked).with_reason("Spam");
    let promise = Promise::LogHasOnlyChanges;
    for _ in 0..2 {
        for &kind in RestrictionKind::ALL {
            let lifted = run.lift_by(promise, &watched.user, kind, &change).await;
            let question = format!("lifting {kind} of {:?}, who has none", watched.user);
            let promise = Promise::LiftSaysWhatItDid;
            run.findings.same(promise, question, &lifted, &Some(false));
        }
        watched.expect(run, "lifts of what was not there").await;
        watched.set(run, &lock, &change).await;
        // A caller may repeat a change because its answer was lost.
        let record = RestrictionRecord::new(lock.clone()).with_change(change.clone());
        run.restrict(promise, &watched.user, record).await;
        watched.expect(run, "the same was set once more").await;
        run.expect_kinds(promise, &watched.user, &[Locked]).await;
        watched.lift(run, &lock, &change).await;
    }
}

/// Changes that a store may refuse.
async fn failures<R: RestrictionStore + AuditLog>(run: &mut Run<'_, R>) {
    let promise = Promise::LogHasOnlyChanges;
    let name = run.names.user("refused");
    let change = by(run.names.user("moderator"));
    let lock = Restriction::new(Locked);
    for (what, user, restriction, change) in [
        ("no name", UserId::from(""), lock.clone(), change.clone()),
        (
            "a NUL in the name",
            format!("{name}\0").into(),
            lock.clone(),
            change.clone(),
        ),
        (
            "a NUL in the reason",
            format!("{name}-1").into(),
            lock.clone().with_reason("a\0b"),
            change.clone(),
        ),
        (
            "a NUL in the note",
            format!("{name}-2").into(),
            lock.clone(),
            change.clone().with_note("a\0b"),
        ),
        (
            "a NUL in the actor",
            format!("{name}-3").into(),
            lock.clone(),
            change.clone().with_actor("a\0b"),
        ),
        (
            "a NUL in the channel",
            format!("{name}-4").into(),
            lock,
            ChangeRecord::through(Channel::new("a\0b")),
        ),
    ] {
        let Some(before) = run.entries_of(promise, &user).await else {
            continue;
        };
        let record = RestrictionRecord::new(restriction).with_change(change);
        let set = wait::answer(run.store.set_restriction(&user, record)).await;
        if set.is_ok() {
            run.touched.insert(user.clone());
        }
        let Some(after) = run.entries_of(promise, &user).await else {
            continue;
        };
        let promise = match set {
            Ok(()) => Promise::ChangeIsInTheLog,
            Err(_) => promise,
        };
        let question = format!("the number of new entries after a lock with {what} ({set:?})");
        let expected = usize::from(set.is_ok());
        run.findings.same(
            promise,
            question,
            &(after.len() - before.len().min(after.len())),
            &expected,
        );
    }
}

/// Futures of changes are dropped. The change and its entry are there, or neither is.
async fn given_up<R: RestrictionStore + AuditLog>(run: &mut Run<'_, R>) {
    for (place, millis) in [0, 0, 0, 0, 1, 1, 2, 2, 3, 5].into_iter().enumerate() {
        let user = run.names.user(&format!("given-up-{place}"));
        run.touched.insert(user.clone());
        let lock = Restriction::new(Locked).with_reason(place.to_string());
        let set = run.store.set_restriction(&user, lock.into());
        wait::give_up(millis, wait::answer(set)).await;
        agrees(run, &user).await;
        // For every second account, a lift is given up too.
        if place % 2 == 1 {
            let change = by(run.names.user("moderator"));
            let lift = run.store.lift_restriction(&user, Locked, &change);
            wait::give_up(millis, wait::answer(lift)).await;
            agrees(run, &user).await;
        }
    }
}

/// Compares the newest entry of a lock with the lock that is on record.
///
/// A change that was given up may be made meanwhile. Then the record differs before and after, and
/// both are read again.
async fn agrees<R: RestrictionStore + AuditLog>(run: &mut Run<'_, R>, user: &UserId) {
    let promise = Promise::ChangeIsInTheLog;
    for _ in 0..20 {
        let Some(before) = run.record(promise, user, Locked).await else {
            return;
        };
        let Some(entries) = run.entries_of(promise, user).await else {
            return;
        };
        let Some(after) = run.record(promise, user, Locked).await else {
            return;
        };
        if before != after {
            continue;
        }
        let held = after.map(|record| record.restriction().clone());
        let newest = entries.first();
        let said = newest
            .filter(|entry| entry.action() == AuditAction::Set)
            .map(|entry| entry.restriction().clone());
        let question = format!("the lock of {user:?} by the log, after changes that were given up");
        return run.findings.same(promise, question, &said, &held);
    }
}

async fn at_the_same_time<R: RestrictionStore + AuditLog>(run: &mut Run<'_, R>) {
    const CHANGES: usize = 12;
    let promise = Promise::ChangeIsInTheLog;
    let user = run.names.user("logged-together");
    run.touched.insert(user.clone());
    let (store, user) = (run.store, &user);
    let numbers: Vec<String> = (0..CHANGES).map(|number| number.to_string()).collect();
    let set = wait::all(numbers.iter().map(|number| {
        let lock = Restriction::new(Locked).with_reason(number.as_str());
        wait::answer(store.set_restriction(user, lock.into()))
    }))
    .await;
    run.note(promise, "locks that replaced each other", set);
    let Some(entries) = run.entries_of(promise, user).await else {
        return;
    };
    let reason = |entry: &AuditEntry| entry.restriction().reason().unwrap_or_default().to_owned();
    let mut found: Vec<String> = entries.iter().map(reason).collect();
    found.sort_by_key(|number| number.parse::<usize>().ok());
    let question = format!("the entries of {CHANGES} locks that were set at the same time");
    run.findings.same(promise, question, &found, &numbers);
    agrees(run, user).await;
    let change = by(run.names.user("moderator"));
    let lifted = wait::all(
        (0..CHANGES).map(|_| wait::answer(store.lift_restriction(user, Locked, &change))),
    )
    .await;
    let lifts = lifted.iter().filter(|lifted| **lifted == Ok(true)).count();
    run.note(promise, "lifts at the same time", lifted);
    let query = AuditQuery::new()
        .with_user(user.clone())
        .with_limit(usize::MAX);
    if let Some(entries) = run.read(promise, &query).await {
        let is_lift = |entry: &&AuditEntry| entry.action() == AuditAction::Lifted;
        let found = entries.iter().filter(is_lift).count();
        let question = format!("the number of lifts in the log, after {CHANGES} at the same time");
        run.findings
            .same(Promise::LogHasOnlyChanges, question, &found, &lifts);
    }
}
