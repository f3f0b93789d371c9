//! Which changes of restrictions have been made: a log that a lift does not delete.

use std::{future::Future, sync::Arc, time::SystemTime};

use super::{ChangeRecord, StoreError};
use crate::account::{Restriction, RestrictionKind, UserId};

/// A change of a restriction that has been made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    pub(super) user: UserId,
    pub(super) action: AuditAction,
    pub(super) restriction: Restriction,
    pub(super) change: ChangeRecord,
    pub(super) recorded_at: SystemTime,
    pub(super) database_user: Option<Arc<str>>,
    pub(super) position: AuditPosition,
}

impl AuditEntry {
    /// Whose restriction it is.
    #[must_use]
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// Whether it was set or lifted.
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

    /// Who made the change, when, why and through what, as they said it themselves. Of a change by
    /// hand ([`Channel::SQL`](super::Channel::SQL)) the database knows when, and who where the
    /// statement wrote a `set_by`.
    pub fn change(&self) -> &ChangeRecord {
        &self.change
    }

    /// When the change was made by the database's clock. Pages and retention go by it.
    #[must_use]
    pub fn recorded_at(&self) -> SystemTime {
        self.recorded_at
    }

    /// As whom the database was connected to when the change was made. `None` where it has no
    /// users, as SQLite.
    #[must_use]
    pub fn database_user(&self) -> Option<&str> {
        self.database_user.as_deref()
    }

    /// Where it is in the log.
    #[must_use]
    pub fn position(&self) -> AuditPosition {
        self.position
    }
}

/// What was done with a restriction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuditAction {
    /// It was set, perhaps in place of one of its kind.
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

/// Where an entry is in the log of one database: for [the next page](AuditQuery::behind).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuditPosition {
    pub(super) recorded_at: i64,
    pub(super) id: i64,
}

/// Which entries of the log to read, the newest first.
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

    /// Only entries behind this one, and so older: the last one of a page gives the next page.
    pub fn behind(mut self, last: AuditPosition) -> Self {
        self.behind = Some(last);
        self
    }

    /// At most this many entries.
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
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
/// [`MemoryStore`](crate::MemoryStore) has none: a log that ends with the process answers nobody who
/// asks later.
///
/// # What a log promises
///
/// - A change is in it if and only if it was made: both are in one transaction. What failed and
///   what was rolled back leaves no entry. Lifting what is not there is no change.
/// - A restriction that is set in place of one of its kind is an entry, also where reason and end
///   are the same, because somebody else may have set it, or at another time. Only what leaves the row
///   as it was, with who and when, is none.
/// - It holds whatever changed the table, SQL by hand included.
/// - Whoever reads on [behind](AuditQuery::behind) the last entry of a page, until a page has fewer
///   entries than it may, sees each entry that was there when they began exactly once.
#[diagnostic::on_unimplemented(
    message = "`{Self}` keeps no log of the changes of restrictions",
    note = "`SqliteStore` (feature `sqlite`) and `PostgresStore` (feature `postgres`) do"
)]
pub trait AuditLog: Send + Sync + 'static {
    /// Why the log could not be read. It is shown to operators and never to clients.
    type Error: Into<StoreError> + Send;

    /// The newest entries that the query asks for. Fewer than its limit means that there are no
    /// more.
    fn audit(
        &self,
        query: &AuditQuery,
    ) -> impl Future<Output = Result<Vec<AuditEntry>, Self::Error>> + Send;
}
