//! A long poll passes, and its account is restricted while it waits.

use std::{
    future::{Future, poll_fn},
    hash::{BuildHasher as _, RandomState},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::Method;

use super::{Findings, limits::Failure};
use crate::{
    account::{Account, AccountState, UserId},
    changes::{Changes, Subscription},
    denial::Denial,
    judge::Verdict,
    panics::unless_it_panics,
    request::{act::Act, class::Class, few::Few, head::Head, long_poll::UsualPoll},
    shared::Shared,
    store::AccountStateStore,
};

#[cfg(all(test, shuttle))]
mod model;

/// Ends a waiting request whose account has been restricted.
///
/// It neither subscribes nor allocates before the inner service must wait, because most long polls are
/// answered at once.
pub(crate) enum Watch {
    NotBegun(NotBegun),
    /// `None` after its end.
    Begun(Option<Pin<Box<dyn Future<Output = Denial> + Send>>>),
}

impl Watch {
    pub(super) fn of_usual<S: AccountStateStore>(
        shared: &Arc<Shared<S>>,
        usual: &'static UsualPoll,
        user: UserId,
        announcements: u64,
    ) -> Self {
        Self::NotBegun(NotBegun {
            shared: Arc::clone(shared) as _,
            user,
            announcements,
            waiting: Waiting::Usual(usual),
        })
    }

    /// Ready if the account has been restricted, as far as that is known without waiting.
    #[inline]
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Denial> {
        match self {
            Self::NotBegun(watch) if !watch.has_missed_news() => Poll::Pending,
            _ => self.poll_begun(context),
        }
    }

    /// The same for a request that must wait. From now on announcements wake it.
    pub(crate) fn begin(&mut self, context: &mut Context<'_>) -> Poll<Denial> {
        match self {
            Self::NotBegun(_) => self.poll_begun(context),
            Self::Begun(_) => Poll::Pending,
        }
    }

    #[inline(never)]
    fn poll_begun(&mut self, context: &mut Context<'_>) -> Poll<Denial> {
        let mut watch = match std::mem::replace(self, Self::Begun(None)) {
            Self::NotBegun(watch) => watch.begin(),
            Self::Begun(Some(watch)) => watch,
            Self::Begun(None) => return Poll::Pending,
        };
        let poll = watch.as_mut().poll(context);
        if poll.is_pending() {
            *self = Self::Begun(Some(watch));
        }
        poll
    }
}

pub(crate) struct NotBegun {
    shared: Arc<dyn Watches>,
    user: UserId,
    /// Counted before the store was asked, so that no later announcement is missed.
    announcements: u64,
    waiting: Waiting,
}

impl NotBegun {
    fn has_missed_news(&self) -> bool {
        self.shared.announcements() != self.announcements
    }

    fn begin(self) -> Pin<Box<dyn Future<Output = Denial> + Send>> {
        self.shared
            .watch(self.waiting, self.user, self.announcements)
    }
}

/// A [`Shared`] with any store.
trait Watches: Send + Sync {
    fn announcements(&self) -> u64;

    fn watch(
        self: Arc<Self>,
        waiting: Waiting,
        user: UserId,
        announcements: u64,
    ) -> Pin<Box<dyn Future<Output = Denial> + Send>>;
}

/// The longest time until a store that failed is asked again. The request goes on waiting meanwhile. It
/// is spread, because many fail at the same moment.
const RETRY: Duration = Duration::from_secs(1);

/// The longest time between two look-ups of a request while announcements are not
/// [believed](Changes::is_believed). It is spread, because many stop believing at the same moment.
const UNPROVED: Duration = Duration::from_secs(10);

/// A waiting request as it came. It is judged by this when its account changes.
pub(crate) enum Waiting {
    /// With one account. Nothing of the request is kept.
    Usual(&'static UsualPoll),
    Other(Box<OtherPoll>),
}

pub(crate) struct OtherPoll {
    class: Class,
    method: Method,
    path: String,
    /// Its accounts except the first.
    others: Vec<UserId>,
}

impl Waiting {
    fn act(&self) -> Act<'_> {
        match self {
            Self::Usual(usual) => usual.act(),
            Self::Other(other) => Act::Request {
                method: &other.method,
                path: &other.path,
            },
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Usual(usual) => Class::of_usual(usual),
            Self::Other(other) => other.class,
        }
    }

    fn take_others(&mut self) -> Vec<UserId> {
        match self {
            Self::Usual(_) => Vec::new(),
            Self::Other(other) => std::mem::take(&mut other.others),
        }
    }
}

impl<S: AccountStateStore> Shared<S> {
    /// What is kept of a request that passes, if a restriction of its account ends it while it waits.
    #[inline]
    pub(crate) fn to_be_watched(
        &self,
        class: Class,
        head: &Head<'_>,
        found: &Findings,
    ) -> Option<Box<OtherPoll>> {
        let long_poll = class.long_poll?;
        let is_watched = !self.settings.report_only
            && !self.settings.left_waiting.has(long_poll)
            && !found.accounts.is_empty();
        is_watched.then(|| {
            Box::new(OtherPoll {
                class,
                method: head.method.clone(),
                path: head.path.as_ref().to_owned(),
                others: Vec::new(),
            })
        })
    }

    /// Watches the accounts that a request belongs to, if there are any.
    pub(crate) fn watch(
        self: &Arc<Self>,
        mut poll: Box<OtherPoll>,
        announcements: u64,
        accounts: Few<Account>,
    ) -> Option<Watch> {
        let mut users = accounts.into_iter().map(|account| account.user);
        let user = users.next()?;
        poll.others = users.collect();
        Some(Watch::NotBegun(NotBegun {
            shared: Arc::clone(self) as _,
            user,
            announcements,
            waiting: Waiting::Other(poll),
        }))
    }

    /// The state of `user` now, for a request that waits.
    async fn state_for_waiting(&self, user: &UserId) -> Result<AccountState, Failure> {
        match unless_it_panics(|| self.store.peek_state(user)) {
            Ok(Some(state)) => Ok(state),
            _ => self.ask_together(user).await,
        }
    }

    /// Asks the judge again, as if the request came now, for each account, even if another look-up
    /// failed.
    async fn first_refused(
        &self,
        waiting: &Waiting,
        watched: &Watched,
    ) -> Result<Option<Denial>, Failure> {
        let (class, act) = (waiting.class(), waiting.act());
        let mut failure = None;
        for user in watched.users() {
            let state = self.state_for_waiting(user).await;
            let verdict = state.and_then(|state| {
                let account = Account::new(user.clone(), state);
                let verdict = self.judge(class, act, &account)?;
                Ok((account, verdict))
            });
            match verdict {
                Ok((account, Verdict::Refuse(refusal))) => {
                    let denial = self.refuse(&account, refusal);
                    self.ended(&denial, act);
                    return Ok(Some(denial));
                }
                Ok(_) => {}
                Err(failed) => failure = Some(failed),
            }
        }
        failure.map_or(Ok(None), Err)
    }
}

impl<S: AccountStateStore> Watches for Shared<S> {
    fn announcements(&self) -> u64 {
        self.changes.announcements()
    }

    fn watch(
        self: Arc<Self>,
        mut waiting: Waiting,
        user: UserId,
        announcements: u64,
    ) -> Pin<Box<dyn Future<Output = Denial> + Send>> {
        Box::pin(async move {
            let mut watched = Watched::subscribe(&self.changes, user, waiting.take_others());
            let mut may_have_changed = self.changes.announcements() != announcements;
            let mut limit = None;
            loop {
                if may_have_changed {
                    match Box::pin(self.first_refused(&waiting, &watched)).await {
                        Ok(None) => limit = None,
                        Ok(Some(denial)) => return denial,
                        Err(_) => limit = Some(spread(RETRY)),
                    }
                }
                let wait = limit.or_else(|| left_to_believe(&self.changes));
                let changed = watched.any_changed();
                may_have_changed = match wait {
                    None => {
                        changed.await;
                        true
                    }
                    // Boxed, because a timer is large, and only a failing store and news from outside
                    // this process need one.
                    Some(wait) => {
                        let changed = Box::pin(tokio::time::timeout(wait, changed));
                        let has_changed = changed.await.is_ok();
                        // A younger proof has come while this waited for the last one's end.
                        has_changed || limit.is_some() || !self.changes.is_believed()
                    }
                };
            }
        })
    }
}

/// How long a request may wait before it looks its account up without news. `None` is for ever, because
/// news that never leave the process are not lost.
fn left_to_believe(changes: &Changes) -> Option<Duration> {
    let left = changes
        .believed_until()?
        .saturating_duration_since(Instant::now());
    // The end of belief is the bound, and after it `UNPROVED`.
    Some(match left.is_zero() {
        true => spread(UNPROVED),
        false => left,
    })
}

/// Between a half and the whole of `span`, so that requests that begin to wait at the same moment do not
/// ask in step.
fn spread(span: Duration) -> Duration {
    let random = RandomState::new().hash_one(0) >> 32;
    let half = f64::from(u32::try_from(random).unwrap_or_default()) / f64::from(u32::MAX) / 2.0;
    span.mul_f64(0.5 + half)
}

/// The accounts of one request, nearly always one, and their subscriptions.
struct Watched {
    first: (UserId, Subscription),
    others: Vec<(UserId, Subscription)>,
}

impl Watched {
    fn subscribe(changes: &Changes, first: UserId, others: Vec<UserId>) -> Self {
        let subscribed = |user: UserId| {
            let subscription = changes.subscribe(&user);
            (user, subscription)
        };
        Self {
            first: subscribed(first),
            others: others.into_iter().map(subscribed).collect(),
        }
    }

    fn users(&self) -> impl Iterator<Item = &UserId> {
        let others = self.others.iter().map(|(user, _)| user);
        std::iter::once(&self.first.0).chain(others)
    }

    /// Waits until the state of one of them may have changed.
    async fn any_changed(&mut self) {
        match self.others.is_empty() {
            true => self.first.1.changed().await,
            false => Box::pin(self.any_of_several_changed()).await,
        }
    }

    async fn any_of_several_changed(&mut self) {
        let all = std::iter::once(&mut self.first).chain(&mut self.others);
        let mut changes: Vec<_> = all
            .map(|(_, subscription)| Box::pin(subscription.changed()))
            .collect();
        poll_fn(|context| {
            for change in &mut changes {
                if change.as_mut().poll(context).is_ready() {
                    return Poll::Ready(());
                }
            }
            Poll::Pending
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::Request;

    use super::Watch;
    use crate::{
        account::{Account, AccountState},
        check::Findings,
        request::{class::Class, few::Few, head::Head, long_poll::USUAL_POLLS},
        shared::Shared,
        store::memory::MemoryStore,
    };

    /// The memory of a waiting request beside its future. There may be a hundred thousand of them.
    #[test]
    fn a_watch_is_small() {
        let shared = Arc::new(Shared::new(MemoryStore::new()));
        let request = Request::get("/_matrix/client/v3/sync").body(()).unwrap();
        let head = Head::of(&request, &shared.settings.path);
        let class = Class::of(head.act(), &shared.settings.exemptions);
        let mut found = Findings::new();
        found.accounts = Few::from_iter([Account::new(
            "@alice:localhost".into(),
            AccountState::ACTIVE,
        )]);
        let watched = shared.to_be_watched(class, &head, &found).unwrap();
        let of_any = shared.watch(watched, 0, found.accounts).unwrap();
        let of_usual = Watch::of_usual(&shared, &USUAL_POLLS[0], "@alice:localhost".into(), 0);
        for watch in [of_any, of_usual] {
            let size = size_of_val(&watch);
            assert!(size <= 56, "{size} bytes before it waits");
            let Watch::NotBegun(watch) = watch else {
                panic!("nothing has begun");
            };
            let size = size_of_val(&*watch.begin());
            assert!(size <= 320, "{size} bytes");
        }
    }
}
