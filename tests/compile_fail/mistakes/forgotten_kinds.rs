//! A store that answers access tokens and says nothing of the rest.

use tower_account_status::{
    AccountState, AccountStateStore,
    store::{Answer, StoreError},
};

struct Homeserver;

impl AccountStateStore for Homeserver {
    async fn access_token(&self, _: &str) -> Answer {
        Ok(None)
    }

    async fn state(&self, _: &str) -> Result<AccountState, StoreError> {
        Ok(AccountState::ACTIVE)
    }
}

fn main() {}
