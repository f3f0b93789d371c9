//! The other place where account states may live: a PostgreSQL that several processes share
//! (`--states`). Without that option nothing here is used, and the states stand in the server's
//! own tables (`store.rs`).

#[cfg(all(feature = "cache", feature = "moderation", feature = "postgres"))]
mod shared;
#[cfg(not(all(feature = "cache", feature = "moderation", feature = "postgres")))]
mod unavailable;

#[cfg(all(feature = "cache", feature = "moderation", feature = "postgres"))]
pub(crate) use shared::States;
#[cfg(not(all(feature = "cache", feature = "moderation", feature = "postgres")))]
pub(crate) use unavailable::States;
