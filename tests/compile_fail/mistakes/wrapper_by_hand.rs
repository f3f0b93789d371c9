//! A store that wraps another by hand, and forgets its news and its senders of events.

use tower_account_status::{
    AccountState, AccountStateStore, MemoryStore,
    store::{Answer, StoreError},
    without,
};

struct Wrapper {
    inner: MemoryStore,
}

impl AccountStateStore for Wrapper {
    async fn access_token(&self, token: &str) -> Answer {
        AccountStateStore::access_token(&self.inner, token).await
    }

    async fn state(&self, user: &str) -> Result<AccountState, StoreError> {
        AccountStateStore::state(&self.inner, user).await
    }

    without! { application_service, login_name, third_party, login_token, refresh_token }
}

fn main() {}
