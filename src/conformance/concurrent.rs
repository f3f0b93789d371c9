//! Changes of one account that are made at the same time.

use super::{
    Promise,
    record_run::{Run, change, rounded},
    samples::end_in,
    wait,
};
use crate::{
    account::{Restriction, RestrictionKind},
    store::{RestrictionRecord, RestrictionStore},
};

pub(super) async fn check<R: RestrictionStore>(run: &mut Run<'_, R>) {
    kinds(run).await;
    records(run).await;
}

/// An account's restrictions of different kinds are set and lifted at the same time.
async fn kinds<R: RestrictionStore>(run: &mut Run<'_, R>) {
    let promise = Promise::ConcurrentChangesHold;
    let user = run.names.user("concurrent-kinds");
    run.touched.insert(user.clone());
    for _ in 0..8 {
        let (store, user, change) = (run.store, &user, &change());
        let set = wait::all(
            RestrictionKind::ALL
                .iter()
                .map(|&kind| wait::answer(store.set_restriction(user, kind.into()))),
        )
        .await;
        run.note(promise, "setting three restrictions at the same time", set);
        run.expect_kinds(promise, user, RestrictionKind::ALL).await;
        let lifted = wait::all(
            RestrictionKind::ALL
                .iter()
                .map(|&kind| wait::answer(store.lift_restriction(user, kind, change))),
        )
        .await;
        run.note(
            promise,
            "lifting three restrictions at the same time",
            lifted,
        );
        run.expect_kinds(promise, user, &[]).await;
    }
}

/// Records of one kind replace each other and are read meanwhile. Each record that is read is whole.
async fn records<R: RestrictionStore>(run: &mut Run<'_, R>) {
    const RECORDS: u32 = 12;
    let promise = Promise::ConcurrentChangesHold;
    let user = run.names.user("concurrent-records");
    run.touched.insert(user.clone());
    let records: Vec<RestrictionRecord> = (1..=i64::from(RECORDS))
        .map(|number| {
            let restriction = Restriction::new(RestrictionKind::Locked)
                .with_reason(number.to_string())
                .with_until(end_in(number * 3600));
            rounded(
                &RestrictionRecord::new(restriction)
                    .with_set_by(run.names.user(&format!("moderator-{number}")))
                    .with_set_at(end_in(-number)),
            )
        })
        .collect();
    let (store, user) = (run.store, &user);
    let seen = wait::all(records.iter().map(|record| async move {
        let set = store.set_restriction(user, record.clone());
        wait::answer_among(RECORDS, set).await?;
        wait::answer(store.record(user, RestrictionKind::Locked)).await
    }))
    .await;
    for seen in seen {
        match seen.map(|record| record.as_ref().map(rounded)) {
            Ok(Some(record)) if records.contains(&record) => {}
            Ok(seen) => run.findings.add(
                promise,
                format!("while {RECORDS} records replaced each other, a record was read that was never set: {seen:?}"),
            ),
            Err(error) => run.findings.add(
                promise,
                format!("while {RECORDS} records replaced each other, {error}"),
            ),
        }
    }
}

impl<R> Run<'_, R> {
    pub(super) fn note<T>(
        &mut self,
        promise: Promise,
        what: &str,
        results: Vec<Result<T, String>>,
    ) {
        for error in results.into_iter().filter_map(Result::err) {
            self.findings.add(promise, format!("{what}: {error}"));
        }
    }
}
