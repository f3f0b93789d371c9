//! A wrapper that would forward what it thinks of, and answer past its own `state`.

use tower_account_status::{
    AccountState, AccountStateStore, MemoryStore, RestrictionKind, forward, store::StoreError,
};

struct Wrapper {
    inner: MemoryStore,
}

impl AccountStateStore for Wrapper {
    forward! { inner => access_token, peek, changes }

    async fn state(&self, _: &str) -> Result<AccountState, StoreError> {
        Ok(RestrictionKind::Locked.into())
    }
}

fn main() {}
