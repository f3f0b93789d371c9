//! A long poll passes, and its account is restricted while it waits.

use std::{
    borrow::Cow,
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
    account::{Account, UserId},
    changes::{Changes, Subscription},
    denial::Denial,
    judge::Verdict,
    request::{act::Act, class::Class, few::Few, head::Head},
    shared::Shared,
    store::AccountStateStore,
};

#[cfg(all(test, shuttle))]
mod model;

/// Ends a waiting request whose account has been restricted.
///
/// Nothing is subscribed to before the inner service has to wait, because most long polls are
/// answered at once.
pub(crate) enum Watch {
    NotBegun(Option<NotBegun>),
    Begun(Pin<Box<dyn Future<Output = Denial> + Send>>),
}

impl Watch {
    /// Ready when the account has been restricted, as far as that is known without waiting for it.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Denial> {
        match self {
            Self::Begun(watch) => watch.as_mut().poll(context),
            Self::NotBegun(Some(watch)) if watch.has_missed_news() => self.begin(context),
            Self::NotBegun(_) => Poll::Pending,
        }
    }

    /// The same for a request that has to wait: from now on announcements wake it.
    pub(crate) fn begin(&mut self, context: &mut Context<'_>) -> Poll<Denial> {
        let Self::NotBegun(watch) = self else {
            return Poll::Pending;
        };
        let Some(watch) = watch.take() else {
            return Poll::Pending;
        };
        let mut watch = watch.begin();
        let poll = watch.as_mut().poll(context);
        *self = Self::Begun(watch);
        poll
    }
}

pub(crate) struct NotBegun {
    shared: Arc<dyn Watches>,
    request: ToBeWatched,
    users: Users,
}

impl NotBegun {
    fn has_missed_news(&self) -> bool {
        self.shared.announcements() != self.request.announcements
    }

    fn begin(self) -> Pin<Box<dyn Future<Output = Denial> + Send>> {
        self.shared.watch(self.request, self.users)
    }
}

/// A [`Shared`], whatever its store is.
trait Watches: Send + Sync {
    fn announcements(&self) -> u64;

    fn watch(
        self: Arc<Self>,
        request: ToBeWatched,
        users: Users,
    ) -> Pin<Box<dyn Future<Output = Denial> + Send>>;
}

/// How long a store that cannot say whether an account is restricted is left in peace. The request
/// goes on waiting meanwhile. At most; many fail at the same moment.
const RETRY: Duration = Duration::from_secs(1);

/// How often a request asks for itself while announcements are not
/// [believed](Changes::is_believed), at most. Spread over half of it, because many stop believing at
/// the same moment.
const UNPROVED: Duration = Duration::from_secs(10);

/// A long poll as it came: what it is judged by when its account changes.
#[derive(Clone)]
pub(crate) struct ToBeWatched {
    class: Class,
    method: Method,
    path: Cow<'static, str>,
    /// Counted before the store was asked: whatever is announced from then on is not missed.
    announcements: u64,
}

impl ToBeWatched {
    fn act(&self) -> Act<'_> {
        Act::Request {
            method: &self.method,
            path: &self.path,
        }
    }
}

impl<S: AccountStateStore> Shared<S> {
    /// Whether the request, which passes, is to be ended when its account is restricted.
    #[inline]
    pub(crate) fn to_be_watched(
        &self,
        class: Class,
        head: &Head<'_>,
        announcements: u64,
        found: &Findings,
    ) -> Option<ToBeWatched> {
        let long_poll = class.long_poll?;
        let is_watched = !self.settings.report_only
            && !self.settings.left_waiting.has(long_poll)
            && !found.accounts.is_empty();
        is_watched.then(|| ToBeWatched {
            class,
            method: head.method.clone(),
            path: kept(&head.path),
            announcements,
        })
    }

    /// Watches the accounts that a request was found to belong to, if to any.
    pub(crate) fn watch(
        self: &Arc<Self>,
        request: ToBeWatched,
        accounts: Few<Account>,
    ) -> Option<Watch> {
        let mut users = accounts.into_iter().map(|account| account.user);
        let users = Users {
            first: users.next()?,
            others: users.collect(),
        };
        let shared = Arc::clone(self) as _;
        Some(Watch::NotBegun(Some(NotBegun {
            shared,
            request,
            users,
        })))
    }

    /// Asks the judge again, as if the request came now: for each account, whatever became of the
    /// others.
    async fn first_refused(
        &self,
        request: &ToBeWatched,
        watched: &Watched,
    ) -> Result<Option<Denial>, Failure> {
        let mut failure = None;
        for user in watched.users() {
            let state = self.state_for_waiting(user).await;
            let verdict = state.and_then(|state| {
                let account = Account::new(user.clone(), state);
                let verdict = self.judge(request.class, request.act(), &account)?;
                Ok((account, verdict))
            });
            match verdict {
                Ok((account, Verdict::Refuse(refusal))) => {
                    return Ok(Some(self.refuse(&account, refusal)));
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
        request: ToBeWatched,
        users: Users,
    ) -> Pin<Box<dyn Future<Output = Denial> + Send>> {
        Box::pin(async move {
            let mut watched = Watched::subscribe(&self.changes, users);
            let mut may_have_changed = self.changes.announcements() != request.announcements;
            let mut limit = None;
            loop {
                if may_have_changed {
                    match Box::pin(self.first_refused(&request, &watched)).await {
                        Ok(None) => limit = None,
                        Ok(Some(denial)) => {
                            self.ended(&denial, request.act());
                            return denial;
                        }
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
                    // Boxed: a timer is large, and only a failing store and news from outside this
                    // process need one.
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

/// How long a request may wait without asking for itself: for ever on news that never leave the
/// process.
fn left_to_believe(changes: &Changes) -> Option<Duration> {
    let left = changes
        .believed_until()?
        .saturating_duration_since(Instant::now());
    // Past the end the bound is `UNPROVED`, and before it the end.
    Some(match left.is_zero() {
        true => spread(UNPROVED),
        false => left,
    })
}

/// Between a half and the whole of `span`, so that those who begin to wait at the same moment do not
/// ask in step.
fn spread(span: Duration) -> Duration {
    let random = RandomState::new().hash_one(0) >> 32;
    let half = f64::from(u32::try_from(random).unwrap_or_default()) / f64::from(u32::MAX) / 2.0;
    span.mul_f64(0.5 + half)
}

/// The path, to be kept. As nearly every client spells it, it need not be copied.
fn kept(path: &str) -> Cow<'static, str> {
    const USUAL: [&str; 3] = [
        "/_matrix/client/v3/sync",
        "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync",
        "/_matrix/client/r0/sync",
    ];
    match USUAL.into_iter().find(|usual| *usual == path) {
        Some(usual) => Cow::Borrowed(usual),
        None => Cow::Owned(path.to_owned()),
    }
}

/// The accounts of one request; nearly always one.
struct Users {
    first: UserId,
    others: Vec<UserId>,
}

/// The same, and what tells of their changes.
struct Watched {
    first: (UserId, Subscription),
    others: Vec<(UserId, Subscription)>,
}

impl Watched {
    fn subscribe(changes: &Changes, users: Users) -> Self {
        let subscribed = |user: UserId| {
            let subscription = changes.subscribe(&user);
            (user, subscription)
        };
        Self {
            first: subscribed(users.first),
            others: users.others.into_iter().map(subscribed).collect(),
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
        request::{class::Class, few::Few, head::Head},
        shared::Shared,
        store::memory::MemoryStore,
    };

    /// What a waiting request costs beside its future, which there may be a hundred thousand of.
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
        let watched = shared.to_be_watched(class, &head, 0, &found).unwrap();
        let watch = shared.watch(watched, found.accounts).unwrap();
        let size = size_of_val(&watch);
        assert!(size <= 128, "{size} bytes before it waits");
        let Watch::NotBegun(Some(watch)) = watch else {
            panic!("nothing has begun");
        };
        let size = size_of_val(&*watch.begin());
        assert!(size <= 400, "{size} bytes");
    }
}
