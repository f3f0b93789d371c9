//! A store that answers when the test lets it, and counts what it is asked.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::{
    collections::HashMap,
    error::Error,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::oneshot;
use tower_account_status::{
    AccessToken, Account, AccountState, AccountStateStore, CachedStore, Changes, Credential, Peek,
    RestrictionKind, Secret, UserId,
};

pub(crate) const ALICE: &str = "@alice:localhost";
pub(crate) const BOB: &str = "@bob:localhost";

/// What the store does once it has read its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Answer,
    Fail,
    Panic,
    /// Holds the answer, as it was read, until the test releases it.
    Hold,
    Hang,
}

#[derive(Clone)]
pub(crate) struct Backend(Arc<Inner>);

pub(crate) struct Inner {
    tokens: Mutex<HashMap<String, String>>,
    services: Mutex<HashMap<String, String>>,
    states: Mutex<HashMap<String, AccountState>>,
    mode: Mutex<Mode>,
    held: Mutex<Vec<oneshot::Sender<Result<(), Failure>>>>,
    pub(crate) accounts: AtomicUsize,
    pub(crate) states_read: AtomicUsize,
    pub(crate) both: AtomicUsize,
    changes: Option<Changes>,
}

#[derive(Debug)]
pub(crate) struct Failure;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the database is away")
    }
}

impl Error for Failure {}

impl Backend {
    pub(crate) fn new() -> Self {
        Self::build(None)
    }

    /// One that announces its changes itself.
    pub(crate) fn announcing(changes: Changes) -> Self {
        Self::build(Some(changes))
    }

    fn build(changes: Option<Changes>) -> Self {
        let backend = Self(Arc::new(Inner {
            tokens: Mutex::default(),
            services: Mutex::default(),
            states: Mutex::default(),
            mode: Mutex::new(Mode::Answer),
            held: Mutex::default(),
            accounts: AtomicUsize::new(0),
            states_read: AtomicUsize::new(0),
            both: AtomicUsize::new(0),
            changes,
        }));
        backend.insert("alice", ALICE);
        backend.insert("bob", BOB);
        backend
    }

    pub(crate) fn insert(&self, token: &str, user: &str) {
        self.0
            .tokens
            .lock()
            .unwrap()
            .insert(token.into(), user.into());
    }

    pub(crate) fn remove(&self, token: &str) {
        self.0.tokens.lock().unwrap().remove(token);
    }

    pub(crate) fn insert_service(&self, token: &str, sender: &str) {
        self.0
            .services
            .lock()
            .unwrap()
            .insert(token.into(), sender.into());
    }

    pub(crate) fn set(&self, user: &str, state: impl Into<AccountState>) {
        self.0
            .states
            .lock()
            .unwrap()
            .insert(user.into(), state.into());
    }

    pub(crate) fn lock(&self, user: &str) {
        self.set(user, RestrictionKind::Locked);
    }

    pub(crate) fn set_mode(&self, mode: Mode) {
        *self.0.mode.lock().unwrap() = mode;
    }

    /// How many look-ups there were, of any kind.
    pub(crate) fn loads(&self) -> usize {
        let Inner {
            accounts,
            states_read,
            both,
            ..
        } = &*self.0;
        [accounts, states_read, both]
            .iter()
            .map(|count| count.load(Ordering::SeqCst))
            .sum()
    }

    /// How many asked for the owner alone, for the state alone, and for both.
    pub(crate) fn loads_by_kind(&self) -> [usize; 3] {
        let Inner {
            accounts,
            states_read,
            both,
            ..
        } = &*self.0;
        [accounts, states_read, both].map(|count| count.load(Ordering::SeqCst))
    }

    /// How many look-ups are held by [`Mode::Hold`].
    pub(crate) fn held(&self) -> usize {
        self.0.held.lock().unwrap().len()
    }

    pub(crate) fn release(&self, place: usize) {
        let answer = self.0.held.lock().unwrap().remove(place);
        let _ = answer.send(Ok(())); // the look-up may have been given up
    }

    pub(crate) fn release_as_failure(&self, place: usize) {
        let answer = self.0.held.lock().unwrap().remove(place);
        let _ = answer.send(Err(Failure));
    }

    pub(crate) fn release_all(&self) {
        while self.held() > 0 {
            self.release(0);
        }
    }

    /// Lets tasks run until `count` look-ups are held.
    pub(crate) async fn until_held(&self, count: usize) {
        for _ in 0..10_000 {
            if self.held() == count {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("{} look-ups are held, not {count}", self.held());
    }

    async fn finish<T>(&self, answer: T) -> Result<T, Failure> {
        let mode = *self.0.mode.lock().unwrap();
        match mode {
            Mode::Answer => {
                tokio::task::yield_now().await;
                Ok(answer)
            }
            Mode::Fail => {
                tokio::task::yield_now().await;
                Err(Failure)
            }
            Mode::Panic => panic!("the store's own bug"),
            Mode::Hold => {
                let (sender, receiver) = oneshot::channel();
                self.0.held.lock().unwrap().push(sender);
                receiver
                    .await
                    .expect("the backend outlives its look-ups")
                    .map(|()| answer)
            }
            Mode::Hang => std::future::pending().await,
        }
    }

    fn owner(&self, credential: Credential<'_>) -> Option<String> {
        let name = match credential {
            Credential::AccessToken(access) => {
                let token = access.token().expose_str()?;
                if let Some(sender) = self.0.services.lock().unwrap().get(token) {
                    return Some(access.asserted_user().unwrap_or(sender).to_owned());
                }
                // The test of what a cache must not hand on: whoever asserts is believed.
                return match access.asserted_user() {
                    Some(asserted) => Some(asserted.to_owned()),
                    None => self.0.tokens.lock().unwrap().get(token).cloned(),
                };
            }
            Credential::RefreshToken(token) => token.expose_str()?,
            Credential::LoginToken(login) => login.token().expose_str()?,
            _ => return None,
        };
        self.0.tokens.lock().unwrap().get(name).cloned()
    }

    fn state_of(&self, user: &str) -> AccountState {
        self.0
            .states
            .lock()
            .unwrap()
            .get(user)
            .cloned()
            .unwrap_or_default()
    }
}

impl AccountStateStore for Backend {
    type Error = Failure;

    async fn account(&self, credential: Credential<'_>) -> Result<Option<UserId>, Failure> {
        self.0.accounts.fetch_add(1, Ordering::SeqCst);
        let owner = self.owner(credential).map(UserId::from);
        self.finish(owner).await
    }

    async fn state(&self, user: &UserId) -> Result<AccountState, Failure> {
        self.0.states_read.fetch_add(1, Ordering::SeqCst);
        let state = self.state_of(user);
        self.finish(state).await
    }

    async fn account_and_state(
        &self,
        credential: Credential<'_>,
    ) -> Result<Option<Account>, Failure> {
        self.0.both.fetch_add(1, Ordering::SeqCst);
        let account = self.owner(credential).map(|user| {
            let state = self.state_of(&user);
            Account::new(user.into(), state)
        });
        self.finish(account).await
    }

    fn is_application_service(&self, token: Secret<'_>) -> bool {
        let services = self.0.services.lock().unwrap();
        token
            .expose_str()
            .is_some_and(|token| services.contains_key(token))
    }

    fn changes(&self) -> Option<Changes> {
        self.0.changes.clone()
    }
}

pub(crate) type Cache = Arc<CachedStore<Backend>>;

pub(crate) fn token(token: &str) -> Credential<'_> {
    Credential::AccessToken(AccessToken::new(token))
}

/// Asks as the layer does: at once, and then by waiting.
pub(crate) async fn ask(
    cache: &CachedStore<Backend>,
    credential: Credential<'_>,
) -> Result<Option<Account>, tower_account_status::CachedStoreError> {
    if cache.is_active(credential) {
        let Peek::Account(account) = cache.peek(credential) else {
            panic!("`is_active` and `peek` disagree");
        };
        assert!(account.state.is_active(), "`is_active` and `peek` disagree");
    }
    match cache.peek(credential) {
        Peek::Account(account) => Ok(Some(account)),
        Peek::Nobody => Ok(None),
        _ => cache.account_and_state(credential).await,
    }
}

pub(crate) async fn state(cache: &CachedStore<Backend>, name: &str) -> AccountState {
    ask(cache, token(name))
        .await
        .expect("the store answers")
        .expect("the token is somebody's")
        .state
}

pub(crate) async fn is_locked(cache: &CachedStore<Backend>, name: &str) -> bool {
    !state(cache, name).await.is_active()
}

/// Begins to ask, and lets the look-up get as far as it can.
pub(crate) async fn spawn(
    cache: &Cache,
    name: &'static str,
) -> tokio::task::JoinHandle<Result<Option<Account>, tower_account_status::CachedStoreError>> {
    let cache = Arc::clone(cache);
    let task = tokio::spawn(async move { ask(&cache, token(name)).await });
    settle().await;
    task
}

/// Lets every task get as far as it can.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
