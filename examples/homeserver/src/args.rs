//! The command line.

use std::{net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use clap::Parser;

/// A small Matrix homeserver that shows `tower-account-status` at work
///
/// It refuses what locked, suspended and deactivated accounts may not do. When it starts it prints
/// the `curl` commands of a walk-through; `examples/homeserver/README.md` explains them.
#[derive(Parser)]
#[command(name = "homeserver")]
pub(crate) struct Args {
    /// The address to listen on; port 0 takes any free port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8008")]
    pub(crate) listen: SocketAddr,

    /// The SQLite database, created if it does not exist
    #[arg(long, value_name = "FILE", default_value = "homeserver.sqlite")]
    pub(crate) database: PathBuf,

    /// A PostgreSQL database for the account states, which several processes can share, instead of
    /// the server's own tables
    #[arg(long, value_name = "postgres://…")]
    pub(crate) states: Option<String>,

    /// The administrator's account, created if it does not exist; the password of an existing
    /// account stays as it is
    #[arg(long, value_name = "NAME:PASSWORD", default_value = Admin::DEFAULT)]
    pub(crate) admin: Admin,

    /// How long an access token lives if it came with a refresh token
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = seconds)]
    pub(crate) token_lifetime: Duration,
}

fn seconds(text: &str) -> Result<Duration, std::num::ParseIntError> {
    text.parse::<u32>()
        .map(|seconds| Duration::from_secs(seconds.into()))
}

/// The administrator's localpart and password.
///
/// Has no `Debug`, so that the password cannot be printed by accident.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) localpart: String,
    pub(crate) password: String,
}

impl Admin {
    const DEFAULT: &str = "admin:admin";
    pub(crate) const DEFAULT_PASSWORD: &str = "admin";

    pub(crate) fn has_default_password(&self) -> bool {
        self.password == Self::DEFAULT_PASSWORD
    }
}

impl FromStr for Admin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some((localpart, password)) if !localpart.is_empty() && !password.is_empty() => {
                Ok(Self {
                    localpart: localpart.to_owned(),
                    password: password.to_owned(),
                })
            }
            _ => Err("expected a name and a password, as in `admin:PASSWORD`"),
        }
    }
}
