//! The settings of a layer: data without rules.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    account::AccountState,
    outcome::Outcome,
    panics::{Panicked, unless_it_panics},
    request::{
        class::{Class, Exemptions},
        long_poll::{LongPoll, USUAL_POLLS, UsualPoll},
        naming::NamingEndpoint,
        request_path::RequestPath,
    },
    suspension::SuspensionPolicy,
};

/// The requests whose bodies name accounts. Each has a [check](NamedAccountCheck) of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NamedIn {
    /// `POST /login`: every account that is to be logged in.
    Login,
    /// `POST /refresh`: the owner of the refresh token.
    ///
    /// A handler that is left the check asks
    /// [`AccountGuard::check_refresh`](crate::AccountGuard::check_refresh). With any other check, a store that
    /// fails would answer the refresh with a Matrix error, and clients would sign out.
    Refresh,
    /// `POST /account/password` and `POST /account/deactivate`: the account in `auth`, if no access
    /// token of the request has an owner.
    ///
    /// An `auth` that names only a session is not covered: a password reset by e-mail, for example. Only
    /// the handler knows whose session it is, and can ask the
    /// [guard](crate::AccountGuard).
    Reauthentication,
    /// `POST /register`: the guest whose account is upgraded, the owner of `guest_access_token`.
    GuestUpgrade,
}

/// When the accounts that a body names are checked ([`NamedIn`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum NamedAccountCheck {
    /// By the layer, before the handler runs: no device is made, no token is used up.
    ///
    /// Anyone can learn, without a password and ahead of the handler's rate limit, that an account is
    /// locked or deactivated. The reason and the end are not revealed.
    #[default]
    BeforeHandler,
    /// By the handler, which asks the [`AccountGuard`](crate::AccountGuard) between the password
    /// and the new device. The guard is in the request's extensions.
    ///
    /// Strangers learn nothing, if the handler asks after the password. A handler that does not ask
    /// leaves the login open. The handler of `POST /refresh` asks
    /// [`check_refresh`](crate::AccountGuard::check_refresh), and the others
    /// [`check`](crate::AccountGuard::check).
    ByHandler,
    /// Not at all. A restricted account gets new tokens, which are refused when they are used.
    Off,
}

/// What happens to a request if the store fails to say the account's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreFailure {
    /// It is answered 503 `M_UNKNOWN` with `Retry-After`, so that clients try again. Only
    /// `POST /refresh` goes on to the inner service, because clients sign out when it fails, and the
    /// new token is checked when it is used.
    #[default]
    Refuse,
    /// It goes on to the inner service. While the store is down, nobody is locked, suspended or
    /// deactivated.
    LetEveryoneThrough,
}

type Observer = Arc<dyn Fn(&Outcome<'_>) + Send + Sync>;
type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// The settings that every layer of this crate has.
#[derive(Clone)]
pub(crate) struct Common {
    pub(crate) path: RequestPath,
    pub(crate) store_timeout: Duration,
    pub(crate) body_limit: usize,
    pub(crate) body_timeout: Duration,
    pub(crate) cors_headers: bool,
    pub(crate) clock: Option<Clock>,
}

impl Default for Common {
    fn default() -> Self {
        Self {
            path: RequestPath::default(),
            store_timeout: Duration::from_secs(5),
            body_limit: 64 * 1024,
            body_timeout: Duration::from_secs(30),
            cors_headers: true,
            clock: None,
        }
    }
}

impl Common {
    /// The time, unless the user's clock panics.
    pub(crate) fn now(&self) -> Result<SystemTime, Panicked> {
        match &self.clock {
            None => Ok(SystemTime::now()),
            Some(clock) => unless_it_panics(|| clock()),
        }
    }

    /// The time at which `state` is judged. If no restriction has an end, any time will do, and the clock
    /// is not read, because reading it may be a call of the operating system.
    pub(crate) fn now_for(&self, state: &AccountState) -> Result<SystemTime, Panicked> {
        match state.has_end() {
            true => self.now(),
            false => Ok(SystemTime::UNIX_EPOCH),
        }
    }

    fn debug(&self, f: &mut fmt::DebugStruct<'_, '_>) {
        f.field("path", &self.path)
            .field("store_timeout", &self.store_timeout)
            .field("body_limit", &self.body_limit)
            .field("body_timeout", &self.body_timeout)
            .field("cors_headers", &self.cors_headers)
            .field("clock", &self.clock.is_some());
    }
}

impl fmt::Debug for Common {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("Settings");
        self.debug(&mut f);
        f.finish()
    }
}

/// The settings of [`AccountStatusLayer`](crate::AccountStatusLayer).
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) common: Common,
    pub(crate) exemptions: Exemptions,
    pub(crate) suspension: SuspensionPolicy,
    pub(crate) named_accounts: NamedAccountChecks,
    pub(crate) store_failure: StoreFailure,
    pub(crate) left_waiting: LeftWaiting,
    pub(crate) hand_on_account: bool,
    pub(crate) observer: Option<Observer>,
    pub(crate) report_only: bool,
    /// Whether the fast path cannot tell what to do with a request. It follows from the other settings, and so
    /// does the next field.
    pub(crate) always_examines: bool,
    /// Which of [`USUAL_POLLS`] are watched.
    watched_polls: [bool; USUAL_POLLS.len()],
}

impl Default for Settings {
    fn default() -> Self {
        let mut settings = Self {
            common: Common::default(),
            exemptions: Exemptions::default(),
            suspension: SuspensionPolicy::default(),
            named_accounts: NamedAccountChecks::default(),
            store_failure: StoreFailure::default(),
            left_waiting: LeftWaiting::default(),
            hand_on_account: false,
            observer: None,
            report_only: false,
            always_examines: false,
            watched_polls: [false; USUAL_POLLS.len()],
        };
        settings.settle();
        settings
    }
}

impl Settings {
    /// The one of [`USUAL_POLLS`], if the fast path may take a request with its method and path for
    /// a long poll that is watched.
    #[inline]
    pub(crate) fn watched_poll(&self, usual: usize) -> Option<&'static UsualPoll> {
        match self.watched_polls.get(usual) {
            Some(true) => USUAL_POLLS.get(usual),
            _ => None,
        }
    }

    /// Must be called when a setting has changed.
    pub(crate) fn settle(&mut self) {
        self.always_examines =
            self.observer.is_some() || self.hand_on_account || self.path.may_end_otherwise();
        let has_another_path = self.common.path.is_another();
        for (watched, usual) in self.watched_polls.iter_mut().zip(&USUAL_POLLS) {
            let long_poll = Class::of(usual.act(), &self.exemptions).long_poll;
            *watched = !self.report_only
                && !has_another_path
                && long_poll.is_some_and(|long_poll| !self.left_waiting.has(long_poll));
        }
    }
}

/// A check for each of [`NamedIn`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NamedAccountChecks {
    login: NamedAccountCheck,
    refresh: NamedAccountCheck,
    reauthentication: NamedAccountCheck,
    guest_upgrade: NamedAccountCheck,
}

impl NamedAccountChecks {
    pub(crate) fn set(&mut self, named_in: NamedIn, check: NamedAccountCheck) {
        match named_in {
            NamedIn::Login => self.login = check,
            NamedIn::Refresh => self.refresh = check,
            NamedIn::Reauthentication => self.reauthentication = check,
            NamedIn::GuestUpgrade => self.guest_upgrade = check,
        }
    }

    pub(crate) fn of(&self, endpoint: NamingEndpoint) -> NamedAccountCheck {
        match endpoint {
            NamingEndpoint::Login => self.login,
            NamingEndpoint::Refresh => self.refresh,
            NamingEndpoint::Reauthentication => self.reauthentication,
            NamingEndpoint::GuestUpgrade => self.guest_upgrade,
            NamingEndpoint::Unclear => self.strictest(),
        }
    }

    /// Whichever endpoint it is, it may be one that is checked before the handler.
    fn strictest(&self) -> NamedAccountCheck {
        let strictest = [
            NamedAccountCheck::BeforeHandler,
            NamedAccountCheck::ByHandler,
        ];
        let set = strictest.into_iter().find(|check| self.has(*check));
        set.unwrap_or(NamedAccountCheck::Off)
    }

    /// Whether the handler of this endpoint may ask the guard. `None` is any endpoint.
    pub(crate) fn may_ask_guard(&self, endpoint: Option<NamingEndpoint>) -> bool {
        match endpoint {
            Some(endpoint) if endpoint != NamingEndpoint::Unclear => {
                self.of(endpoint) == NamedAccountCheck::ByHandler
            }
            _ => self.has(NamedAccountCheck::ByHandler),
        }
    }

    fn has(&self, check: NamedAccountCheck) -> bool {
        let checks = [
            self.login,
            self.refresh,
            self.reauthentication,
            self.guest_upgrade,
        ];
        checks.contains(&check)
    }
}

/// Which long polls are not ended when their account is restricted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LeftWaiting {
    pub(crate) sync: bool,
    pub(crate) sliding_sync: bool,
}

impl LeftWaiting {
    pub(crate) fn has(self, long_poll: LongPoll) -> bool {
        match long_poll {
            LongPoll::Sync => self.sync,
            LongPoll::SlidingSync => self.sliding_sync,
        }
    }

    pub(crate) fn add(&mut self, long_poll: LongPoll) {
        match long_poll {
            LongPoll::Sync => self.sync = true,
            LongPoll::SlidingSync => self.sliding_sync = true,
        }
    }
}

impl Deref for Settings {
    type Target = Common;

    fn deref(&self) -> &Common {
        &self.common
    }
}

impl DerefMut for Settings {
    fn deref_mut(&mut self) -> &mut Common {
        &mut self.common
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("Settings");
        self.common.debug(&mut f);
        f.field("exemptions", &self.exemptions)
            .field("suspension", &self.suspension)
            .field("named_accounts", &self.named_accounts)
            .field("store_failure", &self.store_failure)
            .field("left_waiting", &self.left_waiting)
            .field("hand_on_account", &self.hand_on_account)
            .field("observer", &self.observer.is_some())
            .field("report_only", &self.report_only)
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

    use super::Common;
    use crate::account::{
        AccountState, Restriction,
        RestrictionKind::{self, Deactivated, Locked, Suspended},
    };

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// Rule 2: the time at which a state is judged decides as the present does. The clock is read only
    /// if it matters.
    #[test]
    fn rule_2_the_clock_is_read_where_a_restriction_ends_and_decides_the_same_everywhere() {
        const NOW: u64 = 1_000;
        let reads = Arc::new(AtomicUsize::new(0));
        let settings = Common {
            clock: Some(Arc::new({
                let reads = Arc::clone(&reads);
                move || {
                    reads.fetch_add(1, SeqCst);
                    at(NOW)
                }
            })),
            ..Common::default()
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
                    let time = settings.now_for(&state).unwrap();
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
