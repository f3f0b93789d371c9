//! The standard output of a command: a table for people, or one JSON object a line.

use std::{
    io::{self, BufWriter, IsTerminal as _, Stdout, Write as _},
    time::SystemTime,
};

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use serde_json::{Value, json};
use tower_account_status::{
    Restriction, RestrictionKind, RestrictionRecord, UserId, store::AuditEntry,
};

/// The standard output. A write fails with [`io::ErrorKind::BrokenPipe`] if nobody reads any more.
pub(super) struct Output {
    out: BufWriter<Stdout>,
    is_json: bool,
    /// Each line is shown at once.
    is_watched: bool,
    has_heading: bool,
}

/// The widths of the columns before the last. Rows are written as they come, so that a wider cell
/// moves the rest of its row.
const RESTRICTION: [usize; 5] = [30, 11, 20, 20, 20];
const ENTRY: [usize; 7] = [20, 30, 6, 11, 20, 20, 14];

impl Output {
    pub(super) fn new(is_json: bool) -> Self {
        let out = io::stdout();
        Self {
            is_watched: out.is_terminal(),
            out: BufWriter::new(out),
            is_json,
            has_heading: false,
        }
    }

    /// A restriction that was set or lifted. `is_changed` says whether there was one to lift.
    pub(super) fn changed(
        &mut self,
        user: &UserId,
        kind: RestrictionKind,
        is_changed: bool,
        set: Option<&Restriction>,
    ) -> io::Result<()> {
        let name = kind.as_str();
        if self.is_json {
            let action = match (set, is_changed) {
                (Some(_), _) => "set",
                (None, true) => "lifted",
                (None, false) => "none",
            };
            let reason = set.and_then(Restriction::reason);
            let until = set.and_then(Restriction::until).map(exact);
            return self.json(&json!({
                "user": user.as_str(), "kind": name, "action": action, "reason": reason,
                "until": until,
            }));
        }
        let user = plain(user);
        let until = set.and_then(Restriction::until).map(to_the_second);
        let line = match (set, until, is_changed) {
            (Some(_), Some(until), _) => format!("{user} is {name} until {until}"),
            (Some(_), None, _) => format!("{user} is {name}"),
            (None, _, true) => format!("{user} is no longer {name}"),
            (None, _, false) => format!("{user} was not {name}"),
        };
        self.line(&line)
    }

    pub(super) fn restriction(
        &mut self,
        user: &UserId,
        record: &RestrictionRecord,
    ) -> io::Result<()> {
        let restriction = record.restriction();
        let set_by = record.set_by().map(UserId::as_str);
        let is_in_force = restriction.is_in_force(SystemTime::now());
        if self.is_json {
            return self.json(&json!({
                "user": user.as_str(), "kind": record.kind().as_str(), "in_force": is_in_force,
                "reason": restriction.reason(), "until": restriction.until().map(exact),
                "set_by": set_by, "set_at": exact(record.set_at()),
            }));
        }
        self.heading(
            &RESTRICTION,
            &["USER", "KIND", "SINCE", "UNTIL", "BY", "REASON"],
        )?;
        let until = restriction.until().map(to_the_second);
        let kind = match is_in_force {
            true => record.kind().as_str().to_owned(),
            false => "(ended)".to_owned(),
        };
        let cells = [
            user.as_str(),
            &kind,
            &to_the_second(record.set_at()),
            until.as_deref().unwrap_or("-"),
            set_by.unwrap_or("-"),
            restriction.reason().unwrap_or("-"),
        ];
        self.row(&RESTRICTION, &cells)
    }

    pub(super) fn unrestricted(&mut self, user: &UserId) -> io::Result<()> {
        if self.is_json {
            return self.json(&json!({ "user": user.as_str(), "kind": null }));
        }
        let line = format!("{} is not restricted", plain(user));
        self.line(&line)
    }

    pub(super) fn entry(&mut self, entry: &AuditEntry) -> io::Result<()> {
        let (restriction, change) = (entry.restriction(), entry.change());
        let actor = change.actor().map(UserId::as_str);
        if self.is_json {
            return self.json(&json!({
                "user": entry.user().as_str(), "kind": entry.kind().as_str(),
                "action": entry.action().as_str(), "reason": restriction.reason(),
                "until": restriction.until().map(exact), "by": actor,
                "through": change.channel().as_str(), "note": change.note(),
                "at": exact(change.at()), "recorded_at": exact(entry.recorded_at()),
                "database_user": entry.database_user(),
            }));
        }
        let columns = [
            "RECORDED", "USER", "ACTION", "KIND", "UNTIL", "BY", "THROUGH", "WHY",
        ];
        self.heading(&ENTRY, &columns)?;
        let until = restriction.until().map(to_the_second);
        let by = match (actor, entry.database_user()) {
            (Some(actor), _) => actor.to_owned(),
            (None, Some(user)) => format!("(database: {user})"),
            (None, None) => "-".to_owned(),
        };
        let why = match (restriction.reason(), change.note()) {
            (Some(reason), Some(note)) => format!("{reason} ({note})"),
            (Some(reason), None) => reason.to_owned(),
            (None, Some(note)) => format!("({note})"),
            (None, None) => "-".to_owned(),
        };
        let cells = [
            &to_the_second(entry.recorded_at()),
            entry.user().as_str(),
            entry.action().as_str(),
            entry.kind().as_str(),
            until.as_deref().unwrap_or("-"),
            &by,
            change.channel().as_str(),
            &why,
        ];
        self.row(&ENTRY, &cells)
    }

    /// Writes what is still buffered.
    pub(super) fn end(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn heading(&mut self, widths: &[usize], cells: &[&str]) -> io::Result<()> {
        match std::mem::replace(&mut self.has_heading, true) {
            true => Ok(()),
            false => self.row(widths, cells),
        }
    }

    fn row(&mut self, widths: &[usize], cells: &[&str]) -> io::Result<()> {
        let mut line = String::new();
        for (place, cell) in cells.iter().enumerate() {
            let cell = plain(cell);
            match widths.get(place) {
                Some(&width) => line.push_str(&format!("{cell:width$}  ")),
                None => line.push_str(&cell),
            }
        }
        self.line(&line)
    }

    fn json(&mut self, value: &Value) -> io::Result<()> {
        self.line(&value.to_string())
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.out, "{line}")?;
        match self.is_watched {
            true => self.out.flush(),
            false => Ok(()),
        }
    }
}

/// Escapes what a terminal would execute, because anybody may have written the text.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        match is_plain(character) {
            true => plain.push(character),
            false => plain.extend(character.escape_unicode()),
        }
    }
    plain
}

/// Neither a control character nor one that changes the direction of what is around it.
fn is_plain(character: char) -> bool {
    !character.is_control()
        && !matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A time beyond the calendar becomes its last day.
fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::try_from(time).unwrap_or(match time < SystemTime::UNIX_EPOCH {
        true => Timestamp::MIN,
        false => Timestamp::MAX,
    })
}

pub(crate) fn to_the_second(time: SystemTime) -> String {
    let round = TimestampRound::new()
        .smallest(Unit::Second)
        .mode(RoundMode::Floor);
    let time = timestamp(time);
    time.round(round).unwrap_or(time).to_string()
}

fn exact(time: SystemTime) -> String {
    timestamp(time).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{exact, plain, to_the_second};

    #[test]
    fn a_text_cannot_command_the_terminal() {
        assert_eq!(plain("@ü:x \u{1F980}"), "@ü:x \u{1F980}");
        assert_eq!(
            plain("a\u{1b}[2Jb\nc\u{202e}d"),
            r"a\u{1b}[2Jb\u{a}c\u{202e}d"
        );
    }

    #[test]
    fn times_are_rfc_3339() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_893_499_200_900);
        assert_eq!(to_the_second(time), "2030-01-01T12:00:00Z");
        assert_eq!(exact(time), "2030-01-01T12:00:00.9Z");
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 45);
        assert!(exact(far).starts_with("9999-12-30"), "{}", exact(far));
        assert!(to_the_second(far).starts_with("9999-12-30"));
    }
}
