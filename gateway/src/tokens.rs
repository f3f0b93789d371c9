//! The known tokens of each user, so that all of them can be forgotten when the user logs out everywhere.

use std::{
    collections::HashMap,
    mem,
    sync::{Mutex, PoisonError},
};

use tower_account_status::{Secret, UserId};

/// The tokens that the homeserver has named an owner of, by owner.
///
/// The number is bounded: the tokens that were looked up last are known, between one and two times the capacity.
/// A token that is not forgotten in time does no harm, because the homeserver refuses it. Here it only says whose
/// state counts.
#[derive(Default)]
pub(crate) struct Tokens(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    count: usize,
    recent: ByUser,
    earlier: ByUser,
}

type ByUser = HashMap<UserId, Vec<Box<[u8]>>>;

impl Tokens {
    const CAPACITY: usize = 50_000;

    pub(crate) fn add(&self, user: &UserId, token: Secret<'_>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.count >= Self::CAPACITY {
            known.count = 0;
            known.earlier = mem::take(&mut known.recent);
        }
        let tokens = known.recent.entry(user.clone()).or_default();
        if !tokens.iter().any(|known| **known == *token.expose()) {
            tokens.push(token.expose().into());
            known.count += 1;
        }
    }

    /// Whether the homeserver has named this user as an owner, as far as that is remembered.
    pub(crate) fn knows(&self, user: &UserId) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.recent.contains_key(user) || known.earlier.contains_key(user)
    }

    /// Removes and returns all known tokens of the user.
    pub(crate) fn take(&self, user: &UserId) -> Vec<Box<[u8]>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tokens = known.recent.remove(user).unwrap_or_default();
        known.count -= tokens.len();
        tokens.extend(known.earlier.remove(user).unwrap_or_default());
        tokens
    }
}
