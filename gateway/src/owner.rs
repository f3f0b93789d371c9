//! Whose a credential is, as the homeserver says: the first question of the layer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sha2::{Digest, Sha256};
use tower_account_status::{
    AccessToken, Credential, CredentialOwner, LoginIdentifier, RestrictionStore, Secret, UserId,
};

use crate::{
    answer::BoxError,
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
    pub(crate) kinds: Kinds,
}

impl UpstreamOwner {
    async fn owner_of_token(&self, access: AccessToken<'_>) -> Result<Option<UserId>, BoxError> {
        let (token, asserted) = (access.token(), access.asserted_user());
        let refused = match self.upstream.whoami(token, asserted).await? {
            Whoami::User { user, .. } => {
                if asserted.is_some_and(|asserted| user != *asserted) {
                    // Remembered, so that the next name costs nothing.
                    let _ = self.is_persons(token).await;
                }
                self.tokens.add(&user, token);
                return Ok(Some(user));
            }
            // Unknown, expired, or restricted by the homeserver itself, which says so when it gets
            // the request.
            Whoami::Unknown { .. } | Whoami::Restricted { .. } => return Ok(None),
            Whoami::Refused { errcode } => UpstreamError::Refused(errcode),
        };
        let Some(asserted) = asserted else {
            return Err(refused.into());
        };
        match self.upstream.whoami(token, None).await? {
            // Refused for another reason than the token, since it is a person's.
            Whoami::User { user, .. } if self.is_persons(token).await? => Ok(Some(user)),
            // An application service that may not act for this user, or not yet: if the
            // homeserver lets it in the end, this is who acts.
            Whoami::User { .. } => Ok(Some(asserted.into())),
            Whoami::Unknown { .. } | Whoami::Restricted { .. } => Ok(None),
            Whoami::Refused { .. } => Err(refused.into()),
        }
    }

    /// Whether a token is a person's, found out once. One of which that cannot be proved costs a
    /// question for each name from then on.
    async fn is_persons(&self, token: Secret<'_>) -> Result<bool, UpstreamError> {
        if let Some(is_persons) = self.kinds.is_persons(token) {
            return Ok(is_persons);
        }
        let is_persons = self.upstream.is_persons(token, &self.server_name).await?;
        self.kinds.add(token, is_persons);
        Ok(is_persons)
    }

    /// The account that a login names. Some homeservers find it in any case, so a restricted
    /// account of the same name in lower case is meant rather than none.
    async fn named(&self, name: &str) -> Result<UserId, BoxError> {
        let full = |name: &str| match name.strip_prefix('@') {
            Some(rest) if rest.contains(':') => UserId::from(name),
            // A localpart, even one that begins with `@`.
            _ => format!("@{name}:{}", self.server_name).into(),
        };
        let named = full(name);
        let lower = full(&name.to_lowercase());
        if named != lower && self.restrictions.state(&named).await?.is_active() {
            return Ok(lower);
        }
        Ok(named)
    }
}

impl CredentialOwner for UpstreamOwner {
    type Error = BoxError;

    async fn owner(&self, credential: Credential<'_>) -> Result<Option<UserId>, BoxError> {
        match credential {
            Credential::AccessToken(access) => self.owner_of_token(access).await,
            Credential::LoginIdentifier(LoginIdentifier::User(name)) => {
                self.named(name).await.map(Some)
            }
            // Refresh and login tokens, addresses and phone numbers: only the homeserver knows
            // whose they are. What it gives out for them is checked when it is used.
            _ => Ok(None),
        }
    }

    /// Asks with the credentials of whoever redacts it: they see what they have sent.
    async fn event_sender(&self, room: &str, event: &str) -> Result<Option<UserId>, BoxError> {
        let asker = Asker::current();
        Ok(self.upstream.sender(room, event, &asker).await?)
    }

    fn is_application_service(&self, token: Secret<'_>) -> bool {
        self.kinds.is_persons(token) != Some(true)
    }
}

/// Which tokens are people's, as opposed to those of application services, as far as that is known.
///
/// A `user_id` parameter means something beside an application service's token only, and only the
/// homeserver knows which tokens are such. So it is asked with the parameter, unless the token is
/// [proved](Upstream::is_persons) to be a person's: from then on the parameter counts for nothing
/// beside that token, and nobody can fill the cache with made-up names. Any other token is taken to
/// be an application service's, which costs a question for each name and lets nobody through.
///
/// Held as digests, and bounded: when it is full it begins anew, and learns again.
#[derive(Default)]
pub(crate) struct Kinds(Mutex<HashMap<[u8; 32], bool>>);

impl Kinds {
    const CAPACITY: usize = 10_000;

    fn add(&self, token: Secret<'_>, is_persons: bool) {
        let mut known = self.known();
        if known.len() >= Self::CAPACITY {
            known.clear();
        }
        known.insert(digest(token), is_persons);
    }

    fn is_persons(&self, token: Secret<'_>) -> Option<bool> {
        self.known().get(&digest(token)).copied()
    }

    fn known(&self) -> MutexGuard<'_, HashMap<[u8; 32], bool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn digest(token: Secret<'_>) -> [u8; 32] {
    Sha256::digest(token.expose()).into()
}
