//! What fills the broken store.

use std::sync::atomic::Ordering;

use tower_account_status::{
    AccountState, AccountStateStore as _, UserId, conformance::Fixture, store::StoreError,
};

use super::{Broken, Fault, JWT};

impl Fixture for Broken {
    type Store = Self;

    fn store(&self) -> &Self {
        self
    }

    async fn insert_access_token(&self, token: &str, user: &UserId) -> Result<(), StoreError> {
        self.inner.insert_access_token(token, user.clone());
        Ok(())
    }

    async fn expire_access_token(&self, token: &str) -> Result<bool, StoreError> {
        self.expired.lock().unwrap().insert(token.to_owned());
        Ok(true)
    }

    /// A faulty store remembers the token's owner.
    async fn remove_access_token(&self, token: &str) -> Result<bool, StoreError> {
        match self.fault {
            Fault::LogoutIsForgotten | Fault::LogoutEndsOneSession => {}
            _ => {
                self.inner.remove_access_token(token);
            }
        }
        Ok(true)
    }

    async fn break_record(&self, user: &UserId) -> Result<bool, StoreError> {
        self.unreadable.lock().unwrap().insert(user.clone());
        Ok(true)
    }

    async fn insert_application_service(
        &self,
        token: &str,
        sender: &UserId,
    ) -> Result<bool, StoreError> {
        self.inner
            .insert_application_service_token(token, sender.clone());
        Ok(true)
    }

    async fn login_names(&self, user: &UserId) -> Result<Vec<String>, StoreError> {
        let localpart = user.localpart().unwrap_or_default();
        Ok(vec![user.to_string(), localpart.to_owned()])
    }

    async fn insert_email(&self, address: &str, user: &UserId) -> Result<bool, StoreError> {
        self.inner
            .insert_third_party_id("email", address, user.clone());
        Ok(true)
    }

    async fn count_tokens(&self) -> Result<Option<usize>, StoreError> {
        Ok(Some(self.tokens.load(Ordering::Relaxed)))
    }

    async fn insert_event(
        &self,
        _: &str,
        event: &str,
        sender: &UserId,
    ) -> Result<bool, StoreError> {
        let mut events = self.events.lock().unwrap();
        events.push((event.to_owned(), sender.clone()));
        Ok(true)
    }

    async fn insert_refresh_token(&self, token: &str, user: &UserId) -> Result<bool, StoreError> {
        self.inner.insert_refresh_token(token, user.clone());
        Ok(true)
    }

    async fn insert_login_token(&self, token: &str, user: &UserId) -> Result<bool, StoreError> {
        self.inner.insert_login_token(token, user.clone());
        Ok(true)
    }

    async fn other_login_token(
        &self,
        user: &UserId,
    ) -> Result<Option<(String, String)>, StoreError> {
        let token = format!("signed for {user}");
        let mut signed = self.signed.lock().unwrap();
        signed.insert(token.clone(), user.clone());
        Ok(Some((JWT.to_owned(), token)))
    }

    async fn set_state(&self, user: &UserId, state: AccountState) -> Result<(), StoreError> {
        self.remember(user);
        if self.has(Fault::ChangesInParts) && self.changing.fetch_add(1, Ordering::Relaxed) % 2 == 0
        {
            // Every second change waits, and is lost where another one came between.
            let turn = self.changing.load(Ordering::Relaxed);
            tokio::task::yield_now().await;
            if self.changing.load(Ordering::Relaxed) != turn {
                return Ok(());
            }
        }
        if self.has(Fault::AnnouncesTooEarly) {
            self.silent.announce(user);
            tokio::task::yield_now().await;
        }
        if self.has(Fault::AnnouncesTwice) {
            // The second announcement of the earlier change arrives late, as over a network.
            self.inner.changes().unwrap().announce(user);
            tokio::task::yield_now().await;
        }
        self.inner.set_state(self.key(user), self.spoilt(&state));
        Ok(())
    }
}
