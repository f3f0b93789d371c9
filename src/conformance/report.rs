//! The promises, and the report of those that were broken.

use std::{error::Error, fmt};

macro_rules! promises {
    ($($(#[doc = $doc:literal])+ $promise:ident = $name:literal,)+) => {
        /// A promise that a store makes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Promise {
            $($(#[doc = $doc])+ $promise,)+
        }

        impl Promise {
            /// Every promise.
            pub const ALL: &[Self] = &[$(Self::$promise,)+];

            /// The promise's name in a report.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$promise => $name,)+
                }
            }
        }
    };
}

promises! {
    /// The answer for a credential that the store does not know is `None` and not an error, whatever
    /// its characters.
    UnknownIsNone = "an unknown credential is `None`",
    /// No question panics.
    NothingPanics = "no question panics",
    /// Every question is answered in time.
    NothingHangs = "no question hangs",
    /// No future blocks its thread.
    NothingBlocks = "no question blocks its thread",
    /// A user whom the store does not know is active: neither an error nor restricted.
    UnknownUserIsActive = "an unknown user is active",
    /// The owner of a token is the user for whom it was made, byte for byte.
    TokenFindsItsOwner = "a token finds its owner",
    /// A look-up consumes nothing: the same question has the same answer every time.
    LookUpConsumesNothing = "a look-up consumes nothing",
    /// An access token that has expired but is on record still belongs to its owner.
    ExpiredTokenKeepsItsOwner = "an expired token keeps its owner",
    /// The owner of an application service's token is the service's own account.
    ServiceFindsItsAccount = "an application service's token finds its account",
    /// The state of the user that `?user_id=` asserts counts beside a service's token. A person's token
    /// asserts nobody.
    AssertionIsHeeded = "an assertion counts beside a service's token only",
    /// Every name that the user field of a login may have leads to the account.
    LoginNameFindsItsOwner = "a login name finds its owner",
    /// A login token is looked up with its login type. The same text with another type may be another
    /// user's.
    LoginTypeIsHeeded = "a login token is read by its login type",
    /// The store finds the sender of an event.
    EventFindsItsSender = "an event finds its sender",
    /// Every look-up that begins after a change shows the new state.
    ChangeIsVisibleAtOnce = "a change is visible at once",
    /// Each restriction is stored separately: setting or lifting one leaves the others as they are.
    RestrictionsAreIndependent = "restrictions are independent",
    /// If an account has several restrictions, a deactivation decides before a lock, and a lock before a
    /// suspension.
    Precedence = "deactivated before locked before suspended",
    /// A reason comes back character by character.
    ReasonComesBack = "a reason comes back as it was given",
    /// A restriction's end comes back, to the millisecond. Past its end a restriction is not in force.
    EndComesBack = "an end comes back as it was given",
    /// Two user ids that differ in a single byte are two accounts.
    UserIdsAreBytes = "user ids are compared byte by byte",
    /// `access_token_and_state` says what `access_token` and `state` say.
    BothQuestionsAgree = "the joint question agrees with the two",
    /// The answer that is given at once is the awaited one.
    PeekAgrees = "what is answered at once agrees",
    /// `states` and `states_of` answer for each user what `state` and `state_of` do, in the order of the
    /// users, and as many times as a user is asked for.
    ManyAgreeWithEach = "the states of many are those of each",
    /// A record that cannot be read is an error, and the error of that account alone.
    FailureConcernsOne = "an account that fails does not fail others",
    /// A token that was logged out is unknown, and so is every other one of its owner after a logout of
    /// all sessions.
    LogoutIsHeeded = "a token that was logged out is unknown",
    /// Each restriction of an account has its own reason and its own end.
    EachHasItsOwnEnd = "each restriction has its own reason and end",
    /// A store with a subscription announces each change.
    ChangeIsAnnounced = "a change is announced",
    /// When a change is announced, every answer shows it.
    AnnouncedWhenVisible = "a change is announced when it is visible",
    /// No change is lost or seen in part if several are made at the same time.
    ConcurrentChangesHold = "concurrent changes hold",
    /// The record says who set a restriction and when. Setting it again replaces the record.
    RecordComesBack = "a record comes back as it was given",
    /// A lift returns whether there was a restriction to lift.
    LiftSaysWhatItDid = "lifting says whether there was a restriction",
    /// The pages list every restricted account once, in the order of the user ids' bytes.
    ListIsWhole = "the list is whole and in order",
    /// The log has an entry for every change: a restriction that is set, replaced or lifted.
    ChangeIsInTheLog = "every change is in the log",
    /// The log has no entry for a change that was not made.
    LogHasOnlyChanges = "the log has only what was changed",
    /// An entry has the restriction with its reason and its end, and who changed it, when, why and
    /// through what.
    LogSaysWhoAndWhy = "the log says who, when, why and through what",
    /// The pages of the log have each entry once, the newest first, while others write.
    LogIsReadInPages = "the log's pages have each entry once and in order",
    /// The log is read by account and by time.
    LogIsReadByAccountAndTime = "the log is read by account and by time",
    /// The log keeps each entry for the time that it states, and then deletes it and nothing else.
    LogKeepsItsRetention = "the log keeps entries for its retention",
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A broken promise, and what showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    promise: Promise,
    detail: String,
}

impl Violation {
    /// The promise that is broken.
    #[must_use]
    pub fn promise(&self) -> Promise {
        self.promise
    }

    /// What was asked, answered and expected.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.detail)
    }
}

/// The store keeps every promise that was checked. Its `Display` says which parts were not.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it says what was not checked: print it"]
pub struct Passed {
    skipped: Vec<(&'static str, &'static str)>,
}

impl Passed {
    /// The parts that were not checked, each with the reason.
    pub fn skipped(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.skipped.iter().copied()
    }
}

impl fmt::Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("every promise that was checked is kept")?;
        for (what, why) in self.skipped() {
            write!(f, "\n- not checked: {what}, because {why}")?;
        }
        Ok(())
    }
}

/// The broken promises of a store: the error of the checks. Its `Debug` output, which `unwrap`
/// prints, has a line or two for each promise and fits on a screen.
#[derive(Clone, PartialEq, Eq)]
pub struct Report(Vec<Violation>);

impl Report {
    /// The broken promises, in the order in which they were found. A promise may be here several
    /// times.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.0
    }
}

/// How many lines and characters a report has. The names of further broken promises come after them.
const LINES: usize = 18;
const CHARACTERS: usize = 2400;

/// The greatest length of a detail.
const LENGTH: usize = 240;

/// The promises in their order, each with its first details, as far as they fit on a screen.
/// [`violations`](Report::violations) has all of them.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let broken = Promise::ALL.iter().map(|promise| {
            let of = |violation: &&Violation| violation.promise == *promise;
            (promise, self.0.iter().filter(of).collect::<Vec<_>>())
        });
        let broken: Vec<_> = broken.filter(|(_, found)| !found.is_empty()).collect();
        let promises = if broken.len() == 1 {
            "promise"
        } else {
            "promises"
        };
        write!(f, "{} broken {promises}:", broken.len())?;
        // Two details of each if there is room.
        let details = if broken.len() * 3 <= LINES { 2 } else { 1 };
        let length = (CHARACTERS / LINES.min(broken.len().max(1) * details)).min(LENGTH);
        let (shown, others) = broken.split_at(broken.len().min(LINES));
        for (promise, found) in shown {
            for violation in found.iter().take(details) {
                write!(f, "\n- {promise}: {}", shortened(&violation.detail, length))?;
            }
            if found.len() > details {
                write!(f, " … and {} more of this", found.len() - details)?;
            }
        }
        for (index, (promise, _)) in others.iter().enumerate() {
            let before = if index == 0 { "\n- and also: " } else { "; " };
            write!(f, "{before}{promise}")?;
        }
        Ok(())
    }
}

fn shortened(detail: &str, length: usize) -> String {
    match detail.char_indices().nth(length) {
        Some((end, _)) => format!("{}…", &detail[..end]),
        None => detail.to_owned(),
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for Report {}

/// Collects what the checks find.
#[derive(Default)]
pub(super) struct Findings {
    violations: Vec<Violation>,
    skipped: Vec<(&'static str, &'static str)>,
}

impl Findings {
    pub(super) fn add(&mut self, promise: Promise, detail: impl Into<String>) {
        let detail = detail.into();
        self.violations.push(Violation { promise, detail });
    }

    /// Notes what is not checked, and why.
    pub(super) fn skip(&mut self, what: &'static str, why: &'static str) {
        if !self.skipped.contains(&(what, why)) {
            self.skipped.push((what, why));
        }
    }

    /// Compares the answer to `question` with the expected one.
    pub(super) fn same<T: PartialEq + fmt::Debug>(
        &mut self,
        promise: Promise,
        question: impl fmt::Display,
        answered: &T,
        expected: &T,
    ) {
        if answered != expected {
            self.add(
                promise,
                format!("{question}: answered {answered:?}, expected {expected:?}"),
            );
        }
    }

    pub(super) fn into_result(self) -> Result<Passed, Report> {
        match self.violations.is_empty() {
            true => Ok(Passed {
                skipped: self.skipped,
            }),
            false => Err(Report(self.violations)),
        }
    }
}
