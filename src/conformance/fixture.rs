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

    /// Makes an access token that [`insert_access_token`](Self::insert_access_token) has made an
    /// expired one that is still on record, or says `false` where tokens of this server never
    /// expire, as the default does.
    fn expire_access_token(
        &self,
        token: &str,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send {
        let _ = token;
        async { Ok(false) }
    }

    /// Makes `token` that of an application service whose own account is `sender`, or says `false`
    /// where the server has none, as the default does.
    fn insert_application_service(
        &self,
        token: &str,
        sender: &UserId,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send {
        let _ = (token, sender);
        async { Ok(false) }
    }

    /// What `user`, for whom an access token has been made, may write into the user field of a
    /// login, or nothing where the server has no login by name, as the default says. The user id
    /// is among them in most servers, and so is the localpart.
    fn login_names(
        &self,
        user: &UserId,
    ) -> impl Future<Output = Result<Vec<String>, StoreError>> + Send {
        let _ = user;
        async { Ok(Vec::new()) }
    }

    /// Makes `address` an e-mail address of `user`, or says `false` where nobody logs in by one, as
    /// the default does.
    fn insert_email(
        &self,
        address: &str,
        user: &UserId,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send {
        let _ = (address, user);
        async { Ok(false) }
    }

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

    /// Makes a token by which `user` logs in with another type than `m.login.token`, such as a JSON
    /// Web Token, and gives the type and the token; or nothing where the server has no such type, as
    /// the default does. It may be made an `m.login.token` of another user after that.
    fn other_login_token(
        &self,
        user: &UserId,
    ) -> impl Future<Output = Result<Option<(String, String)>, StoreError>> + Send {
        let _ = user;
        async { Ok(None) }
    }

    /// How many tokens of all kinds the server has on record, or nothing where it cannot tell, as
    /// the default says. A look-up must not add one.
    fn count_tokens(&self) -> impl Future<Output = Result<Option<usize>, StoreError>> + Send {
        async { Ok(None) }
    }

    /// Makes an event of `sender`'s in a room of that id, or says `false` where the store does not
    /// answer [`event_sender`](AccountStateStore::event_sender), as the default does.
    fn insert_event(
        &self,
        room: &str,
        event: &str,
        sender: &UserId,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send {
        let _ = (room, event, sender);
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
