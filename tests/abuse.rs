//! What a stranger can make the layer do: how many look-ups one request causes, and what a flood of
//! requests costs. Figures are printed with `--nocapture`.

use std::{
    convert::Infallible,
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower::{Service, ServiceExt as _};
use tower_account_status::{
    AccountState, AccountStateStore, AccountStatusLayer, Credential, MemoryStore, Peek,
};
use tower_account_status::{
    by_credential,
    store::{Answer, StoreError},
    without,
};
use tower_layer::Layer as _;

/// Counts the questions, and knows no account.
#[derive(Default)]
struct Counts {
    at_once: AtomicUsize,
    awaited: AtomicUsize,
}

impl AccountStateStore for Counts {
    by_credential! { owner }
    without! { event_sender, changes }

    async fn state(&self, _: &str) -> Result<AccountState, StoreError> {
        unreachable!("nobody is known")
    }

    fn peek(&self, _: Credential<'_>) -> Peek {
        self.at_once.fetch_add(1, SeqCst);
        Peek::Ask
    }
}

impl Counts {
    /// An application service's token is looked for in the registrations, which are in memory.
    async fn owner(&self, credential: Credential<'_>) -> Answer {
        if !matches!(credential, Credential::ApplicationService(_)) {
            self.awaited.fetch_add(1, SeqCst);
        }
        Ok(None)
    }
}

fn inner()
-> impl Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send>
+ Clone {
    tower::service_fn(|_| async { Ok(Response::new(Full::default())) })
}

async fn status<S: AccountStateStore>(
    layer: &AccountStatusLayer<S>,
    request: Request<Full<Bytes>>,
) -> StatusCode {
    let response = layer.layer(inner()).oneshot(request).await;
    response.unwrap_or_else(|never| match never {}).status()
}

fn get(query: &str, headers: impl IntoIterator<Item = String>) -> Request<Full<Bytes>> {
    let mut request = Request::get(format!("/_matrix/client/v3/account/whoami{query}"));
    for header in headers {
        request = request.header("authorization", header);
    }
    request.body(Full::default()).expect("a request")
}

fn login(body: String) -> Request<Full<Bytes>> {
    let request = Request::post("/_matrix/client/v3/login");
    request.body(Full::from(body)).expect("a request")
}

#[tokio::test]
async fn rule_7_one_request_causes_at_most_four_look_ups_by_its_head_and_four_by_its_body() {
    let many = |count: usize| (0..count).map(|n| format!("Bearer token{n}"));
    let commas = (0..50).fold(String::from("Bearer x"), |mut all, n| {
        write!(all, ", Bearer y{n}").expect("room");
        all
    });
    let users = |count: usize| {
        (0..count).fold(String::from("?access_token=t"), |mut all, n| {
            write!(all, "&user_id=@{n}:x").expect("room");
            all
        })
    };
    let names = |count: usize| {
        let users: Vec<_> = (0..count).map(|n| format!("\"user\":\"u{n}\"")).collect();
        format!("{{{}}}", users.join(","))
    };
    let third_parties = {
        let all: Vec<_> = (0..4)
            .map(|n| format!("\"medium\":\"m{n}\",\"address\":\"a{n}\""))
            .collect();
        format!("{{{}}}", all.join(","))
    };
    let identifiers = |count: usize| {
        let all = vec![r#""identifier":{"user":"a"}"#; count].join(",");
        format!("{{{all}}}")
    };
    for (what, request, most, expected) in [
        ("one token", get("", many(1)), 1, StatusCode::OK),
        ("four tokens", get("", many(4)), 4, StatusCode::OK),
        ("five tokens", get("", many(5)), 0, StatusCode::BAD_REQUEST),
        (
            "a thousand tokens",
            get("", many(1_000)),
            0,
            StatusCode::BAD_REQUEST,
        ),
        (
            "the same token a thousand times",
            get("", vec!["Bearer t".to_owned(); 1_000]),
            1,
            StatusCode::OK,
        ),
        ("commas", get("", [commas]), 0, StatusCode::BAD_REQUEST),
        (
            "a token for each of three users, and for none of them",
            get(&users(3), []),
            4,
            StatusCode::OK,
        ),
        (
            "a token for each of four users, and for none of them",
            get(&users(4), []),
            0,
            StatusCode::BAD_REQUEST,
        ),
        (
            "two tokens for three users",
            get(&users(3), many(1)),
            0,
            StatusCode::BAD_REQUEST,
        ),
        (
            "a thousand users",
            get(&users(1_000), []),
            0,
            StatusCode::BAD_REQUEST,
        ),
        ("four names", login(names(4)), 4, StatusCode::OK),
        ("five names", login(names(5)), 0, StatusCode::BAD_REQUEST),
        (
            "five thousand names",
            login(names(4_000)),
            0,
            StatusCode::BAD_REQUEST,
        ),
        (
            "every combination of four and four",
            login(third_parties),
            0,
            StatusCode::BAD_REQUEST,
        ),
        (
            "the same name twenty times",
            login(identifiers(20)),
            1,
            StatusCode::OK,
        ),
        (
            "the same name two thousand times",
            login(identifiers(2_000)),
            0,
            StatusCode::BAD_REQUEST,
        ),
        (
            "the same token in a query twenty times",
            get(&format!("?{}", "access_token=%74&".repeat(20)), []),
            1,
            StatusCode::OK,
        ),
        (
            "the same token in a query a thousand times",
            get(&format!("?{}", "access_token=%74&".repeat(1_000)), []),
            0,
            StatusCode::BAD_REQUEST,
        ),
    ] {
        let store = Arc::new(Counts::default());
        let answered = status(&AccountStatusLayer::new(Arc::clone(&store)), request).await;
        let (at_once, awaited) = (store.at_once.load(SeqCst), store.awaited.load(SeqCst));
        println!("{what}: {answered}, {at_once} questions at once, {awaited} awaited");
        assert_eq!(answered, expected, "{what}");
        assert_eq!(awaited, most, "{what}");
        // The shortcut, the look at once, and once more before it is awaited.
        assert!(at_once <= 1 + 2 * 4, "{what}: {at_once}");
    }
}

/// The time that each of `requests` takes: the shortest of at most three tries.
async fn cost<S: AccountStateStore>(
    layer: &AccountStatusLayer<S>,
    count: u32,
    request: impl Fn(u32) -> Request<Full<Bytes>>,
) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let requests: Vec<_> = (0..count).map(&request).collect();
        let started = Instant::now();
        for request in requests {
            status(layer, request).await;
        }
        best = best.min(started.elapsed() / count);
    }
    best
}

/// How long a request may take: an unoptimised build needs a tenth of it, and each attack that this is
/// for took seconds.
const LIMIT: Duration = Duration::from_millis(500);

/// How often what takes long is tried, because the machine may do something else meanwhile.
const TRIES: usize = 10;

/// What costs more than its length allows is an attack.
#[tokio::test]
async fn what_a_request_costs_is_bounded_by_its_length() {
    let store = MemoryStore::new();
    store.insert_access_token("t", "@a:x");
    let layer = AccountStatusLayer::new(store);
    let long = |start: &str, piece: &str, end: &str| {
        let path = format!(
            "{start}{}{end}",
            piece.repeat((64_000 - start.len() - end.len()) / piece.len())
        );
        Request::post(path)
            .header("authorization", "Bearer t")
            .body(Full::default())
            .expect("a request")
    };
    let query = |piece: &str| get(&format!("?{}", piece.repeat(60_000 / piece.len())), []);
    let header = |piece: &str| {
        get(
            "",
            [format!("Bearer {}", piece.repeat(60_000 / piece.len()))],
        )
    };
    let body = |piece: &str, end: &str| {
        let count = 60_000 / (piece.len() + end.len());
        login(format!("{}1{}", piece.repeat(count), end.repeat(count)))
    };
    let cases: Vec<(&str, Request<Full<Bytes>>)> = vec![
        (
            "nested encodings of a slash",
            long("/.well-known/%", "25", "2f"),
        ),
        (
            "nested encodings before a login",
            long("/%", "25", "2flogin"),
        ),
        ("slashes", long("/", "/", "login")),
        ("dot segments", long("/", "../", "login")),
        (
            "encoded dot segments",
            long("/_matrix/key/", "%2e%2e%2f", ""),
        ),
        ("backslashes", long("/", "%5c", "login")),
        ("segments", long("/", "a/", "sync")),
        ("one segment", long("/.well-known/", "a", "")),
        ("a query of separators", query("&;")),
        ("a query of empty tokens", query("access_token=&")),
        ("a query of one token", query("access_token=t&")),
        ("a query of encoded names", query("%61ccess%5ftoken=t;")),
        ("a token of commas", header(",")),
        ("a token of white space", header(" a")),
        ("a long token", header("a")),
        ("a body of brackets", body("[", "]")),
        ("a body of braces", body("{\"auth\":", "}")),
        ("a body of identifiers", body("{\"identifier\":", "}")),
        (
            "a body of escapes",
            login(format!("{{\"user\":\"{}\"}}", "\\u0061".repeat(10_000))),
        ),
        (
            "a number",
            login(format!("{{\"user\":{}}}", "1".repeat(60_000))),
        ),
    ];
    for (what, request) in cases {
        let mut tries = Vec::new();
        // Another program may take the processor, but not each time.
        while tries.len() < TRIES && tries.iter().all(|took| *took >= LIMIT) {
            let request = request.clone();
            let started = Instant::now();
            let answered = status(&layer, request).await;
            tries.push(started.elapsed());
            println!("{what}: {answered} in {:?}", tries.last());
        }
        assert!(
            tries.iter().any(|took| *took < LIMIT),
            "{what} took {tries:?}"
        );
    }
}

#[tokio::test]
async fn a_flood_costs_no_more_per_request_than_its_first_thousand() {
    let store = MemoryStore::new();
    (0..10_000).for_each(|n| store.insert_access_token(format!("t{n}"), format!("@{n}:x")));
    let layer = AccountStatusLayer::new(store);
    let mut tries = Vec::new();
    // Another program may take the processor from one of them, but not each time.
    while tries.len() < TRIES {
        let usual = cost(&layer, 5_000, |n| {
            get("", [format!("Bearer t{}", n % 10_000)])
        })
        .await;
        let random = cost(&layer, 5_000, |n| {
            get("", [format!("Bearer {}", n.wrapping_mul(2_654_435_761))])
        })
        .await;
        let several = cost(&layer, 5_000, |n| {
            get(
                &format!("?access_token=a{n}"),
                (0..3).map(|m| format!("Bearer {m}x{n}")),
            )
        })
        .await;
        let logins = cost(&layer, 2_000, |n| login(format!("{{\"user\":\"{n}\"}}"))).await;
        println!(
            "a known token {usual:?}, a random one {random:?}, four of them {several:?}, a login {logins:?}"
        );
        // A hundred times the usual cost would be an attack; twenty is far above what is seen.
        let most = usual.max(Duration::from_micros(5)) * 20;
        if random < most && several < most && logins < most * 5 {
            return;
        }
        tries.push((usual, random, several, logins));
    }
    panic!("{tries:?}");
}

/// A waiting request holds its own memory, and nothing is left of it.
#[tokio::test]
async fn a_flood_of_waiting_requests_is_let_go() {
    let store = Arc::new(MemoryStore::new());
    (0..1_000).for_each(|n| store.insert_access_token(format!("t{n}"), format!("@{n}:x")));
    let waits = tower::service_fn(|_: Request<Full<Bytes>>| {
        std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>()
    });
    let service = AccountStatusLayer::new(Arc::clone(&store)).layer(waits);
    let mut waiting = tokio::task::JoinSet::new();
    for n in 0..10_000 {
        let request = Request::get("/_matrix/client/v3/sync")
            .header("authorization", format!("Bearer t{}", n % 1_000));
        waiting.spawn(
            service
                .clone()
                .oneshot(request.body(Full::default()).expect("a request")),
        );
    }
    tokio::task::yield_now().await;
    let started = Instant::now();
    for n in 0..500 {
        store.restrict(
            format!("@{n}:x"),
            tower_account_status::RestrictionKind::Locked,
        );
    }
    let mut ended = 0;
    while ended < 5_000 {
        let response = waiting
            .join_next()
            .await
            .expect("half of them end")
            .expect("no panic");
        let status = response.unwrap_or_else(|never| match never {}).status();
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        ended += 1;
    }
    println!(
        "{ended} of 10,000 waiting requests ended in {:?}",
        started.elapsed()
    );
    waiting.shutdown().await;
    drop(service);
    assert_eq!(
        Arc::strong_count(&store),
        1,
        "nothing holds the store any more"
    );
}
