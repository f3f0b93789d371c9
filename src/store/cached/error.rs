use std::{error::Error, fmt, time::Duration};

/// Why [`CachedStore`](crate::CachedStore) itself gave no answer: the cause of a
/// [`StoreError`](crate::store::StoreError), where
/// [`downcast_ref`](crate::store::StoreError::downcast_ref) finds it. What the store behind it fails
/// with is passed on as it is, to everyone who waited for the same answer.
#[derive(Clone)]
pub struct CachedStoreError(Kind);

#[derive(Clone)]
enum Kind {
    TimedOut(Duration),
    Panicked,
    Overloaded(usize),
}

impl CachedStoreError {
    pub(super) fn timed_out(limit: Duration) -> Self {
        Self(Kind::TimedOut(limit))
    }

    pub(super) fn panicked() -> Self {
        Self(Kind::Panicked)
    }

    pub(super) fn overloaded(limit: usize) -> Self {
        Self(Kind::Overloaded(limit))
    }

    /// Whether the store was not asked, because too many look-ups were under way
    /// ([`with_max_lookups`](crate::CachedStore::with_max_lookups)).
    #[must_use]
    pub fn is_overloaded(&self) -> bool {
        matches!(self.0, Kind::Overloaded(_))
    }

    /// Whether the store took longer than it may
    /// ([`with_lookup_timeout`](crate::CachedStore::with_lookup_timeout)).
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self.0, Kind::TimedOut(_))
    }
}

impl fmt::Display for CachedStoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::TimedOut(limit) => write!(
                f,
                "the account store took longer than its limit of {limit:?}"
            ),
            Kind::Panicked => f.write_str("the account store panicked"),
            Kind::Overloaded(limit) => {
                write!(
                    f,
                    "{limit} look-ups in the account store are running already, which is the limit"
                )
            }
        }
    }
}

impl fmt::Debug for CachedStoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::TimedOut(limit) => f.debug_tuple("TimedOut").field(limit).finish(),
            Kind::Panicked => f.write_str("Panicked"),
            Kind::Overloaded(limit) => f.debug_tuple("Overloaded").field(limit).finish(),
        }
    }
}

impl Error for CachedStoreError {}
