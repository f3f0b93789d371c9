//! Reading a connection string without showing any of it.

use std::error::Error as _;

use tokio_postgres::{Config, config::Host};

use super::error::Cause;

/// Reads the string. The error shows no piece of it. If a password is not quoted as it must be, the
/// driver takes pieces of it for names of options, hosts and databases, and shows them.
pub(super) fn parse(string: &str) -> Result<Config, Cause> {
    let config: Config = string.parse().map_err(|error| fault(&error))?;
    let is_url = ["postgres://", "postgresql://"]
        .iter()
        .any(|scheme| string.starts_with(scheme));
    let hosts = config.get_hosts();
    if hosts.is_empty() && config.get_hostaddrs().is_empty() {
        return Err(bad("it names no host"));
    }
    let is_host = |host: &Host| match host {
        Host::Tcp(name) => name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._:%[]".contains(&byte)),
        #[cfg(unix)]
        Host::Unix(_) => true,
    };
    if !hosts.iter().all(is_host) {
        return Err(bad(match is_url {
            true => {
                "the host has a character that no host name has: in a URL, `@`, `:`, `/`, `?`, `#` \
                 and `%` of a user or password have to be percent-encoded"
            }
            false => "the host has a character that no host name has",
        }));
    }
    Ok(config)
}

fn bad(what: &str) -> Cause {
    Cause::ConnectionString(format!("the connection string cannot be read: {what}"))
}

fn fault(error: &tokio_postgres::Error) -> Cause {
    let said = error.source().map(ToString::to_string).unwrap_or_default();
    // The driver's own list of options names these values.
    if let Some(option) = said.strip_prefix("invalid value for option ") {
        let known = OPTIONS.iter().find(|known| option == format!("`{known}`"));
        if let Some(option) = known {
            return bad(&format!("`{option}` cannot have that value"));
        }
    }
    bad(match said.starts_with("unknown option") {
        true => {
            "it has an option that does not exist (which is not shown, because it may be a piece \
             of a password: one that holds spaces, quotes or backslashes is put into single quotes)"
        }
        false => {
            "it is neither `key=value key=value` nor `postgres://user:password@host/database` (a \
             password that holds spaces, quotes or backslashes is put into single quotes; in a \
             URL it is percent-encoded)"
        }
    })
}

/// The options whose values the driver reads.
const OPTIONS: [&str; 13] = [
    "sslmode",
    "sslnegotiation",
    "host",
    "hostaddr",
    "port",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "target_session_attrs",
    "channel_binding",
];
