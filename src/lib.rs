//! Account locking, suspension and deactivation for Matrix homeservers, as a tower middleware.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod account;
mod changes;
#[cfg(feature = "conformance")]
#[cfg_attr(docsrs, doc(cfg(feature = "conformance")))]
pub mod conformance;
mod credential;
pub mod store;

pub use account::{Account, AccountState, Restriction, RestrictionKind, UserId};
pub use changes::{Changes, Subscription};
pub use credential::{AccessToken, Credential, LoginIdentifier, LoginToken, Secret};
pub use store::{
    AccountStateStore, Combined, CredentialOwner, DynAccountStateStore, MemoryStore, Peek,
    RestrictionRecord, RestrictionStore,
};
