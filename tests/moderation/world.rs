//! A server's users, and a store that counts how often it is asked.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use tower_account_status::store::{ChangeRecord, Channel};
use tower_account_status::{
    AccountDirectory, AccountModerationLayer, AccountState, Authentication, Changes,
    RestrictionKind, RestrictionRecord, RestrictionStore, UserId,
};

pub(crate) const ADMIN: &str = "@admin:example.org";
pub(crate) const OTHER_ADMIN: &str = "@other-admin:example.org";
pub(crate) const ALICE: &str = "@alice:example.org";
pub(crate) const SLASH: &str = "@team/bot:example.org";
/// An account that was deactivated, and whose row the server still has.
pub(crate) const GONE: &str = "@gone:example.org";

pub(crate) const USERS: [&str; 5] = [ADMIN, OTHER_ADMIN, ALICE, SLASH, GONE];

/// The time of every layer's clock here.
pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// A token is its owner's localpart.
pub(crate) fn owner(token: &str) -> Option<UserId> {
    let user = UserId::from(format!("@{token}:example.org"));
    [ADMIN, OTHER_ADMIN, ALICE]
        .contains(&user.as_str())
        .then_some(user)
}

/// What the directory was asked about a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    Administrator(UserId),
    Local(UserId),
    Exists(UserId),
}

impl Question {
    pub(crate) fn user(&self) -> &UserId {
        match self {
            Self::Administrator(user) | Self::Local(user) | Self::Exists(user) => user,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Directory {
    questions: Mutex<Vec<Question>>,
}

impl Directory {
    pub(crate) fn take_questions(&self) -> Vec<Question> {
        std::mem::take(&mut self.questions.lock().unwrap())
    }

    fn asked(&self, question: Question) {
        self.questions.lock().unwrap().push(question);
    }
}

impl AccountDirectory for Directory {
    type Error = Infallible;

    async fn authenticate(&self, token: &str) -> Result<Authentication, Infallible> {
        Ok(match token {
            "expired" => Authentication::Expired,
            "service" => Authentication::User("@bridge:example.org".into()),
            _ => owner(token).into(),
        })
    }

    async fn is_administrator(&self, user: &UserId) -> Result<bool, Infallible> {
        self.asked(Question::Administrator(user.clone()));
        Ok([ADMIN, OTHER_ADMIN].contains(&user.as_str()))
    }

    fn is_local(&self, user: &UserId) -> bool {
        self.asked(Question::Local(user.clone()));
        user.server_name() == Some("example.org")
    }

    async fn exists(&self, user: &UserId) -> Result<bool, Infallible> {
        self.asked(Question::Exists(user.clone()));
        Ok([ADMIN, OTHER_ADMIN, ALICE, SLASH].contains(&user.as_str()))
    }
}

/// Counts every question and change.
#[derive(Debug)]
pub(crate) struct Counted<R> {
    pub(crate) store: R,
    calls: AtomicUsize,
    /// Who made each change, and through what.
    changes: Mutex<Vec<ChangeRecord>>,
}

impl<R> Counted<R> {
    pub(crate) fn take_calls(&self) -> usize {
        self.calls.swap(0, Ordering::SeqCst)
    }

    pub(crate) fn take_changes(&self) -> Vec<ChangeRecord> {
        std::mem::take(&mut self.changes.lock().unwrap())
    }

    fn changed(&self, change: &ChangeRecord) {
        self.changes.lock().unwrap().push(change.clone());
    }

    fn counted(&self) -> &R {
        self.calls.fetch_add(1, Ordering::SeqCst);
        &self.store
    }
}

impl<R: RestrictionStore> RestrictionStore for Counted<R> {
    type Error = R::Error;

    async fn state_of(&self, user: &str) -> Result<AccountState, R::Error> {
        self.counted().state_of(user).await
    }

    async fn set_restriction(
        &self,
        user: &UserId,
        record: RestrictionRecord,
    ) -> Result<(), R::Error> {
        self.changed(record.change());
        self.counted().set_restriction(user, record).await
    }

    async fn lift_restriction(
        &self,
        user: &UserId,
        kind: RestrictionKind,
        change: &ChangeRecord,
    ) -> Result<bool, R::Error> {
        self.changed(change);
        self.counted().lift_restriction(user, kind, change).await
    }

    async fn record(
        &self,
        user: &UserId,
        kind: RestrictionKind,
    ) -> Result<Option<RestrictionRecord>, R::Error> {
        self.counted().record(user, kind).await
    }

    async fn restricted(
        &self,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<(UserId, Vec<RestrictionRecord>)>, R::Error> {
        self.counted().restricted(after, limit).await
    }

    fn peek_state_of(&self, user: &str) -> Option<AccountState> {
        self.counted().peek_state_of(user)
    }

    fn restriction_changes(&self) -> Option<Changes> {
        self.store.restriction_changes()
    }
}

/// A server: its users and their restrictions.
pub(crate) struct World<R> {
    pub(crate) directory: Arc<Directory>,
    pub(crate) restrictions: Arc<Counted<R>>,
}

pub(crate) type Layer<R> = AccountModerationLayer<Arc<Directory>, Arc<Counted<R>>>;

impl<R: RestrictionStore> World<R> {
    pub(crate) fn new(store: R) -> Self {
        Self {
            directory: Arc::default(),
            restrictions: Arc::new(Counted {
                store,
                calls: AtomicUsize::new(0),
                changes: Mutex::default(),
            }),
        }
    }

    pub(crate) fn layer(&self) -> Layer<R> {
        let (directory, restrictions) = (&self.directory, &self.restrictions);
        AccountModerationLayer::new(Arc::clone(directory), Arc::clone(restrictions)).with_clock(now)
    }

    /// Restricts somebody without the layer.
    pub(crate) async fn restrict(&self, user: &str, record: impl Into<RestrictionRecord>) {
        let user = UserId::from(user);
        let restricted = self
            .restrictions
            .store
            .set_restriction(&user, record.into())
            .await;
        restricted.map_err(Into::into).expect("the store works");
    }

    pub(crate) async fn record(
        &self,
        user: &str,
        kind: RestrictionKind,
    ) -> Option<RestrictionRecord> {
        let user = UserId::from(user);
        let record = self.restrictions.store.record(&user, kind).await;
        let record = record.map_err(Into::into).expect("the store works")?;
        // What every store keeps: not each keeps the channel.
        let kept =
            RestrictionRecord::new(record.restriction().clone()).with_set_at(record.set_at());
        Some(match record.set_by() {
            Some(user) => kept.with_set_by(user.clone()),
            None => kept,
        })
    }

    pub(crate) async fn state(&self, user: &str) -> AccountState {
        let user = UserId::from(user);
        let state = self.restrictions.store.state_of(&user).await;
        state.map_err(Into::into).expect("the store works")
    }

    /// Nobody is restricted, and nothing has been asked.
    pub(crate) async fn reset(&self) {
        for user in USERS.map(UserId::from) {
            for &kind in RestrictionKind::ALL {
                let lifted = self
                    .restrictions
                    .store
                    .lift_restriction(&user, kind, &ChangeRecord::through(Channel::SERVER))
                    .await;
                lifted.map_err(Into::into).expect("the store works");
            }
        }
        self.directory.take_questions();
        self.restrictions.take_calls();
    }
}
