//! A long poll under a model checker, through the whole layer: however the lock and the request
//! fall together, the request is answered with the lock. [`crate::model`] says how to run it.

use std::{
    convert::Infallible,
    future::{Pending, pending},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use http_body_util::Full;
use shuttle::{
    future::{block_on, yield_now},
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
};
use tower_layer::Layer as _;
use tower_service::Service;

use crate::{
    account::{Account, AccountState, RestrictionKind, UserId},
    changes::Changes,
    credential::Credential,
    layer::AccountStatusLayer,
    model::{check, join},
    store::{AccountStateStore, Answer, Peek, StoreError},
};

/// How a store answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answers {
    AtOnce,
    /// A while after it has read what it says.
    Late,
}

/// A token is its owner's name, and `locked` whose account is locked, or 0.
#[derive(Clone)]
struct Server {
    answers: Answers,
    locked: Arc<AtomicUsize>,
    changes: Changes,
}

const ALICE: &str = "1";
const BOB: &str = "2";

impl Server {
    fn new(answers: Answers) -> Self {
        Self {
            answers,
            locked: Arc::default(),
            changes: Changes::new(),
        }
    }

    fn read(&self, user: &str) -> AccountState {
        match self.locked.load(SeqCst).to_string() == user {
            true => RestrictionKind::Locked.into(),
            false => AccountState::ACTIVE,
        }
    }

    fn lock(&self, user: &'static str, tell: impl Fn(&Changes) + Send + 'static) -> Thread {
        let server = self.clone();
        thread::spawn(move || {
            server.locked.store(user.parse().unwrap(), SeqCst);
            tell(&server.changes);
        })
    }
}

type Thread = thread::JoinHandle<()>;

impl AccountStateStore for Server {
    async fn access_token(&self, token: &str) -> Answer {
        yield_now().await;
        Ok(Some(token.into()))
    }

    crate::without! {
        application_service, login_name, third_party, login_token, refresh_token, event_sender
    }

    async fn state(&self, user: &str) -> Result<AccountState, StoreError> {
        let state = self.read(user);
        yield_now().await;
        Ok(state)
    }

    fn peek(&self, credential: Credential<'_>) -> Peek {
        match (self.answers, credential) {
            (Answers::AtOnce, Credential::AccessToken(token)) => {
                let user = UserId::from(token.expose_str().unwrap());
                let state = self.read(&user);
                Peek::Account(Account::new(user, state))
            }
            _ => Peek::Ask,
        }
    }

    fn peek_state(&self, user: &str) -> Option<AccountState> {
        (self.answers == Answers::AtOnce).then(|| self.read(user))
    }

    fn changes(&self) -> Option<Changes> {
        Some(self.changes.clone())
    }
}

/// An inner service with no news for anyone, ever.
#[derive(Clone)]
struct NoNews;

impl Service<Request<Full<Bytes>>> for NoNews {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pending<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
        pending()
    }
}

fn sync(token: &str, second: Option<&str>) -> Request<Full<Bytes>> {
    let query = second.map(|token| format!("?access_token={token}"));
    let path = "/_matrix/client/v3/sync".to_owned() + &query.unwrap_or_default();
    Request::get(path)
        .header(AUTHORIZATION, format!("Bearer {token}"))
        .body(Full::default())
        .unwrap()
}

/// A request that is waited for, to its end.
fn waits<S: AccountStateStore>(
    layer: &AccountStatusLayer<S>,
    request: Request<Full<Bytes>>,
) -> Thread {
    let mut service = layer.layer(NoNews);
    thread::spawn(move || {
        let status = block_on(service.call(request)).unwrap().status();
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    })
}

/// A request whose client goes away after `polls` polls.
fn leaves<S: AccountStateStore>(
    layer: &AccountStatusLayer<S>,
    request: Request<Full<Bytes>>,
    polls: usize,
) -> Thread {
    let mut service = layer.layer(NoNews);
    thread::spawn(move || {
        let mut response = pin!(service.call(request));
        for _ in 0..polls {
            let poll = response
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
            if poll.is_ready() {
                return;
            }
        }
    })
}

/// Time limits ask for a runtime; no time passes in it.
fn check_in_runtime(schedule: impl Fn(Answers) + Send + Sync + Clone + 'static) {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let _entered = runtime.enter();
    for answers in [Answers::AtOnce, Answers::Late] {
        let schedule = schedule.clone();
        check(move || schedule(answers));
    }
}

#[test]
fn rule_16_a_long_poll_ends_after_a_lock_however_the_two_meet() {
    check_in_runtime(|answers| {
        let server = Server::new(answers);
        let layer = AccountStatusLayer::new(server.clone());
        join([
            waits(&layer, sync(ALICE, None)),
            server.lock(ALICE, |changes| changes.announce(ALICE)),
            // Somebody else's news.
            thread::spawn(move || server.changes.announce(BOB)),
        ]);
    });
}

#[test]
fn rule_16_a_long_poll_ends_when_all_may_have_changed() {
    check_in_runtime(|answers| {
        let server = Server::new(answers);
        let layer = AccountStatusLayer::new(server.clone());
        join([
            waits(&layer, sync(ALICE, None)),
            server.lock(ALICE, Changes::announce_all),
        ]);
    });
}

#[test]
fn rule_7_a_long_poll_ends_after_the_lock_of_any_of_its_accounts() {
    check_in_runtime(|answers| {
        let server = Server::new(answers);
        let layer = AccountStatusLayer::new(server.clone());
        join([
            waits(&layer, sync(ALICE, Some(BOB))),
            server.lock(BOB, |changes| changes.announce(BOB)),
        ]);
    });
}

#[test]
fn rule_14_a_long_poll_whose_client_leaves_takes_no_news_from_others() {
    check_in_runtime(|answers| {
        let server = Server::new(answers);
        let layer = AccountStatusLayer::new(server.clone());
        join([
            waits(&layer, sync(ALICE, None)),
            leaves(&layer, sync(ALICE, None), 1),
            leaves(&layer, sync(ALICE, Some(BOB)), 4),
            server.lock(ALICE, |changes| changes.announce(ALICE)),
        ]);
        drop(layer);
        assert_eq!(
            Arc::strong_count(&server.locked),
            1,
            "nobody holds the store"
        );
    });
}

/// The cache forgets first and passes the announcement on then, through one lock more.
#[cfg(feature = "cache")]
#[test]
fn rule_16_a_long_poll_ends_after_a_lock_behind_a_cache() {
    check_in_runtime(|answers| {
        let server = Server::new(answers);
        let layer = AccountStatusLayer::new(crate::store::cached::CachedStore::new(server.clone()));
        join([
            waits(&layer, sync(ALICE, None)),
            waits(&layer, sync(ALICE, None)),
            server.lock(ALICE, |changes| changes.announce(ALICE)),
        ]);
    });
}

/// Guards the checker itself: a store that announces before its answers show it leaves a request
/// waiting, and that is found.
#[test]
#[should_panic(expected = "deadlock")]
fn the_model_finds_a_store_that_announces_too_early() {
    check_in_runtime(|answers| {
        let server = Server::new(answers);
        let layer = AccountStatusLayer::new(server.clone());
        let poll = waits(&layer, sync(ALICE, None));
        server.changes.announce(ALICE);
        join([poll, server.lock(ALICE, |_| {})]);
    });
}
