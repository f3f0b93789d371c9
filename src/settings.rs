//! What the user of the layer decides.

use std::{
    borrow::Cow,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{Extensions, Method, Uri};

use crate::{
    account::AccountState,
    outcome::Outcome,
    request::{
        endpoint::{self, NamingEndpoint},
        long_poll::{LongPoll, long_poll},
        path_source::PathSource,
    },
    suspension::SuspensionPolicy,
};

/// When the accounts that a body names are checked: those of `POST /login`, `POST /refresh`, and
/// of the `auth` in `POST /account/password` and `POST /account/deactivate`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum NamedAccountCheck {
    /// By the layer, before the handler runs: no device is made, no token is used up.
    ///
    /// It tells everyone who asks, without a password and ahead of the handler's rate limit, that
    /// an account is locked or deactivated; not why or until when.
    #[default]
    BeforeHandler,
    /// By the handler, which asks the [`AccountGuard`](crate::AccountGuard) between the password
    /// and the new device. The guard stands in the request's extensions.
    ///
    /// Nothing is revealed to strangers, if the handler does it right.
    ByHandler,
    /// Not at all: someone else sees to it. The tokens that are given out are refused when they
    /// are used.
    Off,
}

/// What happens to a request while the store cannot say in which state the account is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreFailure {
    /// It is refused with 503 `M_UNKNOWN` and a `Retry-After`, which clients answer by trying
    /// again. Only `POST /refresh` goes on to the inner service: clients sign out when it fails,
    /// and the new token is checked as soon as it is used.
    #[default]
    Refuse,
    /// It is handed on: while the store is down, nobody is locked, suspended or deactivated.
    LetEveryoneThrough,
}

type Observer = Arc<dyn Fn(&Outcome<'_>) + Send + Sync>;
pub(crate) type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) exempt: Vec<(Method, Box<str>)>,
    pub(crate) exempt_versions: bool,
    pub(crate) excluded_prefixes: Vec<Box<str>>,
    pub(crate) path: PathSource,
    pub(crate) login_check: NamedAccountCheck,
    pub(crate) refresh_check: NamedAccountCheck,
    pub(crate) reauthentication_check: NamedAccountCheck,
    pub(crate) store_timeout: Duration,
    pub(crate) store_failure: StoreFailure,
    pub(crate) body_limit: usize,
    pub(crate) body_timeout: Duration,
    pub(crate) cors_headers: bool,
    pub(crate) hand_on_account: bool,
    pub(crate) clock: Option<Clock>,
    pub(crate) suspension: SuspensionPolicy,
    pub(crate) observer: Option<Observer>,
    pub(crate) report_only: bool,
    pub(crate) ends_sync: bool,
    pub(crate) ends_sliding_sync: bool,
    /// Whether there is something to be done even for a request that passes.
    pub(crate) always_examines: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            exempt: Vec::new(),
            exempt_versions: false,
            excluded_prefixes: Vec::new(),
            path: PathSource::default(),
            login_check: NamedAccountCheck::default(),
            refresh_check: NamedAccountCheck::default(),
            reauthentication_check: NamedAccountCheck::default(),
            store_timeout: Duration::from_secs(5),
            store_failure: StoreFailure::default(),
            body_limit: 64 * 1024,
            body_timeout: Duration::from_secs(30),
            cors_headers: true,
            hand_on_account: false,
            clock: None,
            suspension: SuspensionPolicy::new(),
            observer: None,
            report_only: false,
            ends_sync: true,
            ends_sliding_sync: true,
            always_examines: false,
        }
    }
}

impl Settings {
    pub(crate) fn now(&self) -> SystemTime {
        match &self.clock {
            None => SystemTime::now(),
            Some(clock) => clock(),
        }
    }

    /// The time to judge `state` at: any, where no restriction has an end. The clock is not read
    /// then, which may be a call of the operating system.
    pub(crate) fn now_for(&self, state: &AccountState) -> SystemTime {
        match state.has_end() {
            true => self.now(),
            false => SystemTime::UNIX_EPOCH,
        }
    }

    /// The path that the rules are about.
    pub(crate) fn path<'a>(&self, uri: &'a Uri, extensions: &'a Extensions) -> Cow<'a, str> {
        self.path.of(uri, extensions)
    }

    /// Whether [`path`](Self::path) is anything but the path of the URI.
    pub(crate) fn rewrites_paths(&self) -> bool {
        self.path.rewrites()
    }

    /// What passes whatever the store says or fails to say.
    pub(crate) fn always_passes(&self, method: &Method, path: &str) -> bool {
        method == Method::OPTIONS
            || endpoint::is_logout(method, path)
            || (self.exempt_versions && endpoint::is_versions(method, path))
            || self
                .exempt
                .iter()
                .any(|(exempt, exact)| exempt == method && **exact == *path)
            || endpoint::is_well_known(path)
            || self
                .excluded_prefixes
                .iter()
                .any(|prefix| endpoint::is_below(prefix, path))
    }

    /// Whether a request that passes is to be ended when its account is restricted later.
    pub(crate) fn ends(&self, method: &Method, path: &str) -> bool {
        match long_poll(method, path) {
            Some(LongPoll::Sync) => self.ends_sync,
            Some(LongPoll::SlidingSync) => self.ends_sliding_sync,
            None => false,
        }
    }

    pub(crate) fn check_of(&self, endpoint: NamingEndpoint) -> NamedAccountCheck {
        match endpoint {
            NamingEndpoint::Login => self.login_check,
            NamingEndpoint::Refresh => self.refresh_check,
            NamingEndpoint::Reauthentication => self.reauthentication_check,
            // Whichever it is, it is not to be one that is checked before the handler.
            NamingEndpoint::Unclear => {
                let checks = [
                    self.login_check,
                    self.refresh_check,
                    self.reauthentication_check,
                ];
                let strictest = [
                    NamedAccountCheck::BeforeHandler,
                    NamedAccountCheck::ByHandler,
                ];
                let set = strictest.into_iter().find(|check| checks.contains(check));
                set.unwrap_or(NamedAccountCheck::Off)
            }
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("exempt", &self.exempt)
            .field("exempt_versions", &self.exempt_versions)
            .field("excluded_prefixes", &self.excluded_prefixes)
            .field("path", &self.path)
            .field("login_check", &self.login_check)
            .field("refresh_check", &self.refresh_check)
            .field("reauthentication_check", &self.reauthentication_check)
            .field("store_timeout", &self.store_timeout)
            .field("store_failure", &self.store_failure)
            .field("body_limit", &self.body_limit)
            .field("body_timeout", &self.body_timeout)
            .field("cors_headers", &self.cors_headers)
            .field("hand_on_account", &self.hand_on_account)
            .field("clock", &self.clock.is_some())
            .field("suspension", &self.suspension)
            .field("observer", &self.observer.is_some())
            .field("report_only", &self.report_only)
            .field("ends_sync", &self.ends_sync)
            .field("ends_sliding_sync", &self.ends_sliding_sync)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::SeqCst},
        },
        time::{Duration, SystemTime},
    };

    use super::Settings;
    use crate::account::{
        AccountState, Restriction,
        RestrictionKind::{self, Deactivated, Locked, Suspended},
    };

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// Rule 2: the time that a state is judged at decides as the present does, and is asked for
    /// only where it matters.
    #[test]
    fn rule_2_the_clock_is_read_where_a_restriction_ends_and_decides_the_same_everywhere() {
        const NOW: u64 = 1_000;
        let reads = Arc::new(AtomicUsize::new(0));
        let settings = Settings {
            clock: Some(Arc::new({
                let reads = Arc::clone(&reads);
                move || {
                    reads.fetch_add(1, SeqCst);
                    at(NOW)
                }
            })),
            ..Settings::default()
        };
        let ways = |kind: RestrictionKind| {
            let ending = |until| Some(Restriction::new(kind).with_until(at(until)));
            let endless = Some(Restriction::new(kind));
            [None, endless, ending(NOW - 1), ending(NOW), ending(NOW + 1)]
        };
        for deactivated in ways(Deactivated) {
            for locked in ways(Locked) {
                for suspended in ways(Suspended) {
                    let all = [&deactivated, &locked, &suspended];
                    let state: AccountState = all.into_iter().flatten().cloned().collect();
                    let before = reads.load(SeqCst);
                    let time = settings.now_for(&state);
                    assert_eq!(state.in_force(time), state.in_force(at(NOW)), "{state:?}");
                    let has_end = state.restrictions().any(|one| one.until().is_some());
                    let read = reads.load(SeqCst) - before;
                    assert_eq!(read, usize::from(has_end), "{state:?}");
                }
            }
        }
        assert!(reads.load(SeqCst) > 50, "most of them have an end");
    }
}
