//! Commands of an operator on the database of restrictions, beside the gateways or servers that have
//! it open.

pub(crate) mod args;
mod change;
mod output;
mod progress;
mod read;

use std::{
    collections::HashSet,
    io::{self, BufRead as _},
    path::Path,
    process::ExitCode,
};

use tower_account_status::{RestrictionKind, UserId};

pub(crate) use self::output::to_the_second;
use self::{
    args::{Place, Users},
    output::Output,
};
use crate::{
    answer::{BoxError, chain},
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
        // The reader has read enough, as `head` does.
        Err(error) if is_closed_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

fn is_closed_pipe(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

impl Place {
    /// Opens the database. It must exist, because a lock in a new one would restrict nobody.
    async fn open(&self) -> Result<Restrictions, BoxError> {
        let database = &self.database.name;
        let is_file = !database.contains("://");
        if is_file && !Path::new(database).exists() {
            return Err(format!("there is no database {database}: give --database").into());
        }
        let options = restrictions::Options {
            schema: Some(&self.schema),
            audit_retention: None,
        };
        let opening = Restrictions::open(database, options);
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
                    let line = line?;
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
