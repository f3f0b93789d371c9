//! How restrictions are written into a database. The database stores share it.

use crate::{
    account::{Restriction, RestrictionKind, UserId},
    store::{
        AuditAction, AuditEntry, AuditPosition, AuditQuery, ChangeRecord, Channel,
        RestrictionRecord,
        micros::{from_micros, to_micros},
        unknown_kind::UnknownKind,
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
        let position = AuditPosition {
            recorded_at: self.recorded_at,
            id: self.id,
        };
        let restriction = restriction(self.kind, self.reason, self.until)?;
        let entry = AuditEntry::new(self.user, action, restriction, change, position);
        Ok(match self.database_user {
            Some(user) => entry.with_database_user(user),
            None => entry,
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

/// Groups the rows of a page, which are ordered by user, into accounts.
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

#[cfg(test)]
mod tests {
    use super::restriction;

    #[test]
    fn a_kind_of_a_later_version_is_an_error_and_not_left_out() {
        let unknown = restriction("muted".to_owned(), None, None).unwrap_err();
        assert_eq!(unknown.0, "muted");
    }
}
