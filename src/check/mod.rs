//! How an answer is found, from the head of a request to what becomes of it.
//!
//! - [`fast_path`]: nearly every request: no credential, or one that the store knows to be an
//!   unrestricted account's. Nothing is allocated, and nothing else looked at.
//! - [`at_once`]: whatever else can be decided without waiting.
//! - [`look_up`]: the store has to be awaited, nearly always for the only token.
//! - [`awaited`]: it has to be asked for more, or a body read.
//! - [`watch`]: a long poll passes, and its account is restricted while it waits.
//! - [`logout`]: tells the store that a logout has succeeded.
//! - [`own_code`]: the server's own code asks, through the guard.
//! - [`closer`]: a suspension depends on the body, or on who has sent an event.
//! - [`ask`]: the questions to the store, each in one place.
//! - [`findings`]: what has been learnt, and who is told of it.
//!
//! Whether an account is refused is decided by [`crate::judge`] alone.

mod ask;
mod at_once;
mod awaited;
mod body;
mod closer;
mod fast_path;
mod findings;
mod limits;
mod logout;
mod look_up;
mod own_code;
mod together;
mod watch;

pub(crate) use at_once::AtOnce;
pub(crate) use awaited::{Begun, Check};
pub(crate) use fast_path::FastPath;
pub(crate) use findings::Findings;
#[cfg(feature = "moderation")]
pub(crate) use limits::{Failure, within_limits};
pub(crate) use logout::EndedSessions;
pub(crate) use look_up::look_up;
pub(crate) use watch::Watch;
