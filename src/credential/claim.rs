use super::{AccessToken, Credential, Secret};

/// A credential in a request and, beside an access token, the user that it asserts.
#[derive(Clone, Copy)]
pub(crate) struct Claim<'a> {
    credential: Credential<'a>,
    asserted_user: Option<&'a str>,
}

impl<'a> Claim<'a> {
    /// The claim of a token that counts only if it is an application service's. The service's own account
    /// counts even if a user is asserted. On these endpoints the token authenticates the service, and a
    /// server that reads no `user_id` there acts for the service.
    pub(crate) fn of_service(access: AccessToken<'a>) -> Self {
        Credential::ApplicationService(access.token()).into()
    }

    /// The places where the owner is looked up, in this order.
    ///
    /// Without an assertion an application service's token comes second, so that the requests of
    /// people cost one look-up. With one it comes first, because a server may keep the token of a
    /// service's own account among its users' tokens, and the asserted user's state has to count.
    #[inline]
    pub(crate) fn places(&self) -> (Credential<'a>, Option<Credential<'a>>) {
        match (self.credential, self.asserted_user) {
            (Credential::AccessToken(token), None) => (
                Credential::AccessToken(token),
                Some(Credential::ApplicationService(token)),
            ),
            (Credential::AccessToken(token), Some(_)) => (
                Credential::ApplicationService(token),
                Some(Credential::AccessToken(token)),
            ),
            (credential, _) => (credential, None),
        }
    }

    /// The user that an application service asserts.
    pub(crate) fn asserted_user(&self) -> Option<&'a str> {
        self.asserted_user
    }
}

impl<'a> From<AccessToken<'a>> for Claim<'a> {
    #[inline]
    fn from(access: AccessToken<'a>) -> Self {
        Self {
            credential: Credential::AccessToken(access.token()),
            asserted_user: access.asserted_user(),
        }
    }
}

impl<'a> From<Credential<'a>> for Claim<'a> {
    fn from(credential: Credential<'a>) -> Self {
        Self {
            credential,
            asserted_user: None,
        }
    }
}

impl<'a> From<Secret<'a>> for AccessToken<'a> {
    fn from(token: Secret<'a>) -> Self {
        Self::new(token)
    }
}
