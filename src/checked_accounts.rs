//! What a handler may learn of the check.

use std::sync::Arc;

use crate::{account::Account, request::few::Few};

/// The accounts whose states were checked for a request, in its extensions where
/// [the setting](crate::AccountStatusLayer::with_checked_accounts) asks for it.
///
/// Empty where none was: the request has no credential, an unknown one, or passes whatever the
/// state.
///
/// **It proves no authentication.** It says whose state was looked up: the token may have expired,
/// or have been revoked while a cache still knew its owner. It is for logs and rate limits.
#[derive(Clone, Debug)]
pub struct CheckedAccounts(Arc<[Account]>);

impl CheckedAccounts {
    pub(crate) fn new(accounts: Few<Account>) -> Self {
        Self(accounts.into_iter().collect())
    }

    /// The account of the first credential that is known: headers come before the query.
    #[must_use]
    pub fn first(&self) -> Option<&Account> {
        self.0.first()
    }

    /// All of them; nearly always one.
    pub fn iter(&self) -> impl Iterator<Item = &Account> {
        self.0.iter()
    }

    /// Whether no account was checked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
