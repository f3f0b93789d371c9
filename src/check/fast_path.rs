//! The path of nearly every request.
//!
//! What it costs is measured in instructions (see `benches/`); hence the order of the questions,
//! and what is kept out of line.

use http::{HeaderMap, Method, Request, header::AUTHORIZATION};

use crate::{
    credential::{AccessToken, Credential},
    request::{credentials, endpoint, long_poll},
    shared::Shared,
    store::AccountStateStore,
};

impl<S: AccountStateStore> Shared<S> {
    /// Whether the request passes and there is nothing else to do for it. `false` promises
    /// nothing.
    ///
    /// Always inlined: lent to a function of its own, the request would first be copied to where
    /// it can be lent from.
    #[inline(always)]
    pub(crate) fn passes_on_the_fast_path<B>(&self, request: &Request<B>) -> bool {
        if self.settings.always_examines() {
            return false;
        }
        // Not `Uri::path` and `Uri::query`, which find the border between the two each time.
        if let Some(path_and_query) = request.uri().path_and_query() {
            let path = match path_and_query.query() {
                None => path_and_query.as_str(),
                Some(query) if credentials::may_be_in_query(query) => return false,
                Some(_) => path_and_query.path(),
            };
            if long_poll::may_be_long_poll(path) {
                return false;
            }
        }
        if *request.method() == Method::POST && self.may_name_accounts(request) {
            return false;
        }
        let headers = request.headers();
        let Some(header) = headers.get(AUTHORIZATION) else {
            return true;
        };
        // As nearly every client writes it. White space around the token stays: with it the token
        // is one that the store does not know.
        // At least a byte of a token, compared at once with what stands before it.
        let header = header.as_bytes();
        let token = match header.first_chunk::<8>() {
            Some([scheme @ .., _]) if scheme == b"Bearer " => &header[scheme.len()..],
            _ => return false,
        };
        // A second header makes it a case for a closer look. Where no header is repeated there
        // are as many names as values.
        if headers.len() != headers.keys_len() && is_repeated(headers) {
            return false;
        }
        self.is_active(Credential::AccessToken(AccessToken::new(token)))
    }

    #[inline(never)]
    fn may_name_accounts<B>(&self, request: &Request<B>) -> bool {
        // Its path may be quite another one than the URI's.
        self.settings.path.is_another() || endpoint::may_name_accounts(request.uri().path())
    }
}

#[cold]
fn is_repeated(headers: &HeaderMap) -> bool {
    headers.get_all(AUTHORIZATION).iter().count() > 1
}
