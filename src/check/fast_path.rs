//! The path of nearly every request.
//!
//! Its cost is measured in instructions (see `benches/`). That is the reason for the order of the
//! questions, and for what is kept out of line.

use std::sync::Arc;

use http::{HeaderMap, Method, Request, header::AUTHORIZATION};

use super::Watch;
use crate::{
    credential::{Credential, Secret},
    panics::unless_it_panics,
    request::{
        class, credentials,
        long_poll::{self, UsualPoll},
        naming,
    },
    shared::Shared,
    store::{AccountStateStore, Peek},
};

/// What is known of a request on the fast path.
pub(crate) enum FastPath {
    /// It passes, and there is nothing else to do for it.
    Passes,
    /// Its method and its path make it one of the [usual long polls](long_poll::USUAL_POLLS).
    UsualPoll(usize),
    /// It is a logout, which passes whatever the store says.
    LogsOut,
    /// Its path may make it anything but ordinary (see `Class::may_be_special`).
    MayBeSpecial,
    /// Nothing for certain.
    Unclear,
    /// It may pass, but one of its headers is repeated: [`Shared::look_at_repeated`] goes on.
    RepeatedHeader,
    /// What the store says at once about the only token in the head. Its owner is not known to be
    /// unrestricted. The store is not asked this again, and nothing else in the head counts.
    Glanced(Peek),
}

impl<S: AccountStateStore> Shared<S> {
    /// Whether the request passes and there is nothing else to do for it.
    ///
    /// Always inlined, because a request that is lent to a function is first copied to a place that can
    /// be lent.
    #[inline(always)]
    pub(crate) fn fast_path<B>(&self, request: &Request<B>) -> FastPath {
        if self.settings.always_examines {
            return FastPath::Unclear;
        }
        // Not `Uri::path` and `Uri::query`, because each of them looks for the border between the two.
        let is_post = *request.method() == Method::POST;
        if let Some(path_and_query) = request.uri().path_and_query() {
            let path = match path_and_query.query() {
                None => path_and_query.as_str(),
                Some(query) if credentials::may_be_in_query(query) => return FastPath::Unclear,
                Some(_) => path_and_query.path(),
            };
            if long_poll::may_be_long_poll(path) {
                return match UsualPoll::find(request.method(), path) {
                    Some(usual) => FastPath::UsualPoll(usual),
                    None => FastPath::MayBeSpecial,
                };
            }
            // The settings may take the path from elsewhere.
            if is_post && (self.settings.path.is_another() || naming::may_name_accounts(path)) {
                return FastPath::MayBeSpecial;
            }
            if is_post && class::is_logout(path) {
                return FastPath::LogsOut;
            }
        } else if is_post {
            return FastPath::MayBeSpecial;
        }
        match only_token(request.headers()) {
            OnlyToken::None => FastPath::Passes,
            OnlyToken::Unclear => FastPath::Unclear,
            OnlyToken::Repeated(_) => FastPath::RepeatedHeader,
            OnlyToken::Token(token) => self.glance(token),
        }
    }

    /// Goes on where the fast path has seen a repeated header.
    #[inline]
    pub(crate) fn look_at_repeated(&self, headers: &HeaderMap) -> FastPath {
        match only_token_at_all(headers) {
            Some(token) => self.glance(token),
            None => FastPath::Unclear,
        }
    }

    /// What ends a usual long poll while it waits, if it passes and there is nothing else to do for it.
    #[inline]
    pub(crate) fn watch_usual_poll(
        self: &Arc<Self>,
        usual: usize,
        headers: &HeaderMap,
        announcements: u64,
    ) -> Result<Watch, FastPath> {
        let Some(usual) = self.settings.watched_poll(usual) else {
            return Err(FastPath::MayBeSpecial);
        };
        let Some(token) = only_token_at_all(headers) else {
            return Err(FastPath::MayBeSpecial);
        };
        let credential = Credential::AccessToken(Secret::from(token));
        match unless_it_panics(|| S::peek(&self.store, credential)) {
            Ok(Peek::Account(account)) if account.state.is_active() => {
                Ok(Watch::of_usual(self, usual, account.user, announcements))
            }
            Ok(peek) => Err(seen(token, peek)),
            Err(_) => Err(FastPath::MayBeSpecial),
        }
    }

    /// Whether the store knows at once that the token's owner is unrestricted.
    #[inline]
    fn glance(&self, token: &[u8]) -> FastPath {
        let credential = Credential::AccessToken(Secret::from(token));
        match unless_it_panics(|| S::glance(&self.store, credential)) {
            Ok(None) => FastPath::Passes,
            Ok(Some(peek)) => seen(token, peek),
            Err(_) => FastPath::Unclear,
        }
    }
}

/// The tokens in the headers.
enum OnlyToken<'a> {
    None,
    /// One token in one header, as nearly every client writes it. White space behind the token
    /// stays: with it the token is one that the store does not know.
    Token(&'a [u8]),
    /// The same, but a header is repeated, this one or another.
    Repeated(&'a [u8]),
    Unclear,
}

#[inline(always)]
fn only_token(headers: &HeaderMap) -> OnlyToken<'_> {
    let Some(header) = headers.get(AUTHORIZATION) else {
        return OnlyToken::None;
    };
    let token = match header.as_bytes().strip_prefix(b"Bearer ") {
        // Behind more white space there may be nothing.
        Some(token) if matches!(token.first(), Some(first) if *first > b' ') => token,
        _ => return OnlyToken::Unclear,
    };
    // If no header is repeated, there are as many names as values. Which header is repeated is left to
    // a closer look: to ask here would lend the headers to code that may keep them, as far as the
    // compiler knows, and it would copy the whole request first.
    match headers.len() == headers.keys_len() {
        true => OnlyToken::Token(token),
        false => OnlyToken::Repeated(token),
    }
}

/// The token of the only `Authorization` header, whichever other header is repeated.
#[inline]
fn only_token_at_all(headers: &HeaderMap) -> Option<&[u8]> {
    match only_token(headers) {
        OnlyToken::Token(token) => Some(token),
        OnlyToken::Repeated(token) => {
            let second = headers.get_all(AUTHORIZATION).iter().nth(1);
            second.is_none().then_some(token)
        }
        OnlyToken::None | OnlyToken::Unclear => None,
    }
}

/// What the store has said at once about the token of the only header. If servers may split the token,
/// each piece counts.
#[cold]
fn seen(token: &[u8], peek: Peek) -> FastPath {
    match credentials::is_in_one_piece(token) {
        true => FastPath::Glanced(peek),
        false => FastPath::Unclear,
    }
}
