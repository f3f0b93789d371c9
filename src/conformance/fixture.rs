//! How the checks fill a store.

use std::future::Future;

use crate::{
    account::{AccountState, RestrictionKind, UserId},
    store::{AccountStateStore, StoreError},
};

/// A store under test, with methods that fill it.
///
/// The checks use users that the store has not seen before. Their names have every form that the
/// specification's historical grammar allows.
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

    /// Puts the account of `user` into `state`, which replaces its earlier state. Do here whatever the
    /// server does with such a change: announce it, for example.
    fn set_state(
        &self,
        user: &UserId,
        state: AccountState,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Lets an access token that [`insert_access_token`](Self::insert_access_token) made expire. It
    /// stays on record. The default returns `false`: tokens of this server never expire.
    fn expire_access_token(
        &self,
        token: &str,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send {
        let _ = token;
        async { Ok(false) }
    }

    /// Deletes an access token that [`insert_access_token`](Self::insert_access_token) made, as the server's
    /// logout does before it answers. The check then calls
    /// [`logged_out`](AccountStateStore::logged_out), as the layer does. The default returns `false`: the
    /// fixture cannot log out.
    fn remove_access_token(
        &self,
        token: &str,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send {
        let _ = token;
        async { Ok(false) }
    }

    /// Makes the record of `user`'s state unreadable, so that [`state`](AccountStateStore::state) of it fails,
    /// as a broken row does. The default returns `false`: the fixture cannot do that.
    fn break_record(&self, user: &UserId) -> impl Future<Output = Result<bool, StoreError>> + Send {
        let _ = user;
        async { Ok(false) }
    }

    /// Makes `token` the token of an application service whose own account is `sender`. The default
    /// returns `false`: the server has no application services.
    fn insert_application_service(
        &self,
        token: &str,
        sender: &UserId,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send {
        let _ = (token, sender);
        async { Ok(false) }
    }

    /// The names that `user` may write into the user field of a login, in most servers the user id and
    /// the localpart. An access token of `user` has been made. The default returns none: the server has
    /// no login by name.
    fn login_names(
        &self,
        user: &UserId,
    ) -> impl Future<Output = Result<Vec<String>, StoreError>> + Send {
        let _ = user;
        async { Ok(Vec::new()) }
    }

    /// Makes `address` an e-mail address of `user`. The default returns `false`: nobody logs in by an
    /// e-mail address.
    fn insert_email(
        &self,
        address: &str,
        user: &UserId,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send {
        let _ = (address, user);
        async { Ok(false) }
    }

    /// Makes `token` a refresh token of `user`. The default returns `false`: the server has no refresh
    /// tokens.
    fn insert_refresh_token(
        &self,
        token: &str,
        user: &UserId,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send {
        let _ = (token, user);
        async { Ok(false) }
    }

    /// Makes `token` a token for `m.login.token` of `user`. The default returns `false`: the server has
    /// no such tokens.
    fn insert_login_token(
        &self,
        token: &str,
        user: &UserId,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send {
        let _ = (token, user);
        async { Ok(false) }
    }

    /// Makes a token by which `user` logs in with another type than `m.login.token`, such as a JSON
    /// Web Token, and returns the type and the token. The checks may then make the same text an
    /// `m.login.token` of another user. The default returns `None`: the server has no such type.
    fn other_login_token(
        &self,
        user: &UserId,
    ) -> impl Future<Output = Result<Option<(String, String)>, StoreError>> + Send {
        let _ = user;
        async { Ok(None) }
    }

    /// How many tokens of all kinds the server has on record. A look-up must not add one. The default
    /// returns `None`: the server cannot count them.
    fn count_tokens(&self) -> impl Future<Output = Result<Option<usize>, StoreError>> + Send {
        async { Ok(None) }
    }

    /// Makes an event that `sender` sent in the room. The default returns `false`: the store does not
    /// answer [`event_sender`](AccountStateStore::event_sender).
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

/// The parts of a state that a server can store. The checks ask for no others.
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

    /// The server has no restriction of this kind.
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
