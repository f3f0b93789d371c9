//! What a request is, as far as the rules need to know. Each request that could be anything but
//! ordinary is classified once.

use http::Method;

use super::{
    act::Act,
    endpoint::{self, CountedTokens},
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

    /// Whether a client signs out when this fails, whatever it is told.
    pub(crate) fn is_refresh(&self) -> bool {
        self.naming
            .is_some_and(|naming| naming.endpoint == NamingEndpoint::Refresh)
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

/// What the user lets pass whatever the state of the account is, beside what passes anyway.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exemptions {
    pub(crate) endpoints: Vec<(Method, Box<str>)>,
    pub(crate) versions: bool,
    pub(crate) prefixes: Vec<Box<str>>,
}

impl Exemptions {
    /// Whether the request passes whatever the store says or fails to say.
    pub(crate) fn let_pass(&self, method: &Method, path: &str) -> bool {
        method == Method::OPTIONS
            || endpoint::logout(method, path).is_some()
            || (self.versions && endpoint::is_versions(method, path))
            || self
                .endpoints
                .iter()
                .any(|(exempt, exact)| exempt == method && **exact == *path)
            || endpoint::is_well_known(path)
            || self
                .prefixes
                .iter()
                .any(|prefix| endpoint::is_below(prefix, path))
    }
}
