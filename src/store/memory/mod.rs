//! Accounts, tokens and states in memory.

mod records;
mod restrictions;
mod tables;

use std::{
    fmt,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::SystemTime,
};

use self::{
    records::Records,
    tables::{Place, Tables},
};
use super::{AccountStateStore, Answer, Peek, StoreError};
use crate::{
    account::{Account, AccountState, Restriction, RestrictionKind, UserId},
    changes::Changes,
    credential::{Credential, LoginToken, ThirdParty},
};

/// Accounts, their tokens and their states, all in memory. Use it in tests, to try the layer out, and in
/// servers that keep their tokens in memory anyway.
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
        let place = tables.place(user.into());
        tables.application_services.remove(token.as_ref());
        tables.access_tokens.insert(token.as_ref(), place);
    }

    /// Makes `token` the token of an application service, which acts as `sender` if a request asserts no other
    /// user.
    pub fn insert_application_service_token(
        &self,
        token: impl AsRef<[u8]>,
        sender: impl Into<UserId>,
    ) {
        let tables = &mut *self.write();
        let place = tables.place(sender.into());
        tables.access_tokens.remove(token.as_ref());
        tables.application_services.insert(token.as_ref(), place);
    }

    /// Forgets an access token, also an application service's. Returns whether it was known.
    pub fn remove_access_token(&self, token: impl AsRef<[u8]>) -> bool {
        let tables = &mut *self.write();
        tables.application_services.remove(token.as_ref())
            || tables.access_tokens.remove(token.as_ref())
    }

    /// Makes `token` a refresh token of `user`.
    pub fn insert_refresh_token(&self, token: impl AsRef<[u8]>, user: impl Into<UserId>) {
        let tables = &mut *self.write();
        let place = tables.place(user.into());
        tables.refresh_tokens.insert(token.as_ref(), place);
    }

    /// Forgets a refresh token. Returns whether it was known.
    pub fn remove_refresh_token(&self, token: impl AsRef<[u8]>) -> bool {
        self.write().refresh_tokens.remove(token.as_ref())
    }

    /// Makes `token` a login token of `user`, whatever its login type.
    pub fn insert_login_token(&self, token: impl AsRef<[u8]>, user: impl Into<UserId>) {
        let tables = &mut *self.write();
        let place = tables.place(user.into());
        tables.login_tokens.insert(token.as_ref(), place);
    }

    /// Forgets a login token. Returns whether it was known.
    pub fn remove_login_token(&self, token: impl AsRef<[u8]>) -> bool {
        self.write().login_tokens.remove(token.as_ref())
    }

    /// Makes the third-party id one of `user`'s. Phone numbers have the medium `msisdn`.
    pub fn insert_third_party_id(&self, medium: &str, address: &str, user: impl Into<UserId>) {
        let tables = &mut *self.write();
        let place = tables.place(user.into());
        tables.insert_third_party(medium, address, place);
    }

    /// Adds a restriction, which replaces one of its kind, and announces the change.
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

    /// The account to which a credential belongs.
    fn account_now(&self, credential: Credential<'_>) -> Option<Account> {
        let tables = &*self.read();
        let place = self.place_of(tables, credential)?;
        Some(tables.account(place))
    }

    fn owner_now(&self, credential: Credential<'_>) -> Option<UserId> {
        self.account_now(credential).map(|account| account.user)
    }

    fn place_of(&self, tables: &Tables, credential: Credential<'_>) -> Option<Place> {
        match credential {
            Credential::AccessToken(token) => tables.access_tokens.get(token.expose()),
            Credential::ApplicationService(token) => {
                tables.application_services.get(token.expose())
            }
            Credential::RefreshToken(token) => tables.refresh_tokens.get(token.expose()),
            Credential::LoginToken(login) => tables.login_tokens.get(login.token().expose()),
            Credential::LoginName(user) => match (user.starts_with('@'), &self.server_name) {
                (false, Some(server)) => tables.find(&format!("@{user}:{server}")),
                _ => tables.find(user),
            },
            Credential::ThirdParty(ThirdParty::Address { medium, address }) => {
                tables.third_party(medium, address)
            }
            Credential::ThirdParty(ThirdParty::Phone { phone, .. }) => {
                tables.third_party("msisdn", phone.trim_start_matches('+'))
            }
        }
    }

    /// Out of line, because the rare case would cost the usual case its registers.
    #[cold]
    fn glance_closer(&self, credential: Credential<'_>) -> Option<Peek> {
        match self.peek(credential) {
            Peek::Account(account) if account.state.is_active() => None,
            other => Some(other),
        }
    }

    /// The answer for a restricted account or an unknown token. Out of line, too.
    #[cold]
    fn seen(tables: &Tables, place: Option<Place>) -> Option<Peek> {
        Some(place.map(|place| tables.account(place)).into())
    }
}

impl AccountStateStore for MemoryStore {
    crate::without! { event_sender }

    async fn access_token(&self, token: &str) -> Answer {
        Ok(self.owner_now(Credential::AccessToken(token.into())))
    }

    async fn application_service(&self, token: &str) -> Answer {
        Ok(self.owner_now(Credential::ApplicationService(token.into())))
    }

    async fn login_name(&self, name: &str) -> Answer {
        Ok(self.owner_now(Credential::LoginName(name)))
    }

    async fn third_party(&self, id: ThirdParty<'_>) -> Answer {
        Ok(self.owner_now(Credential::ThirdParty(id)))
    }

    async fn login_token(&self, token: &str, login_type: Option<&str>) -> Answer {
        let login = LoginToken::new(token, login_type);
        Ok(self.owner_now(Credential::LoginToken(login)))
    }

    async fn refresh_token(&self, token: &str) -> Answer {
        Ok(self.owner_now(Credential::RefreshToken(token.into())))
    }

    async fn state(&self, user: &str) -> Result<AccountState, StoreError> {
        Ok(self.read().state_of(user))
    }

    fn changes(&self) -> Option<Changes> {
        Some(self.changes.clone())
    }

    async fn access_token_and_state(&self, token: &str) -> Result<Option<Account>, StoreError> {
        Ok(self.account_now(Credential::AccessToken(token.into())))
    }

    fn peek(&self, credential: Credential<'_>) -> Peek {
        self.account_now(credential).into()
    }

    fn peek_state(&self, user: &str) -> Option<AccountState> {
        Some(self.read().state_of(user))
    }

    /// Reads a token's owner and one pointer, and copies nothing.
    #[inline]
    fn glance(&self, credential: Credential<'_>) -> Option<Peek> {
        if let Credential::AccessToken(token) = credential {
            let tables = self.read();
            let place = tables.access_tokens.get(token.expose());
            return match place.is_some_and(|place| tables.state(place).is_active()) {
                true => None,
                false => Self::seen(&tables, place),
            };
        }
        self.glance_closer(credential)
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
