//! The accounts that every column knows, in the table of a bare check and in a `MemoryStore`.

use std::{collections::HashMap, future::poll_fn, task::Poll};

use tower_account_status::{Account, AccountStateStore, MemoryStore, RestrictionKind};
use tower_account_status::{forward, store::StoreError};

/// How many accounts there are, each with one token.
pub const ACCOUNTS: usize = 10_000;
/// How many of them ask in turn.
pub const IN_TURN: usize = 2_000;
const FIRST_LOCKED: usize = 9_000;
const FIRST_DEACTIVATED: usize = 9_400;
const FIRST_SUSPENDED: usize = 9_700;

/// How an account's requests are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Active,
    Locked,
    Deactivated,
    Suspended,
}

/// The standing of the account with this number.
fn standing(number: usize) -> Standing {
    match number {
        0..FIRST_LOCKED => Standing::Active,
        FIRST_LOCKED..FIRST_DEACTIVATED => Standing::Locked,
        FIRST_DEACTIVATED..FIRST_SUSPENDED => Standing::Deactivated,
        _ => Standing::Suspended,
    }
}

impl Standing {
    /// The number of the `turn`-th account of this standing.
    pub fn number(self, turn: usize) -> usize {
        match self {
            Self::Active => turn % IN_TURN,
            Self::Locked => FIRST_LOCKED + turn % (FIRST_DEACTIVATED - FIRST_LOCKED),
            Self::Deactivated => FIRST_DEACTIVATED + turn % (FIRST_SUSPENDED - FIRST_DEACTIVATED),
            Self::Suspended => FIRST_SUSPENDED + turn % (ACCOUNTS - FIRST_SUSPENDED),
        }
    }
}

/// An access token of 40 bytes.
pub fn token(number: usize) -> String {
    let mut mixed = (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut token = String::from("syt_");
    while token.len() < 40 {
        mixed ^= mixed >> 29;
        mixed = mixed.wrapping_mul(0xBF58_476D_1CE4_E5B9);
        token.push_str(&format!("{:012x}", mixed >> 16));
    }
    token
}

pub fn user(number: usize) -> String {
    format!("@user{number:06}:example.org")
}

/// The table that a check written by hand would have: a fast keyed hash, no lock, nothing that
/// could change.
pub struct BareTable {
    tokens: HashMap<Box<[u8]>, u32, foldhash::fast::RandomState>,
    users: HashMap<Box<str>, u32, foldhash::fast::RandomState>,
    standings: Vec<Standing>,
}

impl BareTable {
    pub fn new() -> Self {
        let numbered = 0..u32::try_from(ACCOUNTS).expect("few");
        Self {
            tokens: numbered
                .clone()
                .map(|number| (token(number as usize).into_bytes().into(), number))
                .collect(),
            users: numbered
                .map(|number| (user(number as usize).into(), number))
                .collect(),
            standings: (0..ACCOUNTS).map(standing).collect(),
        }
    }

    #[inline]
    pub fn by_token(&self, token: &[u8]) -> Option<Standing> {
        let place = *self.tokens.get(token)?;
        Some(self.standings[place as usize])
    }

    pub fn by_user(&self, user: &str) -> Option<Standing> {
        let place = *self.users.get(user)?;
        Some(self.standings[place as usize])
    }
}

/// The same accounts.
pub fn memory_store() -> MemoryStore {
    let store = MemoryStore::new();
    for number in 0..ACCOUNTS {
        store.insert_access_token(token(number), user(number));
        match standing(number) {
            Standing::Active => {}
            Standing::Locked => store.restrict(user(number), RestrictionKind::Locked),
            Standing::Deactivated => store.restrict(user(number), RestrictionKind::Deactivated),
            Standing::Suspended => store.restrict(user(number), RestrictionKind::Suspended),
        }
    }
    store
}

/// The same accounts behind a store that has to be awaited. It answers the first time that it is
/// polled, or the second.
pub struct AwaitedStore {
    pub store: MemoryStore,
    pub at_first: bool,
}

impl AccountStateStore for AwaitedStore {
    forward! { store => all except access_token_and_state }

    async fn access_token_and_state(&self, token: &str) -> Result<Option<Account>, StoreError> {
        pend(self.at_first).await;
        self.store.access_token_and_state(token).await
    }
}

/// Pending once, unless it is ready `at_first`.
pub async fn pend(mut at_first: bool) {
    poll_fn(|_| match std::mem::replace(&mut at_first, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}
