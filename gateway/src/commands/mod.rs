//! Commands of an operator on the database of restrictions, beside the gateways or servers that have
//! it open.

pub(crate) mod args;
mod change;
mod output;
mod progress;
mod read;

use std::{
    collections::HashSet,
    io::{self, BufRead as _, Write as _},
    process::ExitCode,
};

use tower_account_status::{RestrictionKind, UserId};

pub(crate) use self::output::to_the_second;
use self::{
    args::{Place, Users},
    output::Output,
};
use crate::{
    answer::{BoxError, chain, context},
    args::{Command, user_id},
    restrictions::{self, Restrictions},
};

/// How a command ended, which its exit code shows. clap exits with 2 if the command line is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Everything was done.
    Done = 0,
    /// A user had no such restriction to lift, or no user had a restriction to show.
    Nothing = 3,
}

/// Runs every command but `serve`.
pub(crate) async fn run(command: Command) -> ExitCode {
    let ended = match command {
        // The gateway itself, which `main` runs.
        Command::Serve(_) => return ExitCode::FAILURE,
        Command::Lock(args) => change::set(RestrictionKind::Locked, args).await,
        Command::Suspend(args) => change::set(RestrictionKind::Suspended, args).await,
        Command::Unlock(args) => change::lift(RestrictionKind::Locked, args).await,
        Command::Unsuspend(args) => change::lift(RestrictionKind::Suspended, args).await,
        Command::Show(args) => read::show(args).await,
        Command::List(args) => read::list(args).await,
        Command::Log(args) => read::log(args).await,
    };
    match ended {
        Ok(end) => ExitCode::from(end as u8),
        Err(error) => match error.downcast_ref::<io::Error>().map(io::Error::kind) {
            // The reader has read enough, as `head` does.
            Some(io::ErrorKind::BrokenPipe) => ExitCode::SUCCESS,
            Some(_) => fail(&context("the standard output could not be written", error)),
            None => fail(&error),
        },
    }
}

fn fail(error: &BoxError) -> ExitCode {
    say(&format!("error: {}", chain(&**error)));
    ExitCode::FAILURE
}

/// Writes a line to the standard error output. It must not matter whether that can be written.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

impl Place {
    /// Opens the database. It must exist, because a lock in a new one would restrict nobody.
    async fn open(&self) -> Result<Restrictions, BoxError> {
        let options = restrictions::Options {
            schema: Some(&self.schema),
            must_exist: true,
            ..restrictions::Options::default()
        };
        let opening = Restrictions::open(&self.database.name, options);
        progress::while_waiting("opening the database", opening).await
    }

    fn output(&self) -> Output {
        Output::new(self.json)
    }
}

/// The users that the command line and the standard input name, each once, in their order.
fn users(named: &[Users]) -> Result<Vec<UserId>, BoxError> {
    let mut users = Vec::new();
    let mut is_read = false;
    for named in named {
        match named {
            Users::One(user) => users.push(user.clone()),
            Users::OnInput if is_read => {}
            Users::OnInput => {
                is_read = true;
                for line in io::stdin().lock().lines() {
                    let line = line.map_err(|error| context("the standard input", error))?;
                    let line = line.trim();
                    if !line.is_empty() {
                        users.push(user_id(line).map_err(|error| format!("{line}: {error}"))?);
                    }
                }
            }
        }
    }
    let mut seen = HashSet::new();
    users.retain(|user| seen.insert(user.clone()));
    Ok(users)
}
