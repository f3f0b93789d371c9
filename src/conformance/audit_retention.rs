//! How long a log keeps its entries.

use std::time::{Duration, Instant};

use super::{
    record_run::Run,
    report::{Passed, Promise, Report},
    wait,
};
use crate::{
    account::{Restriction, RestrictionKind::Locked, UserId},
    store::{AuditAction, AuditEntry, AuditLog, AuditQuery, RestrictionStore},
};

/// By how much the clocks of a log may differ, or round.
const TOLERANCE: Duration = Duration::from_millis(20);

/// How often the log is looked at.
const STEP: Duration = Duration::from_millis(20);

/// Checks that an [`AuditLog`] keeps entries for its retention, and deletes them afterwards.
///
/// `retention` is what `store` was made with: a second, for example. `within` is how much later an
/// entry must be gone. The check waits for entries to leave, so it takes as long as that.
///
/// # Errors
///
/// Every promise that was found broken.
pub async fn check_audit_retention<R: RestrictionStore + AuditLog>(
    store: &R,
    retention: Duration,
    within: Duration,
) -> Result<Passed, Report> {
    let mut run = Run::new(store);
    Box::pin(check(&mut run, retention, within)).await;
    run.lift_all().await;
    run.findings.into_result()
}

/// An account whose entry gets old.
struct Locking {
    user: UserId,
    /// Before and after the lock was set.
    made: (Instant, Instant),
    entry: AuditEntry,
}

async fn check<R: RestrictionStore + AuditLog>(
    run: &mut Run<'_, R>,
    retention: Duration,
    within: Duration,
) {
    let mut kept = Vec::new();
    for place in 0..2 {
        if place > 0 {
            wait::pause(retention / 2).await;
        }
        let user = run.names.user(&format!("retention-{place}"));
        kept.extend(lock(run, user, retention).await);
    }
    let mut left = Vec::new();
    while !kept.is_empty() {
        let mut still = Vec::new();
        for locking in kept {
            match stays(run, &locking, retention, within).await {
                Some(true) => still.push(locking),
                Some(false) => left.push(locking),
                None => {}
            }
        }
        kept = still;
        wait::pause(STEP).await;
    }
    for locking in left {
        nothing_else_left(run, locking, retention).await;
    }
}

/// Locks the account and reads the entry.
async fn lock<R: RestrictionStore + AuditLog>(
    run: &mut Run<'_, R>,
    user: UserId,
    retention: Duration,
) -> Option<Locking> {
    let promise = Promise::LogKeepsItsRetention;
    let before = Instant::now();
    let lock = Restriction::new(Locked).with_reason("Spam");
    if !run.restrict(promise, &user, lock).await {
        return None;
    }
    let made = (before, Instant::now());
    let entries = run.entries_of(promise, &user).await?;
    match <[AuditEntry; 1]>::try_from(entries) {
        Ok([entry]) => Some(Locking { user, made, entry }),
        Err(entries) => {
            let asked = before.elapsed();
            if asked + TOLERANCE < retention || !entries.is_empty() {
                let detail = format!(
                    "{asked:?} after the lock of {user:?} the log has {} entries of it, expected 1",
                    entries.len()
                );
                run.findings.add(promise, detail);
            } else {
                run.findings
                    .skip("retention", "an entry is deleted before it can be read");
            }
            None
        }
    }
}

/// Whether the entry is still there, or `None` if that was reported.
async fn stays<R: RestrictionStore + AuditLog>(
    run: &mut Run<'_, R>,
    locking: &Locking,
    retention: Duration,
    within: Duration,
) -> Option<bool> {
    let (promise, user) = (Promise::LogKeepsItsRetention, &locking.user);
    let asked_at = Instant::now();
    let entries = run.entries_of(promise, user).await?;
    let is_there = entries.contains(&locking.entry);
    let youngest = locking.made.0.elapsed();
    if !is_there && youngest + TOLERANCE < retention {
        let detail =
            format!("an entry of {user:?} was deleted after {youngest:?}, expected {retention:?}");
        run.findings.add(promise, detail);
        return None;
    }
    let oldest = asked_at.saturating_duration_since(locking.made.1);
    if is_there && oldest > retention + within {
        let detail = format!(
            "an entry of {user:?} is there after {oldest:?}, and the retention is {retention:?}"
        );
        run.findings.add(promise, detail);
        return None;
    }
    Some(is_there)
}

/// The restriction stays, its lift has an entry, and a reader goes on behind a deleted entry.
async fn nothing_else_left<R: RestrictionStore + AuditLog>(
    run: &mut Run<'_, R>,
    locking: Locking,
    retention: Duration,
) {
    let Locking { user, entry, .. } = locking;
    let promise = Promise::LogKeepsItsRetention;
    run.expect_kinds(promise, &user, &[Locked]).await;
    let behind = AuditQuery::new().behind(entry.position()).with_limit(2);
    if let Some(page) = run.read(promise, &behind).await {
        let strays = page.iter().filter(|entry| !behind.matches(entry)).count();
        let question = "the number of newer entries in a page behind a deleted one";
        run.findings.same(promise, question, &strays, &0);
    }
    let before = Instant::now();
    if run.lift(promise, &user, Locked).await != Some(true) {
        return;
    }
    if let Some(entries) = run.entries_of(promise, &user).await {
        let is_lift = |found: &AuditEntry| {
            found.action() == AuditAction::Lifted && found.restriction() == entry.restriction()
        };
        let may_have_left = before.elapsed() + TOLERANCE >= retention;
        if !entries.iter().any(is_lift) && !may_have_left {
            let detail =
                format!("the lift of {user:?} after its first entry was deleted has no entry");
            run.findings.add(promise, detail);
        }
    }
}
