use std::{fmt, sync::Arc, time::SystemTime};

/// What is restricted.
///
/// The order is the order of precedence: of several restrictions in force at once, the smallest
/// is the one that is answered. The specification is silent here; deactivation cannot be undone,
/// and a lock is a MUST on every endpoint where a suspension is not.
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
    /// The account may read, and look after itself, but not act on others: 403
    /// `M_USER_SUSPENDED`
    /// ([account suspension](https://spec.matrix.org/latest/client-server-api/#account-suspension)).
    Suspended,
}

impl RestrictionKind {
    /// Every kind, in the order of precedence.
    pub const ALL: &'static [Self] = &[Self::Deactivated, Self::Locked, Self::Suspended];

    /// How many there are.
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

    /// Gives the text that the account's owner reads in the `error` field of a refusal, in place
    /// of the default. At most [`MAX_REASON_LEN`](Self::MAX_REASON_LEN) bytes of it are sent; an
    /// empty or blank one counts as none.
    ///
    /// Everyone who holds a token of the account can read it: it is no place for a moderator's
    /// notes.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<Arc<str>>) -> Self {
        let reason = reason.into();
        self.reason = (!reason.trim().is_empty()).then_some(reason);
        self
    }

    /// Ends the restriction by itself: at `until` and from then on it is not in force, and until
    /// then a refusal's `Retry-After` says how long that is.
    ///
    /// Nothing has to run for that: each request compares the end with
    /// [the layer's clock](crate::AccountStatusLayer::with_clock), so that it holds to the second in
    /// every store and through every cache.
    ///
    /// # A time-out
    ///
    /// What a moderator gives somebody who should stop writing for a while and go on reading:
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
    /// A lock that follows some number of wrong passwords gives every stranger the power to take
    /// anyone offline, on all their devices, by name and as often as they like. Limit the rate of
    /// logins instead, and leave the sessions that there are alone.
    #[must_use]
    pub fn with_until(mut self, until: SystemTime) -> Self {
        self.until = Some(until);
        self
    }

    /// What is restricted.
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

    /// Whether it ends later than `other`, or never while `other` does.
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
