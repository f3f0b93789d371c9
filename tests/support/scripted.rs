//! A store that fails, hangs, panics or is slow, as the test says.

use std::{
    future::poll_fn,
    sync::atomic::{AtomicUsize, Ordering},
    task::Poll,
};

use tower_account_status::{
    AccountState, AccountStateStore, Credential, LoginToken, MemoryStore, Peek, ThirdParty,
    store::{Answer, StoreError},
    without,
};

/// What a method of [`ScriptedStore`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    /// It answers from memory; `peek` too.
    Answer,
    /// It answers an error. `peek`, which cannot, has to be asked.
    Fail,
    Hang,
    /// It panics when it is called.
    Panic,
    /// Its future panics, the second time it is polled.
    PanicLater,
    /// Its future answers after so many polls.
    Pending(usize),
}

/// Has the answers of a [`MemoryStore`]. By default every method answers when it is awaited.
#[derive(Debug)]
pub(crate) struct ScriptedStore {
    memory: MemoryStore,
    pub(crate) peek: Script,
    pub(crate) glance: Script,
    pub(crate) account: Script,
    pub(crate) state: Script,
    asked: AtomicUsize,
}

impl ScriptedStore {
    pub(crate) fn new(memory: MemoryStore) -> Self {
        Self {
            memory,
            peek: Script::Fail,
            glance: Script::Fail,
            account: Script::Answer,
            state: Script::Answer,
            asked: AtomicUsize::new(0),
        }
    }

    pub(crate) fn memory(&self) -> &MemoryStore {
        &self.memory
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// How many questions have been asked, at once or awaited.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn count(&self) {
        self.asked.fetch_add(1, Ordering::Relaxed);
    }
}

impl Script {
    /// Panics inside the call rather than the future.
    fn begin(self, method: &str) {
        assert_ne!(self, Self::Panic, "`{method}` was told to panic");
    }

    async fn play(self) -> Result<(), StoreError> {
        let mut polls = 0;
        poll_fn(|context| {
            polls += 1;
            match self {
                Self::Answer | Self::Panic => Poll::Ready(Ok(())),
                Self::Fail => Poll::Ready(Err(StoreError::msg("the database has no answer"))),
                Self::Hang => Poll::Pending,
                Self::PanicLater if polls > 1 => panic!("told to panic"),
                Self::Pending(times) if polls > times => Poll::Ready(Ok(())),
                Self::PanicLater | Self::Pending(_) => {
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl AccountStateStore for ScriptedStore {
    fn access_token(&self, token: &str) -> impl Future<Output = Answer> + Send {
        self.begin();
        async move { self.owner(Credential::AccessToken(token.into())).await }
    }

    /// From the registrations, which are in memory and never fail.
    async fn application_service(&self, token: &str) -> Answer {
        self.memory.application_service(token).await
    }

    fn login_name(&self, name: &str) -> impl Future<Output = Answer> + Send {
        self.begin();
        async move { self.owner(Credential::LoginName(name)).await }
    }

    fn third_party(&self, id: ThirdParty<'_>) -> impl Future<Output = Answer> + Send {
        self.begin();
        async move { self.owner(Credential::ThirdParty(id)).await }
    }

    fn login_token(
        &self,
        token: &str,
        login_type: Option<&str>,
    ) -> impl Future<Output = Answer> + Send {
        self.begin();
        async move {
            self.owner(Credential::LoginToken(LoginToken::new(token, login_type)))
                .await
        }
    }

    fn refresh_token(&self, token: &str) -> impl Future<Output = Answer> + Send {
        self.begin();
        async move { self.owner(Credential::RefreshToken(token.into())).await }
    }

    fn state(&self, user: &str) -> impl Future<Output = Result<AccountState, StoreError>> + Send {
        self.count();
        self.state.begin("state");
        async move {
            self.state.play().await?;
            self.memory.state(user).await
        }
    }

    without! { event_sender, changes }

    fn peek(&self, credential: Credential<'_>) -> Peek {
        if let Credential::ApplicationService(_) = credential {
            return self.memory.peek(credential);
        }
        self.count();
        self.peek.begin("peek");
        match self.peek {
            Script::Answer => self.memory.peek(credential),
            _ => Peek::Ask,
        }
    }

    fn glance(&self, credential: Credential<'_>) -> Option<Peek> {
        self.count();
        self.glance.begin("glance");
        match self.glance {
            Script::Answer => self.memory.glance(credential),
            _ => Some(Peek::Ask),
        }
    }
}

impl ScriptedStore {
    /// Counts and panics when it is called, and not when it is polled.
    fn begin(&self) {
        self.count();
        self.account.begin("account");
    }

    async fn owner(&self, credential: Credential<'_>) -> Answer {
        self.account.play().await?;
        Ok(match self.memory.peek(credential) {
            Peek::Account(account) => Some(account.user().clone()),
            _ => None,
        })
    }
}
