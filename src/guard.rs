//! The same question for a server's own code.

use std::{fmt, sync::Arc};

use crate::{
    account::{Account, AccountState, Restriction, RestrictionKind, UserId},
    action::Action,
    denial::{Denial, DenialCause},
    request::few::Few,
    settings::StoreFailure,
    shared::Shared,
    store::AccountStateStore,
};

/// Answers a server's own code what the layer would: for login handlers, single-sign-on
/// callbacks, OAuth token endpoints and administrators' tools.
///
/// Kept beside the server's state (from [`AccountStatusLayer::guard`]), or found in the request's
/// extensions where a check is left to the handler ([`NamedAccountCheck::ByHandler`]). A clone is
/// the same guard.
///
/// ```
/// use tower_account_status::{AccountGuard, Denial, MemoryStore, UserId};
///
/// async fn log_in(guard: &AccountGuard<MemoryStore>, user: &UserId) -> Result<(), Denial> {
///     // … the password is right, and no device has been made yet:
///     guard.check(user).await?;
///     Ok(())
/// }
/// ```
///
/// # Sessions of user-interactive authentication
///
/// Some servers keep the body with which such a session began, and fill up with it what a later
/// body leaves out. The layer sees each body as it was sent. It refuses `POST /login` and
/// `POST /refresh` with an `auth`, which neither has in the specification. Where `auth` is
/// regular, a handler that merges has to ask about what it has put together:
///
/// - [`check`](Self::check) the account that it is about to act for, unless that is the owner of
///   the request's access token, before it makes a device, changes a password or deactivates;
/// - [`check_action`](Self::check_action) what the merged body makes of the request, where a
///   suspended account may do one thing by that endpoint and not another.
///
/// So has every handler that takes a session for proof which it was given earlier, by e-mail for
/// example: then no body names the account.
///
/// [`AccountStatusLayer::guard`]: crate::AccountStatusLayer::guard
/// [`NamedAccountCheck::ByHandler`]: crate::NamedAccountCheck::ByHandler
pub struct AccountGuard<S>(Arc<Shared<S>>);

impl<S: AccountStateStore> AccountGuard<S> {
    pub(crate) fn new(shared: Arc<Shared<S>>) -> Self {
        Self(shared)
    }

    /// Whether `user` may log in and use the server at all: not while locked or deactivated.
    ///
    /// # Errors
    ///
    /// The denial that turns into the same response that the layer gives, with the reason and the
    /// end where the store knows them: ask only after the person has proved who they are. Also if
    /// the store fails or does not answer within the layer's time limit.
    pub async fn check(&self, user: &UserId) -> Result<(), Denial> {
        self.check_action(user, Action::LogIn).await
    }

    /// Whether `user` may do something: not while locked or deactivated, nor while suspended if
    /// the [policy](crate::SuspensionPolicy) refuses it.
    ///
    /// For what a request's head and body do not show, such as the redaction of an event that
    /// turns out to be somebody else's ([`Action::RedactEvent`]).
    ///
    /// # Errors
    ///
    /// As for [`check`](Self::check).
    pub async fn check_action(&self, user: &UserId, action: Action) -> Result<(), Denial> {
        let settings = &self.0.settings;
        let state = match self.state(user).await {
            Ok(state) => state,
            Err(_) if settings.store_failure == StoreFailure::LetEveryoneThrough => return Ok(()),
            Err(denial) => return Err(denial),
        };
        let now = settings.now();
        let Some(kind) = state.in_force(now).map(Restriction::kind) else {
            return Ok(());
        };
        let is_suspended = kind == RestrictionKind::Suspended;
        if is_suspended && settings.suspension.permits(action) {
            return Ok(());
        }
        let action = is_suspended.then_some(action);
        let denial = Denial::restricted(user.clone(), state, kind, now);
        Err(denial.with_action(action).with_cors(settings.cors_headers))
    }

    /// The state of `user`, within the layer's time limit.
    ///
    /// # Errors
    ///
    /// A denial with [`DenialCause::StoreFailed`] if the store fails, panics or takes too long.
    pub async fn state(&self, user: &UserId) -> Result<AccountState, Denial> {
        let settings = &self.0.settings;
        let answer = self.0.state_now(user).await;
        answer.map_err(|_| settings.denial(DenialCause::StoreFailed))
    }
}

impl<S> Clone for AccountGuard<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> fmt::Debug for AccountGuard<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AccountGuard").field(&self.0).finish()
    }
}

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
