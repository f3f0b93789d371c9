//! The answers of a store.

use super::StoreError;
use crate::account::{Account, UserId};

/// The owner of a credential. `None` if the store does not know the credential.
pub type Answer = Result<Option<UserId>, StoreError>;

/// The answer that a store can give at once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Peek {
    /// None: the store must be awaited.
    Ask,
    /// The store does not know the credential.
    Unknown,
    /// The credential belongs to this account, which is in this state.
    Account(Account),
}

impl From<Option<Account>> for Peek {
    fn from(account: Option<Account>) -> Self {
        account.map_or(Self::Unknown, Self::Account)
    }
}
