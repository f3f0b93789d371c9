//! The specification's endpoints for moderators, which a server that does not have them can add.
//!
//! `GET` and `PUT` of `/_matrix/client/v1/admin/lock/{userId}` and
//! `/_matrix/client/v1/admin/suspend/{userId}`
//! ([server administration](https://spec.matrix.org/latest/client-server-api/#server-administration),
//! since version 1.18), and the same under `/_matrix/client/unstable/uk.timedout.msc4323/`
//! ([MSC4323](https://github.com/matrix-org/matrix-spec-proposals/pull/4323)), on any
//! [`RestrictionStore`](crate::RestrictionStore). See [`AccountModerationLayer`](crate::AccountModerationLayer).

mod answer;
mod body;
pub(crate) mod capability;
mod checks;
pub(crate) mod directory;
mod endpoint;
mod findings;
mod future;
pub(crate) mod layer;
mod outcome;
mod refusal;
pub(crate) mod service;
mod shared;

pub use findings::Decision;
pub use future::ResponseFuture;
pub use outcome::Outcome;
pub use refusal::Refusal;
