//! A store in memory with a log of changes, written as somebody outside the crate would write one. It
//! breaks one promise, which the conformance kit has to find.

#![allow(unreachable_pub, clippy::unwrap_used)] // a test fails by panicking

use std::{
    sync::Mutex,
    time::{Duration, SystemTime},
};

use crate::log_faults::LogFault;
use tower_account_status::{
    AccountState, Changes, MemoryStore, Restriction, RestrictionKind, RestrictionRecord,
    RestrictionStore, UserId,
    store::{
        AuditAction::{self, Lifted, Set},
        AuditEntry, AuditLog, AuditPosition, AuditQuery, ChangeRecord, Channel, StoreError,
    },
};

pub struct LoggingStore {
    restrictions: MemoryStore,
    fault: LogFault,
    retention: Option<Duration>,
    /// The oldest first. It is locked while a restriction changes, so that both change at once.
    log: Mutex<Vec<AuditEntry>>,
}

impl LoggingStore {
    pub fn new(fault: LogFault) -> Self {
        Self {
            restrictions: MemoryStore::new(),
            fault,
            retention: None,
            log: Mutex::default(),
        }
    }

    pub fn with_retention(mut self, retention: Duration) -> Self {
        self.retention = Some(retention);
        self
    }

    fn has(&self, fault: LogFault) -> bool {
        self.fault == fault
    }

    fn held(&self, user: &UserId, kind: RestrictionKind) -> Option<RestrictionRecord> {
        let accounts = self.restrictions.peek_state_of(user);
        accounts?.restriction(kind)?;
        // Nothing else writes while the log is locked.
        let record = self.restrictions.record(user, kind);
        answered_now(record).ok().flatten()
    }

    fn append(
        &self,
        log: &mut Vec<AuditEntry>,
        user: &UserId,
        action: AuditAction,
        restriction: &Restriction,
        change: &ChangeRecord,
    ) {
        let has_reason = !self.has(LogFault::ForgetsTheReason);
        let has_end = !self.has(LogFault::ForgetsTheEnd);
        let is_bare = action == Lifted && self.has(LogFault::LiftsAreBare);
        let mut kept = Restriction::new(restriction.kind());
        if let (Some(reason), true, false) = (restriction.reason(), has_reason, is_bare) {
            kept = kept.with_reason(reason);
        }
        if let (Some(until), true, false) = (restriction.until(), has_end, is_bare) {
            kept = kept.with_until(until);
        }
        let channel = match self.has(LogFault::ForgetsTheChannel) {
            true => Channel::SERVER,
            false => change.channel().clone(),
        };
        let mut said = ChangeRecord::through(channel);
        if !self.has(LogFault::ForgetsTheTime) {
            said = said.with_time(change.at());
        }
        if let (Some(note), false) = (change.note(), self.has(LogFault::ForgetsTheNote)) {
            said = said.with_note(note);
        }
        if let (Some(actor), false) = (change.actor(), self.has(LogFault::ForgetsTheActor)) {
            said = said.with_actor(actor.clone());
        }
        // Some entries have the same time, as they have where a clock is coarse.
        let id = i64::try_from(log.len()).unwrap();
        let micros = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let coarse = Duration::from_millis(u64::try_from(micros.unwrap().as_millis()).unwrap());
        let last = log.last().map(AuditEntry::recorded_at);
        let now = last
            .into_iter()
            .fold(SystemTime::UNIX_EPOCH + coarse, Ord::max);
        let position = AuditPosition::new(now, id);
        log.push(AuditEntry::new(user.clone(), action, kept, said, position));
    }

    fn set(&self, log: &mut Vec<AuditEntry>, user: &UserId, record: &RestrictionRecord) {
        let change = record.change();
        let held = self.held(user, record.kind());
        if let Some(held) = &held {
            let is_same = held.restriction() == record.restriction();
            let is_repeated =
                is_same && held.set_by() == record.set_by() && held.set_at() == record.set_at();
            if (is_repeated && !self.has(LogFault::LogsRepetitions))
                || self.has(LogFault::ForgetsReplacements)
                || (is_same && self.has(LogFault::ForgetsWhatSomebodyElseSetAgain))
            {
                return;
            }
            if self.has(LogFault::LogsReplacementsAsLifts) {
                self.append(log, user, Lifted, held.restriction(), change);
            }
        }
        if self.has(LogFault::ForgetsOneOfMany) && record.restriction().reason() == Some("7") {
            return;
        }
        self.append(log, user, Set, record.restriction(), change);
    }
}

/// What `MemoryStore` says, which it says at once.
fn answered_now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("a store in memory that waits"),
    }
}

impl RestrictionStore for LoggingStore {
    type Error = StoreError;

    async fn state_of(&self, user: &str) -> Result<AccountState, StoreError> {
        Ok(self.restrictions.state_of(user).await?)
    }

    async fn set_restriction(
        &self,
        user: &UserId,
        record: RestrictionRecord,
    ) -> Result<(), StoreError> {
        if user.is_empty() || user.contains('\0') {
            if self.has(LogFault::LogsFailures) {
                self.set(&mut self.log.lock().unwrap(), user, &record);
            }
            return Err(StoreError::msg("this is no name"));
        }
        if self.has(LogFault::LogsAfterwards) {
            let mut entries = Vec::new();
            self.set(&mut entries, user, &record);
            answered_now(self.restrictions.set_restriction(user, record.clone()))?;
            tokio::task::yield_now().await;
            if !entries.is_empty() {
                let mut log = self.log.lock().unwrap();
                self.append(&mut log, user, Set, record.restriction(), record.change());
            }
            return Ok(());
        }
        // The others come between.
        tokio::task::yield_now().await;
        let mut log = self.log.lock().unwrap();
        self.set(&mut log, user, &record);
        Ok(answered_now(
            self.restrictions.set_restriction(user, record),
        )?)
    }

    async fn lift_restriction(
        &self,
        user: &UserId,
        kind: RestrictionKind,
        change: &ChangeRecord,
    ) -> Result<bool, StoreError> {
        let seen = self.held(user, kind);
        tokio::task::yield_now().await;
        let mut log = self.log.lock().unwrap();
        let held = self.held(user, kind);
        let lifted = answered_now(self.restrictions.lift_restriction(user, kind, change))?;
        let (restriction, set_by) = match held.clone() {
            Some(record) => (record.restriction().clone(), record.change().clone()),
            None => (Restriction::new(kind), change.clone()),
        };
        let is_logged = match self.fault {
            LogFault::ForgetsLifts => false,
            LogFault::LogsLiftsOfNothing => true,
            LogFault::LogsLiftsOfNothingAtTheSameTime => seen.is_some(),
            LogFault::LogsNoLiftOfOldLocks => {
                let is_known = log.iter().any(|entry| entry.user() == user);
                lifted && is_known
            }
            _ => lifted,
        };
        if is_logged {
            let change = match self.has(LogFault::LiftsAreWhoSetIts) {
                true => &set_by,
                false => change,
            };
            self.append(&mut log, user, Lifted, &restriction, change);
        }
        Ok(lifted)
    }

    async fn record(
        &self,
        user: &UserId,
        kind: RestrictionKind,
    ) -> Result<Option<RestrictionRecord>, StoreError> {
        Ok(self.restrictions.record(user, kind).await?)
    }

    async fn restricted(
        &self,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<(UserId, Vec<RestrictionRecord>)>, StoreError> {
        Ok(self.restrictions.restricted(after, limit).await?)
    }

    fn restriction_changes(&self) -> Option<Changes> {
        self.restrictions.restriction_changes()
    }
}

impl LoggingStore {
    /// Removes entries older than the retention.
    fn prune(&self, log: &mut Vec<AuditEntry>) {
        let Some(retention) = self.retention else {
            return;
        };
        let kept_for = match self.fault {
            LogFault::KeepsForEver => return,
            LogFault::ForgetsTooEarly => retention / 10,
            _ => retention,
        };
        let is_old = |entry: &AuditEntry| entry.recorded_at() + kept_for < SystemTime::now();
        let old: Vec<UserId> = log
            .iter()
            .filter(|entry| is_old(entry))
            .map(|entry| entry.user().clone())
            .collect();
        if self.has(LogFault::LiftsWithTheEntry) {
            for user in &old {
                self.restrictions
                    .set_state(user.clone(), AccountState::ACTIVE);
            }
        }
        match self.has(LogFault::ForgetsAllTogether) && !old.is_empty() {
            true => log.clear(),
            false => log.retain(|entry| !is_old(entry)),
        }
    }

    fn asked_for(&self, query: &AuditQuery, entry: &AuditEntry) -> bool {
        let without_behind = || {
            let mut asked = AuditQuery::new();
            if let Some(since) = query.since() {
                asked = asked.with_since(since);
            }
            if let Some(until) = query.until() {
                asked = asked.with_until(until);
            }
            match query.user() {
                Some(user) => asked.with_user(user.clone()),
                None => asked,
            }
        };
        let at = entry.recorded_at();
        match self.fault {
            LogFault::UserIsIgnored => match query.user() {
                Some(_) => query.clone().with_user(entry.user().clone()).matches(entry),
                None => query.matches(entry),
            },
            LogFault::UsersInLowerCase => match query.user() {
                Some(user) if user.to_lowercase() == entry.user().to_lowercase() => {
                    query.clone().with_user(entry.user().clone()).matches(entry)
                }
                _ => query.matches(entry),
            },
            LogFault::SinceLeavesItsTimeOut => {
                query.matches(entry) && query.since().is_none_or(|since| at > since)
            }
            LogFault::UntilHasItsTime => match query.until() {
                Some(until) => query
                    .clone()
                    .with_until(until + Duration::from_micros(1))
                    .matches(entry),
                None => query.matches(entry),
            },
            LogFault::UntilIsIgnored => match query.until() {
                Some(_) => query
                    .clone()
                    .with_until(at + Duration::from_secs(1))
                    .matches(entry),
                None => query.matches(entry),
            },
            LogFault::PagesOverlap => {
                query.matches(entry)
                    || (without_behind().matches(entry)
                        && query.position() == Some(entry.position()))
            }
            LogFault::PagesForgetTheSameTime => {
                query.matches(entry)
                    && query
                        .position()
                        .is_none_or(|behind| at < behind.recorded_at())
            }
            LogFault::PagesByNumber => without_behind().matches(entry),
            _ => query.matches(entry),
        }
    }
}

impl AuditLog for LoggingStore {
    type Error = StoreError;

    async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
        if self.has(LogFault::Fails) {
            return Err(StoreError::msg("the log is on fire"));
        }
        let mut log = self.log.lock().unwrap();
        self.prune(&mut log);
        if let (Some(behind), LogFault::FailsBehindWhatHasLeft) = (query.position(), self.fault) {
            if !log.iter().any(|entry| entry.position() == behind) {
                return Err(StoreError::msg("there is no such entry"));
            }
        }
        let mut skipped = 0;
        if let (LogFault::PagesSkip, Some(_)) = (self.fault, query.position()) {
            skipped = 1;
        }
        if let (LogFault::PagesByNumber, Some(behind)) = (self.fault, query.position()) {
            // How many there were before: true as long as nobody writes.
            let newer = |entry: &&AuditEntry| entry.position() >= behind;
            let before = log.iter().filter(|entry| self.asked_for(query, entry));
            skipped = before.filter(newer).count().saturating_sub(1);
        }
        let limit = match self.fault {
            LogFault::LimitIsIgnored => usize::MAX,
            LogFault::NoneIsAll if query.limit() == 0 => usize::MAX,
            _ => query.limit(),
        };
        let found = log.iter().filter(|entry| self.asked_for(query, entry));
        Ok(match self.has(LogFault::OldestFirst) {
            true => found.take(limit).cloned().collect(),
            false => found.rev().skip(skipped).take(limit).cloned().collect(),
        })
    }
}
