//! Accounts: their names, and what they may do.

mod restriction;
mod state;
mod user_id;

pub use restriction::{Restriction, RestrictionKind};
pub use state::{AccountState, Flags};
pub use user_id::UserId;

/// An account with its state: the answer to both questions of the
/// [store](crate::AccountStateStore).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub(crate) user: UserId,
    pub(crate) state: AccountState,
}

impl Account {
    /// Joins the two answers.
    #[must_use]
    pub fn new(user: UserId, state: AccountState) -> Self {
        Self { user, state }
    }

    /// The user id of the account.
    #[must_use]
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// The state of the account.
    #[must_use]
    pub fn state(&self) -> &AccountState {
        &self.state
    }

    /// Both, owned.
    #[must_use]
    pub fn into_parts(self) -> (UserId, AccountState) {
        (self.user, self.state)
    }
}
