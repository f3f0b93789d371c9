//! The promises of the store traits, as checks of your own implementation.
//!
//! - [`check`] checks an [`AccountStateStore`].
//! - [`check_restrictions`] checks a [`RestrictionStore`].
//! - [`check_audit_log`] checks the [`AuditLog`] of such a store, and [`check_audit_retention`] how
//!   long the log keeps its entries.
//!
//! Call them from a test. The error names each broken promise. What is returned otherwise says what was not
//! checked, because the [`Fixture`] cannot make it: print it. The checks need tokio's timers, which run by
//! the real clock. They leave no restriction behind.
//!
//! ```
//! use tower_account_status::{
//!     AccountState, MemoryStore, UserId,
//!     conformance::{self, Fixture},
//!     store::StoreError,
//! };
//!
//! struct MyStore(MemoryStore); // your store, and what the test needs to fill it
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
//! let passed = conformance::check(&MyStore(MemoryStore::new())).await.unwrap();
//! println!("{passed}"); // and what was not checked: this fixture has only what is required
//! let passed = conformance::check_restrictions(&MemoryStore::new()).await.unwrap();
//! println!("{passed}");
//! # }
//! ```
//!
//! [`AccountStateStore`]: crate::AccountStateStore
//! [`RestrictionStore`]: crate::RestrictionStore
//! [`AuditLog`]: crate::store::AuditLog

mod account_run;
mod accounts;
mod audit;
mod audit_pages;
mod audit_retention;
mod audit_run;
mod concurrent;
mod credentials;
mod fixture;
mod listing;
mod logouts;
mod many;
mod record_run;
mod records;
mod report;
mod samples;
mod services;
mod states;
mod wait;

pub use self::{
    accounts::check,
    audit::check_audit_log,
    audit_retention::check_audit_retention,
    fixture::{Fixture, Scope},
    records::check_restrictions,
    report::{Passed, Promise, Report, Violation},
};
