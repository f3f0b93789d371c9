//! The path of nearly every request.
//!
//! What it costs is measured in instructions (see `benches/`); hence the order of the questions,
//! and what is kept out of line.

use http::{HeaderMap, Method, Request, header::AUTHORIZATION};

use super::ask::FastPath;
use crate::{
    request::{credentials, long_poll, naming},
    shared::Shared,
    store::AccountStateStore,
};

impl<S: AccountStateStore> Shared<S> {
    /// Whether the request passes and there is nothing else to do for it.
    ///
    /// Always inlined: lent to a function of its own, the request would first be copied to where
    /// it can be lent from.
    #[inline(always)]
    pub(crate) fn fast_path<B>(&self, request: &Request<B>) -> FastPath {
        if self.settings.always_examines() {
            return FastPath::Unclear;
        }
        // Not `Uri::path` and `Uri::query`, which find the border between the two each time.
        if let Some(path_and_query) = request.uri().path_and_query() {
            let path = match path_and_query.query() {
                None => path_and_query.as_str(),
                Some(query) if credentials::may_be_in_query(query) => return FastPath::Unclear,
                Some(_) => path_and_query.path(),
            };
            if long_poll::may_be_long_poll(path) {
                return FastPath::MayBeSpecial;
            }
        }
        if *request.method() == Method::POST && self.may_name_accounts(request) {
            return FastPath::MayBeSpecial;
        }
        let headers = request.headers();
        let Some(header) = headers.get(AUTHORIZATION) else {
            return FastPath::Passes;
        };
        // As nearly every client writes it. White space around the token stays: with it the token
        // is one that the store does not know.
        let token = match header.as_bytes().strip_prefix(b"Bearer ") {
            Some(token) if !token.is_empty() => token,
            _ => return FastPath::Unclear,
        };
        // A second header makes it a case for a closer look. Where no header is repeated there
        // are as many names as values.
        if headers.len() != headers.keys_len() && is_repeated(headers) {
            return FastPath::Unclear;
        }
        self.glance(token)
    }

    #[inline(never)]
    fn may_name_accounts<B>(&self, request: &Request<B>) -> bool {
        // Its path may be quite another one than the URI's.
        self.settings.path.is_another() || naming::may_name_accounts(request.uri().path())
    }
}

#[cold]
fn is_repeated(headers: &HeaderMap) -> bool {
    headers.get_all(AUTHORIZATION).iter().count() > 1
}
