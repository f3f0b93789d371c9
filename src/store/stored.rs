//! How restrictions are written into a database: what the database stores share.

use std::time::{Duration, SystemTime};

use crate::{
    account::{Restriction, RestrictionKind, UserId},
    store::{
        AuditAction, AuditEntry, AuditPosition, AuditQuery, ChangeRecord, Channel,
        RestrictionRecord, unknown_kind::UnknownKind,
    },
};

/// A restriction as a row: times in microseconds since 1970, the kind as its name.
pub(super) struct Row {
    pub(super) kind: String,
    pub(super) reason: Option<String>,
    pub(super) until: Option<i64>,
    pub(super) set_by: Option<String>,
    pub(super) set_at: i64,
}

impl Row {
    pub(super) fn into_record(self) -> Result<RestrictionRecord, UnknownKind> {
        let restriction = restriction(self.kind, self.reason, self.until)?;
        let record = RestrictionRecord::new(restriction).with_set_at(from_micros(self.set_at));
        Ok(match self.set_by {
            Some(user) => record.with_set_by(user),
            None => record,
        })
    }
}

/// An entry of the log as a row.
pub(super) struct AuditRow {
    pub(super) id: i64,
    pub(super) recorded_at: i64,
    pub(super) user: String,
    pub(super) action: String,
    pub(super) kind: String,
    pub(super) reason: Option<String>,
    pub(super) until: Option<i64>,
    pub(super) actor: Option<String>,
    pub(super) channel: String,
    pub(super) note: Option<String>,
    pub(super) made_at: i64,
    pub(super) database_user: Option<String>,
}

impl AuditRow {
    pub(super) fn into_entry(self) -> Result<AuditEntry, UnknownKind> {
        let mut change = ChangeRecord::through(Channel::new(self.channel))
            .with_time(from_micros(self.made_at))
            .with_note(self.note.unwrap_or_default());
        if let Some(actor) = self.actor {
            change = change.with_actor(actor);
        }
        let action = match &*self.action {
            "set" => AuditAction::Set,
            "lifted" => AuditAction::Lifted,
            _ => return Err(UnknownKind(self.action)),
        };
        Ok(AuditEntry {
            user: self.user.into(),
            action,
            restriction: restriction(self.kind, self.reason, self.until)?,
            change,
            recorded_at: from_micros(self.recorded_at),
            database_user: self.database_user.map(Into::into),
            position: AuditPosition {
                recorded_at: self.recorded_at,
                id: self.id,
            },
        })
    }
}

/// The time from which entries are read, and the position before which.
pub(super) fn bounds(query: &AuditQuery) -> (i64, AuditPosition) {
    let since = query.since.map_or(i64::MIN, to_micros);
    let until = AuditPosition {
        recorded_at: query.until.map_or(i64::MAX, to_micros),
        id: i64::MIN,
    };
    (
        since,
        query.behind.map_or(until, |behind| behind.min(until)),
    )
}

pub(super) fn restriction(
    kind: String,
    reason: Option<String>,
    until: Option<i64>,
) -> Result<Restriction, UnknownKind> {
    let Some(kind) = kind_named(&kind) else {
        return Err(UnknownKind(kind));
    };
    let mut restriction = Restriction::new(kind);
    if let Some(reason) = reason {
        restriction = restriction.with_reason(reason);
    }
    if let Some(until) = until {
        restriction = restriction.with_until(from_micros(until));
    }
    Ok(restriction)
}

fn kind_named(name: &str) -> Option<RestrictionKind> {
    RestrictionKind::ALL
        .iter()
        .copied()
        .find(|kind| kind.as_str() == name)
}

/// Puts the rows of a page, which are ordered by user, together into accounts.
pub(super) fn accounts(
    rows: impl IntoIterator<Item = (UserId, RestrictionRecord)>,
) -> Vec<(UserId, Vec<RestrictionRecord>)> {
    let mut accounts: Vec<(UserId, Vec<RestrictionRecord>)> = Vec::new();
    for (user, record) in rows {
        match accounts.last_mut() {
            Some((last, records)) if *last == user => records.push(record),
            _ => accounts.push((user, vec![record])),
        }
    }
    for (_, records) in &mut accounts {
        records.sort_by_key(RestrictionRecord::kind);
    }
    accounts
}

/// What lies outside the 292,000 years around 1970 is stored as the nearest time inside.
pub(super) fn to_micros(time: SystemTime) -> i64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        // Rounded down, like what lies after 1970.
        Err(before) => {
            let nanos = i128::try_from(before.duration().as_nanos()).unwrap_or(i128::MAX);
            i64::try_from((-nanos).div_euclid(1000)).unwrap_or(i64::MIN)
        }
    }
}

/// What the platform's clock cannot express is the farthest time that it can: a restriction without
/// an end in sight, and never one that is over.
pub(super) fn from_micros(micros: i64) -> SystemTime {
    let distance = Duration::from_micros(micros.unsigned_abs());
    match micros {
        0.. => farthest(distance, |distance| {
            SystemTime::UNIX_EPOCH.checked_add(distance)
        }),
        _ => farthest(distance, |distance| {
            SystemTime::UNIX_EPOCH.checked_sub(distance)
        }),
    }
}

fn farthest(distance: Duration, at: impl Fn(Duration) -> Option<SystemTime>) -> SystemTime {
    if let Some(time) = at(distance) {
        return time;
    }
    let (mut farthest, mut near, mut far) = (None, 0, distance.as_secs());
    while near < far {
        let middle = far - (far - near) / 2;
        match at(Duration::from_secs(middle)) {
            Some(time) => (farthest, near) = (Some(time), middle),
            None => far = middle - 1,
        }
    }
    farthest.unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{farthest, from_micros, restriction, to_micros};

    #[test]
    fn times_before_and_after_1970_come_back_to_the_microsecond() {
        for micros in [0, 1, -1, 1_700_000_000_123_456, -62_000_000_000_000_000] {
            assert_eq!(to_micros(from_micros(micros)), micros);
        }
        let odd = SystemTime::UNIX_EPOCH - Duration::from_nanos(1500);
        assert_eq!(to_micros(odd), -2);
        let odd = SystemTime::UNIX_EPOCH + Duration::from_nanos(1500);
        assert_eq!(to_micros(odd), 1);
    }

    #[test]
    fn the_farthest_times_are_stored_as_the_nearest_possible() {
        for micros in [i64::MAX, i64::MIN] {
            assert_eq!(to_micros(from_micros(micros)), micros);
        }
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::MAX >> 1);
        assert_eq!(to_micros(far), i64::MAX);
    }

    #[test]
    fn rule_2_a_time_beyond_the_platforms_clock_is_far_away_and_not_1970() {
        let century = 100 * 365 * 24 * 3600;
        // A clock that ends after a century.
        let short = |distance: Duration| {
            let time = SystemTime::UNIX_EPOCH.checked_add(distance)?;
            (distance.as_secs() <= century).then_some(time)
        };
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(century);
        for distance in [
            Duration::MAX,
            Duration::from_micros(i64::MAX as u64),
            Duration::from_secs(century + 1),
        ] {
            assert_eq!(farthest(distance, short), end, "{distance:?}");
        }
        let near = Duration::from_micros(1_500_000);
        assert_eq!(farthest(near, short), SystemTime::UNIX_EPOCH + near);
    }

    #[test]
    fn a_kind_of_a_later_version_is_an_error_and_not_left_out() {
        let unknown = restriction("muted".to_owned(), None, None).unwrap_err();
        assert_eq!(unknown.0, "muted");
    }
}
