//! Accounts, tokens and states in memory.

mod records;
mod tables;

use std::{
    convert::Infallible,
    fmt,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::SystemTime,
};

use self::{
    records::Records,
    tables::{Owner, Place, Tables},
};
use super::{AccountStateStore, Peek};
use crate::{
    account::{Account, AccountState, Restriction, RestrictionKind, UserId},
    changes::Changes,
    credential::{Credential, LoginIdentifier, Secret},
};

/// Accounts, their tokens and their states, all in memory: for tests, for trying the layer out,
/// and for servers that keep their tokens in memory anyway.
///
/// Everything is answered at once. Nothing survives the process.
///
/// ```
/// use tower_account_status::{MemoryStore, RestrictionKind};
///
/// let store = MemoryStore::new();
/// store.insert_access_token("syt_YWxpY2U", "@alice:localhost");
/// store.restrict("@alice:localhost", RestrictionKind::Locked);
/// store.lift("@alice:localhost", RestrictionKind::Locked);
/// ```
pub struct MemoryStore {
    server_name: Option<Box<str>>,
    changes: Changes,
    tables: RwLock<Tables>,
    records: Records,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self {
            server_name: None,
            changes: Changes::new(),
            tables: RwLock::default(),
            records: Records::default(),
        }
    }

    /// Names the server, so that a login by localpart finds its account.
    #[must_use]
    pub fn with_server_name(mut self, server_name: &str) -> Self {
        self.server_name = Some(server_name.into());
        self
    }

    /// Makes `token` an access token of `user`.
    pub fn insert_access_token(&self, token: impl AsRef<[u8]>, user: impl Into<UserId>) {
        let tables = &mut *self.write();
        let owner = Owner::user(tables.place(user.into()));
        tables.access_tokens.insert(token.as_ref(), owner);
    }

    /// Makes `token` the token of an application service, which acts as `sender` where a request
    /// asserts no other user.
    pub fn insert_application_service_token(
        &self,
        token: impl AsRef<[u8]>,
        sender: impl Into<UserId>,
    ) {
        let tables = &mut *self.write();
        let owner = Owner::application_service(tables.place(sender.into()));
        tables.access_tokens.insert(token.as_ref(), owner);
    }

    /// Forgets an access token, and says whether it was known.
    pub fn remove_access_token(&self, token: impl AsRef<[u8]>) -> bool {
        self.write().access_tokens.remove(token.as_ref())
    }

    /// Makes `token` a refresh token of `user`.
    pub fn insert_refresh_token(&self, token: impl AsRef<[u8]>, user: impl Into<UserId>) {
        let tables = &mut *self.write();
        let owner = Owner::user(tables.place(user.into()));
        tables.refresh_tokens.insert(token.as_ref(), owner);
    }

    /// Forgets a refresh token, and says whether it was known.
    pub fn remove_refresh_token(&self, token: impl AsRef<[u8]>) -> bool {
        self.write().refresh_tokens.remove(token.as_ref())
    }

    /// Makes `token` a login token of `user`, whatever its login type.
    pub fn insert_login_token(&self, token: impl AsRef<[u8]>, user: impl Into<UserId>) {
        let tables = &mut *self.write();
        let owner = Owner::user(tables.place(user.into()));
        tables.login_tokens.insert(token.as_ref(), owner);
    }

    /// Forgets a login token, and says whether it was known.
    pub fn remove_login_token(&self, token: impl AsRef<[u8]>) -> bool {
        self.write().login_tokens.remove(token.as_ref())
    }

    /// Makes the third-party id one of `user`'s. Phone numbers have the medium `msisdn`.
    pub fn insert_third_party_id(&self, medium: &str, address: &str, user: impl Into<UserId>) {
        let tables = &mut *self.write();
        let place = tables.place(user.into());
        tables.insert_third_party(medium, address, place);
    }

    /// Adds a restriction, in place of one of its kind, and announces the change.
    pub fn restrict(&self, user: impl Into<UserId>, restriction: impl Into<Restriction>) {
        let restriction = restriction.into();
        self.change(&user.into(), |state| state.with(restriction));
    }

    /// Lifts the restriction of `kind`, and announces the change.
    pub fn lift(&self, user: impl Into<UserId>, kind: RestrictionKind) {
        self.change(&user.into(), |state| state.without(kind));
    }

    /// Puts the account into `state`, and announces the change.
    pub fn set_state(&self, user: impl Into<UserId>, state: AccountState) {
        self.change(&user.into(), |_| state);
    }

    fn change(&self, user: &UserId, change: impl FnOnce(AccountState) -> AccountState) {
        let now = SystemTime::now();
        self.records.change(user, |records| {
            let state = self.change_state(user, change);
            records.follow(&state, now);
        });
        self.changes.announce(user);
    }

    fn change_state(
        &self,
        user: &UserId,
        change: impl FnOnce(AccountState) -> AccountState,
    ) -> AccountState {
        let tables = &mut *self.write();
        let place = tables.place(user.clone());
        let state = tables.state_mut(place);
        *state = change(std::mem::take(state));
        state.clone()
    }

    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Tables> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn account_now(&self, credential: Credential<'_>) -> Option<Account> {
        let tables = &*self.read();
        if let Credential::AccessToken(access) = credential {
            let owner = tables.access_tokens.get(access.token().expose())?;
            return match (owner.is_application_service, access.asserted_user()) {
                (true, Some(user)) => Some(tables.account_of(user)),
                _ => Some(tables.account(owner.place)),
            };
        }
        self.place_of(tables, credential)
            .map(|place| tables.account(place))
    }

    /// Out of line: what is rare would cost the usual case its registers.
    #[cold]
    fn is_active_on_behalf(&self, credential: Credential<'_>) -> bool {
        let account = self.account_now(credential);
        account.is_some_and(|account| account.state.is_active())
    }

    /// The account that anything but an access token belongs to.
    fn place_of(&self, tables: &Tables, credential: Credential<'_>) -> Option<Place> {
        match credential {
            Credential::AccessToken(_) => None,
            Credential::RefreshToken(token) => {
                let owner = tables.refresh_tokens.get(token.expose());
                owner.map(|owner| owner.place)
            }
            Credential::LoginToken(login) => {
                let owner = tables.login_tokens.get(login.token().expose());
                owner.map(|owner| owner.place)
            }
            Credential::LoginIdentifier(LoginIdentifier::User(user)) => {
                match (user.starts_with('@'), &self.server_name) {
                    (false, Some(server)) => tables.find(&format!("@{user}:{server}")),
                    _ => tables.find(user),
                }
            }
            Credential::LoginIdentifier(LoginIdentifier::ThirdParty { medium, address }) => {
                tables.third_party(medium, address)
            }
            Credential::LoginIdentifier(LoginIdentifier::Phone { phone, .. }) => {
                tables.third_party("msisdn", phone.trim_start_matches('+'))
            }
        }
    }
}

impl AccountStateStore for MemoryStore {
    type Error = Infallible;

    async fn account(&self, credential: Credential<'_>) -> Result<Option<UserId>, Infallible> {
        Ok(self.account_now(credential).map(|account| account.user))
    }

    async fn state(&self, user: &UserId) -> Result<AccountState, Infallible> {
        Ok(self.read().account_of(user).state)
    }

    fn peek(&self, credential: Credential<'_>) -> Peek {
        match self.account_now(credential) {
            Some(account) => Peek::Account(account),
            None => Peek::Nobody,
        }
    }

    fn peek_state(&self, user: &UserId) -> Option<AccountState> {
        Some(self.read().account_of(user).state)
    }

    fn is_application_service(&self, token: Secret<'_>) -> bool {
        let owner = self.read().access_tokens.get(token.expose());
        owner.is_some_and(|owner| owner.is_application_service)
    }

    /// Reads a token's owner and one pointer, and copies nothing.
    #[inline]
    fn is_active(&self, credential: Credential<'_>) -> bool {
        match credential {
            Credential::AccessToken(access) if access.asserted_user().is_none() => {
                let tables = self.read();
                let owner = tables.access_tokens.get(access.token().expose());
                owner.is_some_and(|owner| tables.state(owner.place).is_active())
            }
            _ => self.is_active_on_behalf(credential),
        }
    }

    fn changes(&self) -> Option<Changes> {
        Some(self.changes.clone())
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tables = &*self.read();
        f.debug_struct("MemoryStore")
            .field("accounts", &tables.len())
            .field("access_tokens", &tables.access_tokens.len())
            .finish_non_exhaustive()
    }
}
