//! Tells the store that a logout has succeeded.

use std::sync::Arc;

use http::Request;

use crate::{
    credential::Logout,
    panics::unless_it_panics,
    request::{credentials::HeadCredentials, few::Few},
    shared::Shared,
    store::AccountStateStore,
};

/// What is to be told once a logout has succeeded.
pub(crate) struct EndedSessions {
    shared: Arc<dyn Told>,
    tokens: Few<Box<str>>,
    logout: Logout,
}

/// A [`Shared`], whatever its store is.
trait Told: Send + Sync {
    fn logged_out(&self, token: &str, logout: Logout);
}

impl<S: AccountStateStore> Told for Shared<S> {
    fn logged_out(&self, token: &str, logout: Logout) {
        // That the store does not forget is no reason to fail, because it will in time.
        let _ = unless_it_panics(|| self.store.logged_out(token, logout));
    }
}

impl EndedSessions {
    pub(crate) fn tell(&self) {
        for token in &self.tokens {
            self.shared.logged_out(token, self.logout);
        }
    }
}

impl<S: AccountStateStore> Shared<S> {
    /// What this logout ends, if it succeeds.
    #[cold]
    pub(crate) fn ends<B>(self: &Arc<Self>, logout: Logout, request: &Request<B>) -> EndedSessions {
        let credentials = HeadCredentials::read(request.headers(), request.uri());
        let tokens = credentials.iter().flat_map(HeadCredentials::iter);
        // There are no more tokens than credentials.
        let tokens = tokens.filter_map(|access| Some(access.token().expose_str()?.into()));
        EndedSessions {
            shared: Arc::clone(self) as _,
            tokens: tokens.collect(),
            logout,
        }
    }
}
