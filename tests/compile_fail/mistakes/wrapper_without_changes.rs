//! A store that wraps another and does not forward its changes.

use tower_account_status::{AccountStateStore, MemoryStore, forward};

struct Wrapper {
    inner: MemoryStore,
}

impl AccountStateStore for Wrapper {
    forward! {
        inner => access_token, application_service, login_name, third_party, login_token,
        refresh_token, state
    }
}

fn main() {}
