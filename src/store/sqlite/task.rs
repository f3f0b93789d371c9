//! The tasks of the threads.

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::error::Cause;
use crate::{
    account::{RestrictionKind, UserId},
    store::{ChangeRecord, RestrictionRecord},
};

type Result<T> = std::result::Result<T, Cause>;

/// Gets the connection, or the reason why there is none.
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
    /// Who makes the change, when, why and through what.
    pub(super) fn record(&self) -> &ChangeRecord {
        match self {
            Self::Restrict(record) => record.change(),
            Self::Lift(_, change) => change,
        }
    }
}
