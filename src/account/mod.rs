//! What is known of an account: who it is, and what it may do.

mod restriction;
mod state;
mod user_id;

pub use restriction::{Restriction, RestrictionKind};
pub use state::{AccountState, Flags};
pub use user_id::UserId;

/// An account and the state that it is in: the answer to both of the
/// [store](crate::AccountStateStore)'s questions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub(crate) user: UserId,
    pub(crate) state: AccountState,
}

impl Account {
    /// Puts the two answers together.
    #[must_use]
    pub fn new(user: UserId, state: AccountState) -> Self {
        Self { user, state }
    }

    /// Whose account it is.
    #[must_use]
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// What it may do.
    #[must_use]
    pub fn state(&self) -> &AccountState {
        &self.state
    }

    /// Both, as the caller's own.
    #[must_use]
    pub fn into_parts(self) -> (UserId, AccountState) {
        (self.user, self.state)
    }
}
