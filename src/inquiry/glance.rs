//! The path of nearly every request.

use http::{Method, Request, header::AUTHORIZATION};

use super::limits::unless_it_panics;
use crate::{
    AccessToken, AccountStateStore, Credential,
    request::{credentials::bearer_token, endpoint},
    shared::Shared,
};

impl<S: AccountStateStore> Shared<S> {
    /// Whether the request passes and there is nothing else to do for it. `false` promises
    /// nothing.
    #[inline]
    pub(crate) fn passes_at_a_glance<B>(&self, request: &Request<B>) -> bool {
        let uri = request.uri();
        // A long poll nearly always has a query.
        if self.settings.always_examines || uri.query().is_some() {
            return false;
        }
        if *request.method() == Method::POST && self.may_name_accounts(request) {
            return false;
        }
        if endpoint::may_be_long_poll(uri.path()) {
            return false;
        }
        let mut headers = request.headers().get_all(AUTHORIZATION).into_iter();
        let Some(header) = headers.next() else {
            return true;
        };
        let Some(token) = bearer_token(header.as_bytes()) else {
            return false;
        };
        // A second header makes it a case for a closer look.
        headers.next().is_none() && self.is_active(token)
    }

    #[inline]
    fn is_active(&self, token: &[u8]) -> bool {
        let credential = Credential::AccessToken(AccessToken::new(token));
        unless_it_panics(|| self.store.is_active(credential)).unwrap_or(false)
    }

    #[inline(never)]
    fn may_name_accounts<B>(&self, request: &Request<B>) -> bool {
        // Its path may be quite another one than the URI's.
        self.settings.rewrites_paths()
            || endpoint::naming(request.method(), request.uri().path()).is_some()
    }
}
