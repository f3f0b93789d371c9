//! Passwords, tokens and other random values.
//!
//! A password is kept as its Argon2id hash. A token has 256 random bits, so that a plain digest of
//! it is enough: nobody can log in with what is in the database.

use std::{fmt, sync::LazyLock};

use argon2::{
    Argon2,
    password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

/// Why a secret could not be made.
#[derive(Debug)]
pub(crate) enum Error {
    Random(getrandom::Error),
    Hash(argon2::password_hash::Error),
    Cancelled,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Random(error) => write!(f, "no random bytes: {error}"),
            Self::Hash(error) => write!(f, "no password hash: {error}"),
            Self::Cancelled => f.write_str("the server is stopping"),
        }
    }
}

impl std::error::Error for Error {}

/// The form in which tokens are stored.
pub(crate) type TokenHash = [u8; 32];

/// A token that nobody has had before. It is shown to its client once and never stored.
pub(crate) struct NewToken {
    pub(crate) text: String,
    pub(crate) hash: TokenHash,
}

impl NewToken {
    pub(crate) fn generate() -> Result<Self, Error> {
        let text = random_text(32)?;
        let hash = hash_token(text.as_bytes());
        Ok(Self { text, hash })
    }
}

pub(crate) fn hash_token(token: &[u8]) -> TokenHash {
    Sha256::digest(token).into()
}

/// Characters that are safe in a path, from `length` random bytes.
pub(crate) fn random_text(length: usize) -> Result<String, Error> {
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes).map_err(Error::Random)?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

/// Hashes a password, which takes tens of milliseconds, outside the runtime's threads.
pub(crate) async fn hash_password(password: String) -> Result<String, Error> {
    away_from_the_runtime(move || hash_now(&password)).await?
}

/// Whether `password` is that of `hash`. Takes as long if there is no hash, so that the time does
/// not tell which accounts exist.
pub(crate) async fn verify_password(password: String, hash: Option<String>) -> Result<bool, Error> {
    static NOBODYS: LazyLock<String> = LazyLock::new(|| hash_now("").unwrap_or_default());

    away_from_the_runtime(move || {
        let is_somebodys = hash.is_some();
        let hash = hash.as_ref().unwrap_or(&NOBODYS);
        let hash = PasswordHash::new(hash).map_err(Error::Hash)?;
        let verified = Argon2::default().verify_password(password.as_bytes(), &hash);
        Ok(verified.is_ok() && is_somebodys)
    })
    .await?
}

fn hash_now(password: &str) -> Result<String, Error> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(Error::Random)?;
    let salt = SaltString::encode_b64(&salt).map_err(Error::Hash)?;
    Argon2::default()
        .hash_password(password.as_bytes(), &salt)
        .map(|hash| hash.to_string())
        .map_err(Error::Hash)
}

async fn away_from_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Error::Cancelled)
}
