//! The promises of the store traits, as checks for your own implementation.
//!
//! [`check`] is for an [`AccountStateStore`], and [`check_restrictions`] for a
//! [`RestrictionStore`]. Call them from a test; each broken promise is reported by its name. They
//! need tokio's timers, running by the real clock, and leave no restriction behind.
//!
//! ```
//! use tower_account_status::{
//!     AccountState, MemoryStore, UserId,
//!     conformance::{self, Fixture},
//!     store::StoreError,
//! };
//!
//! struct MyStore(MemoryStore); // yours, and what is needed to fill it
//!
//! impl Fixture for MyStore {
//!     type Store = MemoryStore;
//!
//!     fn store(&self) -> &MemoryStore {
//!         &self.0
//!     }
//!
//!     async fn insert_access_token(&self, token: &str, user: &UserId) -> Result<(), StoreError> {
//!         self.0.insert_access_token(token, user.clone());
//!         Ok(())
//!     }
//!
//!     async fn set_state(&self, user: &UserId, state: AccountState) -> Result<(), StoreError> {
//!         self.0.set_state(user.clone(), state);
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! // in a `#[tokio::test]`:
//! conformance::check(&MyStore(MemoryStore::new())).await.unwrap();
//! conformance::check_restrictions(&MemoryStore::new()).await.unwrap();
//! # }
//! ```
//!
//! [`AccountStateStore`]: crate::AccountStateStore
//! [`RestrictionStore`]: crate::RestrictionStore

mod account_run;
mod accounts;
mod concurrent;
mod credentials;
mod fixture;
mod listing;
mod record_run;
mod records;
mod report;
mod samples;
mod services;
mod states;
mod wait;

pub use self::{
    accounts::check,
    fixture::{Fixture, Scope},
    records::check_restrictions,
    report::{Passed, Promise, Report, Violation},
};
