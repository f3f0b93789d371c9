//! The administrators that the command line names, and the users of the homeserver.

use std::{collections::HashSet, sync::Arc};

use tower_account_status::{AccountDirectory, Authentication, UserId};

use crate::{
    asker::Asker,
    log,
    tokens::Tokens,
    upstream::{Upstream, UpstreamError},
    whoami::Whoami,
};

pub(crate) struct Directory {
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) administrators: HashSet<UserId>,
    pub(crate) server_name: String,
    pub(crate) tokens: Arc<Tokens>,
}

impl AccountDirectory for Directory {
    type Error = UpstreamError;

    /// Asks the homeserver each time, so that a revoked token gives nobody an administrator's powers.
    async fn authenticate(&self, token: &str) -> Result<Authentication, UpstreamError> {
        match self.upstream.whoami(token.into(), None).await? {
            Whoami::User { user, .. } => Ok(Authentication::User(user)),
            Whoami::Unknown { soft_logout: true } => Ok(Authentication::Expired),
            Whoami::Unknown { soft_logout: false } => Ok(Authentication::Unknown),
            // For example, the homeserver has locked the administrator. "Unknown token" would make the client
            // delete the session and its keys.
            Whoami::Restricted { errcode } | Whoami::Refused { errcode } => {
                Err(UpstreamError::Refused(errcode))
            }
        }
    }

    async fn is_administrator(&self, user: &UserId) -> Result<bool, UpstreamError> {
        Ok(self.administrators.contains(user))
    }

    fn is_local(&self, user: &UserId) -> bool {
        user.server_name() == Some(&*self.server_name)
    }

    async fn exists(&self, user: &UserId) -> Result<bool, UpstreamError> {
        // A name that the homeserver has named as a token's owner is an account's.
        if self.tokens.knows(user) {
            return Ok(true);
        }
        let exists = self.upstream.exists(user, &Asker::current()).await;
        if let Err(error) = &exists {
            log::failure(format_args!("restrictions cannot be changed: {error}"));
        }
        exists
    }
}
