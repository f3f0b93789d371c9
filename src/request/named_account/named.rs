//! An account as a body names it.

use std::fmt;

use super::name::Name;
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
