//! Account states in a PostgreSQL database that several processes share, with a cache in front.
//!
//! The crate's own store and layer replace `store.rs` and `handlers/admin.rs`. The server only says
//! whose a credential is, and who is an administrator.

use std::{convert::Infallible, error::Error, sync::Arc};

use axum::{Extension, extract::Request, response::Response};
use tower::{Layer, Service};
use tower_account_status::{
    AccountDirectory, AccountModerationLayer, AccountStateStore, AccountStatusLayer,
    Authentication, CachedStore, Combined, RestrictionKind, RestrictionStore, UserId, forward,
    store::{PostgresStore, PostgresStoreError},
    without,
};

use crate::{
    app,
    database::{self, accounts, tokens},
    homeserver::Homeserver,
    secret::hash_token,
    time,
};

#[derive(Clone)]
pub(crate) struct States(PostgresStore);

impl States {
    pub(crate) async fn connect(connection_string: &str) -> Result<Self, Box<dyn Error>> {
        // The string may hold a password: no error shows it.
        let store = PostgresStore::connect(connection_string).await?;
        Ok(Self(store))
    }

    pub(crate) async fn deactivate(&self, user: &UserId) -> Result<(), PostgresStoreError> {
        let deactivated = RestrictionKind::Deactivated;
        self.0.set_restriction(user, deactivated.into()).await
    }

    /// The administrators' endpoints are around the router. The layer is around both, because an
    /// administrator may be locked, too.
    pub(crate) fn app(
        self,
        homeserver: Arc<Homeserver>,
    ) -> impl Service<Request, Response = Response, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static {
        let router = app::router(Arc::clone(&homeserver)).layer(Extension(self.clone()));
        let Self(states) = self;
        let directory = Directory(Arc::clone(&homeserver));
        let owner = Owner(homeserver);
        let moderation = AccountModerationLayer::new(directory, states.clone());
        let status = AccountStatusLayer::new(CachedStore::new(Combined::new(owner, states)));
        status.layer(moderation.layer(router))
    }
}

/// Whose a credential is. The cache does not authenticate: each handler looks the session up itself.
struct Owner(Arc<Homeserver>);

impl AccountStateStore for Owner {
    forward! { 0 => all except state, changes }
    // The states of this server are in the shared store.
    without! { state, changes }
}

struct Directory(Arc<Homeserver>);

impl AccountDirectory for Directory {
    type Error = database::Error;

    async fn authenticate(&self, token: &str) -> Result<Authentication, Self::Error> {
        let hash = hash_token(token.as_bytes());
        let session = self
            .0
            .database
            .read(move |connection| tokens::session(connection, &hash))
            .await?;
        let Some(session) = session else {
            return Ok(Authentication::Unknown);
        };
        if session.expires_at.is_some_and(|end| end <= time::now()) {
            return Ok(Authentication::Expired);
        }
        if let Some(replaced) = session.replaces {
            self.0
                .database
                .write(move |connection| tokens::first_use(connection, &replaced))
                .await?;
        }
        Ok(Authentication::User(session.user))
    }

    async fn is_administrator(&self, user: &UserId) -> Result<bool, Self::Error> {
        let user = user.clone();
        self.0
            .database
            .read(move |connection| accounts::is_admin(connection, &user))
            .await
    }

    fn is_local(&self, user: &UserId) -> bool {
        self.0.is_local(user)
    }

    async fn exists(&self, user: &UserId) -> Result<bool, Self::Error> {
        let user = user.clone();
        let account = self
            .0
            .database
            .read(move |connection| accounts::by_id(connection, &user))
            .await?;
        let deactivated = RestrictionKind::Deactivated;
        Ok(account.is_some_and(|account| account.state().restriction(deactivated).is_none()))
    }
}
