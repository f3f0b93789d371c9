//! What is promised, and which promises were broken.

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
    /// What the store does not know is `None`, not an error, whatever it consists of.
    UnknownIsNone = "an unknown credential is `None`",
    /// No question panics.
    NothingPanics = "no question panics",
    /// Every question is answered in time.
    NothingHangs = "no question hangs",
    /// No future holds its thread.
    NothingBlocks = "no question blocks its thread",
    /// A user who was never heard of is active: not an error, and not restricted.
    UnknownUserIsActive = "an unknown user is active",
    /// A token leads to its account, under the very name that it was given for.
    TokenFindsItsOwner = "a token finds its owner",
    /// A look-up consumes nothing: the same question has the same answer again.
    LookUpConsumesNothing = "a look-up consumes nothing",
    /// An access token that has expired, but is on record, is still its owner's.
    ExpiredTokenKeepsItsOwner = "an expired token keeps its owner",
    /// An application service's token leads to the service's own account.
    ServiceFindsItsAccount = "an application service's token finds its account",
    /// With `?user_id=`, the asserted user's state counts; a person's token asserts nobody.
    AssertionIsHeeded = "an assertion counts beside a service's token only",
    /// What may be written into the user field of a login leads to the account.
    LoginNameFindsItsOwner = "a login name finds its owner",
    /// A login token is read by the login type that it comes with: under another it is another's.
    LoginTypeIsHeeded = "a login token is read by its login type",
    /// An event leads to its sender.
    EventFindsItsSender = "an event finds its sender",
    /// A state that has been set is what every look-up shows that begins then.
    ChangeIsVisibleAtOnce = "a change is visible at once",
    /// Each restriction is stored separately: setting or lifting one leaves the others.
    RestrictionsAreIndependent = "restrictions are independent",
    /// Of several restrictions, deactivation decides before a lock and that before a suspension.
    Precedence = "deactivated before locked before suspended",
    /// A reason comes back character by character.
    ReasonComesBack = "a reason comes back as it was given",
    /// A restriction's end comes back, to the millisecond; past it, it is not in force.
    EndComesBack = "an end comes back as it was given",
    /// Two user ids that differ in a single byte are two accounts.
    UserIdsAreBytes = "user ids are compared byte by byte",
    /// `access_token_and_state` says what `access_token` and `state` say.
    BothQuestionsAgree = "the joint question agrees with the two",
    /// What is answered at once is what is answered when awaited.
    PeekAgrees = "what is answered at once agrees",
    /// Each restriction of an account has its own reason and its own end.
    EachHasItsOwnEnd = "each restriction has its own reason and end",
    /// A store that has a subscription announces each change.
    ChangeIsAnnounced = "a change is announced",
    /// When a change is announced, every answer shows it.
    AnnouncedWhenVisible = "a change is announced when it is visible",
    /// Of changes that are made at the same time none is lost, and none is seen in part.
    ConcurrentChangesHold = "concurrent changes hold",
    /// Who set a restriction and when come back; setting it again replaces the record.
    RecordComesBack = "a record comes back as it was given",
    /// Lifting says whether there was something to lift.
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

/// A broken promise, and how it was noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    promise: Promise,
    detail: String,
}

impl Violation {
    /// Which promise.
    #[must_use]
    pub fn promise(&self) -> Promise {
        self.promise
    }

    /// What was asked, expected and answered.
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

/// A store that keeps its promises, as far as it could be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    skipped: Vec<(&'static str, &'static str)>,
}

impl Passed {
    /// What was not checked, and why not.
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
/// shows, is a line or two for each, and fits on a screen.
#[derive(Clone, PartialEq, Eq)]
pub struct Report(Vec<Violation>);

impl Report {
    /// The broken promises, in the order in which they were noticed. One may be here several
    /// times.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.0
    }
}

/// How many lines and characters a report has, but for the names of more broken promises than that.
const LINES: usize = 18;
const CHARACTERS: usize = 2400;

/// How long a detail is at most.
const LENGTH: usize = 240;

/// The promises in their order, each with its first details: what fits on a screen. All of them are
/// in [`violations`](Report::violations).
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
        // Two details of each where there is room.
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

/// Collects what the checks notice.
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

    /// Notes what is not checked, and why not.
    pub(super) fn skip(&mut self, what: &'static str, why: &'static str) {
        if !self.skipped.contains(&(what, why)) {
            self.skipped.push((what, why));
        }
    }

    /// Compares what was answered to `question`.
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
                format!("{question}: {answered:?}, and not {expected:?}"),
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
