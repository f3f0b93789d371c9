//! The accounts that a body names: `POST /login`, `POST /refresh`, the guest's token of
//! `POST /register`, and the `auth` of `POST /account/password` and `POST /account/deactivate`.
//!
//! JSON parsers differ in what they make of a repeated key. So every occurrence counts, and
//! what stands where a name should be but is none is refused, never let through unseen.

mod fields;
mod name;
#[cfg(test)]
mod tests;
mod walk;

use std::fmt;

use self::{
    fields::{Found, Object},
    name::Name,
};
use super::{
    endpoint::NamingEndpoint,
    few::Few,
    json::{Json, JsonError},
};
use crate::credential::{Credential, LoginToken, Secret, ThirdParty};

/// Why a body does not say whom it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// It is not JSON.
    NotJson,
    /// It is JSON, and not an object.
    NotObject,
    /// An account is named by something other than a string.
    BadJson,
    /// Some parser, or a server that merges bodies, may read it otherwise than it says.
    Unclear,
    /// It names more accounts than are looked up for one request.
    TooMany,
}

/// An account as a body names it.
#[derive(PartialEq, Eq)]
pub(crate) enum NamedAccount<'b> {
    User(Name<'b>),
    ThirdParty {
        medium: Name<'b>,
        address: Name<'b>,
    },
    Phone {
        country: Name<'b>,
        phone: Name<'b>,
    },
    LoginToken {
        token: Name<'b>,
        login_type: Option<Name<'b>>,
    },
    RefreshToken(Name<'b>),
    /// The access token of a guest.
    GuestToken(Name<'b>),
}

impl NamedAccount<'_> {
    pub(crate) fn credential(&self) -> Credential<'_> {
        match self {
            Self::User(user) => Credential::LoginName(user.as_str()),
            Self::ThirdParty { medium, address } => Credential::ThirdParty(ThirdParty::Address {
                medium: medium.as_str(),
                address: address.as_str(),
            }),
            Self::Phone { country, phone } => Credential::ThirdParty(ThirdParty::Phone {
                country: country.as_str(),
                phone: phone.as_str(),
            }),
            Self::LoginToken { token, login_type } => Credential::LoginToken(LoginToken::new(
                token.as_str(),
                login_type.as_ref().map(Name::as_str),
            )),
            Self::RefreshToken(token) => Credential::RefreshToken(Secret::from(token.as_str())),
            Self::GuestToken(token) => Credential::AccessToken(Secret::from(token.as_str())),
        }
    }
}

impl fmt::Debug for NamedAccount<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.credential().fmt(f)
    }
}

/// Reads the accounts that the body of `endpoint` names. An empty body names none.
pub(crate) fn read(
    endpoint: NamingEndpoint,
    body: &[u8],
) -> Result<Few<NamedAccount<'_>>, BodyError> {
    if body.is_empty() {
        return Ok(Few::new());
    }
    let object = match endpoint {
        NamingEndpoint::Login => Object::Login,
        NamingEndpoint::Refresh => Object::Refresh,
        NamingEndpoint::Reauthentication => Object::Reauthentication,
        NamingEndpoint::GuestUpgrade => Object::Register,
        NamingEndpoint::Unclear => Object::Any,
    };
    let mut json = Json::new(body)?;
    let mut found = Found::new();
    let value = json.value()?;
    walk::read(&mut json, value, object, &mut found)?;
    json.end()?;
    found.into_accounts()
}

impl From<JsonError> for BodyError {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::NotJson => Self::NotJson,
            JsonError::Refused => Self::Unclear,
        }
    }
}
