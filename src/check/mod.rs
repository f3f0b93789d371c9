//! How an answer is found, from the head of a request to its outcome.
//!
//! - [`fast_path`]: nearly every request. It has no credential, or the store knows at once that the
//!   credential's owner is unrestricted. Nothing is allocated.
//! - [`at_once`]: everything else that can be decided without waiting.
//! - [`look_up`]: the store must be awaited for the only token, and for nothing else.
//! - [`awaited`]: the store must be asked for more, or a body must be read. The questions to it are there.
//! - [`watch`]: a long poll passes, and its account is restricted while it waits.
//! - [`logout`]: tells the store that a logout has succeeded.
//! - [`own_code`]: the server's own code asks, through the guard.
//! - [`closer`]: a suspension depends on the body, or on the sender of an event.
//! - [`findings`]: what is known of a request, and telling of it.
//!
//! Only [`crate::judge`] decides whether an account is refused.

mod at_once;
mod awaited;
pub(crate) mod body;
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
pub(crate) use awaited::{Begun, Check, check_awaited};
pub(crate) use fast_path::FastPath;
pub(crate) use findings::Findings;
#[cfg(feature = "moderation")]
pub(crate) use limits::{Failure, within_limits};
pub(crate) use logout::EndedSessions;
pub(crate) use look_up::look_up;
pub(crate) use watch::Watch;
