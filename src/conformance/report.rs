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
    /// A credential that no one owns is nobody's: `None`, not an error, and whatever its bytes.
    UnknownTokenIsNobodys = "an unknown token is nobody's",
    /// A user who was never heard of is active: not an error, and not restricted.
    UnknownUserIsActive = "an unknown user is active",
    /// A token leads to its account, under the very name that it was given for.
    TokenFindsItsOwner = "a token finds its owner",
    /// A look-up consumes nothing: the same question has the same answer again.
    LookUpConsumesNothing = "a look-up consumes nothing",
    /// The `user_id` parameter beside a person's token is not believed.
    AssertedUserIsNotBelieved = "an asserted user is not believed",
    /// A state that has been set is what every look-up shows that begins then.
    ChangeIsVisibleAtOnce = "a change is visible at once",
    /// Each restriction stands on its own: setting or lifting one leaves the others.
    RestrictionsAreIndependent = "restrictions are independent",
    /// Of several restrictions, deactivation decides before a lock and that before a suspension.
    Precedence = "deactivated before locked before suspended",
    /// A reason comes back character by character.
    ReasonComesBack = "a reason comes back as it was given",
    /// A restriction's end comes back, to the millisecond; past it, it is not in force.
    EndComesBack = "an end comes back as it was given",
    /// Two user ids that differ in a single byte are two accounts.
    UserIdsAreBytes = "user ids are compared byte by byte",
    /// `account_and_state` says what `account` and `state` say.
    BothQuestionsAgree = "the joint question agrees with the two",
    /// What is answered at once is what is answered when awaited.
    PeekAgrees = "what is answered at once agrees",
    /// A store that has a subscription announces each change, when its answers show it.
    ChangeIsAnnounced = "a change is announced",
    /// Of changes that are made at the same time none is lost, and none is seen in part.
    ConcurrentChangesHold = "concurrent changes hold",
    /// Who set a restriction and when come back; setting it again replaces the record.
    RecordComesBack = "a record comes back as it was given",
    /// Lifting says whether there was something to lift.
    LiftSaysWhatItDid = "lifting says whether there was a restriction",
    /// The pages list every restricted account once, in the order of the user ids' bytes.
    ListIsWhole = "the list is whole and in order",
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

/// The broken promises of a store: the error of the checks. Its `Debug` output, which `unwrap`
/// shows, is one line for each.
#[derive(Clone, PartialEq, Eq)]
pub struct Report(Vec<Violation>);

impl Report {
    /// The broken promises, in the order in which they were noticed. One may stand here several
    /// times.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} broken promises:", self.0.len())?;
        for violation in &self.0 {
            write!(f, "\n- {violation}")?;
        }
        Ok(())
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
pub(super) struct Findings(Vec<Violation>);

impl Findings {
    pub(super) fn add(&mut self, promise: Promise, detail: impl Into<String>) {
        let detail = detail.into();
        self.0.push(Violation { promise, detail });
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

    pub(super) fn into_result(self) -> Result<(), Report> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(Report(self.0)),
        }
    }
}
