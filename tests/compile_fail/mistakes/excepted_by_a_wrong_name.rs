//! A wrapper that excepts what no store is asked.

use tower_account_status::{AccountStateStore, MemoryStore, forward};

struct Wrapper {
    inner: MemoryStore,
}

impl AccountStateStore for Wrapper {
    forward! { inner => all except status }
}

fn main() {}
