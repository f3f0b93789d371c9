//! The log, page by page, by account and by time.

use super::{record_run::Run, report::Promise, wait};
use crate::{
    account::{Restriction, RestrictionKind::Locked, UserId},
    store::{AuditEntry, AuditLog, AuditPosition, AuditQuery, RestrictionStore},
};

const PAGES: Promise = Promise::LogIsReadInPages;
const FILTERS: Promise = Promise::LogIsReadByAccountAndTime;

pub(super) async fn check<R: RestrictionStore + AuditLog>(run: &mut Run<'_, R>) {
    let users = ["pages-0", "pages-1", "pages-2"].map(|name| run.names.user(name));
    for round in 0..8 {
        for user in &users {
            let lock = Restriction::new(Locked).with_reason(round.to_string());
            run.restrict(PAGES, user, lock).await;
        }
    }
    let Some(entries) = run.entries_of(PAGES, &users[0]).await else {
        return;
    };
    let Some(first) = entries.last() else {
        let detail = format!("{:?} was locked, and has no entry", users[0]);
        return run.findings.add(Promise::ChangeIsInTheLog, detail);
    };
    // The log may have a million older entries.
    let all = AuditQuery::new().with_since(first.recorded_at());
    let of_one = AuditQuery::new().with_user(users[1].clone());
    filters(run, &all, &of_one).await;
    for limit in [1, 2, 7, usize::MAX] {
        for query in [&all, &of_one] {
            in_pages(run, query.clone().with_limit(limit), &users[1]).await;
        }
    }
}

/// Reads all pages while `writer` is locked again and again.
async fn in_pages<R: RestrictionStore + AuditLog>(
    run: &mut Run<'_, R>,
    mut query: AuditQuery,
    writer: &UserId,
) {
    let (asked, limit) = (query.clone(), query.limit());
    let Some(there) = run.read(PAGES, &query.clone().with_limit(usize::MAX)).await else {
        return;
    };
    let mut seen: Vec<AuditEntry> = Vec::new();
    for number in 0.. {
        let lock = Restriction::new(Locked).with_reason(format!("meanwhile, {number}"));
        let (page, set) = wait::both(
            wait::answer(run.store.audit(&query)),
            wait::answer(run.store.set_restriction(writer, lock.into())),
        )
        .await;
        run.note(PAGES, "a lock while the log is read", vec![set]);
        let page = match page {
            Ok(page) => page,
            Err(error) => {
                let detail = format!("reading the log with {query:?}: {error}");
                return run.findings.add(PAGES, detail);
            }
        };
        if page.len() > limit {
            let detail = format!("a page of at most {limit} has {} entries", page.len());
            return run.findings.add(PAGES, detail);
        }
        if let Some(stray) = page.iter().find(|entry| !asked.matches(entry)) {
            let detail = format!("{asked:?} found {stray:?}");
            return run.findings.add(FILTERS, detail);
        }
        if let Some(stray) = page.iter().find(|entry| !query.matches(entry)) {
            let detail = format!(
                "a page of {limit} has an entry that is not behind the last page: {stray:?}"
            );
            return run.findings.add(PAGES, detail);
        }
        let (last, is_last) = (page.last().map(AuditEntry::position), page.len() < limit);
        seen.extend(page);
        match last {
            Some(last) if !is_last => query = query.behind(last),
            _ => break,
        }
    }
    let in_order = |pair: &[AuditEntry]| pair[0].position() > pair[1].position();
    if !seen.windows(2).all(in_order) {
        let detail = format!("in pages of {limit}, entries are repeated or out of order");
        run.findings.add(PAGES, detail);
    }
    if let Some(missing) = there.iter().find(|entry| !seen.contains(entry)) {
        let detail = format!("in pages of {limit}, this entry is missing: {missing:?}");
        run.findings.add(PAGES, detail);
    }
}

/// One page for each query, while nobody writes.
async fn filters<R: RestrictionStore + AuditLog>(
    run: &mut Run<'_, R>,
    all: &AuditQuery,
    of_one: &AuditQuery,
) {
    let Some(there) = run.read(FILTERS, &all.clone().with_limit(usize::MAX)).await else {
        return;
    };
    let (Some(newest), Some(middle), Some(oldest)) =
        (there.first(), there.get(there.len() / 2), there.last())
    else {
        return run.findings.add(FILTERS, "nothing is found by time");
    };
    let [newest, middle, oldest] = [newest, middle, oldest].map(AuditEntry::position);
    let time = AuditPosition::recorded_at;
    for query in [
        all.clone(),
        all.clone().with_since(time(middle)),
        all.clone().with_since(time(newest)),
        all.clone().with_until(time(middle)),
        all.clone().with_until(time(newest)),
        all.clone().with_until(time(oldest)),
        all.clone().behind(middle),
        all.clone().behind(middle).with_until(time(newest)),
        all.clone().behind(newest).with_until(time(middle)),
        of_one.clone(),
        of_one.clone().with_since(time(middle)),
        of_one.clone().with_until(time(middle)),
        // The position may be that of another account's entry.
        of_one.clone().behind(middle),
        of_one.clone().behind(newest).with_since(time(middle)),
    ] {
        let query = query.with_limit(usize::MAX);
        let Some(found) = run.read(FILTERS, &query).await else {
            continue;
        };
        let expected: Vec<_> = there.iter().filter(|entry| query.matches(entry)).collect();
        if found.iter().ne(expected.iter().copied()) {
            let detail = format!(
                "{query:?} found {} entries, expected others: {} of {}",
                found.len(),
                expected.len(),
                there.len()
            );
            run.findings.add(FILTERS, detail);
        }
        for limit in [0, 1, 3] {
            let query = query.clone().with_limit(limit);
            let Some(page) = run.read(PAGES, &query).await else {
                continue;
            };
            let question = format!("the entries of {query:?}");
            let expected = &found[..limit.min(found.len())];
            run.findings.same(PAGES, question, &&*page, &expected);
        }
    }
}
