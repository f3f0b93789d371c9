//! Random schedules of requests, held look-ups, changes, invalidations, failures and time: no
//! request that starts after an invalidation returned sees what was before it (T12), and what
//! nobody announced is seen after the time to live at the latest (T17).
#![cfg(feature = "cache")]
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests may panic as tests may"
)]

mod cache_support;

use std::{collections::HashMap, sync::Arc, time::Duration};

use cache_support::{Backend, Cache, Mode, ask, settle, token};
use proptest::prelude::*;
use tokio::{
    task::JoinHandle,
    time::{Instant, advance},
};
use tower_account_status::store::StoreError;
use tower_account_status::{
    Account, AccountState, AccountStateStore, CachedStore, Peek, Restriction, RestrictionKind,
};

/// Each token and whose it is: two people, one with two devices.
const TOKENS: [(&str, usize); 3] = [("phone", 0), ("laptop", 0), ("tablet", 1)];
const USERS: [&str; 2] = ["@alice:localhost", "@bob:localhost"];
const TTL: Duration = Duration::from_secs(60);
const GRACE: Duration = Duration::from_secs(30);

#[derive(Clone, Debug)]
enum Step {
    /// A request begins to look its token up.
    Begin(usize),
    /// A request is answered at once, or not at all.
    Peek(usize),
    /// One of the requests under way goes away.
    Cancel(prop::sample::Index),
    /// The store answers one of the look-ups that it holds, with what it had read then.
    Release(prop::sample::Index),
    /// The store fails one of them.
    Fail(prop::sample::Index),
    /// The state changes, and the cache is told.
    Change(usize),
    /// The state changes, and nothing announces it.
    ChangeSilently(usize),
    /// Everything may have changed, and the cache is told.
    ForgetAll,
    ForgetToken(usize),
    Advance(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let token = 0..TOKENS.len();
    let user = 0..USERS.len();
    prop_oneof![
        6 => token.clone().prop_map(Step::Begin),
        4 => token.clone().prop_map(Step::Peek),
        1 => any::<prop::sample::Index>().prop_map(Step::Cancel),
        6 => any::<prop::sample::Index>().prop_map(Step::Release),
        1 => any::<prop::sample::Index>().prop_map(Step::Fail),
        3 => user.clone().prop_map(Step::Change),
        1 => user.prop_map(Step::ChangeSilently),
        1 => Just(Step::ForgetAll),
        1 => token.prop_map(Step::ForgetToken),
        2 => (1_u64..40_000).prop_map(Step::Advance),
    ]
}

/// What is known of a person's state: versions count up, and the reason of the lock names them.
#[derive(Default)]
struct Person {
    version: u64,
    /// The version at the time when the last invalidation returned: the oldest that a request that
    /// starts now may see.
    floor: u64,
    /// When each version was replaced.
    replaced: HashMap<u64, Instant>,
}

struct Request {
    user: usize,
    floor: u64,
    task: JoinHandle<Result<Option<Account>, StoreError>>,
}

struct Schedule {
    backend: Backend,
    cache: Cache,
    people: [Person; 2],
    requests: Vec<Request>,
    bound: Duration,
}

impl Schedule {
    fn new(with_grace: bool) -> Self {
        let backend = Backend::new();
        backend.set_mode(Mode::Hold);
        for (token, user) in TOKENS {
            backend.insert(token, USERS[user]);
        }
        let cache = CachedStore::new(backend.clone()).with_ttl(TTL);
        let (cache, bound) = match with_grace {
            true => (
                cache.with_last_known_state_while_store_fails(GRACE),
                TTL + GRACE,
            ),
            false => (cache, TTL),
        };
        let mut schedule = Self {
            backend,
            cache: Arc::new(cache),
            people: Default::default(),
            requests: Vec::new(),
            bound,
        };
        (0..USERS.len()).for_each(|user| schedule.change(user));
        schedule
    }

    fn change(&mut self, user: usize) {
        let person = &mut self.people[user];
        person.replaced.insert(person.version, Instant::now());
        person.version += 1;
        let reason = person.version.to_string();
        let lock = Restriction::new(RestrictionKind::Locked).with_reason(reason);
        self.backend.set(USERS[user], lock);
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Begin(place) => {
                let (name, user) = TOKENS[place];
                let cache = Arc::clone(&self.cache);
                self.requests.push(Request {
                    user,
                    floor: self.people[user].floor,
                    task: tokio::spawn(async move { ask(&cache, token(name)).await }),
                });
            }
            Step::Peek(place) => {
                let (name, user) = TOKENS[place];
                if let Peek::Account(account) = self.cache.peek(token(name)) {
                    let version = version(account.state());
                    self.check(user, self.people[user].floor, &account, "at once");
                    if let Some(replaced) = self.people[user].replaced.get(&version) {
                        let late = replaced.elapsed();
                        assert!(late < TTL, "version {version} was replaced {late:?} ago");
                    }
                }
            }
            Step::Cancel(index) if !self.requests.is_empty() => {
                let place = index.index(self.requests.len());
                self.requests.swap_remove(place).task.abort();
            }
            Step::Release(index) if self.backend.held() > 0 => {
                self.backend.release(index.index(self.backend.held()));
            }
            Step::Fail(index) if self.backend.held() > 0 => {
                self.backend
                    .release_as_failure(index.index(self.backend.held()));
            }
            Step::Cancel(_) | Step::Release(_) | Step::Fail(_) => {}
            Step::Change(user) => {
                self.change(user);
                self.cache.invalidate(USERS[user]);
                self.people[user].floor = self.people[user].version;
            }
            Step::ChangeSilently(user) => self.change(user),
            Step::ForgetAll => {
                self.cache.invalidate_all();
                for person in &mut self.people {
                    person.floor = person.version;
                }
            }
            Step::ForgetToken(place) => self.cache.invalidate_credential(token(TOKENS[place].0)),
            Step::Advance(milliseconds) => advance(Duration::from_millis(milliseconds)).await,
        }
        settle().await;
        self.check_finished().await;
    }

    async fn check_finished(&mut self) {
        let (finished, waiting) = std::mem::take(&mut self.requests)
            .into_iter()
            .partition(|request| request.task.is_finished());
        self.requests = waiting;
        let finished: Vec<Request> = finished;
        for request in finished {
            let answer = request.task.await.expect("a request does not panic");
            if let Ok(account) = answer {
                let account = account.expect("every token is somebody's");
                self.check(request.user, request.floor, &account, "after waiting");
            }
        }
    }

    fn check(&self, user: usize, floor: u64, account: &Account, how: &str) {
        assert_eq!(*account.user(), USERS[user]);
        let version = version(account.state());
        assert!(
            version >= floor,
            "a request that began when version {floor} was announced saw {version}, {how}"
        );
    }

    /// Everything under way is answered, nobody is left waiting, and what is remembered then is
    /// no older than the last invalidation and the time to live allow.
    async fn finish(mut self) {
        for _ in 0..1_000 {
            if self.requests.is_empty() {
                break;
            }
            self.backend.release_all();
            settle().await;
            self.check_finished().await;
        }
        assert!(self.requests.is_empty(), "requests are left waiting");
        self.backend.release_all();
        for place in 0..TOKENS.len() {
            self.take(Step::Peek(place)).await;
        }
        advance(self.bound).await;
        for (name, _) in TOKENS {
            assert_eq!(
                self.cache.peek(token(name)),
                Peek::Ask,
                "after the time to live"
            );
        }
        assert_eq!(self.cache.stats().overloads, 0);
    }
}

fn version(state: &AccountState) -> u64 {
    let lock = state.restriction(RestrictionKind::Locked);
    let reason = lock.and_then(Restriction::reason);
    reason
        .and_then(|reason| reason.parse().ok())
        .expect("every state names its version")
}

fn run(steps: Vec<Step>, with_grace: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut schedule = Schedule::new(with_grace);
        for step in steps {
            schedule.take(step).await;
        }
        schedule.finish().await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn t12_no_request_after_an_invalidation_sees_the_earlier_state(
        steps in prop::collection::vec(step(), 1..120),
    ) {
        run(steps, false);
    }

    #[test]
    fn t12_nor_with_a_grace_for_a_failing_store(
        steps in prop::collection::vec(step(), 1..120),
    ) {
        run(steps, true);
    }
}
