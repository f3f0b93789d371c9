//! Setting and lifting.

use tower_account_status::{
    Restriction, RestrictionKind, RestrictionRecord, RestrictionStore as _, UserId,
    store::{ChangeRecord, Channel, StoreError},
};

use super::{
    End,
    args::{Change, LiftArgs, SetArgs},
    progress::Progress,
    users,
};
use crate::answer::{BoxError, chain};

pub(super) async fn set(kind: RestrictionKind, args: SetArgs) -> Result<End, BoxError> {
    let mut restriction = Restriction::new(kind);
    if let Some(reason) = &args.reason {
        restriction = restriction.with_reason(reason.as_str());
    }
    if let Some(end) = args.end() {
        restriction = restriction.with_until(end);
    }
    let users = users(&args.change.users)?;
    let by = args.change.by()?;
    let store = args.change.place.open().await?;
    let mut output = args.change.place.output();
    let mut progress = Progress::begin(verb(kind, true), users.len());
    for (done, user) in users.iter().enumerate() {
        let record = RestrictionRecord::new(restriction.clone())
            .with_change(change_by(&by, args.note.as_deref()));
        let set = store.set_restriction(user, record).await;
        set.map_err(|error| stopped(&error, user, &users[done..]))?;
        output.changed(user, kind, true, Some(&restriction))?;
        progress.done(done + 1);
    }
    progress.end();
    output.end()?;
    Ok(End::Done)
}

pub(super) async fn lift(kind: RestrictionKind, args: LiftArgs) -> Result<End, BoxError> {
    let users = users(&args.change.users)?;
    let by = args.change.by()?;
    let store = args.change.place.open().await?;
    let mut output = args.change.place.output();
    let mut progress = Progress::begin(verb(kind, false), users.len());
    let mut end = End::Done;
    for (done, user) in users.iter().enumerate() {
        let change = change_by(&by, args.note.as_deref());
        let lifted = store.lift_restriction(user, kind, &change).await;
        let lifted = lifted.map_err(|error| stopped(&error, user, &users[done..]))?;
        output.changed(user, kind, lifted, None)?;
        if !lifted {
            end = End::Nothing;
        }
        progress.done(done + 1);
    }
    progress.end();
    output.end()?;
    Ok(end)
}

impl Change {
    /// Who makes the change.
    fn by(&self) -> Result<String, BoxError> {
        match &self.by {
            Some(by) => Ok(by.clone()),
            None => {
                let name = whoami::username();
                Ok(name.map_err(|error| format!("{error}: say with --by who you are"))?)
            }
        }
    }
}

fn change_by(by: &str, note: Option<&str>) -> ChangeRecord {
    ChangeRecord::through(Channel::COMMAND_LINE)
        .with_actor(by)
        .with_note(note.unwrap_or_default())
}

fn verb(kind: RestrictionKind, is_set: bool) -> &'static str {
    match (kind, is_set) {
        (RestrictionKind::Locked, true) => "locking",
        (RestrictionKind::Locked, false) => "unlocking",
        (_, true) => "suspending",
        (_, false) => "lifting suspensions",
    }
}

/// Earlier changes stay, and have been written to the output.
fn stopped(error: &StoreError, user: &UserId, left: &[UserId]) -> BoxError {
    let cause = chain(error.as_error());
    match left.len() {
        1 => format!("{user}: {cause}").into(),
        left => format!("{user}: {cause} ({} more users were not tried)", left - 1).into(),
    }
}
