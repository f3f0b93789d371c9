use std::{fmt, sync::Arc, time::SystemTime};

/// The kind of a restriction.
///
/// The order is the order of precedence: if several restrictions are in force at once, the smallest one is
/// answered. The specification does not say which. A deactivation cannot be undone, and a lock is a MUST
/// on every endpoint, which a suspension is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RestrictionKind {
    /// The account was given up for good: 403 `M_USER_DEACTIVATED`
    /// ([MSC2181](https://github.com/matrix-org/matrix-spec-proposals/pull/2181)).
    Deactivated,
    /// The account may do nothing but log out until it is unlocked: 401 `M_USER_LOCKED` with
    /// `soft_logout: true`
    /// ([account locking](https://spec.matrix.org/latest/client-server-api/#account-locking)).
    Locked,
    /// The account may read and keep itself secure, but not act on others: 403
    /// `M_USER_SUSPENDED`
    /// ([account suspension](https://spec.matrix.org/latest/client-server-api/#account-suspension)).
    Suspended,
}

impl RestrictionKind {
    /// Every kind, in the order of precedence.
    pub const ALL: &'static [Self] = &[Self::Deactivated, Self::Locked, Self::Suspended];

    /// The number of kinds.
    pub(crate) const COUNT: usize = Self::ALL.len();

    /// The kind in lower case: `deactivated`, `locked` or `suspended`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deactivated => "deactivated",
            Self::Locked => "locked",
            Self::Suspended => "suspended",
        }
    }

    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for RestrictionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One restriction of an account: its kind, its reason and its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restriction {
    kind: RestrictionKind,
    reason: Option<Arc<str>>,
    until: Option<SystemTime>,
}

impl Restriction {
    /// How much of a reason is sent, in bytes of UTF-8. The rest is left out.
    pub const MAX_REASON_LEN: usize = 1024;

    /// A restriction without a reason or an end.
    #[must_use]
    pub fn new(kind: RestrictionKind) -> Self {
        Self {
            kind,
            reason: None,
            until: None,
        }
    }

    /// Sets the text that the account's owner reads in the `error` field of a refusal instead of the default.
    /// At most [`MAX_REASON_LEN`](Self::MAX_REASON_LEN) bytes of it are sent. An empty or blank reason counts
    /// as none.
    ///
    /// Everyone who has a token of the account can read it. Do not put a moderator's notes there.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<Arc<str>>) -> Self {
        let reason = reason.into();
        self.reason = (!reason.trim().is_empty()).then_some(reason);
        self
    }

    /// Lets the restriction end by itself. From `until` on it is not in force. Before that, a refusal's
    /// `Retry-After` says how long it lasts.
    ///
    /// No task has to run for that. Each request compares the end with
    /// [the layer's clock](crate::AccountStatusLayer::with_clock), so the end is exact to the second in every
    /// store and through every cache.
    ///
    /// # A time-out
    ///
    /// A moderator's time-out: the account cannot write for a while, and can still read.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use tower_account_status::{MemoryStore, Restriction, RestrictionKind};
    ///
    /// let store = MemoryStore::new();
    /// let time_out = Restriction::new(RestrictionKind::Suspended)
    ///     .with_reason("Time out: you can write again in an hour")
    ///     .with_until(SystemTime::now() + Duration::from_secs(3600));
    /// store.restrict("@alice:example.org", time_out);
    /// ```
    ///
    /// # Not for failed logins
    ///
    /// Do not lock an account after some number of wrong passwords: any stranger who knows its name could
    /// then take it offline on all its devices, again and again. Limit the rate of logins instead, and leave
    /// existing sessions alone.
    #[must_use]
    pub fn with_until(mut self, until: SystemTime) -> Self {
        self.until = Some(until);
        self
    }

    /// The restriction's kind.
    #[must_use]
    pub fn kind(&self) -> RestrictionKind {
        self.kind
    }

    /// The text for the account's owner, as it was given.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// When the restriction ends by itself.
    #[must_use]
    pub fn until(&self) -> Option<SystemTime> {
        self.until
    }

    /// Whether this restriction ends later than `other`, or never while `other` ends.
    pub(crate) fn ends_after(&self, other: &Self) -> bool {
        match (self.until, other.until) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(until), Some(other)) => until > other,
        }
    }

    /// Whether the restriction has not ended at `now`.
    #[must_use]
    pub fn is_in_force(&self, now: SystemTime) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl From<RestrictionKind> for Restriction {
    fn from(kind: RestrictionKind) -> Self {
        Self::new(kind)
    }
}
