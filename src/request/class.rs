//! What a request is, as far as the rules need to know. Each request that could be anything but
//! ordinary is classified once.

use http::Method;

use super::{
    act::Act,
    endpoint::{self, CountedTokens},
    exemptions::Exemptions,
    long_poll::{self, LongPoll},
    naming::{self, Naming, NamingEndpoint},
};
use crate::{action::Action, credential::Logout};

/// The class of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class {
    /// It passes whatever the state of any account is.
    pub(crate) passes: bool,
    /// Which of its access tokens say whose it is.
    pub(crate) tokens: CountedTokens,
    /// Its body may name accounts.
    pub(crate) naming: Option<Naming>,
    /// It waits for news.
    pub(crate) long_poll: Option<LongPoll>,
    /// It ends sessions, if it is answered with success.
    pub(crate) logout: Option<Logout>,
}

impl Class {
    pub(crate) fn of(act: Act<'_>, exemptions: &Exemptions) -> Self {
        match act {
            Act::Request { method, path } => Self::of_request(method, path, exemptions),
            Act::Event(_) => Self::ORDINARY,
            // Whoever is restricted may still log out.
            Act::Action(action) => Self {
                passes: action == Action::LogOut,
                ..Self::ORDINARY
            },
        }
    }

    fn of_request(method: &Method, path: &str, exemptions: &Exemptions) -> Self {
        if exemptions.let_pass(method, path) {
            return Self {
                passes: true,
                logout: endpoint::logout(method, path),
                ..Self::ORDINARY
            };
        }
        Self {
            passes: false,
            tokens: endpoint::counted_tokens(method, path),
            naming: naming::naming(method, path),
            long_poll: long_poll::long_poll(method, path),
            logout: None,
        }
    }

    /// Whether an application service may be here as itself, whomever it asserts to act for.
    pub(crate) fn may_authenticate_service_itself(&self) -> bool {
        self.naming.is_some_and(|naming| {
            use NamingEndpoint::{GuestUpgrade, Login, Unclear};
            matches!(naming.endpoint, Login | GuestUpgrade | Unclear)
        })
    }

    /// Nearly every request: its tokens say whose it is, and nothing else does.
    const ORDINARY: Self = Self {
        passes: false,
        tokens: CountedTokens::All,
        naming: None,
        long_poll: None,
        logout: None,
    };

    /// Whether the path leaves it open that the request is anything but ordinary to an account
    /// that is active. `false` is a promise.
    #[inline]
    pub(crate) fn may_be_special(method: &Method, path: &str) -> bool {
        long_poll::may_be_long_poll(path)
            || (method == Method::POST && naming::may_name_accounts(path))
    }
}
