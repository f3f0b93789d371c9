//! Rules 12 to 14: a store that fails in any way, at any point, and a client that leaves at any
//! point. Nothing is let through, nobody is refused wrongly, nothing is left behind.

use std::{
    convert::Infallible,
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tower::{Service, ServiceExt as _, limit::ConcurrencyLimit};
use tower_account_status::{
    AccountState, AccountStateStore, AccountStatusLayer, Credential, MemoryStore, Peek,
    Restriction, RestrictionKind::Locked, StoreFailure, UserId,
};
use tower_layer::Layer as _;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Error,
    Hangs,
    Panics,
    /// The right answer, long after anyone waits for it.
    Late,
}

/// Where it goes wrong: of one question the beginning, or the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Peek,
    IsActive,
    Account,
    AfterAccount,
    State,
    AfterState,
}

const FAULTS: [Fault; 4] = [Fault::Error, Fault::Hangs, Fault::Panics, Fault::Late];
const PLACES: [Place; 6] = [
    Place::Peek,
    Place::IsActive,
    Place::Account,
    Place::AfterAccount,
    Place::State,
    Place::AfterState,
];

/// Counts what is under way.
#[derive(Clone, Default)]
struct Counter(Arc<AtomicUsize>);

struct Counted(Arc<AtomicUsize>);

impl Counter {
    fn count(&self) -> Counted {
        self.0.fetch_add(1, SeqCst);
        Counted(Arc::clone(&self.0))
    }

    fn now(&self) -> usize {
        self.0.load(SeqCst)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// `good` is an active account's token, `locked` a locked one's; what else contains `bad` meets
/// the fault.
#[derive(Clone)]
struct Faulty {
    fault: Fault,
    place: Place,
    under_way: Counter,
}

impl Faulty {
    fn new(fault: Fault, place: Place) -> Self {
        Self {
            fault,
            place,
            under_way: Counter::default(),
        }
    }

    fn at_once(&self, credential: Credential<'_>, place: Place) {
        assert!(
            place != self.place || token(credential) != "bad",
            "a panic that the test asks for"
        );
    }

    async fn meet(&self, owner: &str, place: Place) -> Result<(), &'static str> {
        tokio::task::yield_now().await;
        if owner != "bad" || place != self.place {
            return Ok(());
        }
        match self.fault {
            Fault::Error => Err("the database is away"),
            Fault::Hangs => std::future::pending().await,
            Fault::Panics => panic!("a panic that the test asks for"),
            Fault::Late => {
                tokio::time::sleep(Duration::from_secs(3600)).await;
                Ok(())
            }
        }
    }
}

fn token(credential: Credential<'_>) -> String {
    let token = match credential {
        Credential::AccessToken(access) => access.token(),
        Credential::RefreshToken(token) => token,
        other => panic!("not sent: {other:?}"),
    };
    token.expose_str().unwrap_or_default().to_owned()
}

impl AccountStateStore for Faulty {
    type Error = &'static str;

    async fn account(&self, credential: Credential<'_>) -> Result<Option<UserId>, Self::Error> {
        let _counted = self.under_way.count();
        let owner = token(credential);
        self.meet(&owner, Place::Account).await?;
        self.meet(&owner, Place::AfterAccount).await?;
        Ok(["good", "locked", "bad"]
            .contains(&&*owner)
            .then(|| owner.into()))
    }

    async fn state(&self, user: &UserId) -> Result<AccountState, Self::Error> {
        let _counted = self.under_way.count();
        self.meet(user, Place::State).await?;
        self.meet(user, Place::AfterState).await?;
        Ok(match &**user {
            "locked" => Locked.into(),
            _ => AccountState::ACTIVE,
        })
    }

    fn peek(&self, credential: Credential<'_>) -> Peek {
        self.at_once(credential, Place::Peek);
        Peek::Ask
    }

    fn is_active(&self, credential: Credential<'_>) -> bool {
        self.at_once(credential, Place::IsActive);
        false
    }
}

type TestBody = Full<Bytes>;

fn handler(
    under_way: &Counter,
) -> impl Service<Request<TestBody>, Response = Response<TestBody>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ use<> {
    let under_way = under_way.clone();
    tower::service_fn(move |_| {
        let counted = under_way.count();
        async move {
            tokio::task::yield_now().await;
            drop(counted);
            Ok(Response::new(Full::default()))
        }
    })
}

fn get(first: &str, second: Option<&str>) -> Request<TestBody> {
    let query = second
        .map(|token| format!("?access_token={token}"))
        .unwrap_or_default();
    Request::get(format!("/_matrix/client/v3/account/whoami{query}"))
        .header("authorization", format!("Bearer {first}"))
        .body(Full::default())
        .expect("a request")
}

#[tokio::test(start_paused = true)]
async fn rule_12_whatever_goes_wrong_anywhere_it_is_503_and_nothing_is_left() {
    for fault in FAULTS {
        for place in PLACES {
            let (store, handled) = (Faulty::new(fault, place), Counter::default());
            let inner = ConcurrencyLimit::new(handler(&handled), 1);
            let service = AccountStatusLayer::new(store.clone()).layer(inner);
            for _ in 0..3 {
                for (first, second, expected) in [
                    // Panics at once are the only fault of what answers at once; and a shortcut
                    // that fails is only a detour.
                    (
                        "bad",
                        None,
                        match (fault, place) {
                            (_, Place::IsActive) => StatusCode::OK,
                            _ => StatusCode::SERVICE_UNAVAILABLE,
                        },
                    ),
                    ("good", None, StatusCode::OK),
                    ("locked", None, StatusCode::UNAUTHORIZED),
                    ("good", Some("locked"), StatusCode::UNAUTHORIZED),
                    ("unknown", None, StatusCode::OK),
                ] {
                    let response = service.clone().oneshot(get(first, second)).await;
                    let status = response.unwrap_or_else(|never| match never {}).status();
                    assert_eq!(status, expected, "{fault:?} {place:?} {first} {second:?}");
                }
            }
            assert_eq!(
                (store.under_way.now(), handled.now()),
                (0, 0),
                "{fault:?} {place:?}"
            );
        }
    }
}

/// A token that a store fails on (a database may not like a zero byte) once hid the locked
/// account's token beside it from a layer that lets everyone through while its store is down.
#[tokio::test(start_paused = true)]
async fn rule_12_a_look_up_that_fails_hides_no_other() {
    for fault in FAULTS {
        for place in [
            Place::Peek,
            Place::Account,
            Place::AfterAccount,
            Place::State,
        ] {
            let handled = Counter::default();
            let layer = AccountStatusLayer::new(Faulty::new(fault, place))
                .with_store_failure(StoreFailure::LetEveryoneThrough);
            let service = layer.layer(handler(&handled));
            for (first, second, expected) in [
                ("bad", "locked", StatusCode::UNAUTHORIZED),
                ("locked", "bad", StatusCode::UNAUTHORIZED),
                ("bad", "good", StatusCode::OK),
            ] {
                let response = service.clone().oneshot(get(first, Some(second))).await;
                let status = response.unwrap_or_else(|never| match never {}).status();
                // A store that takes all the time there is leaves none for the next question.
                if !(matches!(fault, Fault::Hangs | Fault::Late)
                    && first == "bad"
                    && second == "locked")
                {
                    assert_eq!(status, expected, "{fault:?} {place:?} {first} {second}");
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn rule_10_a_refresh_token_that_fails_hides_no_other() {
    for fault in FAULTS {
        let handled = Counter::default();
        let service =
            AccountStatusLayer::new(Faulty::new(fault, Place::Account)).layer(handler(&handled));
        for (body, expected) in [
            (
                r#"{"refresh_token":"locked","refresh_token":"bad"}"#,
                StatusCode::UNAUTHORIZED,
            ),
            // Rule 12: clients sign out when a refresh fails, so it is left to the handler.
            (r#"{"refresh_token":"bad"}"#, StatusCode::OK),
        ] {
            let request = Request::post("/_matrix/client/v3/refresh")
                .body(Full::from(body))
                .expect("a request");
            let response = service.clone().oneshot(request).await;
            let status = response.unwrap_or_else(|never| match never {}).status();
            assert_eq!(status, expected, "{fault:?} {body}");
        }
    }
}

/// Polls a future a number of times, and drops it.
fn poll_times<F: Future>(future: F, times: usize) -> bool {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    (0..times).any(|_| matches!(future.as_mut().poll(&mut context), Poll::Ready(_)))
}

#[tokio::test]
async fn rule_14_a_client_that_leaves_at_any_await_point_leaves_nothing_behind() {
    let (store, handled) = (
        Faulty::new(Fault::Error, Place::AfterState),
        Counter::default(),
    );
    let inner = ConcurrencyLimit::new(handler(&handled), 1);
    let service = AccountStatusLayer::new(store.clone()).layer(inner);
    for token in ["good", "locked", "bad", "unknown"] {
        let mut was_ready = false;
        for times in 0..20 {
            let mut ready = service.clone();
            std::future::poll_fn(|context| ready.poll_ready(context))
                .await
                .unwrap_or_else(|never| match never {});
            was_ready |= poll_times(ready.call(get(token, None)), times);
            drop(ready);
            assert_eq!(
                (store.under_way.now(), handled.now()),
                (0, 0),
                "{token} {times}"
            );
        }
        assert!(was_ready, "{token}: all await points were passed");
    }
    // The one permit that there is, is there.
    let response = service.oneshot(get("good", None)).await;
    assert_eq!(
        response.unwrap_or_else(|never| match never {}).status(),
        StatusCode::OK
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rule_14_many_clients_that_leave_at_random_leave_nothing_behind() {
    let (store, handled) = (Faulty::new(Fault::Hangs, Place::State), Counter::default());
    let inner = ConcurrencyLimit::new(handler(&handled), 4);
    let layer = AccountStatusLayer::new(store.clone()).with_store_timeout(Duration::from_millis(5));
    let service = layer.layer(inner);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0_u64..2_000 {
        let service = service.clone();
        tasks.spawn(async move {
            let (name, expected) = [
                ("good", StatusCode::OK),
                ("locked", StatusCode::UNAUTHORIZED),
                ("bad", StatusCode::SERVICE_UNAVAILABLE),
            ][usize::try_from(number % 3).unwrap_or_default()];
            let patience = Duration::from_micros(number * 7919 % 20_000);
            let answer = tokio::time::timeout(patience, service.oneshot(get(name, None))).await;
            if let Ok(response) = answer {
                let status = response.unwrap_or_else(|never| match never {}).status();
                // A machine under load may take longer than the limit; that is never a 401.
                let is_late = status == StatusCode::SERVICE_UNAVAILABLE;
                assert!(status == expected || is_late, "{name}: {status}");
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no request panics");
    }
    assert_eq!((store.under_way.now(), handled.now()), (0, 0));
}

/// A login that is cut off after each of its bytes, over HTTP/1.1.
#[tokio::test]
async fn rule_14_a_connection_may_be_cut_in_every_phase() {
    let store = MemoryStore::new();
    store.insert_access_token("locked", "@l:x");
    store.restrict("@l:x", Locked);
    let store = Arc::new(store);
    let complete = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&complete);
    let app = tower::service_fn(
        move |request: Request<tower_account_status::RequestBody<hyper::body::Incoming>>| {
            let counts = Arc::clone(&counts);
            async move {
                let body = request.into_body().collect().await;
                if body.is_ok_and(|body| body.to_bytes() == BODY) {
                    counts.fetch_add(1, SeqCst);
                }
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
            }
        },
    );
    const BODY: &str = r#"{"identifier":{"type":"m.id.user","user":"@a:x"}}"#;
    let layer = AccountStatusLayer::new(Arc::clone(&store)).with_wrapped_request_body();
    let service = layer.layer(app);
    let text = format!(
        "POST /_matrix/client/v3/login HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{BODY}",
        BODY.len()
    );
    for end in 0..=text.len() {
        let (mut client, server) = tokio::io::duplex(4096);
        let service = hyper_util::service::TowerToHyperService::new(service.clone());
        let connection = hyper::server::conn::http1::Builder::new()
            .half_close(end == text.len())
            .serve_connection(TokioIo::new(server), service);
        let connection = tokio::spawn(connection);
        client
            .write_all(&text.as_bytes()[..end])
            .await
            .expect("room for it");
        if end == text.len() {
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.expect("an answer");
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        drop(client);
        let ended = tokio::time::timeout(Duration::from_secs(10), connection).await;
        let _ = ended
            .expect("the connection's task ends")
            .expect("and does not panic");
        let expected = usize::from(end == text.len());
        assert_eq!(complete.load(SeqCst), expected, "cut after {end} bytes");
    }
    drop((service, layer));
    assert_eq!(
        Arc::strong_count(&store),
        1,
        "nobody holds the store any more"
    );
}

proptest! {
    /// Rule 2, under a clock that goes back and forth.
    #[test]
    fn rule_2_what_the_clock_says_at_the_moment_counts(
        steps in proptest::collection::vec(0_u64..200, 1..40),
        until in 1_u64..200,
        awaits in any::<bool>(),
    ) {
        struct Awaited(MemoryStore);
        impl AccountStateStore for Awaited {
            type Error = Infallible;
            async fn account(&self, credential: Credential<'_>) -> Result<Option<UserId>, Infallible> {
                self.0.account(credential).await
            }
            async fn state(&self, user: &UserId) -> Result<AccountState, Infallible> {
                self.0.state(user).await
            }
        }
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let store = MemoryStore::new();
        store.insert_access_token("t", "@a:x");
        store.restrict("@a:x", Restriction::new(Locked).with_until(at(until)));
        let store = match awaits {
            false => tower_account_status::DynAccountStateStore::new(store),
            true => tower_account_status::DynAccountStateStore::new(Awaited(store)),
        };
        let now = Arc::new(AtomicU64::new(0));
        let clock = Arc::clone(&now);
        let layer = AccountStatusLayer::new(store).with_clock(move || at(clock.load(SeqCst)));
        let service = layer.layer(handler(&Counter::default()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        for step in steps {
            now.store(step, SeqCst);
            let response = runtime.block_on(service.clone().oneshot(get("t", None)));
            let response = response.unwrap_or_else(|never| match never {});
            let expected = if step < until { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
            prop_assert_eq!(response.status(), expected, "at {} until {}", step, until);
            let wait = response.headers().get("retry-after").map(|value| value.to_str().expect("digits").to_owned());
            prop_assert_eq!(wait, (step < until).then(|| (until - step).to_string()));
        }
    }
}
