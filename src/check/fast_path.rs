//! The path of nearly every request.
//!
//! What it costs is measured in instructions (see `benches/`); hence the order of the questions,
//! and what is kept out of line.

use std::sync::Arc;

use http::{HeaderMap, Method, Request, header::AUTHORIZATION};

use super::Watch;
use crate::{
    credential::{Credential, Secret},
    panics::unless_it_panics,
    request::{
        credentials,
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
    /// It is one of the [usual long polls](USUAL_POLLS), by its method and its path.
    UsualPoll(usize),
    /// Its path leaves it open that it is anything but ordinary ([`Class::may_be_special`]).
    MayBeSpecial,
    /// Nothing for certain.
    Unclear,
    /// What the store says at once of the only token in the head, which is not that it is an
    /// unrestricted account's. It is not asked that again, and the head has nothing else that
    /// counts.
    Glanced(Peek),
}

impl<S: AccountStateStore> Shared<S> {
    /// Whether the request passes and there is nothing else to do for it.
    ///
    /// Always inlined: lent to a function of its own, the request would first be copied to where
    /// it can be lent from.
    #[inline(always)]
    pub(crate) fn fast_path<B>(&self, request: &Request<B>) -> FastPath {
        if self.settings.always_examines {
            return FastPath::Unclear;
        }
        // Not `Uri::path` and `Uri::query`, which find the border between the two each time.
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
            // Its path may be quite another one than the URI's.
            if is_post && (self.settings.path.is_another() || naming::may_name_accounts(path)) {
                return FastPath::MayBeSpecial;
            }
        } else if is_post {
            return FastPath::MayBeSpecial;
        }
        match only_token(request.headers()) {
            OnlyToken::None => FastPath::Passes,
            OnlyToken::Unclear => FastPath::Unclear,
            OnlyToken::Token(token) => self.glance(token),
        }
    }

    /// What ends a usual long poll, if it passes and there is nothing else to do for it.
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
        let OnlyToken::Token(token) = only_token(headers) else {
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

    /// Whether the store knows at once that the token is an unrestricted account's.
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

/// What the headers have of tokens.
enum OnlyToken<'a> {
    None,
    /// One token in one header, as nearly every client writes it. White space around the token
    /// stays: with it the token is one that the store does not know.
    Token(&'a [u8]),
    Unclear,
}

#[inline(always)]
fn only_token(headers: &HeaderMap) -> OnlyToken<'_> {
    let Some(header) = headers.get(AUTHORIZATION) else {
        return OnlyToken::None;
    };
    let token = match header.as_bytes().strip_prefix(b"Bearer ") {
        Some(token) if !token.is_empty() => token,
        _ => return OnlyToken::Unclear,
    };
    // Where no header is repeated there are as many names as values. Which one it is is left to a
    // closer look: asking here would lend the headers to code that may keep them, for all that the
    // compiler knows, and the whole request would be copied first.
    match headers.len() == headers.keys_len() {
        true => OnlyToken::Token(token),
        false => OnlyToken::Unclear,
    }
}

/// What the store has said at once of the token of the only header. Where the token is in several
/// pieces, each of them counts.
#[cold]
fn seen(token: &[u8], peek: Peek) -> FastPath {
    match credentials::is_in_one_piece(token) {
        true => FastPath::Glanced(peek),
        false => FastPath::Unclear,
    }
}
