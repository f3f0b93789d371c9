//! A pointer to a store is a store.

use std::{
    future::Future,
    sync::{Arc, Weak},
};

use super::{
    AccountStateStore, Answer, ChangeRecord, Peek, RestrictionRecord, RestrictionStore, StoreError,
};
use crate::{
    account::{Account, AccountState, RestrictionKind, UserId},
    changes::Changes,
    credential::{Credential, Logout, ThirdParty},
};

macro_rules! forward_store {
    ($([$($generics:tt)*] $pointer:ty;)*) => {$(
        impl<$($generics)*> AccountStateStore for $pointer {
            const RESOLVES_AT_ONCE: bool = S::RESOLVES_AT_ONCE;

            fn access_token(&self, token: &str) -> impl Future<Output = Answer> + Send {
                S::access_token(self, token)
            }

            fn application_service(&self, token: &str) -> impl Future<Output = Answer> + Send {
                S::application_service(self, token)
            }

            fn login_name(&self, name: &str) -> impl Future<Output = Answer> + Send {
                S::login_name(self, name)
            }

            fn third_party(&self, id: ThirdParty<'_>) -> impl Future<Output = Answer> + Send {
                S::third_party(self, id)
            }

            fn login_token(
                &self,
                token: &str,
                login_type: Option<&str>,
            ) -> impl Future<Output = Answer> + Send {
                S::login_token(self, token, login_type)
            }

            fn refresh_token(&self, token: &str) -> impl Future<Output = Answer> + Send {
                S::refresh_token(self, token)
            }

            fn state(
                &self,
                user: &str,
            ) -> impl Future<Output = Result<AccountState, StoreError>> + Send {
                S::state(self, user)
            }

            fn states(
                &self,
                users: &[UserId],
            ) -> impl Future<Output = Vec<Result<AccountState, StoreError>>> + Send {
                S::states(self, users)
            }

            fn changes(&self) -> Option<Changes> {
                S::changes(self)
            }

            fn access_token_and_state(
                &self,
                token: &str,
            ) -> impl Future<Output = Result<Option<Account>, StoreError>> + Send {
                S::access_token_and_state(self, token)
            }

            fn event_sender(
                &self,
                room: &str,
                event: &str,
            ) -> impl Future<Output = Answer> + Send {
                S::event_sender(self, room, event)
            }

            fn logged_out(&self, token: &str, logout: Logout) {
                S::logged_out(self, token, logout);
            }

            #[inline]
            fn peek(&self, credential: Credential<'_>) -> Peek {
                S::peek(self, credential)
            }

            #[inline]
            fn peek_state(&self, user: &str) -> Option<AccountState> {
                S::peek_state(self, user)
            }

            #[inline]
            fn glance(&self, credential: Credential<'_>) -> Option<Peek> {
                S::glance(self, credential)
            }
        }
    )*};
}

forward_store! {
    [S: AccountStateStore + ?Sized] Arc<S>;
    [S: AccountStateStore + ?Sized] Box<S>;
    [S: AccountStateStore + ?Sized] &'static S;
}

/// A server whose state is the store and owns an [`AccountGuard`](crate::AccountGuard) uses it, because a layer
/// that owned the state would make a circle that is never freed. When the state is gone, every question
/// fails.
impl<S: AccountStateStore> AccountStateStore for Weak<S> {
    async fn access_token(&self, token: &str) -> Answer {
        alive(self)?.access_token(token).await
    }

    async fn application_service(&self, token: &str) -> Answer {
        alive(self)?.application_service(token).await
    }

    async fn login_name(&self, name: &str) -> Answer {
        alive(self)?.login_name(name).await
    }

    async fn third_party(&self, id: ThirdParty<'_>) -> Answer {
        alive(self)?.third_party(id).await
    }

    async fn login_token(&self, token: &str, login_type: Option<&str>) -> Answer {
        alive(self)?.login_token(token, login_type).await
    }

    async fn refresh_token(&self, token: &str) -> Answer {
        alive(self)?.refresh_token(token).await
    }

    async fn state(&self, user: &str) -> Result<AccountState, StoreError> {
        alive(self)?.state(user).await
    }

    async fn states(&self, users: &[UserId]) -> Vec<Result<AccountState, StoreError>> {
        match alive(self) {
            Ok(store) => store.states(users).await,
            Err(gone) => users.iter().map(|_| Err(gone.clone())).collect(),
        }
    }

    fn changes(&self) -> Option<Changes> {
        self.upgrade()?.changes()
    }

    async fn access_token_and_state(&self, token: &str) -> Result<Option<Account>, StoreError> {
        alive(self)?.access_token_and_state(token).await
    }

    async fn event_sender(&self, room: &str, event: &str) -> Answer {
        alive(self)?.event_sender(room, event).await
    }

    fn logged_out(&self, token: &str, logout: Logout) {
        if let Some(store) = self.upgrade() {
            store.logged_out(token, logout);
        }
    }

    fn peek(&self, credential: Credential<'_>) -> Peek {
        let store = self.upgrade();
        store.map_or(Peek::Ask, |store| store.peek(credential))
    }

    fn peek_state(&self, user: &str) -> Option<AccountState> {
        self.upgrade()?.peek_state(user)
    }

    fn glance(&self, credential: Credential<'_>) -> Option<Peek> {
        match self.upgrade() {
            Some(store) => store.glance(credential),
            None => Some(Peek::Ask),
        }
    }
}

fn alive<S>(store: &Weak<S>) -> Result<Arc<S>, StoreError> {
    let gone = || {
        StoreError::msg(
            "the server's state, which is the account store, was dropped: keep an `Arc` of it while the layer is in use",
        )
    };
    store.upgrade().ok_or_else(gone)
}

macro_rules! forward_restrictions {
    ($([$($generics:tt)*] $pointer:ty;)*) => {$(
        impl<$($generics)*> RestrictionStore for $pointer {
            type Error = R::Error;

            fn state_of(
                &self,
                user: &str,
            ) -> impl Future<Output = Result<AccountState, Self::Error>> + Send {
                R::state_of(self, user)
            }

            fn states_of(
                &self,
                users: &[UserId],
            ) -> impl Future<Output = Vec<Result<AccountState, StoreError>>> + Send {
                R::states_of(self, users)
            }

            fn set_restriction(
                &self,
                user: &UserId,
                record: RestrictionRecord,
            ) -> impl Future<Output = Result<(), Self::Error>> + Send {
                R::set_restriction(self, user, record)
            }

            fn lift_restriction(
                &self,
                user: &UserId,
                kind: RestrictionKind,
                change: &ChangeRecord,
            ) -> impl Future<Output = Result<bool, Self::Error>> + Send {
                R::lift_restriction(self, user, kind, change)
            }

            fn record(
                &self,
                user: &UserId,
                kind: RestrictionKind,
            ) -> impl Future<Output = Result<Option<RestrictionRecord>, Self::Error>> + Send {
                R::record(self, user, kind)
            }

            fn restricted(
                &self,
                after: Option<&UserId>,
                limit: usize,
            ) -> impl Future<
                Output = Result<Vec<(UserId, Vec<RestrictionRecord>)>, Self::Error>,
            > + Send {
                R::restricted(self, after, limit)
            }

            #[inline]
            fn peek_state_of(&self, user: &str) -> Option<AccountState> {
                R::peek_state_of(self, user)
            }

            fn restriction_changes(&self) -> Option<Changes> {
                R::restriction_changes(self)
            }
        }
    )*};
}

forward_restrictions! {
    [R: RestrictionStore + ?Sized] Arc<R>;
    [R: RestrictionStore + ?Sized] Box<R>;
    [R: RestrictionStore + ?Sized] &'static R;
}
