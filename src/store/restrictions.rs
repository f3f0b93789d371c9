//! Which accounts are restricted: states by user id that can be read and written.
//!
//! The second question of [`AccountStateStore`] on its own. Servers that know whose a credential is
//! leave the states to such a store. Moderation tools use it too, because they need to know who
//! restricted an account and when, and a list of all restricted accounts.
//!
//! [`AccountStateStore`]: super::AccountStateStore

use std::{future::Future, time::SystemTime};

use super::{ChangeRecord, Channel, StoreError};
use crate::{
    account::{AccountState, Restriction, RestrictionKind, UserId},
    changes::Changes,
};

/// A restriction as it is recorded, with the change that set it.
///
/// ```
/// use tower_account_status::{Restriction, RestrictionKind, RestrictionRecord};
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
    change: ChangeRecord,
}

impl RestrictionRecord {
    /// A restriction that is set now by the server's own code, by nobody in particular.
    pub fn new(restriction: impl Into<Restriction>) -> Self {
        Self {
            restriction: restriction.into(),
            change: ChangeRecord::through(Channel::SERVER),
        }
    }

    /// Sets who sets the restriction, when, why and through what.
    pub fn with_change(mut self, change: ChangeRecord) -> Self {
        self.change = change;
        self
    }

    /// Names the user who set the restriction. Moderators see the name; the account's owner never does.
    pub fn with_set_by(mut self, user: impl Into<UserId>) -> Self {
        self.change = self.change.with_actor(user);
        self
    }

    /// Sets when the restriction was set. The default is now.
    pub fn with_set_at(mut self, set_at: SystemTime) -> Self {
        self.change = self.change.with_time(set_at);
        self
    }

    /// The restriction, with its reason and its end.
    #[must_use]
    pub fn restriction(&self) -> &Restriction {
        &self.restriction
    }

    /// The restriction's kind.
    #[must_use]
    pub fn kind(&self) -> RestrictionKind {
        self.restriction.kind()
    }

    /// The change that set the restriction. If a store keeps only who and when, the record that it
    /// returns has [`Channel::SERVER`] and no note.
    pub fn change(&self) -> &ChangeRecord {
        &self.change
    }

    /// The user who set the restriction, if named.
    #[must_use]
    pub fn set_by(&self) -> Option<&UserId> {
        self.change.actor()
    }

    /// When the restriction was set.
    #[must_use]
    pub fn set_at(&self) -> SystemTime {
        self.change.at()
    }
}

impl<R: Into<Restriction>> From<R> for RestrictionRecord {
    fn from(restriction: R) -> Self {
        Self::new(restriction)
    }
}

/// The restrictions of accounts by user id, readable and writable.
///
/// [`MemoryStore`](crate::MemoryStore) is one, and so are `SqliteStore` and `PostgresStore` under
/// the features of their names. Together with a server's own answer to "whose is this credential?"
/// it becomes an [`AccountStateStore`](super::AccountStateStore): see
/// [`Combined`](crate::Combined).
///
/// # What a store promises
///
/// - User ids, reasons and moderators' names come back byte for byte, whatever characters they
///   hold; user ids are compared byte by byte, so that `@Alice:x` and `@alice:x` are two accounts.
///   (A database that cannot hold U+0000 may refuse it with an error.)
/// - Each restriction is stored separately: setting or lifting one leaves the others as they are.
/// - Once [`set_restriction`](Self::set_restriction) or
///   [`lift_restriction`](Self::lift_restriction) has returned `Ok`, every look-up
///   that begins from then on, through this store, shows it, and it has been announced to
///   [`restriction_changes`](Self::restriction_changes). After an `Err`, or where the future is dropped, the change may or
///   may not have been made.
/// - A restriction whose end has passed stays on record, in the state and in the list until it is
///   lifted or replaced; [`AccountState::in_force`] leaves it out.
/// - Every change says who makes it, when, why and through what. A store keeps at least who set a
///   restriction and when; the note and the channel are for stores that keep
///   [a log](super::AuditLog).
/// - Times are kept at least to the millisecond.
///
/// `conformance::check_restrictions`, under the feature `conformance`, checks these.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not hold the restrictions of accounts",
    label = "needs a `RestrictionStore`",
    note = "ready-made ones are `MemoryStore`, `SqliteStore` (feature `sqlite`) and `PostgresStore` (feature `postgres`)"
)]
pub trait RestrictionStore: Send + Sync + 'static {
    /// The error if a question cannot be answered or a change cannot be made. Operators see it, clients
    /// never do.
    type Error: Into<StoreError> + Send;

    /// The state of the account of `user`. An unknown user is [active](AccountState::ACTIVE).
    fn state_of(
        &self,
        user: &str,
    ) -> impl Future<Output = Result<AccountState, Self::Error>> + Send;

    /// Restricts the account of `user`, and replaces a restriction of the same kind. An unknown user can
    /// be restricted.
    fn set_restriction(
        &self,
        user: &UserId,
        record: RestrictionRecord,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Lifts the restriction of `kind`. Returns whether there was one. `change` says who lifts it, when,
    /// why and through what.
    fn lift_restriction(
        &self,
        user: &UserId,
        kind: RestrictionKind,
        change: &ChangeRecord,
    ) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// The restriction of `kind`, with who set it and when. `None` if there is none.
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
    /// An account that is restricted during all pages is on exactly one of them, whatever changes
    /// meanwhile.
    fn restricted(
        &self,
        after: Option<&UserId>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<(UserId, Vec<RestrictionRecord>)>, Self::Error>> + Send;

    /// The states of several users, one for each in their order. Override it if one query can answer for
    /// many. The answers must be those of [`state_of`](Self::state_of). The default asks for one user
    /// after the other. A failure that concerns one account must not fail the others.
    fn states_of(
        &self,
        users: &[UserId],
    ) -> impl Future<Output = Vec<Result<AccountState, StoreError>>> + Send {
        async move {
            let mut states = Vec::with_capacity(users.len());
            for user in users {
                states.push(self.state_of(user).await.map_err(Into::into));
            }
            states
        }
    }

    /// The state of `user` if it can be answered at once, else `None`. It must not block. The default is
    /// `None`.
    fn peek_state_of(&self, user: &str) -> Option<AccountState> {
        let _ = user;
        None
    }

    /// The hub where this store announces changes of states, if it does. It announces a change only when
    /// every answer shows it.
    fn restriction_changes(&self) -> Option<Changes>;
}
