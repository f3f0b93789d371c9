//! The tables that answer requests. Their layout is for one hash, few reads and millions of accounts.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hasher, RandomState},
};

use hashbrown::{HashTable, hash_table::Entry};

use crate::account::{Account, AccountState, UserId};

/// The place of an account. It has four bytes, because every entry of every table has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u32);

impl Place {
    fn index(self) -> usize {
        self.0 as usize
    }
}

/// Every key leads to the account's place, so that a state is stored once for all devices of a person.
#[derive(Default)]
pub(super) struct Tables {
    pub(super) access_tokens: Tokens,
    pub(super) application_services: Tokens,
    pub(super) refresh_tokens: Tokens,
    pub(super) login_tokens: Tokens,
    accounts: Accounts,
    third_party_ids: HashMap<(Box<str>, Box<str>), Place>,
}

impl Tables {
    /// The place of `user`. A new user gets one.
    pub(super) fn place(&mut self, user: UserId) -> Place {
        self.accounts.place(user)
    }

    pub(super) fn find(&self, user: &str) -> Option<Place> {
        self.accounts.find(user)
    }

    pub(super) fn account(&self, place: Place) -> Account {
        Account::new(
            self.accounts.users[place.index()].clone(),
            self.state(place).clone(),
        )
    }

    /// The state of `user`, who may be unknown.
    pub(super) fn state_of(&self, user: &str) -> AccountState {
        let place = self.find(user);
        place.map_or(AccountState::ACTIVE, |place| self.state(place).clone())
    }

    #[inline]
    pub(super) fn state(&self, place: Place) -> &AccountState {
        &self.accounts.states[place.index()]
    }

    pub(super) fn state_mut(&mut self, place: Place) -> &mut AccountState {
        &mut self.accounts.states[place.index()]
    }

    pub(super) fn third_party(&self, medium: &str, address: &str) -> Option<Place> {
        let id = (medium.into(), address.into());
        self.third_party_ids.get(&id).copied()
    }

    pub(super) fn insert_third_party(&mut self, medium: &str, address: &str, place: Place) {
        let id = (medium.into(), address.into());
        self.third_party_ids.insert(id, place);
    }

    pub(super) fn len(&self) -> usize {
        self.accounts.users.len()
    }
}

/// The accounts, by place and by user id.
///
/// The states are apart from the names: what a request reads of an account is eight bytes, and
/// eight accounts share a cache line. The table by name holds places only, and no name twice.
#[derive(Default)]
struct Accounts {
    users: Vec<UserId>,
    states: Vec<AccountState>,
    places: HashTable<Place>,
    /// A hash that withstands chosen keys, because people choose their names.
    hasher: RandomState,
}

impl Accounts {
    fn place(&mut self, user: UserId) -> Place {
        let (users, hasher) = (&mut self.users, &self.hasher);
        let hash = hasher.hash_one(&*user);
        let entry = self.places.entry(
            hash,
            |place| users[place.index()] == user,
            |place| hasher.hash_one(&*users[place.index()]),
        );
        match entry {
            Entry::Occupied(place) => *place.get(),
            Entry::Vacant(vacant) => {
                let place = u32::try_from(users.len()).map(Place);
                let place = place.expect("there are fewer than four billion accounts in memory");
                vacant.insert(place);
                users.push(user);
                self.states.push(AccountState::ACTIVE);
                place
            }
        }
    }

    fn find(&self, user: &str) -> Option<Place> {
        let hash = self.hasher.hash_one(user);
        let is_user = |place: &Place| self.users[place.index()] == *user;
        self.places.find(hash, is_user).copied()
    }
}

/// Tokens and their owners.
///
/// The hash is keyed and fast. It does not withstand chosen keys, and need not: the server made up the tokens
/// in the table. A stranger chooses only the tokens that are looked up, which all cost the same.
#[derive(Default)]
pub(super) struct Tokens {
    entries: HashTable<Token>,
    hasher: foldhash::fast::RandomState,
}

struct Token {
    token: Box<[u8]>,
    owner: Place,
}

impl Tokens {
    #[inline]
    pub(super) fn get(&self, token: &[u8]) -> Option<Place> {
        let hash = hash(&self.hasher, token);
        let found = self.entries.find(hash, |entry| *entry.token == *token);
        found.map(|entry| entry.owner)
    }

    pub(super) fn insert(&mut self, token: &[u8], owner: Place) {
        let hasher = &self.hasher;
        let entry = self.entries.entry(
            hash(hasher, token),
            |entry| *entry.token == *token,
            |entry| hash(hasher, &entry.token),
        );
        match entry {
            Entry::Occupied(mut entry) => entry.get_mut().owner = owner,
            Entry::Vacant(vacant) => {
                let token = token.into();
                vacant.insert(Token { token, owner });
            }
        }
    }

    pub(super) fn remove(&mut self, token: &[u8]) -> bool {
        let hash = hash(&self.hasher, token);
        let found = self
            .entries
            .find_entry(hash, |entry| *entry.token == *token);
        found.is_ok_and(|entry| {
            entry.remove();
            true
        })
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// The bytes alone: `Hash` would hash their number too.
#[inline]
fn hash(hasher: &foldhash::fast::RandomState, token: &[u8]) -> u64 {
    let mut hasher = hasher.build_hasher();
    hasher.write(token);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::Tables;
    use crate::account::{AccountState, RestrictionKind};

    #[test]
    fn a_token_has_the_owner_it_was_given_last_and_none_when_it_is_removed() {
        let mut tables = Tables::default();
        let (alice, bob) = (
            tables.place("@alice:a".into()),
            tables.place("@bob:a".into()),
        );
        assert_ne!(alice, bob);
        assert_eq!(tables.place("@alice:a".into()), alice, "one place a user");
        tables.access_tokens.insert(b"t", alice);
        tables.access_tokens.insert(b"t", bob);
        assert_eq!(tables.access_tokens.len(), 1);
        assert_eq!(tables.access_tokens.get(b"t"), Some(bob));
        assert_eq!(tables.access_tokens.get(b""), None);
        assert!(tables.access_tokens.remove(b"t"));
        assert!(!tables.access_tokens.remove(b"t"));
        assert_eq!(tables.access_tokens.get(b"t"), None);
    }

    #[test]
    fn every_key_is_found_again_however_often_the_tables_have_grown() {
        let mut tables = Tables::default();
        for number in 0..5000 {
            let place = tables.place(format!("@{number}:a").into());
            tables
                .access_tokens
                .insert(format!("{number}").as_bytes(), place);
            if number % 3 == 0 {
                *tables.state_mut(place) = AccountState::from(RestrictionKind::Locked);
            }
        }
        assert_eq!(tables.len(), 5000);
        for number in 0..5000 {
            let place = tables.find(&format!("@{number}:a")).expect("known");
            let owner = tables.access_tokens.get(format!("{number}").as_bytes());
            assert_eq!(owner, Some(place), "{number}");
            assert_eq!(tables.state(place).is_active(), number % 3 != 0, "{number}");
            assert_eq!(tables.account(place).user, *format!("@{number}:a"));
        }
    }
}
