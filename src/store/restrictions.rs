//! Which accounts are restricted: states by user id that can be read and written.
//!
//! The second question of [`AccountStateStore`] on its own, for servers that know whose a
//! credential is and leave the states to a ready-made store, and the ground that moderation tools
//! stand on: they need who restricted an account and when, and the list of all restricted ones.
//!
//! [`AccountStateStore`]: super::AccountStateStore

use std::{error::Error, future::Future, time::SystemTime};

use crate::{
    account::{AccountState, Restriction, RestrictionKind, UserId},
    changes::Changes,
};

/// A restriction as it stands on record: what it is, who set it, and when.
///
/// ```
/// use tower_account_status::{Restriction, RestrictionKind, store::RestrictionRecord};
///
/// let record = RestrictionRecord::new(
///     Restriction::new(RestrictionKind::Locked).with_reason("See your e-mail"),
/// )
/// .with_set_by("@moderator:example.org");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct RestrictionRecord {
    restriction: Restriction,
    set_by: Option<UserId>,
    set_at: SystemTime,
}

impl RestrictionRecord {
    /// A restriction that is set now, by nobody in particular.
    pub fn new(restriction: impl Into<Restriction>) -> Self {
        Self {
            restriction: restriction.into(),
            set_by: None,
            set_at: SystemTime::now(),
        }
    }

    /// Names who set it. It is told to moderators only, never to the account's owner.
    pub fn with_set_by(mut self, user: impl Into<UserId>) -> Self {
        self.set_by = Some(user.into());
        self
    }

    /// Says when it was set, where that is not now.
    pub fn with_set_at(mut self, set_at: SystemTime) -> Self {
        self.set_at = set_at;
        self
    }

    /// What is restricted, for which reason and how long.
    #[must_use]
    pub fn restriction(&self) -> &Restriction {
        &self.restriction
    }

    /// The restriction's kind.
    #[must_use]
    pub fn kind(&self) -> RestrictionKind {
        self.restriction.kind()
    }

    /// Who set it, where that was said.
    #[must_use]
    pub fn set_by(&self) -> Option<&UserId> {
        self.set_by.as_ref()
    }

    /// When it was set.
    #[must_use]
    pub fn set_at(&self) -> SystemTime {
        self.set_at
    }
}

impl<R: Into<Restriction>> From<R> for RestrictionRecord {
    fn from(restriction: R) -> Self {
        Self::new(restriction)
    }
}

/// The restrictions of accounts by user id, readable and writable.
///
/// [`MemoryStore`](super::MemoryStore) is one, and so are `SqliteStore` and `PostgresStore` under
/// the features of their names. Together with a server's own answer to "whose is this credential?"
/// it becomes an [`AccountStateStore`](super::AccountStateStore): see
/// [`Combined`](super::Combined).
///
/// # What a store promises
///
/// - User ids, reasons and moderators' names come back byte for byte, whatever characters they
///   hold; user ids are compared byte by byte, so that `@Alice:x` and `@alice:x` are two accounts.
///   (A database that cannot hold U+0000 may refuse it with an error.)
/// - Each restriction stands on its own: setting or lifting one leaves the others as they are.
/// - Once [`restrict`](Self::restrict) or [`lift`](Self::lift) has returned `Ok`, every look-up
///   that begins from then on, through this store, shows it, and it has been announced to
///   [`changes`](Self::changes). After an `Err`, or where the future is dropped, the change may or
///   may not have been made.
/// - A restriction whose end has passed stays on record, in the state and in the list until it is
///   lifted or replaced; [`AccountState::in_force`] leaves it out.
/// - Times are kept at least to the millisecond.
///
/// `conformance::check_restrictions`, under the feature `conformance`, checks these.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not hold the restrictions of accounts",
    label = "needs a `RestrictionStore`",
    note = "ready-made ones are `MemoryStore`, `SqliteStore` (feature `sqlite`) and `PostgresStore` (feature `postgres`)"
)]
pub trait RestrictionStore: Send + Sync + 'static {
    /// Why a question could not be answered or a change not be made. It is shown to operators and
    /// never to clients.
    type Error: Into<Box<dyn Error + Send + Sync>> + Send;

    /// In which state the account of `user` is. A user who is not known is
    /// [active](AccountState::ACTIVE).
    fn state(
        &self,
        user: &UserId,
    ) -> impl Future<Output = Result<AccountState, Self::Error>> + Send;

    /// Restricts the account of `user`, in place of a restriction of the same kind. A user who is
    /// not known can be restricted.
    fn restrict(
        &self,
        user: &UserId,
        record: RestrictionRecord,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Lifts the restriction of `kind`, and says whether there was one.
    fn lift(
        &self,
        user: &UserId,
        kind: RestrictionKind,
    ) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// The restriction of `kind` with who set it and when, if there is one.
    fn record(
        &self,
        user: &UserId,
        kind: RestrictionKind,
    ) -> impl Future<Output = Result<Option<RestrictionRecord>, Self::Error>> + Send;

    /// A page of the restricted accounts, each with all its restrictions in the order of
    /// precedence: at most `limit` accounts, in the order of their user ids' bytes, beginning
    /// behind `after`, which need not be restricted itself. Fewer than `limit` means that there
    /// are no more.
    ///
    /// An account that is restricted all the while stands on exactly one page, whatever changes
    /// in between.
    fn restricted(
        &self,
        after: Option<&UserId>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<(UserId, Vec<RestrictionRecord>)>, Self::Error>> + Send;

    /// The state of `user`, answered at once or, with `None`, not at all. It must not block. The
    /// default never answers.
    fn peek_state(&self, user: &UserId) -> Option<AccountState> {
        let _ = user;
        None
    }

    /// Where this store announces that a state has changed, if it does: after every answer that
    /// it gives shows the change.
    fn changes(&self) -> Option<Changes> {
        None
    }
}
