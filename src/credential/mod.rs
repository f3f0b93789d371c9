//! Credentials: the questions to the [store](crate::AccountStateStore).

mod claim;
mod secret;

use std::fmt;

pub(crate) use claim::Claim;
pub use secret::Secret;

/// Something in a request that belongs to an account, and the place where a store finds its owner:
/// one variant for each question of [`AccountStateStore`](crate::AccountStateStore).
///
/// It is lent for the time of the question. Its `Debug` output reveals no secret, and nothing that a person
/// typed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Credential<'a> {
    /// An access token of a user.
    AccessToken(Secret<'a>),
    /// A token that may be an application service's.
    ApplicationService(Secret<'a>),
    /// A name in a login: a full user id or a localpart (`m.id.user`, or the deprecated `user` field).
    LoginName(&'a str),
    /// An e-mail address or a phone number in a login.
    ThirdParty(ThirdParty<'a>),
    /// The token of a `POST /login`.
    LoginToken(LoginToken<'a>),
    /// The token in the body of `POST /refresh`.
    RefreshToken(Secret<'a>),
}

/// The sessions that a logout ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Logout {
    /// The session of the token: `POST /logout`.
    Session,
    /// Every session of the token's owner: `POST /logout/all`.
    AllSessions,
}

/// Shows only the kind, because people type their password into the user field.
impl fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AccessToken(_) => f.write_str("AccessToken(..)"),
            Self::ApplicationService(_) => f.write_str("ApplicationService(..)"),
            Self::LoginName(_) => f.write_str("LoginName(..)"),
            Self::ThirdParty(id) => f.debug_tuple("ThirdParty").field(id).finish(),
            Self::LoginToken(login) => login.fmt(f),
            Self::RefreshToken(_) => f.write_str("RefreshToken(..)"),
        }
    }
}

/// An access token, with the user that it asserts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AccessToken<'a> {
    token: Secret<'a>,
    asserted_user: Option<&'a str>,
}

impl<'a> AccessToken<'a> {
    /// A token on its own.
    #[must_use]
    #[inline]
    pub fn new(token: impl Into<Secret<'a>>) -> Self {
        Self {
            token: token.into(),
            asserted_user: None,
        }
    }

    /// The same token, with the `user_id` query parameter that came with it.
    #[must_use]
    pub fn with_asserted_user(mut self, user: &'a str) -> Self {
        self.asserted_user = Some(user);
        self
    }

    /// The token: any bytes but an empty string.
    #[must_use]
    #[inline]
    pub fn token(&self) -> Secret<'a> {
        self.token
    }

    /// The `user_id` query parameter, percent-decoded.
    ///
    /// It has a meaning only if the token is an application service's
    /// ([identity assertion](https://spec.matrix.org/latest/application-service-api/#identity-assertion)).
    /// Beside any other token it must be ignored, because anyone can write any name there. No
    /// [store](crate::AccountStateStore) sees it.
    #[must_use]
    #[inline]
    pub fn asserted_user(&self) -> Option<&'a str> {
        self.asserted_user
    }
}

impl fmt::Debug for AccessToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken")
            .field("token", &self.token)
            .field("asserted_user", &self.asserted_user)
            .finish()
    }
}

/// An address or a phone number by which a login names an account
/// ([identifier types](https://spec.matrix.org/latest/client-server-api/#identifier-types)).
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ThirdParty<'a> {
    /// A third-party id (`m.id.thirdparty`, or the deprecated `medium` and `address` fields).
    Address {
        /// The kind of address, such as `email` or `msisdn`.
        medium: &'a str,
        /// The address, as it was written.
        address: &'a str,
    },
    /// A phone number (`m.id.phone`), not yet in canonical form.
    Phone {
        /// The two-letter code of the country for which the number is parsed.
        country: &'a str,
        /// The number, as it was written.
        phone: &'a str,
    },
}

/// Shows only the kind, because an e-mail address or a phone number is personal.
impl fmt::Debug for ThirdParty<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address { .. } => "Address(..)",
            Self::Phone { .. } => "Phone(..)",
        })
    }
}

/// A token that logs somebody in, with the login type that says how to read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginToken<'a> {
    token: Secret<'a>,
    login_type: Option<&'a str>,
}

impl<'a> LoginToken<'a> {
    /// Joins the two.
    #[must_use]
    pub fn new(token: impl Into<Secret<'a>>, login_type: Option<&'a str>) -> Self {
        Self {
            token: token.into(),
            login_type,
        }
    }

    /// The token.
    #[must_use]
    pub fn token(&self) -> Secret<'a> {
        self.token
    }

    /// The login type, such as `m.login.token` or a vendor's own. `None` if the request names none.
    #[must_use]
    pub fn login_type(&self) -> Option<&'a str> {
        self.login_type
    }
}
