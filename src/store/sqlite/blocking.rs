//! Calls of the store for code that is not async.

use std::{
    future::Future,
    path::Path,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use super::{SqliteOptions, SqliteStore, SqliteStoreError, error::Cause};
use crate::{
    account::{AccountState, RestrictionKind, UserId},
    store::{ChangeRecord, RestrictionRecord, RestrictionStore},
};

/// # Without async
///
/// A server whose own database is synchronous may record a deactivation in a function that is not async:
///
/// ```no_run
/// use std::sync::LazyLock;
/// use tower_account_status::{RestrictionKind, store::{Channel, SqliteStore, SqliteStoreError}};
///
/// static RESTRICTIONS: LazyLock<SqliteStore> = LazyLock::new(|| {
///     SqliteStore::blocking_open("/var/lib/homeserver/restrictions.db").expect("a usable file")
/// });
///
/// fn deactivate(user: &str) -> Result<(), SqliteStoreError> {
///     // Do this first: if the file cannot be written, nothing has been done.
///     RESTRICTIONS.blocking_set(user, RestrictionKind::Deactivated, true, Channel::SERVER)?;
///     // then remove the devices and the password
///     Ok(())
/// }
/// # deactivate("@alice:example.org").unwrap();
/// ```
///
/// The calling thread waits for the disk, and for up to 3 seconds while another process writes. An async
/// task that makes such a call holds up one thread of the runtime for that time, as a synchronous
/// database does. If that is too long, wrap the call in tokio's `block_in_place` or `spawn_blocking`. On
/// a runtime with a single thread every other task waits, too. The calls need no runtime and always end,
/// because the store has its own threads.
///
/// A callback of [`Changes::listen`](crate::Changes::listen) must not make them. The thread that makes the
/// changes calls it, and would wait for itself.
impl SqliteStore {
    /// Opens the file with the default [options](SqliteOptions), as [`open`](Self::open) does, and
    /// waits until it is open.
    ///
    /// # Errors
    ///
    /// As [`SqliteOptions::open`].
    pub fn blocking_open(path: impl AsRef<Path>) -> Result<Self, SqliteStoreError> {
        SqliteOptions::new().blocking_open(path)
    }

    /// Restricts the account of `user`, replaces a restriction of the same kind, and waits until that is
    /// on disk and announced.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn blocking_restrict(
        &self,
        user: impl Into<UserId>,
        record: impl Into<RestrictionRecord>,
    ) -> Result<(), SqliteStoreError> {
        let (user, record) = (user.into(), record.into());
        wait(self.set_restriction(&user, record))
    }

    /// Lifts the restriction of `kind`, and waits until that is on disk and announced. Returns whether there
    /// was one. The log says who lifts it, why, and through what; a [`Channel`](crate::store::Channel) alone
    /// names nobody.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn blocking_lift(
        &self,
        user: impl Into<UserId>,
        kind: RestrictionKind,
        change: impl Into<ChangeRecord>,
    ) -> Result<bool, SqliteStoreError> {
        let (user, change) = (user.into(), change.into());
        wait(self.lift_restriction(&user, kind, &change))
    }

    /// [Restricts](Self::blocking_restrict) the account of `user` without a reason if `restricted`,
    /// and otherwise [lifts](Self::blocking_lift) the restriction. A function of the server that takes a flag
    /// can call it.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn blocking_set(
        &self,
        user: impl Into<UserId>,
        kind: RestrictionKind,
        restricted: bool,
        change: impl Into<ChangeRecord>,
    ) -> Result<(), SqliteStoreError> {
        let change = change.into();
        match restricted {
            true => {
                let record = RestrictionRecord::new(kind).with_change(change);
                self.blocking_restrict(user, record)
            }
            false => self.blocking_lift(user, kind, change).map(drop),
        }
    }

    /// The state of `user` in the file.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn blocking_state(&self, user: &str) -> Result<AccountState, SqliteStoreError> {
        wait(self.state_of(user))
    }
}

impl SqliteOptions {
    /// As [`open`](Self::open), and waits until the file is open. See
    /// [the store](SqliteStore#without-async).
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn blocking_open(self, path: impl AsRef<Path>) -> Result<SqliteStore, SqliteStoreError> {
        let path = path.as_ref().to_owned();
        wait(self.open(path))
    }
}

/// Waits for the store's threads.
///
/// A thread of its own waits. A task of tokio that has used up its turn gets no message from tokio's
/// channels until it yields, and a thread that waits never yields.
fn wait<T: Send>(
    answer: impl Future<Output = Result<T, SqliteStoreError>> + Send,
) -> Result<T, SqliteStoreError> {
    thread::scope(|scope| {
        let waiting = thread::Builder::new()
            .name("account-status".to_owned())
            .spawn_scoped(scope, || block_on(answer))
            .map_err(Cause::Thread)?;
        let answer = waiting.join();
        answer.unwrap_or_else(|_| Err(Cause::Stopped.into()))
    })
}

fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
