//! The arguments of the commands.

use std::{
    str::FromStr,
    time::{Duration, SystemTime},
};

use clap::ValueEnum;
use jiff::{Span, SpanRelativeTo, Timestamp};
use tower_account_status::{RestrictionKind, UserId};

use crate::args::{Database, user_id};

/// The database, and the format of the output.
#[derive(clap::Args)]
pub(crate) struct Place {
    #[command(flatten)]
    pub(super) database: Database,

    /// The schema of the tables in PostgreSQL
    #[arg(long, value_name = "NAME", default_value = "account_status")]
    pub(super) schema: String,

    /// Write JSON, one object a line, instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

/// The users whose restrictions change, and who changes them.
#[derive(clap::Args)]
pub(crate) struct Change {
    /// User ids, as in @user:example.org; - reads more from the standard input, one a line
    #[arg(value_name = "USER", required = true, value_parser = user_or_input)]
    pub(super) users: Vec<Users>,

    /// Who makes the change, for the log; by default your name on this machine
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(super) by: Option<String>,

    #[command(flatten)]
    pub(super) place: Place,
}

#[derive(clap::Args)]
pub(crate) struct SetArgs {
    #[command(flatten)]
    pub(super) change: Change,

    /// Why; the account's owner is told
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,

    /// Why; only the log has it
    #[arg(long, value_name = "TEXT")]
    pub(super) note: Option<String>,

    /// When the restriction ends by itself (RFC 3339), as in 2030-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = to_come, conflicts_with = "duration")]
    until: Option<SystemTime>,

    /// How long the restriction lasts, as in 30m, 2h, 7d or "1w 12h"
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    duration: Option<Duration>,
}

impl SetArgs {
    /// When the restriction ends, if it does by itself.
    pub(super) fn end(&self) -> Option<SystemTime> {
        match self.duration {
            Some(duration) => SystemTime::now().checked_add(duration),
            None => self.until,
        }
    }
}

#[derive(clap::Args)]
pub(crate) struct LiftArgs {
    #[command(flatten)]
    pub(super) change: Change,

    /// Why, for the log
    #[arg(long, visible_alias = "reason", value_name = "TEXT")]
    pub(super) note: Option<String>,
}

#[derive(clap::Args)]
pub(crate) struct ShowArgs {
    /// User ids, as in @user:example.org; - reads more from the standard input, one a line
    #[arg(value_name = "USER", required = true, value_parser = user_or_input)]
    pub(super) users: Vec<Users>,

    #[command(flatten)]
    pub(super) place: Place,
}

#[derive(clap::Args)]
pub(crate) struct ListArgs {
    /// List only restrictions of this kind
    #[arg(long, value_name = "KIND")]
    pub(super) kind: Option<Kind>,

    #[command(flatten)]
    pub(super) place: Place,
}

#[derive(clap::Args)]
pub(crate) struct LogArgs {
    /// Show only changes of these accounts, one account after another; - reads more user ids from the
    /// standard input, one a line
    #[arg(value_name = "USER", value_parser = user_or_input)]
    pub(super) users: Vec<Users>,

    /// Show only changes since this time (RFC 3339), or in the last 2h, for example
    #[arg(long, value_name = "TIME|DURATION", value_parser = moment)]
    pub(super) since: Option<SystemTime>,

    /// Show only changes before this time (RFC 3339), or until 2h ago, for example
    #[arg(long, value_name = "TIME|DURATION", value_parser = moment)]
    pub(super) until: Option<SystemTime>,

    /// Show at most this many changes, of each account if accounts are given
    #[arg(long, value_name = "NUMBER")]
    pub(super) limit: Option<usize>,

    #[command(flatten)]
    pub(super) place: Place,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Kind {
    Deactivated,
    Locked,
    Suspended,
}

impl From<Kind> for RestrictionKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Deactivated => Self::Deactivated,
            Kind::Locked => Self::Locked,
            Kind::Suspended => Self::Suspended,
        }
    }
}

/// A user, or those on the standard input.
#[derive(Clone, Debug)]
pub(super) enum Users {
    One(UserId),
    OnInput,
}

fn user_or_input(text: &str) -> Result<Users, &'static str> {
    match text {
        "-" => Ok(Users::OnInput),
        _ => user_id(text).map(Users::One),
    }
}

fn to_come(text: &str) -> Result<SystemTime, String> {
    let time = time(text)?;
    match time > SystemTime::now() {
        true => Ok(time),
        false => Err("this time has passed".to_owned()),
    }
}

fn time(text: &str) -> Result<SystemTime, String> {
    let time = Timestamp::from_str(text);
    let time = time.map_err(|_| "expected a time with its zone, as in 2030-01-31T12:00:00Z")?;
    Ok(time.into())
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    let expected = "expected a duration in weeks, days, hours, minutes or seconds, as in 2h";
    let span = Span::from_str(text).map_err(|_| expected)?;
    let days = SpanRelativeTo::days_are_24_hours();
    // A month has no fixed length.
    let duration = span.to_duration(days).map_err(|_| expected)?;
    let duration = Duration::try_from(duration).map_err(|_| expected)?;
    match duration.is_zero() {
        true => Err(expected),
        false => Ok(duration),
    }
}

/// A time, or so long ago.
fn moment(text: &str) -> Result<SystemTime, String> {
    match duration(text) {
        Ok(ago) => SystemTime::now()
            .checked_sub(ago)
            .ok_or_else(|| "this duration is too long".to_owned()),
        Err(_) => time(text),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{duration, moment, time, to_come};

    #[test]
    fn durations_are_what_they_say() {
        for (text, seconds) in [
            ("30s", 30),
            ("90m", 5400),
            ("2h", 7200),
            ("1h 30m", 5400),
            ("1h30m", 5400),
            ("7 days", 604_800),
            ("1w", 604_800),
            ("1w 12h", 648_000),
            ("PT2H", 7200),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in [
            "",
            "2",
            "h",
            "0s",
            "-2h",
            "2h ago",
            "1 month",
            "1y",
            "2 fortnights",
            "1e9h",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_have_a_zone_and_an_end_is_to_come() {
        let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(1_893_499_200);
        for text in ["2030-01-01T12:00:00Z", "2030-01-01T13:00:00+01:00"] {
            assert_eq!(time(text), Ok(noon), "{text}");
            assert_eq!(to_come(text), Ok(noon), "{text}");
        }
        for bad in [
            "2030-01-01T12:00:00",
            "2030-01-01",
            "1893499200",
            "tomorrow",
            "",
        ] {
            assert!(time(bad).is_err(), "{bad}");
        }
        assert!(to_come("2020-01-01T12:00:00Z").is_err());
        assert_eq!(moment("2030-01-01T12:00:00Z"), Ok(noon));
        assert!(moment("2h").expect("a time") < SystemTime::now());
    }
}
