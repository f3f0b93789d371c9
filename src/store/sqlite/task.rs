//! What the threads are asked to do.

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::error::Cause;
use crate::{
    account::{RestrictionKind, UserId},
    store::{ChangeRecord, RestrictionRecord},
};

type Result<T> = std::result::Result<T, Cause>;

/// Is given the connection, or why there is none to be used.
pub(super) type Read = Box<dyn FnOnce(Result<&Connection>) + Send>;

pub(super) enum Task {
    Change(UserId, Change, oneshot::Sender<Result<bool>>),
    Read(Read),
    Reopen(oneshot::Sender<Result<()>>),
}

pub(super) enum Change {
    Restrict(RestrictionRecord),
    Lift(RestrictionKind, ChangeRecord),
}

impl Change {
    /// Who makes it, when, why and through what.
    pub(super) fn record(&self) -> &ChangeRecord {
        match self {
            Self::Restrict(record) => record.change(),
            Self::Lift(_, change) => change,
        }
    }
}
