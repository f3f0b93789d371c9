//! Who asks, and may they? The way of a request from its head to the verdict.
//!
//! - [`glance`]: the path of nearly every request: no credential, or one that the store knows to
//!   be an unrestricted account's. Nothing is allocated, and nothing else looked at.
//! - [`at_once`]: whatever else can be decided without waiting.
//! - [`awaited`]: the store has to be asked, or a body read.

mod at_once;
mod awaited;
mod glance;
mod limits;

pub(crate) use at_once::{AtOnce, Passage};
pub(crate) use awaited::inquire;
pub(crate) use limits::{Failure, within_limits};

use std::borrow::Cow;

use http::{HeaderMap, Method, Uri, request::Parts};

use crate::{
    Account, Denial, DenialCause, NamedAccountCheck,
    request::{
        credentials::HeadCredentials,
        endpoint::{self, Naming},
        few::TooMany,
    },
    settings::Settings,
    verdict::{Verdict, verdict},
};

/// The head of a request, with the path that the rules are about.
pub(crate) struct Head<'a> {
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    path: Cow<'a, str>,
}

impl<'a> Head<'a> {
    pub(crate) fn of<B>(request: &'a http::Request<B>, settings: &Settings) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            path: settings.path(request.uri(), request.extensions()),
        }
    }

    fn of_parts(parts: &'a Parts, settings: &Settings) -> Self {
        Self {
            method: &parts.method,
            uri: &parts.uri,
            headers: &parts.headers,
            path: settings.path(&parts.uri, &parts.extensions),
        }
    }

    fn credentials(&self) -> Result<HeadCredentials<'a>, TooMany> {
        HeadCredentials::read(self.headers, self.uri)
    }

    fn ignores_access_token(&self) -> bool {
        endpoint::ignores_access_token(self.method, &self.path)
    }

    /// The endpoint, if it is one whose body names accounts, and who checks them.
    fn naming(&self, settings: &Settings) -> Option<(Naming, NamedAccountCheck)> {
        let naming = endpoint::naming(self.method, &self.path)?;
        Some((naming, settings.check_of(naming.endpoint)))
    }
}

impl Settings {
    /// The account's denial, if it may not do this now.
    fn judge(&self, account: &Account, head: &Head<'_>) -> Option<Denial> {
        if account.state.is_active() {
            return None;
        }
        let now = self.now();
        let kind = account.state.in_force(now)?.kind();
        match verdict(kind, head.method, &head.path) {
            Verdict::Pass => None,
            Verdict::Deny => {
                let (user, state) = (account.user.clone(), account.state.clone());
                Some(Denial::restricted(user, state, kind, now).with_cors(self.cors_headers))
            }
        }
    }

    pub(crate) fn denial(&self, cause: DenialCause) -> Denial {
        Denial::from_cause(cause).with_cors(self.cors_headers)
    }
}
