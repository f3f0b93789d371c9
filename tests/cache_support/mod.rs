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
    Account, AccountState, AccountStateStore, CachedStore, Changes, Credential, Peek,
    RestrictionKind, Secret, UserId,
    store::{Answer, StoreError},
    without,
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
    pub(crate) services_asked: AtomicUsize,
    pub(crate) many: AtomicUsize,
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
            services_asked: AtomicUsize::new(0),
            many: AtomicUsize::new(0),
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

    /// How many asked for an application service.
    pub(crate) fn services_asked(&self) -> usize {
        self.0.services_asked.load(Ordering::SeqCst)
    }

    /// How many accounts were asked for together with others.
    pub(crate) fn asked_together(&self) -> usize {
        self.0.many.load(Ordering::SeqCst)
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

    fn owner_of(&self, token: &str) -> Option<String> {
        self.0.tokens.lock().unwrap().get(token).cloned()
    }

    async fn owner(&self, token: &str) -> Answer {
        self.0.accounts.fetch_add(1, Ordering::SeqCst);
        let owner = self.owner_of(token).map(UserId::from);
        Ok(self.finish(owner).await?)
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
    async fn access_token(&self, token: &str) -> Answer {
        self.owner(token).await
    }

    /// From the registrations, which are in memory.
    async fn application_service(&self, token: &str) -> Answer {
        self.0.services_asked.fetch_add(1, Ordering::SeqCst);
        let sender = self.0.services.lock().unwrap().get(token).cloned();
        Ok(sender.map(UserId::from))
    }

    without! { login_name, third_party, event_sender }

    async fn login_token(&self, token: &str, _: Option<&str>) -> Answer {
        self.owner(token).await
    }

    async fn refresh_token(&self, token: &str) -> Answer {
        self.owner(token).await
    }

    async fn state(&self, user: &str) -> Result<AccountState, StoreError> {
        self.0.states_read.fetch_add(1, Ordering::SeqCst);
        let state = self.state_of(user);
        Ok(self.finish(state).await?)
    }

    /// One look-up, which counts as many as it asks for.
    async fn states(&self, users: &[UserId]) -> Vec<Result<AccountState, StoreError>> {
        self.0.many.fetch_add(users.len(), Ordering::SeqCst);
        let states: Vec<_> = users.iter().map(|user| self.state_of(user)).collect();
        match self.finish(states).await {
            Ok(states) => states.into_iter().map(Ok).collect(),
            Err(Failure) => users.iter().map(|_| Err(Failure.into())).collect(),
        }
    }

    async fn access_token_and_state(&self, token: &str) -> Result<Option<Account>, StoreError> {
        self.0.both.fetch_add(1, Ordering::SeqCst);
        let account = self.owner_of(token).map(|user| {
            let state = self.state_of(&user);
            Account::new(user.into(), state)
        });
        Ok(self.finish(account).await?)
    }

    fn changes(&self) -> Option<Changes> {
        self.0.changes.clone()
    }
}

pub(crate) type Cache = Arc<CachedStore<Backend>>;

pub(crate) fn token(token: &str) -> Credential<'_> {
    Credential::AccessToken(token.into())
}

/// Asks one place: at once, and then by waiting.
pub(crate) async fn ask(
    cache: &CachedStore<Backend>,
    credential: Credential<'_>,
) -> Result<Option<Account>, StoreError> {
    let peeked = match cache.peek(credential) {
        Peek::Account(account) => Some(Some(account)),
        Peek::Unknown => Some(None),
        _ => None,
    };
    let is_active = matches!(&peeked, Some(Some(account)) if account.state().is_active());
    assert_eq!(cache.glance(credential).is_none(), is_active);
    if let Some(peeked) = peeked {
        return Ok(peeked);
    }
    let text = |token: Secret<'_>| token.expose_str().unwrap().to_owned();
    let owner = match credential {
        Credential::AccessToken(token) => {
            return cache.access_token_and_state(&text(token)).await;
        }
        Credential::ApplicationService(token) => cache.application_service(&text(token)).await?,
        Credential::RefreshToken(token) => cache.refresh_token(&text(token)).await?,
        Credential::LoginToken(login) => cache.login_token(&text(login.token()), None).await?,
        Credential::LoginName(name) => cache.login_name(name).await?,
        Credential::ThirdParty(id) => cache.third_party(id).await?,
    };
    let Some(user) = owner else { return Ok(None) };
    let state = cache.state(&user).await?;
    Ok(Some(Account::new(user, state)))
}

pub(crate) async fn state(cache: &CachedStore<Backend>, name: &str) -> AccountState {
    ask(cache, token(name))
        .await
        .expect("the store answers")
        .expect("the token is somebody's")
        .state()
        .clone()
}

pub(crate) async fn is_locked(cache: &CachedStore<Backend>, name: &str) -> bool {
    !state(cache, name).await.is_active()
}

/// Begins to ask, and lets the look-up get as far as it can.
pub(crate) async fn spawn(
    cache: &Cache,
    name: &'static str,
) -> tokio::task::JoinHandle<Result<Option<Account>, StoreError>> {
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
