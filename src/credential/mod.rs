//! What a request shows to say whose it is: the question that the
//! [store](crate::AccountStateStore) is asked.

mod secret;

use std::fmt;

pub use secret::Secret;

/// Something in a request that belongs to an account.
///
/// Lent for the time of the question. Nothing in it reveals a secret in its `Debug` output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credential<'a> {
    /// An access token from the head of a request.
    AccessToken(AccessToken<'a>),
    /// The token in the body of `POST /refresh`. A look-up must not rotate it.
    RefreshToken(Secret<'a>),
    /// The account that a `POST /login`, or a stage of user-interactive authentication, names.
    LoginIdentifier(LoginIdentifier<'a>),
    /// The token of a `POST /login`. A look-up must not use it up.
    LoginToken(LoginToken<'a>),
}

/// An access token, and on whose behalf it is said to be used.
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
    /// It means something only where the token is an application service's
    /// ([identity assertion](https://spec.matrix.org/latest/application-service-api/#identity-assertion));
    /// beside any other token it has to be ignored, for anyone can write any name there. A store
    /// that never looks at it is safe: it then checks the application service's own account.
    #[must_use]
    #[inline]
    pub fn asserted_user(&self) -> Option<&'a str> {
        self.asserted_user
    }
}

impl<'a> From<AccessToken<'a>> for Credential<'a> {
    fn from(access: AccessToken<'a>) -> Self {
        Self::AccessToken(access)
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

/// How a login names an account
/// ([identifier types](https://spec.matrix.org/latest/client-server-api/#identifier-types)).
///
/// What it means is the server's to say: whether case is folded, which server name a localpart
/// belongs to, whose an e-mail address is. The look-up has to use the same rules as the login
/// handler, or the check is dodged by spelling.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoginIdentifier<'a> {
    /// A full user id, or a localpart (`m.id.user`, or the deprecated `user` field).
    User(&'a str),
    /// A third-party id (`m.id.thirdparty`, or the deprecated `medium` and `address` fields).
    ThirdParty {
        /// What kind of address it is, such as `email` or `msisdn`.
        medium: &'a str,
        /// The address, as it was written.
        address: &'a str,
    },
    /// A phone number (`m.id.phone`), not yet in canonical form.
    Phone {
        /// The two-letter country that the number is to be parsed for.
        country: &'a str,
        /// The number, as it was written.
        phone: &'a str,
    },
}

/// Names the kind only: an e-mail address or a phone number is personal, and people type their
/// password into the user field.
impl fmt::Debug for LoginIdentifier<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User(_) => "User(..)",
            Self::ThirdParty { .. } => "ThirdParty(..)",
            Self::Phone { .. } => "Phone(..)",
        })
    }
}

/// A token that logs somebody in, and the login type that says how to read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginToken<'a> {
    token: Secret<'a>,
    login_type: Option<&'a str>,
}

impl<'a> LoginToken<'a> {
    /// Puts the two together.
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

    /// The login type, such as `m.login.token` or a vendor's own. `None` where the request names
    /// none.
    #[must_use]
    pub fn login_type(&self) -> Option<&'a str> {
        self.login_type
    }
}
