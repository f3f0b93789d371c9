//! The command line.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use clap::{Parser, Subcommand, builder::FalseyValueParser};
use hyper::{Uri, http::uri::Authority};
use ipnet::IpNet;
use tower_account_status::{UserId, check_excluded_prefix};
use tracing_subscriber::filter::LevelFilter;

use crate::{
    commands::args::{LiftArgs, ListArgs, LogArgs, SetArgs, ShowArgs},
    log, proxy, server,
};

/// Locks and suspends accounts in front of a Matrix homeserver written in any language.
///
/// Requests go to the homeserver unchanged, except those of accounts that are locked or suspended
/// here, which are refused. The administrators named with --admin lock and suspend with the
/// endpoints of the Matrix specification: PUT /_matrix/client/v1/admin/lock/USER with
/// {"locked":true}, and .../admin/suspend/USER with {"suspended":true}. The gateway listens without
/// TLS. Put it between the homeserver and the server that ends TLS.
///
/// The other commands change and show restrictions in the database of a gateway, or of any server
/// that uses the same stores, while it runs. Their exit codes are 0 if everything was done, 1 if
/// something failed, 2 if the command line is wrong, and 3 if a user had no such restriction to
/// lift or if no user had a restriction to show.
#[derive(Parser)]
#[command(name = "account-status-gateway", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Runs the gateway until it is told to stop
    Serve(Box<Args>),
    /// Locks accounts; replaces locks that they have
    Lock(SetArgs),
    /// Lifts locks
    Unlock(LiftArgs),
    /// Suspends accounts; replaces suspensions that they have
    Suspend(SetArgs),
    /// Lifts suspensions
    Unsuspend(LiftArgs),
    /// Shows how accounts are restricted
    Show(ShowArgs),
    /// Lists all restricted accounts, in the order of their user ids
    List(ListArgs),
    /// Shows who changed which restriction, the newest first
    Log(LogArgs),
}

/// Where restrictions are kept.
#[derive(clap::Args)]
pub(crate) struct Database {
    /// Where restrictions are kept: a SQLite file, or the URL of a PostgreSQL database
    /// (postgres://...), which several gateways or servers may share. Only `serve` creates a file
    /// that does not exist
    #[arg(
        long = "database",
        value_name = "FILE|URL",
        default_value = "gateway.sqlite",
        env = "ACCOUNT_STATUS_DATABASE",
        hide_env_values = true
    )]
    pub(crate) name: String,
}

// An option that is not given is taken from the environment. Lists have spaces there, because user ids
// and paths may have commas.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The address to listen on; port 0 takes any free port
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8448",
        env = "ACCOUNT_STATUS_LISTEN"
    )]
    pub(crate) listen: SocketAddr,

    /// The homeserver behind the gateway, without a path and without TLS
    #[arg(long, value_name = "http://HOST:PORT", value_parser = upstream, env = "ACCOUNT_STATUS_UPSTREAM")]
    pub(crate) upstream: Authority,

    /// The user id of an administrator, who may lock and suspend; can be given several times
    #[arg(long, value_name = "USER", value_parser = user_id, env = "ACCOUNT_STATUS_ADMIN", value_delimiter = ' ')]
    pub(crate) admin: Vec<UserId>,

    /// The server name in the homeserver's user ids, which completes the localpart of a login; by
    /// default the administrators' server name
    #[arg(long, value_name = "NAME", env = "ACCOUNT_STATUS_SERVER_NAME")]
    server_name: Option<String>,

    #[command(flatten)]
    pub(crate) database: Database,

    /// For how many days to keep the log of changes; for ever by default
    #[arg(long, value_name = "DAYS", env = "ACCOUNT_STATUS_AUDIT_RETENTION", value_parser = days)]
    pub(crate) audit_retention: Option<Duration>,

    /// The address or network (as in 10.0.0.0/8) of a server in front; can be given several times.
    /// The gateway believes its X-Forwarded headers and adds its address to X-Forwarded-For. It
    /// replaces those of everybody else, because anyone can write them
    #[arg(
        long,
        value_name = "ADDRESS|NETWORK",
        value_parser = network,
        env = "ACCOUNT_STATUS_TRUSTED_PROXY",
        value_delimiter = ' '
    )]
    trusted_proxy: Vec<IpNet>,

    /// Report what would be refused, and refuse nothing
    #[arg(long, env = "ACCOUNT_STATUS_REPORT_ONLY", value_parser = FalseyValueParser::new())]
    pub(crate) report_only: bool,

    /// The address that answers GET /health and GET /metrics; none by default. Clients should not
    /// reach it
    #[arg(long, value_name = "ADDRESS", env = "ACCOUNT_STATUS_MONITOR")]
    pub(crate) monitor: Option<SocketAddr>,

    /// The format of the log, which goes to the standard error output
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "text",
        env = "ACCOUNT_STATUS_LOG_FORMAT"
    )]
    pub(crate) log_format: log::Format,

    /// The lowest level to log: error, warn, info or debug; off logs nothing
    #[arg(
        long,
        value_name = "LEVEL",
        default_value = "info",
        env = "ACCOUNT_STATUS_LOG_LEVEL"
    )]
    pub(crate) log_level: LevelFilter,

    /// Log each refusal, with the user if it is known, at info instead of debug
    #[arg(long, env = "ACCOUNT_STATUS_LOG_REFUSALS", value_parser = FalseyValueParser::new())]
    pub(crate) log_refusals: bool,

    /// Let everything below this path pass unchecked, such as the homeserver's OAuth endpoints;
    /// can be given several times
    #[arg(long, value_name = "PATH", value_parser = excluded, env = "ACCOUNT_STATUS_EXCLUDE", value_delimiter = ' ')]
    pub(crate) exclude: Vec<String>,

    /// Let GET /_matrix/client/versions pass for locked accounts
    #[arg(long, env = "ACCOUNT_STATUS_EXEMPT_VERSIONS", value_parser = FalseyValueParser::new())]
    pub(crate) exempt_versions: bool,

    /// The largest request body; a larger one is answered 413
    #[arg(
        long,
        value_name = "MIB",
        default_value = "1024",
        env = "ACCOUNT_STATUS_MAX_BODY"
    )]
    max_body: u32,

    /// How much of a body to read and discard, within ten seconds, after its request was refused on
    /// its head. Otherwise a client that goes on sending gets a reset connection and no answer. 0
    /// discards nothing. A body that is larger than this is not read
    #[arg(
        long,
        value_name = "MIB",
        default_value = "64",
        env = "ACCOUNT_STATUS_DRAIN"
    )]
    drain: u32,

    /// How long a client may pause in a request body
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds, env = "ACCOUNT_STATUS_BODY_TIMEOUT")]
    body_timeout: Duration,

    /// How many connections of clients to accept at once; others wait
    #[arg(
        long,
        value_name = "CONNECTIONS",
        default_value = "4096",
        env = "ACCOUNT_STATUS_MAX_CONNECTIONS"
    )]
    max_connections: u16,

    /// How long the homeserver may take until it begins to answer, long polls included
    #[arg(long, value_name = "SECONDS", default_value = "600", value_parser = seconds, env = "ACCOUNT_STATUS_RESPONSE_TIMEOUT")]
    response_timeout: Duration,

    /// How long requests may go on when the gateway stops
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds, env = "ACCOUNT_STATUS_GRACE")]
    grace: Duration,
}

impl Args {
    /// The server name that localparts belong to.
    pub(crate) fn server_name(&self) -> Result<String, String> {
        let mut names = self.admin.iter().filter_map(|admin| admin.server_name());
        let name = self.server_name.as_deref().or_else(|| names.next());
        let name = name.ok_or("the server name is not known: give --admin or --server-name")?;
        match self
            .admin
            .iter()
            .find(|admin| admin.server_name() != Some(name))
        {
            Some(admin) => Err(format!(
                "the administrator {admin} is not a user of {name}: give administrators of one server, or --server-name"
            )),
            None => Ok(name.to_owned()),
        }
    }

    pub(crate) fn proxy_limits(&self) -> proxy::Limits {
        proxy::Limits {
            body: usize::try_from(u64::from(self.max_body) << 20).unwrap_or(usize::MAX),
            body_timeout: self.body_timeout,
            response_timeout: self.response_timeout,
        }
    }

    pub(crate) fn server_settings(&self) -> server::Settings {
        server::Settings {
            connections: self.max_connections.max(1).into(),
            grace: self.grace,
            drain: u64::from(self.drain) << 20,
            trusted_proxies: Arc::from(&*self.trusted_proxy),
        }
    }
}

fn upstream(text: &str) -> Result<Authority, String> {
    let uri = Uri::from_str(text).map_err(|error| error.to_string())?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => {
            return Err(
                "TLS to the homeserver is not supported: expected http://HOST:PORT".to_owned(),
            );
        }
        _ => return Err("expected http://HOST:PORT".to_owned()),
    }
    if uri.path() != "/" || uri.query().is_some() {
        return Err("expected http://HOST:PORT without a path".to_owned());
    }
    // No `user@` before the host, and a port that there is.
    let is_address = |authority: &&Authority| {
        let rest = authority.as_str().strip_prefix(authority.host());
        let has_port = authority.port_u16().is_some();
        !authority.host().is_empty() && rest.is_some_and(|rest| rest.is_empty() || has_port)
    };
    match uri.authority().filter(is_address) {
        Some(authority) => Ok(authority.clone()),
        None => Err("expected http://HOST:PORT".to_owned()),
    }
}

pub(crate) fn user_id(text: &str) -> Result<UserId, &'static str> {
    let user = UserId::from(text);
    match (user.localpart(), user.server_name()) {
        (Some(localpart), Some(name)) if !localpart.is_empty() && !name.is_empty() => Ok(user),
        _ => Err("expected a user id, as in @admin:example.org"),
    }
}

/// What the layer would panic on is said here.
fn excluded(text: &str) -> Result<String, String> {
    check_excluded_prefix(text)?;
    Ok(text.to_owned())
}

/// A single address is a network of one.
fn network(text: &str) -> Result<IpNet, &'static str> {
    let address =
        IpNet::from_str(text).or_else(|_| text.parse().map(|address: IpAddr| address.into()));
    address.map_err(|_| "expected an address or a network, as in 10.0.0.0/8")
}

/// At least one.
fn days(text: &str) -> Result<Duration, String> {
    let days = text.parse::<u32>().map_err(|error| error.to_string())?;
    match days {
        0 => Err("the log is kept for at least a day".to_owned()),
        days => Ok(Duration::from_secs(u64::from(days) * 24 * 3600)),
    }
}

fn seconds(text: &str) -> Result<Duration, std::num::ParseIntError> {
    text.parse::<u32>()
        .map(|seconds| Duration::from_secs(seconds.into()))
}
