//! Where the layer learns who owns a credential and what that account may do.
//!
//! [`AccountStateStore`] is the trait that a homeserver implements.
//! [The guide](crate::guide::the_store) shows how. [Stores](crate::guide::stores) are the ready-made ones in
//! front of it or beside it. The types that most servers need are in the crate's root.

pub(crate) mod account_state;
pub(crate) mod answer;
pub(crate) mod ask;
mod audit;
#[cfg(feature = "cache")]
pub(crate) mod cached;
mod causes;
mod change_record;
pub(crate) mod combined;
pub(crate) mod erased;
mod error;
#[cfg(feature = "tracing")]
mod failures;
mod forward;
mod macros;
pub(crate) mod memory;
mod micros;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod restricted_set;
pub(crate) mod restrictions;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod stored;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod unknown_kind;

pub use answer::Answer;
pub use ask::account_of;
pub use audit::{AuditAction, AuditEntry, AuditLog, AuditPosition, AuditQuery};
pub use change_record::{ChangeRecord, Channel};
pub use error::StoreError;
#[cfg(feature = "postgres")]
#[cfg_attr(docsrs, doc(cfg(feature = "postgres")))]
pub use postgres::{PostgresChanges, PostgresOptions, PostgresStore, PostgresStoreError};
#[cfg(feature = "sqlite")]
#[cfg_attr(docsrs, doc(cfg(feature = "sqlite")))]
pub use sqlite::{SqliteOptions, SqliteStore, SqliteStoreError};
#[cfg(feature = "tracing")]
pub(crate) use {causes::chain, failures::Failures};

// These are public in the crate's root, and there alone.
#[cfg(feature = "cache")]
pub(crate) use cached::CachedStoreError;
pub(crate) use {
    account_state::AccountStateStore,
    answer::Peek,
    restrictions::{RestrictionRecord, RestrictionStore},
};
