//! Who may lock and suspend, and whom: the administrators that the command line names, and the
//! users that the homeserver has.

use std::{collections::HashSet, sync::Arc};

use tower_account_status::{AccessToken, AccountDirectory, Authentication, UserId};

use crate::upstream::{Upstream, UpstreamError, Whoami};

pub(crate) struct Directory {
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) administrators: HashSet<UserId>,
    pub(crate) server_name: String,
}

impl AccountDirectory for Directory {
    type Error = UpstreamError;

    /// Asks each time: a token that was revoked gives nobody an administrator's powers.
    async fn authenticate(&self, access: AccessToken<'_>) -> Result<Authentication, UpstreamError> {
        match self.upstream.whoami(access).await? {
            Whoami::User { user, .. } => Ok(Authentication::User(user)),
            Whoami::Refused {
                errcode,
                soft_logout,
            } => match (errcode.as_str(), soft_logout) {
                ("M_UNKNOWN_TOKEN", true) => Ok(Authentication::Expired),
                ("M_UNKNOWN_TOKEN" | "M_MISSING_TOKEN", _) => Ok(Authentication::Unknown),
                // An administrator whom the homeserver has locked: to say that the token is not
                // known would make the client forget the session, keys and all.
                _ => Err(UpstreamError::Restricted(errcode)),
            },
        }
    }

    async fn is_administrator(&self, user: &UserId) -> Result<bool, UpstreamError> {
        Ok(self.administrators.contains(user))
    }

    fn is_local(&self, user: &UserId) -> bool {
        user.server_name() == Some(&*self.server_name)
    }

    async fn exists(&self, user: &UserId) -> Result<bool, UpstreamError> {
        self.upstream.exists(user).await
    }
}
