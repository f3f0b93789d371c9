//! The accounts that a body names: `POST /login`, `POST /refresh`, and the `auth` of
//! `POST /account/password` and `POST /account/deactivate`.
//!
//! JSON parsers differ in what they make of a repeated key. So every occurrence counts, and
//! what stands where a name should be but is none is refused, never let through unseen.

mod fields;
mod json;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::de::DeserializeSeed;

use self::fields::{Found, Object};

use super::{endpoint::NamingEndpoint, few::Few};
use crate::credential::{Credential, LoginToken, Secret, ThirdParty};

/// Why a body does not say whom it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// It is not JSON.
    NotJson,
    /// It is JSON, but an account is named by something other than a string.
    BadJson,
    /// It names more accounts than are looked up for one request.
    TooMany,
}

/// An account as a body names it.
#[derive(PartialEq, Eq)]
pub(crate) enum NamedAccount {
    User(String),
    ThirdParty {
        medium: String,
        address: String,
    },
    Phone {
        country: String,
        phone: String,
    },
    LoginToken {
        token: String,
        login_type: Option<String>,
    },
    RefreshToken(String),
}

impl NamedAccount {
    pub(crate) fn credential(&self) -> Credential<'_> {
        match self {
            Self::User(user) => Credential::LoginName(user),
            Self::ThirdParty { medium, address } => {
                Credential::ThirdParty(ThirdParty::Address { medium, address })
            }
            Self::Phone { country, phone } => {
                Credential::ThirdParty(ThirdParty::Phone { country, phone })
            }
            Self::LoginToken { token, login_type } => {
                Credential::LoginToken(LoginToken::new(&**token, login_type.as_deref()))
            }
            Self::RefreshToken(token) => Credential::RefreshToken(Secret::from(&**token)),
        }
    }
}

impl fmt::Debug for NamedAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.credential().fmt(f)
    }
}

/// Reads the accounts that the body of `endpoint` names. An empty body names none.
pub(crate) fn read(endpoint: NamingEndpoint, body: &[u8]) -> Result<Few<NamedAccount>, BodyError> {
    let mut found = Found {
        accounts: Few::new(),
        problem: None,
    };
    if body.is_empty() {
        return Ok(found.accounts);
    }
    let object = match endpoint {
        NamingEndpoint::Login => Object::Login,
        NamingEndpoint::Refresh => Object::Refresh,
        NamingEndpoint::Reauthentication => Object::Reauthentication,
        NamingEndpoint::Unclear => Object::Any,
    };
    let mut json = serde_json::Deserializer::from_slice(body);
    found
        .seed(object)
        .deserialize(&mut json)
        .and_then(|()| json.end())
        .map_err(|_| BodyError::NotJson)?;
    match found.problem {
        Some(problem) => Err(problem),
        None => Ok(found.accounts),
    }
}
