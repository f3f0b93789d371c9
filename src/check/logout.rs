//! Tells the store that a logout has succeeded.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Uri, header::AUTHORIZATION};

use crate::{
    credential::{Logout, Secret},
    panics::unless_it_panics,
    request::{
        few::Few,
        head::{HeadCredentials, plain_token},
    },
    shared::Shared,
    store::AccountStateStore,
};

/// What the store is told once a logout has succeeded.
pub(crate) struct EndedSessions {
    shared: Arc<dyn Told>,
    tokens: Tokens,
    logout: Logout,
}

/// The tokens whose sessions are ended.
enum Tokens {
    /// The one in this header, which shares the bytes of the request's header.
    Plain(HeaderValue),
    All(Few<Box<str>>),
}

/// A [`Shared`] with any store.
trait Told: Send + Sync {
    fn logged_out(&self, token: &str, logout: Logout);
}

impl<S: AccountStateStore> Told for Shared<S> {
    fn logged_out(&self, token: &str, logout: Logout) {
        // A store that fails to forget is no reason to fail, because it forgets in time.
        let _ = unless_it_panics(|| self.store.logged_out(token, logout));
    }
}

impl EndedSessions {
    pub(crate) fn tell(&self) {
        match &self.tokens {
            Tokens::Plain(header) => {
                let token = plain_token(header).map(Secret::from);
                if let Some(token) = token.and_then(|token| token.expose_str()) {
                    self.shared.logged_out(token, self.logout);
                }
            }
            Tokens::All(tokens) => {
                for token in tokens {
                    self.shared.logged_out(token, self.logout);
                }
            }
        }
    }
}

impl<S: AccountStateStore> Shared<S> {
    /// The sessions that a logout with this head ends if it succeeds.
    #[cold]
    pub(crate) fn ends(
        self: &Arc<Self>,
        logout: Logout,
        headers: &HeaderMap,
        uri: &Uri,
    ) -> EndedSessions {
        let credentials = HeadCredentials::read(headers, uri);
        let tokens = match (&credentials, headers.get(AUTHORIZATION)) {
            (Ok(HeadCredentials::Only(_)), Some(header)) => Tokens::Plain(header.clone()),
            _ => {
                let tokens = credentials.iter().flat_map(HeadCredentials::iter);
                // There are no more tokens than credentials.
                let tokens = tokens.filter_map(|access| Some(access.token().expose_str()?.into()));
                Tokens::All(tokens.collect())
            }
        };
        EndedSessions {
            shared: Arc::clone(self) as _,
            tokens,
            logout,
        }
    }
}
