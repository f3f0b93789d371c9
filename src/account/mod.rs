//! What is known of an account: who it is, and what it may do.

mod restriction;
mod state;
mod user_id;

pub use restriction::{Restriction, RestrictionKind};
pub use state::AccountState;
pub use user_id::UserId;

/// An account and the state that it is in: the answer to both of the
/// [store](crate::AccountStateStore)'s questions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Whose account it is.
    pub user: UserId,
    /// What it may do.
    pub state: AccountState,
}

impl Account {
    /// Puts the two answers together.
    #[must_use]
    pub fn new(user: UserId, state: AccountState) -> Self {
        Self { user, state }
    }
}
