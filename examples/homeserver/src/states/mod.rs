//! With `--states` the account states are in a PostgreSQL database that several processes share.
//! Without that option nothing here is used, and the states are in the server's own tables
//! (`store.rs`).

#[cfg(feature = "postgres")]
mod shared;
#[cfg(not(feature = "postgres"))]
mod unavailable;

#[cfg(feature = "postgres")]
pub(crate) use shared::States;
#[cfg(not(feature = "postgres"))]
pub(crate) use unavailable::States;
