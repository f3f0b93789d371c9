//! How the checks reach into what a store is made from.

use std::future::Future;

use crate::{
    account::{AccountState, RestrictionKind, UserId},
    store::{AccountStateStore, StoreError},
};

/// A store under test, and the way to fill it.
///
/// The users that the checks name have never been seen before, and have names of every form that
/// the specification's historical grammar allows.
pub trait Fixture: Sync {
    /// The store's type.
    type Store: AccountStateStore;

    /// The store.
    fn store(&self) -> &Self::Store;

    /// Makes `token` an access token of `user`.
    fn insert_access_token(
        &self,
        token: &str,
        user: &UserId,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Puts the account of `user` into `state`, which replaces the state that it was in. What the
    /// server does beside, as announcing the change, belongs here.
    fn set_state(
        &self,
        user: &UserId,
        state: AccountState,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Makes `token` a refresh token of `user`, or says `false` where the server has none, as the
    /// default does.
    fn insert_refresh_token(
        &self,
        token: &str,
        user: &UserId,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send {
        let _ = (token, user);
        async { Ok(false) }
    }

    /// Makes `token` a token for `m.login.token` of `user`, or says `false` where the server has
    /// none, as the default does.
    fn insert_login_token(
        &self,
        token: &str,
        user: &UserId,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send {
        let _ = (token, user);
        async { Ok(false) }
    }

    /// What the server can store. The default is everything.
    fn scope(&self) -> Scope {
        Scope::everything()
    }
}

/// What a server can store of a state, so that nothing else is asked of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Scope {
    kinds: Vec<RestrictionKind>,
    reasons: bool,
    ends: bool,
}

impl Scope {
    /// Every kind of restriction, with reasons and ends.
    pub fn everything() -> Self {
        Self {
            kinds: RestrictionKind::ALL.to_vec(),
            reasons: true,
            ends: true,
        }
    }

    /// There is no restriction of this kind.
    pub fn without_kind(mut self, kind: RestrictionKind) -> Self {
        self.kinds.retain(|&other| other != kind);
        self
    }

    /// Restrictions have no reasons.
    pub fn without_reasons(mut self) -> Self {
        self.reasons = false;
        self
    }

    /// Restrictions do not end by themselves.
    pub fn without_ends(mut self) -> Self {
        self.ends = false;
        self
    }

    pub(super) fn kinds(&self) -> &[RestrictionKind] {
        &self.kinds
    }

    pub(super) fn has_reasons(&self) -> bool {
        self.reasons
    }

    pub(super) fn has_ends(&self) -> bool {
        self.ends
    }
}
