//! A pointer to a store is a store.

use std::{future::Future, sync::Arc};

use super::{AccountStateStore, Peek};
use crate::{Account, AccountState, Credential, Secret, UserId, changes::Changes};

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
