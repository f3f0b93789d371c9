//! Showing and listing.

use tower_account_status::{
    RestrictionKind, RestrictionStore as _,
    store::{AuditLog as _, AuditQuery},
};

use super::{
    End,
    args::{ListArgs, LogArgs, ShowArgs},
    output::Output,
    progress::Progress,
    users,
};
use crate::{answer::BoxError, restrictions::Restrictions};

/// How many accounts or entries are held at once.
const PAGE: usize = 500;

pub(super) async fn show(args: ShowArgs) -> Result<End, BoxError> {
    let users = users(&args.users)?;
    let store = args.place.open().await?;
    let mut output = args.place.output();
    let mut progress = Progress::begin("looking up", users.len());
    let mut end = End::Nothing;
    for (done, user) in users.iter().enumerate() {
        let mut is_restricted = false;
        for &kind in RestrictionKind::ALL {
            let record = store.record(user, kind).await?;
            if let Some(record) = record {
                output.restriction(user, &record)?;
                is_restricted = true;
            }
        }
        match is_restricted {
            true => end = End::Done,
            false => output.unrestricted(user)?,
        }
        progress.done(done + 1);
    }
    progress.end();
    output.end()?;
    Ok(end)
}

pub(super) async fn list(args: ListArgs) -> Result<End, BoxError> {
    let store = args.place.open().await?;
    let mut output = args.place.output();
    let kind = args.kind.map(RestrictionKind::from);
    let mut progress = Progress::begin("listing accounts", None);
    let mut after = None;
    let mut done = 0;
    loop {
        let page = store.restricted(after.as_ref(), PAGE).await?;
        for (user, records) in &page {
            for record in records {
                if kind.is_none_or(|kind| kind == record.kind()) {
                    output.restriction(user, record)?;
                }
            }
        }
        done += page.len();
        progress.done(done);
        match page.last() {
            Some((last, _)) if page.len() == PAGE => after = Some(last.clone()),
            _ => break,
        }
    }
    progress.end();
    output.end()?;
    Ok(End::Done)
}

pub(super) async fn log(args: LogArgs) -> Result<End, BoxError> {
    let users = users(&args.users)?;
    let store = args.place.open().await?;
    let output = args.place.output();
    let mut query = AuditQuery::new();
    if let Some(since) = args.since {
        query = query.with_since(since);
    }
    if let Some(until) = args.until {
        query = query.with_until(until);
    }
    let limit = args.limit.unwrap_or(usize::MAX);
    let mut written = Written {
        output,
        progress: Progress::begin("reading the log", None),
        entries: 0,
    };
    // All accounts only if none was asked for. The standard input may be empty.
    if args.users.is_empty() {
        entries(&store, &query, limit, &mut written).await?;
    }
    for user in &users {
        let query = query.clone().with_user(user.clone());
        entries(&store, &query, limit, &mut written).await?;
    }
    written.progress.end();
    written.output.end()?;
    Ok(End::Done)
}

/// What was written of the log.
struct Written {
    output: Output,
    progress: Progress,
    entries: usize,
}

/// Writes the entries that the query asks for, one page after another.
async fn entries(
    store: &Restrictions,
    query: &AuditQuery,
    mut limit: usize,
    written: &mut Written,
) -> Result<(), BoxError> {
    let mut query = query.clone();
    loop {
        let size = PAGE.min(limit);
        query = query.with_limit(size);
        let page = store.audit(&query).await?;
        for entry in &page {
            written.output.entry(entry)?;
        }
        written.entries += page.len();
        written.progress.done(written.entries);
        limit -= page.len();
        match page.last() {
            Some(last) if page.len() == size && limit > 0 => query = query.behind(last.position()),
            _ => return Ok(()),
        }
    }
}
