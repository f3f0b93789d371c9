//! The key of a token in the tables: a keyed hash of it.
//!
//! A collision would hand one person's state to another, and the tables must not be a heap of
//! tokens for anyone who can read the memory. So a key is 128 bits of SipHash under a random key
//! that each cache draws for itself, with another one for each kind of key. SipHash is a
//! pseudo-random function: nobody without its key can search for collisions. By chance a million
//! entries and a million million attempts collide with a probability of 2^-68. The variant has two and
//! four rounds, and is meant for more than hash tables. A token of 40 bytes takes 21 ns; with one and
//! three rounds it would take 12 ns. BLAKE3 takes 79 ns, and cut to 128 bits it is no safer against
//! chance.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use siphasher::sip128::{Hash128, SipHasher24};

/// The key of a token or of a user's name in the tables.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Key(u64, u64);

impl Key {
    fn new(hash: Hash128) -> Self {
        Self(hash.h1, hash.h2)
    }

    /// Bits that are as random as the key, to vary a value from key to key.
    #[inline]
    pub(super) fn bits(self) -> u64 {
        self.1
    }
}

/// Half of the key is a hash good enough for a table.
impl Hash for Key {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

/// Makes the keys of one cache.
pub(super) struct Keys {
    access_token: SipHasher24,
    application_service: SipHasher24,
    user: SipHasher24,
}

impl Keys {
    pub(super) fn new() -> Self {
        Self {
            access_token: random_hasher(),
            application_service: random_hasher(),
            user: random_hasher(),
        }
    }

    #[inline]
    pub(super) fn access_token(&self, token: &[u8]) -> Key {
        Key::new(self.access_token.hash(token))
    }

    #[inline]
    pub(super) fn application_service(&self, token: &[u8]) -> Key {
        Key::new(self.application_service.hash(token))
    }

    #[inline]
    pub(super) fn user(&self, user: &str) -> Key {
        Key::new(self.user.hash(user.as_bytes()))
    }
}

/// Keyed with 128 bits that the standard library draws from the operating system's randomness
/// and passes through a keyed hash of its own.
fn random_hasher() -> SipHasher24 {
    let random = RandomState::new();
    SipHasher24::new_with_keys(random.hash_one(0_u8), random.hash_one(1_u8))
}

/// Hands a [`Key`]'s own bits on as its hash.
#[derive(Clone, Copy, Default)]
pub(super) struct Prehashed;

#[derive(Clone, Copy, Default)]
pub(super) struct PrehashedHasher(u64);

impl BuildHasher for Prehashed {
    type Hasher = PrehashedHasher;

    #[inline]
    fn build_hasher(&self) -> PrehashedHasher {
        PrehashedHasher::default()
    }
}

impl Hasher for PrehashedHasher {
    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }

    #[inline]
    fn write_u64(&mut self, bits: u64) {
        self.0 = bits;
    }

    fn write(&mut self, bytes: &[u8]) {
        // Not reached by a `Key`; anything else is folded in, so that it works all the same.
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Keys;

    #[test]
    fn keys_of_different_kinds_and_caches_differ() {
        let keys = Keys::new();
        let text = "@alice:localhost";
        let token = keys.access_token(text.as_bytes());
        assert!(token == keys.access_token(text.as_bytes()));
        assert!(token != keys.user(text));
        assert!(token != keys.application_service(text.as_bytes()));
        assert!(token != Keys::new().access_token(text.as_bytes()));
    }
}
