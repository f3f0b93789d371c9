//! How the checks of an [`AuditLog`] change restrictions, and what they expect of the log.

use std::time::SystemTime;

use super::{
    record_run::{Run, rounded_end},
    report::Promise,
    samples::to_millis,
    wait,
};
use crate::{
    account::{Restriction, RestrictionKind, UserId},
    store::{
        AuditAction, AuditEntry, AuditLog, AuditQuery, ChangeRecord, Channel, RestrictionRecord,
        RestrictionStore,
    },
};

/// What an entry says, times to the millisecond.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    action: AuditAction,
    restriction: Restriction,
    actor: Option<UserId>,
    note: Option<String>,
    channel: Channel,
    at: SystemTime,
}

impl Said {
    fn new(action: AuditAction, restriction: &Restriction, change: &ChangeRecord) -> Self {
        Self {
            action,
            restriction: rounded_end(restriction.clone()),
            actor: change.actor().cloned(),
            note: change.note().map(ToOwned::to_owned),
            channel: change.channel().clone(),
            at: to_millis(change.at()),
        }
    }

    fn of(entry: &AuditEntry) -> Self {
        Self::new(entry.action(), entry.restriction(), entry.change())
    }

    fn what(&self) -> (AuditAction, RestrictionKind) {
        (self.action, self.restriction.kind())
    }
}

/// An account whose changes are counted, and compared with what the log says of it.
pub(super) struct Watched {
    pub(super) user: UserId,
    said: Vec<Said>,
}

impl Watched {
    pub(super) fn new(user: UserId) -> Self {
        Self {
            user,
            said: Vec::new(),
        }
    }

    /// Restricts the account, and looks at the log.
    pub(super) async fn set<R: RestrictionStore + AuditLog>(
        &mut self,
        run: &mut Run<'_, R>,
        restriction: &Restriction,
        change: &ChangeRecord,
    ) {
        let record = RestrictionRecord::new(restriction.clone()).with_change(change.clone());
        if run
            .restrict(Promise::ChangeIsInTheLog, &self.user, record)
            .await
        {
            self.said
                .push(Said::new(AuditAction::Set, restriction, change));
        }
        self.expect(run, &format!("{restriction:?} was set")).await;
    }

    /// Lifts the restriction, which is in place, and looks at the log.
    pub(super) async fn lift<R: RestrictionStore + AuditLog>(
        &mut self,
        run: &mut Run<'_, R>,
        restriction: &Restriction,
        change: &ChangeRecord,
    ) {
        let (promise, kind) = (Promise::ChangeIsInTheLog, restriction.kind());
        if run.lift_by(promise, &self.user, kind, change).await == Some(true) {
            self.said
                .push(Said::new(AuditAction::Lifted, restriction, change));
        }
        self.expect(run, &format!("{restriction:?} was lifted"))
            .await;
    }

    /// Compares the log with the changes so far.
    pub(super) async fn expect<R: RestrictionStore + AuditLog>(
        &self,
        run: &mut Run<'_, R>,
        after: &str,
    ) {
        let Some(entries) = run.entries_of(Promise::ChangeIsInTheLog, &self.user).await else {
            return;
        };
        let found: Vec<Said> = entries.iter().rev().map(Said::of).collect();
        let [found_what, what] = [&found, &self.said].map(|said| {
            let what = said.iter().map(Said::what);
            what.collect::<Vec<_>>()
        });
        if found_what != what {
            let promise = match found.len() > what.len() {
                true => Promise::LogHasOnlyChanges,
                false => Promise::ChangeIsInTheLog,
            };
            let question = format!("the entries of {:?}, after {after}", self.user);
            return run.findings.same(promise, question, &found_what, &what);
        }
        for (found, said) in found.iter().zip(&self.said) {
            let question = format!("an entry of {:?}, after {after}", self.user);
            run.findings
                .same(Promise::LogSaysWhoAndWhy, question, found, said);
        }
    }
}

impl<R: RestrictionStore + AuditLog> Run<'_, R> {
    pub(super) async fn read(
        &mut self,
        promise: Promise,
        query: &AuditQuery,
    ) -> Option<Vec<AuditEntry>> {
        match wait::answer(self.store.audit(query)).await {
            Ok(entries) => Some(entries),
            Err(error) => {
                let detail = format!("reading the log with {query:?}: {error}");
                self.findings.add(promise, detail);
                None
            }
        }
    }

    /// All entries of `user`, the newest first.
    pub(super) async fn entries_of(
        &mut self,
        promise: Promise,
        user: &UserId,
    ) -> Option<Vec<AuditEntry>> {
        let query = AuditQuery::new()
            .with_user(user.clone())
            .with_limit(usize::MAX);
        self.read(promise, &query).await
    }
}
