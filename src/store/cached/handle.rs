use std::{fmt, sync::Arc};

use super::{CacheStats, tables::Tables};
use crate::{changes::Changes, credential::Credential};

/// Tells a [`CachedStore`](crate::CachedStore) what has changed, from wherever that is known:
/// the handler that locks an account, or a listener to the messages of other processes.
///
/// A clone speaks to the same cache. It knows nothing of the store's type, and does not keep the
/// store.
///
/// # Messages that may get lost
///
/// Where changes are heard over a connection, there are times in which none are heard. Subscribe
/// first, then call [`invalidate_all`](Self::invalidate_all), and only then process the messages;
/// and do so again after every gap. The [time to live](crate::CachedStore::with_ttl) bounds what a lost
/// message can do.
#[derive(Clone)]
pub struct CacheHandle {
    pub(super) tables: Arc<Tables>,
    pub(super) changes: Changes,
}

impl CacheHandle {
    /// The state of `user` has changed: forgets it, and announces the change to requests that
    /// wait.
    ///
    /// Call it when the store shows the new state. No request that starts after this has returned
    /// sees the earlier one, and no look-up that is under way brings it back.
    pub fn invalidate(&self, user: &str) {
        // The cache listens to its own hub, so that nobody can announce past it.
        self.changes.announce(user);
    }

    /// `credential` has another owner than before, or none: it was revoked, or is known now.
    ///
    /// Only access tokens, and those of application services, are remembered; of any other
    /// credential there is nothing to forget.
    pub fn invalidate_credential(&self, credential: Credential<'_>) {
        self.tables.forget_credential(credential);
    }

    /// Anything may have changed: forgets everything, and announces it to all who wait.
    ///
    /// It costs little by itself. What was remembered no longer counts, and makes room as it is
    /// looked up again.
    pub fn invalidate_all(&self) {
        self.changes.announce_all();
    }

    /// What the cache has done so far.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        self.tables.stats()
    }
}

impl fmt::Debug for CacheHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheHandle")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
