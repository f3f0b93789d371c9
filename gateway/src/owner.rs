//! Whose a credential is, as the homeserver says: the first question of the layer.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sha2::{Digest, Sha256};
use tower_account_status::{
    AccessToken, Credential, CredentialOwner, LoginIdentifier, RestrictionStore, Secret, UserId,
};

use crate::{
    answer::BoxError,
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
    pub(crate) persons: Persons,
}

impl UpstreamOwner {
    async fn owner_of_token(&self, access: AccessToken<'_>) -> Result<Option<UserId>, BoxError> {
        match self.upstream.whoami(access).await? {
            Whoami::User { user, has_device } => {
                let ignored = access.asserted_user().is_some_and(|named| user != *named);
                if has_device && ignored {
                    self.persons.add(access.token());
                }
                self.tokens.add(&user, access.token());
                Ok(Some(user))
            }
            // Unknown, expired, or restricted by the homeserver itself: it says so when it gets
            // the request.
            Whoami::Refused { .. } => Ok(None),
        }
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

    fn is_application_service(&self, token: Secret<'_>) -> bool {
        !self.persons.contains(token)
    }
}

/// The tokens of people, as opposed to those of application services, as far as that is known.
///
/// A `user_id` parameter means something beside an application service's token only, and only the
/// homeserver knows which tokens are such. So it is asked with the parameter. A token for which it
/// ignores the parameter, **and** names a device, is a person's: application services have none.
/// From then on the parameter counts for nothing beside that token, and nobody can fill the cache
/// with made-up names. Any other token is taken to be an application service's, which costs a
/// question for each name and lets nobody through.
///
/// Held as digests, and bounded: when it is full it begins anew, and learns again.
#[derive(Default)]
pub(crate) struct Persons(Mutex<HashSet<[u8; 32]>>);

impl Persons {
    const CAPACITY: usize = 10_000;

    fn add(&self, token: Secret<'_>) {
        let mut known = self.known();
        if known.len() >= Self::CAPACITY {
            known.clear();
        }
        known.insert(digest(token));
    }

    fn contains(&self, token: Secret<'_>) -> bool {
        self.known().contains(&digest(token))
    }

    fn known(&self) -> MutexGuard<'_, HashSet<[u8; 32]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn digest(token: Secret<'_>) -> [u8; 32] {
    Sha256::digest(token.expose()).into()
}
