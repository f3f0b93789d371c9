//! A long poll passes, and its account is restricted while it waits.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use http::Method;

use super::{Failure, Head};
use crate::{
    account::{Account, Restriction, RestrictionKind, UserId},
    action::Action,
    changes::{Changes, Subscription},
    denial::Denial,
    request::few::Few,
    shared::Shared,
    store::AccountStateStore,
};

#[cfg(all(test, shuttle))]
mod model;

/// Ready when the account of a waiting request has been restricted.
pub(crate) type Watch = Pin<Box<dyn Future<Output = Denial> + Send>>;

/// How long a store that cannot say whether an account is restricted is left in peace. The request
/// goes on waiting meanwhile.
const RETRY: Duration = Duration::from_secs(1);

/// A long poll, before the store has been asked whose it is.
#[derive(Clone)]
pub(crate) struct ToBeWatched {
    method: Method,
    /// Read before the store is asked: whatever is announced from then on is not missed.
    announcements: u64,
}

impl<S: AccountStateStore> Shared<S> {
    /// Whether the request, should it pass, is to be ended when its account is restricted.
    #[inline]
    pub(crate) fn to_be_watched(&self, head: &Head<'_>) -> Option<ToBeWatched> {
        let is_watched = !self.settings.report_only && self.settings.ends(head.method, &head.path);
        is_watched.then(|| ToBeWatched {
            method: head.method.clone(),
            announcements: self.changes.announcements(),
        })
    }

    /// Watches the accounts that a request was found to belong to, if to any.
    pub(crate) fn watch(
        self: &Arc<Self>,
        request: ToBeWatched,
        accounts: Few<Account>,
    ) -> Option<Watch> {
        if accounts.is_empty() {
            return None;
        }
        let shared = Arc::clone(self);
        Some(Box::pin(async move {
            let Some(mut watched) = Watched::subscribe(&shared.changes, accounts) else {
                return std::future::pending().await;
            };
            let mut may_have_changed = shared.changes.announcements() != request.announcements;
            let mut limit = None;
            loop {
                if may_have_changed {
                    match Box::pin(shared.first_denied(&watched)).await {
                        Ok(None) => limit = None,
                        Ok(Some(denial)) => {
                            shared.ended(&denial, &request.method);
                            return denial;
                        }
                        Err(_) => limit = Some(RETRY),
                    }
                }
                may_have_changed = true;
                let changed = watched.any_changed();
                match limit {
                    None => changed.await,
                    // Boxed: a timer is large, and only a failing store needs one.
                    Some(limit) => {
                        let changed = Box::pin(tokio::time::timeout(limit, changed));
                        changed.await.unwrap_or(());
                    }
                }
            }
        }))
    }

    async fn first_denied(&self, watched: &Watched) -> Result<Option<Denial>, Failure> {
        for user in watched.users() {
            let state = self.state_now(user).await?;
            let now = self.settings.now();
            let Some(kind) = state.in_force(now).map(Restriction::kind) else {
                continue;
            };
            // A suspended account goes on reading, unless the policy says otherwise.
            let is_suspended = kind == RestrictionKind::Suspended;
            if is_suspended && self.settings.suspension.permits(Action::Sync) {
                continue;
            }
            let denial = Denial::restricted(user.clone(), state, kind, now)
                .with_action(is_suspended.then_some(Action::Sync))
                .with_cors(self.settings.cors_headers);
            return Ok(Some(denial));
        }
        Ok(None)
    }
}

/// The accounts of one request; nearly always one.
struct Watched {
    first: (UserId, Subscription),
    others: Vec<(UserId, Subscription)>,
}

impl Watched {
    fn subscribe(changes: &Changes, accounts: Few<Account>) -> Option<Self> {
        let mut subscribed = accounts.into_iter().map(|account| {
            let subscription = changes.subscribe(&account.user);
            (account.user, subscription)
        });
        Some(Self {
            first: subscribed.next()?,
            others: subscribed.collect(),
        })
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

    use crate::{
        account::{Account, AccountState},
        check::Head,
        request::few::Few,
        shared::Shared,
        store::MemoryStore,
    };

    /// What a waiting request costs beside its future, which there may be a hundred thousand of.
    #[test]
    fn a_watch_is_small() {
        let shared = Arc::new(Shared::new(MemoryStore::new()));
        let request = Request::get("/_matrix/client/v3/sync").body(()).unwrap();
        let head = Head::of(&request, &shared.settings);
        let alice = Account::new("@alice:localhost".into(), AccountState::ACTIVE);
        let watched = shared.to_be_watched(&head).unwrap();
        let watch = shared.watch(watched, Few::from_iter([alice])).unwrap();
        let size = size_of_val(&*watch);
        assert!(size <= 400, "{size} bytes");
    }
}
