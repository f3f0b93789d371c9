//! A store that remembers another store's answers.
//!
//! # What is remembered
//!
//! The two questions have a table each: an access token leads to its owner, and an owner to a
//! state. So locking a person with nine devices drops one entry, and an answer costs one keyed
//! hash and two reads. A state expires soon, because it changes. An owner may stay, because a token
//! never gets another one, and the inner service refuses a revoked token anyway. **A cached owner is no
//! authentication**: it says only whose state was checked.
//!
//! Unknown tokens have a small table of their own, so that a flood of made-up tokens
//! cannot push anyone out. Refresh tokens, login tokens and names at a login are not remembered:
//! each is seen once or a few times, and a cache should not keep what a person typed into a login form.
//! Their owner is looked up each time, and its state comes from the table.
//!
//! # Files
//!
//! `flights` has the rule that makes revocation race-proof. `tables` remembers and forgets. `lookups` asks
//! the store. `answers` has the order of the steps, and `many` the same for many accounts at once.

mod answers;
mod clock;
mod error;
mod flights;
mod handle;
mod key;
mod lookups;
mod many;
#[cfg(all(test, shuttle))]
mod model;
mod setters;
mod settings;
mod stats;
mod table;
mod tables;

use std::{fmt, sync::Arc};

pub use error::CachedStoreError;
pub use handle::CacheHandle;
pub use stats::CacheStats;

use self::tables::Tables;
use super::AccountStateStore;
use crate::{
    changes::{Announcement, ChangeListener, Changes},
    credential::Credential,
};

/// Remembers the answers of the store `S`, within bounds, until a change is announced or they expire.
///
/// Use it in front of a store that has to be awaited, such as a database. Remembered answers are
/// given at once and without an allocation.
///
/// ```
/// use std::time::Duration;
/// use tower_account_status::{AccountStateStore, CachedStore, MemoryStore};
///
/// let store = CachedStore::new(MemoryStore::new()) // or your database
///     .with_capacity(50_000)
///     .with_ttl(Duration::from_secs(30));
/// let cache = store.handle(); // give it to the code that locks accounts
/// // when the database says that the account is locked:
/// cache.invalidate("@alice:example.org");
/// ```
///
/// # How late a lock can be
///
/// No request that starts after [`invalidate`](Self::invalidate) has returned sees the earlier
/// state, and no look-up that was under way brings it back. If nobody calls it, or the message is
/// lost, a lock takes effect when the [time to live](Self::with_ttl) has passed since the state was
/// read, however busy the client is.
///
/// If the inner store has [`changes`](AccountStateStore::changes), the cache listens there, and
/// nothing needs to be called. When the inner store's [`announce`](Changes::announce) returns, the
/// entry is gone and the change is announced on the cache's own hub. An announcement on that hub
/// does the same.
///
/// # Tokens that were logged out or revoked
///
/// When a logout succeeds, the cache [forgets](AccountStateStore::logged_out) whose the token was, so that
/// the server then answers that it is unknown. A token that is revoked in another way (by another
/// process, by an administrator, with a deleted device or a changed password) is remembered as its
/// former owner's until its [time](Self::with_owner_ttl) is over. While that account is restricted, the
/// answer is its refusal. Call [`CacheHandle::invalidate_credential`] where the server revokes one.
///
/// # Cost to the store
///
/// There is one look-up at a time for each token and each account, however many requests wait for
/// it. If it fails, all of them get its failure. If [one look-up](AccountStateStore::states) answers for
/// many waiting requests, it asks only for states that are not remembered, and its answers are
/// remembered. A request that comes meanwhile asks for its own account and waits for no other one. An
/// unknown token costs two look-ups, among the users' tokens and then among the services', and two
/// entries for the [time](Self::with_unknown_ttl) of unknown tokens, because only the second look-up
/// shows whether a service has registered it. A service's own request without an assertion is looked up among the
/// users' tokens again whenever that time is over. If the request that asks goes away, the next one
/// asks. As with every shared look-up, it makes progress only while the future that asks is polled:
/// a caller must not keep that future without polling it.
pub struct CachedStore<S> {
    store: S,
    handle: CacheHandle,
    _listener: ChangeListener,
}

impl<S: AccountStateStore> CachedStore<S> {
    /// A cache in front of `store`, with room for 100,000 tokens and as many accounts.
    #[must_use]
    pub fn new(store: S) -> Self {
        let tables = Arc::new(Tables::new());
        let changes = Changes::relaying(store.changes());
        let listener = changes.listen({
            let tables = Arc::clone(&tables);
            move |announcement| match announcement {
                Announcement::Account(user) => tables.forget_user(user),
                Announcement::AllAccounts => tables.forget_all(),
            }
        });
        Self {
            store,
            handle: CacheHandle { tables, changes },
            _listener: listener,
        }
    }
}

impl<S> CachedStore<S> {
    /// The handle with which your server tells this cache of changes.
    #[must_use]
    pub fn handle(&self) -> CacheHandle {
        self.handle.clone()
    }

    /// See [`CacheHandle::invalidate`].
    pub fn invalidate(&self, user: &str) {
        self.handle.invalidate(user);
    }

    /// See [`CacheHandle::invalidate_credential`].
    pub fn invalidate_credential(&self, credential: Credential<'_>) {
        self.handle.invalidate_credential(credential);
    }

    /// See [`CacheHandle::invalidate_all`].
    pub fn invalidate_all(&self) {
        self.handle.invalidate_all();
    }

    /// See [`CacheHandle::stats`].
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        self.handle.stats()
    }

    /// The store behind the cache.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        &self.store
    }

    #[inline]
    fn tables(&self) -> &Tables {
        &self.handle.tables
    }
}

impl<S> fmt::Debug for CachedStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedStore")
            .field("settings", &self.tables().settings())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
