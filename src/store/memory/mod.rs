//! Accounts, tokens and states in memory.

mod records;

use std::{
    collections::HashMap,
    convert::Infallible,
    fmt,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::SystemTime,
};

use self::records::Records;
use super::{AccountStateStore, Peek};
use crate::{
    Account, AccountState, Credential, LoginIdentifier, Restriction, RestrictionKind, Secret,
    UserId, changes::Changes,
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

/// Every key leads to the account's place in `accounts`, so that a state is stored once however
/// many devices a person has.
#[derive(Default)]
struct Tables {
    accounts: Vec<Account>,
    users: HashMap<UserId, usize>,
    access_tokens: HashMap<Box<[u8]>, TokenOwner>,
    refresh_tokens: HashMap<Box<[u8]>, usize>,
    login_tokens: HashMap<Box<[u8]>, usize>,
    third_party_ids: HashMap<(Box<str>, Box<str>), usize>,
}

#[derive(Clone, Copy)]
enum TokenOwner {
    User(usize),
    ApplicationService(usize),
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
        let owner = TokenOwner::User(tables.place(user.into()));
        tables.access_tokens.insert(token.as_ref().into(), owner);
    }

    /// Makes `token` the token of an application service, which acts as `sender` where a request
    /// asserts no other user.
    pub fn insert_application_service_token(
        &self,
        token: impl AsRef<[u8]>,
        sender: impl Into<UserId>,
    ) {
        let tables = &mut *self.write();
        let owner = TokenOwner::ApplicationService(tables.place(sender.into()));
        tables.access_tokens.insert(token.as_ref().into(), owner);
    }

    /// Forgets an access token, and says whether it was known.
    pub fn remove_access_token(&self, token: impl AsRef<[u8]>) -> bool {
        let tables = &mut *self.write();
        tables.access_tokens.remove(token.as_ref()).is_some()
    }

    /// Makes `token` a refresh token of `user`.
    pub fn insert_refresh_token(&self, token: impl AsRef<[u8]>, user: impl Into<UserId>) {
        let tables = &mut *self.write();
        let place = tables.place(user.into());
        tables.refresh_tokens.insert(token.as_ref().into(), place);
    }

    /// Forgets a refresh token, and says whether it was known.
    pub fn remove_refresh_token(&self, token: impl AsRef<[u8]>) -> bool {
        let tables = &mut *self.write();
        tables.refresh_tokens.remove(token.as_ref()).is_some()
    }

    /// Makes `token` a login token of `user`, whatever its login type.
    pub fn insert_login_token(&self, token: impl AsRef<[u8]>, user: impl Into<UserId>) {
        let tables = &mut *self.write();
        let place = tables.place(user.into());
        tables.login_tokens.insert(token.as_ref().into(), place);
    }

    /// Forgets a login token, and says whether it was known.
    pub fn remove_login_token(&self, token: impl AsRef<[u8]>) -> bool {
        let tables = &mut *self.write();
        tables.login_tokens.remove(token.as_ref()).is_some()
    }

    /// Makes the third-party id one of `user`'s. Phone numbers have the medium `msisdn`.
    pub fn insert_third_party_id(&self, medium: &str, address: &str, user: impl Into<UserId>) {
        let tables = &mut *self.write();
        let place = tables.place(user.into());
        let id = (medium.into(), address.into());
        tables.third_party_ids.insert(id, place);
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
        let state = &mut tables.accounts[place].state;
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
        let place = match credential {
            Credential::AccessToken(access) => {
                match *tables.access_tokens.get(access.token().expose())? {
                    TokenOwner::User(place) => place,
                    TokenOwner::ApplicationService(sender) => match access.asserted_user() {
                        Some(user) => return Some(tables.account_of(user)),
                        None => sender,
                    },
                }
            }
            Credential::RefreshToken(token) => *tables.refresh_tokens.get(token.expose())?,
            Credential::LoginToken(login) => *tables.login_tokens.get(login.token().expose())?,
            Credential::LoginIdentifier(LoginIdentifier::User(user)) => {
                match (user.starts_with('@'), &self.server_name) {
                    (false, Some(server)) => *tables.users.get(&*format!("@{user}:{server}"))?,
                    _ => *tables.users.get(user)?,
                }
            }
            Credential::LoginIdentifier(LoginIdentifier::ThirdParty { medium, address }) => {
                tables.third_party(medium, address)?
            }
            Credential::LoginIdentifier(LoginIdentifier::Phone { phone, .. }) => {
                tables.third_party("msisdn", phone.trim_start_matches('+'))?
            }
        };
        Some(tables.accounts[place].clone())
    }
}

impl Tables {
    fn place(&mut self, user: UserId) -> usize {
        let accounts = &mut self.accounts;
        *self.users.entry(user).or_insert_with_key(|user| {
            accounts.push(Account::new(user.clone(), AccountState::ACTIVE));
            accounts.len() - 1
        })
    }

    fn account_of(&self, user: &str) -> Account {
        match self.users.get(user) {
            Some(&place) => self.accounts[place].clone(),
            None => Account::new(user.into(), AccountState::ACTIVE),
        }
    }

    fn third_party(&self, medium: &str, address: &str) -> Option<usize> {
        self.third_party_ids
            .get(&(medium.into(), address.into()))
            .copied()
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
        let owner = self.read().access_tokens.get(token.expose()).copied();
        matches!(owner, Some(TokenOwner::ApplicationService(_)))
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
            .field("accounts", &tables.accounts.len())
            .field("access_tokens", &tables.access_tokens.len())
            .finish_non_exhaustive()
    }
}
