//! What a handler may learn of the check.

use std::sync::Arc;

use crate::{account::Account, request::few::Few};

/// The accounts whose states were checked for a request, in its extensions where
/// [the setting](crate::AccountStatusLayer::with_checked_accounts) asks for it.
///
/// **It proves no authentication.** It says whose state was looked up: the token may have expired,
/// or have been revoked while a cache still knew its owner. It is for logs and rate limits.
#[derive(Clone, Debug)]
pub struct CheckedAccounts(Arc<[Account]>);

impl CheckedAccounts {
    pub(crate) fn new(accounts: Few<Account>) -> Self {
        Self(accounts.into_iter().collect())
    }

    /// The account of the first credential that is somebody's: headers come before the query.
    #[must_use]
    pub fn first(&self) -> &Account {
        &self.0[0]
    }

    /// All of them; nearly always one.
    pub fn iter(&self) -> impl Iterator<Item = &Account> {
        self.0.iter()
    }
}
