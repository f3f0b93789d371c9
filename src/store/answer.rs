//! What a store answers.

use super::StoreError;
use crate::account::{Account, UserId};

/// Whose a credential is: `None` where the store does not know it.
pub type Answer = Result<Option<UserId>, StoreError>;

/// What a store can say at once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Peek {
    /// Nothing: the store has to be asked, and awaited.
    Ask,
    /// The store does not know the credential.
    Unknown,
    /// The credential is this account's, which is in this state.
    Account(Account),
}

impl From<Option<Account>> for Peek {
    fn from(account: Option<Account>) -> Self {
        account.map_or(Self::Unknown, Self::Account)
    }
}
