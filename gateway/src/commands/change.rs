//! Setting and lifting.

use std::io;

use tower_account_status::{
    Restriction, RestrictionKind, RestrictionRecord, RestrictionStore as _, UserId,
    store::{ChangeRecord, Channel, StoreError},
};

use super::{
    End,
    args::{Change, LiftArgs, SetArgs},
    output::{Output, plain},
    progress::Progress,
    say, users,
};
use crate::answer::{BoxError, chain, context};

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
    users.iter().filter_map(doubt).for_each(|doubt| say(&doubt));
    let mut told = Told::begin(&args.change, users.len());
    let mut progress = Progress::begin(verb(kind, true), users.len());
    for (done, user) in users.iter().enumerate() {
        let record = RestrictionRecord::new(restriction.clone())
            .with_change(change_by(&by, args.note.as_deref()));
        let set = store.set_restriction(user, record).await;
        set.map_err(|error| stopped(&error, user, &users[done..]))?;
        told.changed(user, kind, true, Some(&restriction));
        progress.done(done + 1);
    }
    progress.end();
    told.end()?;
    Ok(End::Done)
}

pub(super) async fn lift(kind: RestrictionKind, args: LiftArgs) -> Result<End, BoxError> {
    let users = users(&args.change.users)?;
    let by = args.change.by()?;
    let store = args.change.place.open().await?;
    let mut told = Told::begin(&args.change, users.len());
    let mut progress = Progress::begin(verb(kind, false), users.len());
    let mut end = End::Done;
    for (done, user) in users.iter().enumerate() {
        let change = change_by(&by, args.note.as_deref());
        let lifted = store.lift_restriction(user, kind, &change).await;
        let lifted = lifted.map_err(|error| stopped(&error, user, &users[done..]))?;
        told.changed(user, kind, lifted, None);
        if !lifted {
            end = End::Nothing;
        }
        progress.done(done + 1);
    }
    progress.end();
    told.end()?;
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

/// The output, which no change waits for: who reads only the first lines, and a disk that is full, must not
/// leave the rest of the users as they are.
struct Told {
    output: Output,
    lost: Option<io::Error>,
}

impl Told {
    fn begin(args: &Change, users: usize) -> Self {
        if users == 0 {
            say("nothing was changed, because the standard input names no user");
        }
        Self {
            output: args.place.output(),
            lost: None,
        }
    }

    fn changed(
        &mut self,
        user: &UserId,
        kind: RestrictionKind,
        is_changed: bool,
        set: Option<&Restriction>,
    ) {
        if self.lost.is_none() {
            self.lost = self.output.changed(user, kind, is_changed, set).err();
        }
    }

    /// Fails if something of the output is lost, unless nobody wanted to read it.
    fn end(mut self) -> Result<(), BoxError> {
        if self.lost.is_none() {
            self.lost = self.output.end().err();
        }
        match self.lost {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(context(
                "every user was changed, but the standard output could not be written",
                error,
            )),
            _ => Ok(()),
        }
    }
}

/// Why a server may name no user like this, so that the restriction restricts nobody. It is set all the same,
/// because there are accounts from before the grammar of today.
fn doubt(user: &UserId) -> Option<String> {
    let localpart = user.localpart().unwrap_or_default();
    let server = user.server_name().unwrap_or_default();
    let doubt = if user.chars().any(char::is_uppercase) {
        "has capital letters, and servers name their users in lower case"
    } else if user.len() > 255
        || !localpart.bytes().all(|byte| byte.is_ascii_graphic())
        || !server.bytes().all(is_in_server_name)
    {
        "is not in the grammar of Matrix"
    } else {
        return None;
    };
    let name = plain(user);
    Some(format!(
        "warning: {name} {doubt}: if the server names the user otherwise, this restricts nobody"
    ))
}

/// A host or an address, and a port.
fn is_in_server_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte)
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

#[cfg(test)]
mod tests {
    use super::doubt;

    #[test]
    fn a_name_that_servers_do_not_use_is_doubted() {
        for user in ["@alice:example.org", "@a=_b-./+1:[::1]:8448", "@*!~:x"] {
            assert_eq!(doubt(&user.into()), None, "{user}");
        }
        for (user, why) in [
            ("@ALICE:example.org", "capital letters"),
            ("@alice:Example.org", "capital letters"),
            ("@Ärger:x", "capital letters"),
            ("@ä:x", "grammar"),
            ("@a b:x", "grammar"),
            ("@a:x ", "grammar"),
            ("@a:x/y", "grammar"),
        ] {
            let doubt = doubt(&user.into()).expect("a doubt");
            assert!(doubt.contains(why) && doubt.contains(user), "{doubt}");
        }
        let long = format!("@{}:x", "a".repeat(255));
        assert!(doubt(&long.into()).is_some());
        let odd = doubt(&"@\u{1b}[2J:x".into()).expect("a doubt");
        assert!(odd.contains(r"@\u{1b}[2J:x"), "{odd}");
    }
}
