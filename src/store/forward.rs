//! A pointer to a store is a store.

use std::{future::Future, sync::Arc};

use super::{AccountStateStore, Peek, RestrictionRecord, RestrictionStore};
use crate::{
    account::{Account, AccountState, RestrictionKind, UserId},
    changes::Changes,
    credential::{Credential, Secret},
};

macro_rules! forward {
    ($($(#[$attribute:meta])* [$($generics:tt)*] $pointer:ty;)*) => {$(
        impl<$($generics)*> AccountStateStore for $pointer {
            type Error = S::Error;

            fn account(
                &self,
                credential: Credential<'_>,
            ) -> impl Future<Output = Result<Option<UserId>, Self::Error>> + Send {
                S::account(self, credential)
            }

            fn state(
                &self,
                user: &UserId,
            ) -> impl Future<Output = Result<AccountState, Self::Error>> + Send {
                S::state(self, user)
            }

            fn account_and_state(
                &self,
                credential: Credential<'_>,
            ) -> impl Future<Output = Result<Option<Account>, Self::Error>> + Send {
                S::account_and_state(self, credential)
            }

            #[inline]
            fn peek(&self, credential: Credential<'_>) -> Peek {
                S::peek(self, credential)
            }

            #[inline]
            fn peek_state(&self, user: &UserId) -> Option<AccountState> {
                S::peek_state(self, user)
            }

            #[inline]
            fn is_active(&self, credential: Credential<'_>) -> bool {
                S::is_active(self, credential)
            }

            fn event_sender(
                &self,
                room: &str,
                event: &str,
            ) -> impl Future<Output = Result<Option<UserId>, Self::Error>> + Send {
                S::event_sender(self, room, event)
            }

            fn is_application_service(&self, token: Secret<'_>) -> bool {
                S::is_application_service(self, token)
            }

            fn changes(&self) -> Option<Changes> {
                S::changes(self)
            }
        }
    )*};
}

forward! {
    [S: AccountStateStore + ?Sized] Arc<S>;
    [S: AccountStateStore + ?Sized] Box<S>;
    [S: AccountStateStore + ?Sized] &'static S;
}

macro_rules! forward_restrictions {
    ($([$($generics:tt)*] $pointer:ty;)*) => {$(
        impl<$($generics)*> RestrictionStore for $pointer {
            type Error = R::Error;

            fn state(
                &self,
                user: &UserId,
            ) -> impl Future<Output = Result<AccountState, Self::Error>> + Send {
                R::state(self, user)
            }

            fn restrict(
                &self,
                user: &UserId,
                record: RestrictionRecord,
            ) -> impl Future<Output = Result<(), Self::Error>> + Send {
                R::restrict(self, user, record)
            }

            fn lift(
                &self,
                user: &UserId,
                kind: RestrictionKind,
            ) -> impl Future<Output = Result<bool, Self::Error>> + Send {
                R::lift(self, user, kind)
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
            fn peek_state(&self, user: &UserId) -> Option<AccountState> {
                R::peek_state(self, user)
            }

            fn changes(&self) -> Option<Changes> {
                R::changes(self)
            }
        }
    )*};
}

forward_restrictions! {
    [R: RestrictionStore + ?Sized] Arc<R>;
    [R: RestrictionStore + ?Sized] Box<R>;
    [R: RestrictionStore + ?Sized] &'static R;
}
