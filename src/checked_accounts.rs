//! The accounts of the check, which a handler may read.

use std::sync::Arc;

use crate::{account::Account, request::few::Few};

/// The accounts whose states were checked for a request. They are in its extensions if
/// [the setting](crate::AccountStatusLayer::with_checked_accounts) asks for that.
///
/// Empty if none was checked: the request has no credential, has an unknown one, or passes in every state.
///
/// **It proves no authentication.** It says whose state was looked up. The token may have expired, or may have
/// been revoked while a cache still knew its owner. Use it in logs and rate limits.
#[derive(Clone, Debug)]
pub struct CheckedAccounts(Arc<[Account]>);

impl CheckedAccounts {
    pub(crate) fn new(accounts: Few<Account>) -> Self {
        Self(accounts.into_iter().collect())
    }

    /// The account of the first known credential. Headers come before the query.
    #[must_use]
    pub fn first(&self) -> Option<&Account> {
        self.0.first()
    }

    /// All accounts, nearly always one.
    pub fn iter(&self) -> impl Iterator<Item = &Account> {
        self.0.iter()
    }

    /// Whether no account was checked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
