//! A log of the changes of restrictions, which a lift does not delete.

use std::{future::Future, sync::Arc, time::SystemTime};

use super::{
    ChangeRecord, StoreError,
    micros::{from_micros, to_micros},
};
use crate::account::{Restriction, RestrictionKind, UserId};

/// A change of a restriction that has been made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    user: UserId,
    action: AuditAction,
    restriction: Restriction,
    change: ChangeRecord,
    database_user: Option<Arc<str>>,
    position: AuditPosition,
}

impl AuditEntry {
    /// An entry at `position`: `change` did `action` with `restriction` of `user`. An
    /// [`AuditLog`] makes entries; others read them.
    #[must_use]
    pub fn new(
        user: impl Into<UserId>,
        action: AuditAction,
        restriction: impl Into<Restriction>,
        change: ChangeRecord,
        position: AuditPosition,
    ) -> Self {
        Self {
            user: user.into(),
            action,
            restriction: restriction.into(),
            change,
            database_user: None,
            position,
        }
    }

    /// Names the user of the database as whom the change was made.
    #[must_use]
    pub fn with_database_user(mut self, user: impl Into<Arc<str>>) -> Self {
        self.database_user = Some(user.into());
        self
    }

    /// The account whose restriction was changed.
    #[must_use]
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// Whether the restriction was set or lifted.
    #[must_use]
    pub fn action(&self) -> AuditAction {
        self.action
    }

    /// The restriction that was set, or that was lifted, with its reason and its end.
    #[must_use]
    pub fn restriction(&self) -> &Restriction {
        &self.restriction
    }

    /// The restriction's kind.
    #[must_use]
    pub fn kind(&self) -> RestrictionKind {
        self.restriction.kind()
    }

    /// Who made the change, when, why and through what, as the caller said. For a change by hand
    /// ([`Channel::SQL`](super::Channel::SQL)) the database knows when, and who if the statement wrote a
    /// `set_by`.
    pub fn change(&self) -> &ChangeRecord {
        &self.change
    }

    /// When the change was made by the database's clock. Pages and retention go by it.
    #[must_use]
    pub fn recorded_at(&self) -> SystemTime {
        from_micros(self.position.recorded_at)
    }

    /// The user of the database as whom the change was made. `None` if the database has no users,
    /// as SQLite has none.
    #[must_use]
    pub fn database_user(&self) -> Option<&str> {
        self.database_user.as_deref()
    }

    /// The entry's position in the log.
    #[must_use]
    pub fn position(&self) -> AuditPosition {
        self.position
    }
}

/// What was done with a restriction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuditAction {
    /// It was set. It may have replaced one of its kind.
    Set,
    /// It was lifted.
    Lifted,
}

impl AuditAction {
    /// The action in lower case: `set` or `lifted`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Lifted => "lifted",
        }
    }
}

/// The position of an entry in the log of one database, from which [the next page](AuditQuery::behind)
/// is read. A later position is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuditPosition {
    pub(super) recorded_at: i64,
    pub(super) id: i64,
}

impl AuditPosition {
    /// The position of an entry that was recorded at this time, which is kept to the microsecond.
    /// `id` tells entries of the same time apart: no two may have the same time and `id`, and a
    /// later entry needs the greater one.
    #[must_use]
    pub fn new(recorded_at: SystemTime, id: i64) -> Self {
        let recorded_at = to_micros(recorded_at);
        Self { recorded_at, id }
    }

    /// When the entry was recorded.
    #[must_use]
    pub fn recorded_at(self) -> SystemTime {
        from_micros(self.recorded_at)
    }

    /// What tells the entry apart from others of the same time.
    #[must_use]
    pub fn id(self) -> i64 {
        self.id
    }
}

/// A question to the log. The newest entries come first.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use tower_account_status::store::AuditQuery;
///
/// let of_a_day = AuditQuery::new()
///     .with_user("@alice:example.org")
///     .with_since(SystemTime::now() - Duration::from_secs(24 * 3600))
///     .with_limit(100);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct AuditQuery {
    pub(super) user: Option<UserId>,
    pub(super) since: Option<SystemTime>,
    pub(super) until: Option<SystemTime>,
    pub(super) behind: Option<AuditPosition>,
    pub(super) limit: usize,
}

impl AuditQuery {
    /// The newest 100 entries of all accounts.
    pub fn new() -> Self {
        Self {
            user: None,
            since: None,
            until: None,
            behind: None,
            limit: 100,
        }
    }

    /// Only entries of this account.
    pub fn with_user(mut self, user: impl Into<UserId>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Only entries that were [recorded](AuditEntry::recorded_at) at this time or later.
    pub fn with_since(mut self, since: SystemTime) -> Self {
        self.since = Some(since);
        self
    }

    /// Only entries that were [recorded](AuditEntry::recorded_at) before this time.
    pub fn with_until(mut self, until: SystemTime) -> Self {
        self.until = Some(until);
        self
    }

    /// Only entries behind this position, and so older: that of a page's last entry gives the next
    /// page. The entry itself need not be there any more.
    pub fn behind(mut self, last: AuditPosition) -> Self {
        self.behind = Some(last);
        self
    }

    /// At most this many entries.
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// The account whose entries to read, if only one's.
    #[must_use]
    pub fn user(&self) -> Option<&UserId> {
        self.user.as_ref()
    }

    /// The time from which on entries are read.
    #[must_use]
    pub fn since(&self) -> Option<SystemTime> {
        self.since
    }

    /// The time before which entries are read.
    #[must_use]
    pub fn until(&self) -> Option<SystemTime> {
        self.until
    }

    /// The position behind which entries are read.
    #[must_use]
    pub fn position(&self) -> Option<AuditPosition> {
        self.behind
    }

    /// How many entries to read at most.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Whether the query asks for this entry. The limit does not matter.
    #[must_use]
    pub fn matches(&self, entry: &AuditEntry) -> bool {
        let recorded_at = entry.position.recorded_at;
        self.user.as_ref().is_none_or(|user| user == entry.user())
            && self
                .since
                .is_none_or(|since| recorded_at >= to_micros(since))
            && self
                .until
                .is_none_or(|until| recorded_at < to_micros(until))
            && self.behind.is_none_or(|last| entry.position() < last)
    }
}

impl Default for AuditQuery {
    fn default() -> Self {
        Self::new()
    }
}

/// The log of every change of a restriction, a lift too.
///
/// `SqliteStore` and `PostgresStore` have one.
/// [`MemoryStore`](crate::MemoryStore) has none, because a log that ends with the process is of no use
/// later.
///
/// # What a log promises
///
/// - The log has an entry for a change if and only if the change was made: both are in one
///   transaction. A change that fails or is rolled back leaves no entry. Lifting a restriction that
///   is not there is no change.
/// - A restriction that replaces one of its kind is an entry, even if reason and end are the same, because
///   somebody else may have set it, or at another time. There is no entry only if the restriction stays as
///   it was, who set it and when included.
/// - An entry says whose restriction was set or lifted, with its reason and its end, and who made the
///   change, when, why and through what. A lift does not change or delete earlier entries.
/// - A store in a database logs every change of its table, SQL by hand included.
/// - Entries come the newest first. A reader who goes on [behind](AuditQuery::behind) the last entry
///   of a page, until a page has fewer entries than its limit, sees each entry that was there at the
///   beginning exactly once, whatever changes meanwhile.
/// - A log that deletes old entries keeps each one for the time that it states. It never lifts a
///   restriction with its entry.
///
/// `conformance::check_audit_log` and `conformance::check_audit_retention`, under the feature
/// `conformance`, check these, but for what changes a table from outside.
#[diagnostic::on_unimplemented(
    message = "`{Self}` keeps no log of the changes of restrictions",
    note = "`SqliteStore` (feature `sqlite`) and `PostgresStore` (feature `postgres`) do"
)]
pub trait AuditLog: Send + Sync + 'static {
    /// The error if the log cannot be read. Operators see it, clients never do.
    type Error: Into<StoreError> + Send;

    /// The newest entries that the query asks for. If there are fewer than its limit, there are no more.
    fn audit(
        &self,
        query: &AuditQuery,
    ) -> impl Future<Output = Result<Vec<AuditEntry>, Self::Error>> + Send;
}
