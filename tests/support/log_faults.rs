//! What a log of changes may do wrong, and the promise that it breaks.

#![allow(unreachable_pub)]

use tower_account_status::conformance::Promise;

/// What a log does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFault {
    None,
    ForgetsLifts,
    ForgetsReplacements,
    ForgetsWhatSomebodyElseSetAgain,
    ForgetsOneOfMany,
    LogsAfterwards,
    LogsLiftsOfNothing,
    LogsLiftsOfNothingAtTheSameTime,
    LogsRepetitions,
    LogsReplacementsAsLifts,
    LogsFailures,
    ForgetsTheActor,
    ForgetsTheNote,
    ForgetsTheChannel,
    ForgetsTheTime,
    ForgetsTheReason,
    ForgetsTheEnd,
    LiftsAreBare,
    LiftsAreWhoSetIts,
    OldestFirst,
    PagesOverlap,
    PagesSkip,
    PagesByNumber,
    PagesForgetTheSameTime,
    LimitIsIgnored,
    NoneIsAll,
    UsersInLowerCase,
    UserIsIgnored,
    SinceLeavesItsTimeOut,
    UntilHasItsTime,
    UntilIsIgnored,
    Fails,
    KeepsForEver,
    ForgetsTooEarly,
    ForgetsAllTogether,
    LiftsWithTheEntry,
    FailsBehindWhatHasLeft,
    LogsNoLiftOfOldLocks,
}

/// What each of them breaks, as `check_audit_log` finds it.
pub const LOG_FAULTS: &[(LogFault, Promise)] = &[
    (LogFault::ForgetsLifts, Promise::ChangeIsInTheLog),
    (LogFault::ForgetsReplacements, Promise::ChangeIsInTheLog),
    (
        LogFault::ForgetsWhatSomebodyElseSetAgain,
        Promise::ChangeIsInTheLog,
    ),
    (LogFault::ForgetsOneOfMany, Promise::ChangeIsInTheLog),
    (LogFault::LogsAfterwards, Promise::ChangeIsInTheLog),
    (LogFault::LogsLiftsOfNothing, Promise::LogHasOnlyChanges),
    (
        LogFault::LogsLiftsOfNothingAtTheSameTime,
        Promise::LogHasOnlyChanges,
    ),
    (LogFault::LogsRepetitions, Promise::LogHasOnlyChanges),
    (
        LogFault::LogsReplacementsAsLifts,
        Promise::LogHasOnlyChanges,
    ),
    (LogFault::LogsFailures, Promise::LogHasOnlyChanges),
    (LogFault::ForgetsTheActor, Promise::LogSaysWhoAndWhy),
    (LogFault::ForgetsTheNote, Promise::LogSaysWhoAndWhy),
    (LogFault::ForgetsTheChannel, Promise::LogSaysWhoAndWhy),
    (LogFault::ForgetsTheTime, Promise::LogSaysWhoAndWhy),
    (LogFault::ForgetsTheReason, Promise::LogSaysWhoAndWhy),
    (LogFault::ForgetsTheEnd, Promise::LogSaysWhoAndWhy),
    (LogFault::LiftsAreBare, Promise::LogSaysWhoAndWhy),
    (LogFault::LiftsAreWhoSetIts, Promise::LogSaysWhoAndWhy),
    (LogFault::OldestFirst, Promise::LogIsReadInPages),
    (LogFault::PagesOverlap, Promise::LogIsReadInPages),
    (LogFault::PagesSkip, Promise::LogIsReadInPages),
    (LogFault::PagesByNumber, Promise::LogIsReadInPages),
    (LogFault::PagesForgetTheSameTime, Promise::LogIsReadInPages),
    (LogFault::LimitIsIgnored, Promise::LogIsReadInPages),
    (LogFault::NoneIsAll, Promise::LogIsReadInPages),
    (
        LogFault::UsersInLowerCase,
        Promise::LogIsReadByAccountAndTime,
    ),
    (LogFault::UserIsIgnored, Promise::LogIsReadByAccountAndTime),
    (
        LogFault::SinceLeavesItsTimeOut,
        Promise::LogIsReadByAccountAndTime,
    ),
    (
        LogFault::UntilHasItsTime,
        Promise::LogIsReadByAccountAndTime,
    ),
    (LogFault::UntilIsIgnored, Promise::LogIsReadByAccountAndTime),
    (LogFault::Fails, Promise::ChangeIsInTheLog),
];

/// Those that `check_audit_retention` finds.
pub const RETENTION_FAULTS: &[LogFault] = &[
    LogFault::KeepsForEver,
    LogFault::ForgetsTooEarly,
    LogFault::ForgetsAllTogether,
    LogFault::LiftsWithTheEntry,
    LogFault::FailsBehindWhatHasLeft,
    LogFault::LogsNoLiftOfOldLocks,
];
