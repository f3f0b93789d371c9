//! A store that fails, hangs, panics or takes its time, as it is told.

use std::{
    future::poll_fn,
    sync::atomic::{AtomicUsize, Ordering},
    task::Poll,
};

use tower_account_status::{
    AccountState, AccountStateStore, Credential, MemoryStore, Peek, Secret, UserId,
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

/// Why [`ScriptedStore`] fails.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StoreError;

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the database has no answer")
    }
}

impl std::error::Error for StoreError {}

/// Has the answers of a [`MemoryStore`]. What is not said otherwise is asked, and answered.
#[derive(Debug)]
pub(crate) struct ScriptedStore {
    memory: MemoryStore,
    pub(crate) peek: Script,
    pub(crate) is_active: Script,
    pub(crate) account: Script,
    pub(crate) state: Script,
    asked: AtomicUsize,
}

impl ScriptedStore {
    pub(crate) fn new(memory: MemoryStore) -> Self {
        Self {
            memory,
            peek: Script::Fail,
            is_active: Script::Fail,
            account: Script::Answer,
            state: Script::Answer,
            asked: AtomicUsize::new(0),
        }
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(crate) fn memory(&self) -> &MemoryStore {
        &self.memory
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
                Self::Fail => Poll::Ready(Err(StoreError)),
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
    type Error = StoreError;

    fn account(
        &self,
        credential: Credential<'_>,
    ) -> impl Future<Output = Result<Option<UserId>, StoreError>> + Send {
        self.count();
        self.account.begin("account");
        async move {
            self.account.play().await?;
            Ok(self.memory.account(credential).await.unwrap_or(None))
        }
    }

    fn state(
        &self,
        user: &UserId,
    ) -> impl Future<Output = Result<AccountState, StoreError>> + Send {
        self.count();
        self.state.begin("state");
        async move {
            self.state.play().await?;
            Ok(self.memory.state(user).await.unwrap_or_default())
        }
    }

    fn peek(&self, credential: Credential<'_>) -> Peek {
        self.count();
        self.peek.begin("peek");
        match self.peek {
            Script::Answer => self.memory.peek(credential),
            _ => Peek::Ask,
        }
    }

    fn is_application_service(&self, token: Secret<'_>) -> bool {
        self.memory.is_application_service(token)
    }

    fn is_active(&self, credential: Credential<'_>) -> bool {
        self.count();
        self.is_active.begin("is_active");
        self.is_active == Script::Answer && self.memory.is_active(credential)
    }
}
