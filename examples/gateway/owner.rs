//! Whose a credential is, as the homeserver says: the first question of the layer.

use std::sync::Arc;

use tower_account_status::{
    AccessToken, AccountStateStore, RestrictionStore, UserId,
    store::{Answer, StoreError},
    without,
};

use crate::{
    restrictions::Restrictions,
    tokens::Tokens,
    upstream::{Upstream, Whoami},
};

/// Asks the homeserver.
pub(crate) struct UpstreamOwner {
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) restrictions: Arc<Restrictions>,
    pub(crate) server_name: String,
    pub(crate) tokens: Arc<Tokens>,
}

impl UpstreamOwner {
    async fn whoami(&self, access: AccessToken<'_>) -> Result<Whoami, StoreError> {
        let answer = self.upstream.whoami(access).await;
        answer.map_err(StoreError::boxed)
    }
}

impl AccountStateStore for UpstreamOwner {
    async fn access_token(&self, token: &str) -> Answer {
        match self.whoami(AccessToken::new(token)).await? {
            Whoami::User { user, .. } => {
                self.tokens.add(&user, token.into());
                Ok(Some(user))
            }
            // Unknown, expired, or restricted by the homeserver itself: it says so when it gets
            // the request.
            Whoami::Refused { .. } => Ok(None),
        }
    }

    /// Only the homeserver knows which tokens are application services'. They have no device, and
    /// the homeserver heeds a `user_id` parameter beside them: it answers with that user, or
    /// refuses one that is none of theirs. Beside a person's token it ignores the parameter.
    async fn application_service(&self, token: &str) -> Answer {
        let access = AccessToken::new(token);
        let Whoami::User {
            user,
            has_device: false,
        } = self.whoami(access).await?
        else {
            return Ok(None);
        };
        let nobody = format!("@tower-account-status-asks:{}", self.server_name);
        match self.whoami(access.with_asserted_user(&nobody)).await? {
            Whoami::User { user: answered, .. } if answered == user => Ok(None),
            _ => {
                self.tokens.add(&user, token.into());
                Ok(Some(user))
            }
        }
    }

    /// The account that a login names. Some homeservers find it in any case, so a restricted
    /// account of the same name in lower case is meant rather than none.
    async fn login_name(&self, name: &str) -> Answer {
        let full = |name: &str| match name.strip_prefix('@') {
            Some(rest) if rest.contains(':') => UserId::from(name),
            // A localpart, even one that begins with `@`.
            _ => format!("@{name}:{}", self.server_name).into(),
        };
        let named = full(name);
        let lower = full(&name.to_lowercase());
        if named != lower && self.restrictions.state_of(&named).await?.is_active() {
            return Ok(Some(lower));
        }
        Ok(Some(named))
    }

    // Refresh and login tokens, addresses and phone numbers: only the homeserver knows whose they
    // are. What it gives out for them is checked when it is used. The states stand elsewhere.
    without! { third_party, login_token, refresh_token, state, changes }
}
