//! Where the layer learns whose a credential is and what that account may do.
#![cfg_attr(
    all(feature = "cache", feature = "postgres", feature = "sqlite"),
    doc = "",
    doc = include_str!("../../docs/stores.md")
)]

mod account_state;
pub(crate) mod ask;
#[cfg(feature = "cache")]
mod cached;
mod change_record;
mod combined;
mod erased;
mod error;
mod forward;
mod macros;
mod memory;
#[cfg(feature = "postgres")]
#[cfg_attr(docsrs, doc(cfg(feature = "postgres")))]
pub mod postgres;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod restricted_set;
mod restrictions;
#[cfg(feature = "sqlite")]
#[cfg_attr(docsrs, doc(cfg(feature = "sqlite")))]
pub mod sqlite;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod stored;

pub use account_state::{AccountStateStore, Answer, Peek};
pub use ask::account_of;
#[cfg(feature = "cache")]
#[cfg_attr(docsrs, doc(cfg(feature = "cache")))]
pub use cached::{CacheHandle, CacheStats, CachedStore, CachedStoreError};
pub use change_record::{ChangeRecord, Channel};
pub use combined::Combined;
pub use erased::DynAccountStateStore;
pub use error::StoreError;
#[cfg(feature = "tracing")]
pub(crate) use error::chain;
pub use memory::MemoryStore;
#[cfg(feature = "postgres")]
pub use postgres::PostgresStore;
pub use restrictions::{RestrictionRecord, RestrictionStore};
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;
