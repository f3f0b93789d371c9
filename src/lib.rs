//! Account locking, suspension and deactivation for Matrix homeservers, as a tower middleware.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod account;
mod changes;
mod credential;
pub mod store;

pub use account::{Account, AccountState, Restriction, RestrictionKind, UserId};
pub use changes::{ChangeListener, Changes, Subscription};
pub use credential::{AccessToken, Credential, LoginIdentifier, LoginToken, Secret};
pub use store::{AccountStateStore, DynAccountStateStore, MemoryStore, Peek};
#[cfg(feature = "cache")]
#[cfg_attr(docsrs, doc(cfg(feature = "cache")))]
pub use store::{CacheHandle, CacheStats, CachedStore, CachedStoreError};
