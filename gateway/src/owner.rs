//! The owner of a credential, which the homeserver knows: the first question of the layer.

use std::sync::Arc;

use tower_account_status::{
    AccountStateStore, RestrictionStore, UserId,
    store::{Answer, StoreError},
    without,
};

use crate::{
    asker::Asker,
    restrictions::Restrictions,
    tokens::Tokens,
    upstream::{Upstream, UpstreamError},
    whoami::Whoami,
};

/// Asks the homeserver.
pub(crate) struct UpstreamOwner {
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) restrictions: Arc<Restrictions>,
    pub(crate) server_name: String,
    pub(crate) tokens: Arc<Tokens>,
}

impl AccountStateStore for UpstreamOwner {
    async fn access_token(&self, token: &str) -> Answer {
        let answer = self.upstream.whoami(token.into(), None).await;
        match answer.map_err(StoreError::boxed)? {
            Whoami::User { user, .. } => {
                self.tokens.add(&user, token.into());
                Ok(Some(user))
            }
            // Unknown, expired, or restricted by the homeserver itself, which says so when it gets
            // the request.
            Whoami::Unknown { .. } | Whoami::Restricted { .. } => Ok(None),
            Whoami::Refused { errcode } => Err(StoreError::boxed(UpstreamError::Refused(errcode))),
        }
    }

    /// Only the homeserver knows which tokens belong to application services. A token that is not
    /// [proved](Upstream::is_persons) to be a person's counts as a service's, so that a locked user whom it
    /// asserts is refused.
    async fn application_service(&self, token: &str) -> Answer {
        let Some(user) = self.access_token(token).await? else {
            return Ok(None);
        };
        let is_persons = self.upstream.is_persons(token.into(), &self.server_name);
        let is_persons = is_persons.await.map_err(StoreError::boxed)?;
        Ok((!is_persons).then_some(user))
    }

    /// The account that a login names. Some homeservers find it in any letter case. So a restricted account of
    /// the same name in lower case counts.
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

    /// Asks with the credentials of the redacting person, who can see their own events.
    async fn event_sender(&self, room: &str, event: &str) -> Answer {
        let asker = Asker::current();
        let sender = self.upstream.sender(room, event, &asker).await;
        sender.map_err(StoreError::boxed)
    }

    // Only the homeserver knows whose refresh tokens, login tokens, addresses and phone numbers are.
    // The token that it gives for them is checked when it is used. `Combined` adds the states.
    without! { third_party, login_token, refresh_token, state, changes }
}
