//! JSON Web Tokens as a login: HS256 with a secret that the operator shares with another system.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, de::DeserializeOwned};
use sha2::Sha256;

/// What the server reads of a token.
#[derive(Deserialize)]
pub(crate) struct Claims {
    pub(crate) sub: String,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
}

/// The claims of a token whose signature is right.
pub(crate) fn decode<T: DeserializeOwned>(token: &str, secret: &str) -> Option<T> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
    mac(signed, secret).verify_slice(&signature).ok()?;
    let read = |part| BASE64_URL_SAFE_NO_PAD.decode(part).ok();
    let header: Header = serde_json::from_slice(&read(header)?).ok()?;
    (header.alg == "HS256").then_some(())?;
    serde_json::from_slice(&read(claims)?).ok()
}

/// A token as the other system makes it.
#[must_use]
pub fn encode(claims: &serde_json::Value, secret: &str) -> String {
    let part = |json: &str| BASE64_URL_SAFE_NO_PAD.encode(json);
    let header = part(r#"{"alg":"HS256","typ":"JWT"}"#);
    let signed = format!("{header}.{}", part(&claims.to_string()));
    let signature = mac(&signed, secret).finalize().into_bytes();
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

fn mac(signed: &str, secret: &str) -> Hmac<Sha256> {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes());
    let mut mac = mac.expect("a key of any length");
    mac.update(signed.as_bytes());
    mac
}
