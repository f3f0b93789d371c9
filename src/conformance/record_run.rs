//! How the checks of a [`RestrictionStore`] ask and compare.

use std::collections::BTreeSet;

use super::{
    report::{Findings, Promise},
    samples::{Names, to_millis},
    wait,
};
use crate::{
    account::{AccountState, Restriction, RestrictionKind, UserId},
    store::{ChangeRecord, Channel, RestrictionRecord, RestrictionStore},
};

/// One run of the checks.
pub(super) struct Run<'a, R> {
    pub(super) store: &'a R,
    pub(super) names: Names,
    pub(super) findings: Findings,
    pub(super) touched: BTreeSet<UserId>,
}

impl<'a, R: RestrictionStore> Run<'a, R> {
    pub(super) fn new(store: &'a R) -> Self {
        Self {
            store,
            names: Names::new(),
            findings: Findings::default(),
            touched: BTreeSet::new(),
        }
    }

    pub(super) async fn restrict(
        &mut self,
        promise: Promise,
        user: &UserId,
        record: impl Into<RestrictionRecord>,
    ) -> bool {
        self.touched.insert(user.clone());
        let record = record.into();
        let restricted = self.store.set_restriction(user, record.clone());
        if let Err(error) = wait::answer(restricted).await {
            let detail = format!("restricting {user:?} with {record:?}: {error}");
            self.findings.add(promise, detail);
            return false;
        }
        true
    }

    pub(super) async fn lift(
        &mut self,
        promise: Promise,
        user: &UserId,
        kind: RestrictionKind,
    ) -> Option<bool> {
        self.lift_by(promise, user, kind, &change()).await
    }

    pub(super) async fn lift_by(
        &mut self,
        promise: Promise,
        user: &UserId,
        kind: RestrictionKind,
        change: &ChangeRecord,
    ) -> Option<bool> {
        match wait::answer(self.store.lift_restriction(user, kind, change)).await {
            Ok(lifted) => Some(lifted),
            Err(error) => {
                let detail = format!("lifting {kind} of {user:?}: {error}");
                self.findings.add(promise, detail);
                None
            }
        }
    }

    /// Compares the kinds of `user`'s restrictions with `expected`, by every method.
    pub(super) async fn expect_kinds(
        &mut self,
        promise: Promise,
        user: &UserId,
        expected: &[RestrictionKind],
    ) {
        let state = match wait::answer(self.store.state_of(user)).await {
            Ok(state) => state,
            Err(error) => {
                let detail = format!("the state of {user:?}: {error}");
                return self.findings.add(promise, detail);
            }
        };
        let kinds: Vec<_> = state.restrictions().map(Restriction::kind).collect();
        let question = format!("the restrictions of {user:?}");
        self.findings
            .same(promise, question, &kinds.as_slice(), &expected);
        if let Some(peeked) = self.store.peek_state_of(user) {
            let question = format!("`peek_state` of {user:?}");
            self.findings
                .same(Promise::PeekAgrees, question, &peeked, &state);
        }
        for &kind in RestrictionKind::ALL {
            let on_record = self.record(promise, user, kind).await;
            if let Some(on_record) = on_record {
                let question = format!("whether {kind} of {user:?} is on record");
                let expected = expected.contains(&kind);
                self.findings
                    .same(promise, question, &on_record.is_some(), &expected);
            }
        }
    }

    pub(super) async fn record(
        &mut self,
        promise: Promise,
        user: &UserId,
        kind: RestrictionKind,
    ) -> Option<Option<RestrictionRecord>> {
        match wait::answer(self.store.record(user, kind)).await {
            Ok(record) => Some(record),
            Err(error) => {
                let detail = format!("the record of {user:?}, {kind}: {error}");
                self.findings.add(promise, detail);
                None
            }
        }
    }

    /// Lifts every restriction of the accounts that the checks have restricted.
    pub(super) async fn lift_all(&mut self) {
        for user in std::mem::take(&mut self.touched) {
            for &kind in RestrictionKind::ALL {
                self.lift(Promise::LiftSaysWhatItDid, &user, kind).await;
            }
        }
    }

    /// Sets the record and compares it with the record and the state that come back.
    pub(super) async fn round_trip(
        &mut self,
        promise: Promise,
        user: &UserId,
        record: RestrictionRecord,
    ) {
        let kind = record.kind();
        if !self.restrict(promise, user, record.clone()).await {
            return;
        }
        if let Some(answered) = self.record(promise, user, kind).await {
            let question = format!("the record of {user:?}, {kind}");
            self.findings.same(
                promise,
                question,
                &answered.as_ref().map(rounded),
                &Some(rounded(&record)),
            );
        }
        match wait::answer(self.store.state_of(user)).await {
            Ok(state) => {
                let question = format!("the restriction of {user:?}, {kind}");
                let answered = state.restriction(kind).cloned().map(rounded_end);
                let expected = Some(rounded_end(record.restriction().clone()));
                self.findings.same(promise, question, &answered, &expected);
            }
            Err(error) => self
                .findings
                .add(promise, format!("the state of {user:?}: {error}")),
        }
    }
}

/// The record with its times rounded to the millisecond, because a store need not keep more.
pub(super) fn rounded(record: &RestrictionRecord) -> RestrictionRecord {
    let rounded = RestrictionRecord::new(rounded_end(record.restriction().clone()))
        .with_set_at(to_millis(record.set_at()));
    match record.set_by() {
        Some(user) => rounded.with_set_by(user.clone()),
        None => rounded,
    }
}

pub(super) fn rounded_end(restriction: Restriction) -> Restriction {
    match restriction.until() {
        Some(until) => restriction.with_until(to_millis(until)),
        None => restriction,
    }
}

/// The change record of the kit's own changes.
pub(super) fn change() -> ChangeRecord {
    ChangeRecord::through(Channel::new("conformance"))
}

/// The state that consists of a listed account's records.
pub(super) fn state_of(records: &[RestrictionRecord]) -> AccountState {
    records
        .iter()
        .map(|record| record.restriction().clone())
        .collect()
}
