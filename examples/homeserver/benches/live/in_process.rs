//! A hundred thousand requests wait in one process, without sockets, while a thousand accounts a
//! second are locked: the memory of a request that waits, and the delay until its response is
//! ready.

use std::{
    convert::Infallible,
    future::{Future, pending},
    pin::Pin,
    sync::Arc,
    task::{Context, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};
use tower::{Layer, Service, ServiceExt};
use tower_account_status::{
    AccountStateStore, AccountStatusLayer, CachedStore, MemoryStore, RestrictionKind::Locked,
};

use crate::{report, runtime};

const WAITING: usize = 100_000;
const PER_SECOND: u32 = 1000;
const SECONDS: usize = 20;

type Waits = Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send>>;

pub(crate) fn run() {
    let bare = bytes(&tower::service_fn(never));
    println!("{WAITING} requests wait:");
    println!("  {bare} bytes each without the layer: the request, its future and a box");
    for is_cached in [false, true] {
        let store = store();
        match is_cached {
            false => measure("MemoryStore", Arc::clone(&store), &store, bare),
            true => {
                // Room for all of them: what is not remembered is asked for again.
                let cached = CachedStore::new(Arc::clone(&store)).with_capacity(2 * WAITING);
                measure("CachedStore<MemoryStore>", cached, &store, bare);
            }
        }
    }
}

fn measure<S: AccountStateStore>(
    what: &str,
    store: S,
    restrictions: &Arc<MemoryStore>,
    bare: usize,
) {
    let layer = AccountStatusLayer::new(Arc::new(store));
    // What the store itself remembers of the accounts is no cost of waiting.
    runtime().block_on(async {
        for number in 0..WAITING {
            let service = layer.layer(tower::service_fn(at_once));
            service.oneshot(sync(number)).await.unwrap();
        }
    });
    let bytes = bytes(&layer.layer(tower::service_fn(never)));
    println!("\n{what}");
    println!("  {bytes} bytes each with the layer: {} more", bytes - bare);
    let delays = runtime().block_on(restrict_while_waiting(layer, Arc::clone(restrictions)));
    report("  from `restrict` to the response", delays);
}

fn store() -> Arc<MemoryStore> {
    let store = MemoryStore::new();
    for number in 0..WAITING {
        store.insert_access_token(token(number), user(number));
    }
    Arc::new(store)
}

fn token(number: usize) -> String {
    format!("syt_{number:08}_AbCdEfGhIjKlMnOpQr_1a2b3c")
}

fn user(number: usize) -> String {
    format!("@somebody-{number:07}:example.org")
}

fn sync(number: usize) -> Request<Full<Bytes>> {
    Request::get("/_matrix/client/v3/sync?timeout=30000")
        .header("authorization", format!("Bearer {}", token(number)))
        .body(Full::default())
        .unwrap()
}

/// Keeps the request, as a handler does.
async fn never(request: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
    pending::<()>().await;
    drop(request);
    Ok(Response::default())
}

async fn at_once(_: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::default())
}

/// The bytes that a request takes while it waits, everything of it, as the allocator counts them.
fn bytes<S>(service: &S) -> usize
where
    S: Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let mut waiting: Vec<Waits> = Vec::with_capacity(WAITING);
    let counted = allocation_counter::measure(|| {
        for number in 0..WAITING {
            let mut service = service.clone();
            let mut request: Waits = Box::pin(service.call(sync(number)));
            let polled = request
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending(), "it waits");
            waiting.push(request);
        }
    });
    usize::try_from(counted.bytes_current).unwrap() / WAITING
}

async fn restrict_while_waiting<S: AccountStateStore>(
    layer: AccountStatusLayer<Arc<S>>,
    restrictions: Arc<MemoryStore>,
) -> Vec<Duration> {
    let service = layer.layer(tower::service_fn(never));
    let (ended, mut endings) = mpsc::unbounded_channel();
    let wait = |number: usize| {
        let (mut service, ended) = (service.clone(), ended.clone());
        let request = service.call(sync(number));
        tokio::spawn(async move {
            let response = request.await.unwrap();
            let now = Instant::now();
            assert_eq!(response.status(), 401);
            ended.send((number, now)).unwrap();
        });
    };
    (0..WAITING).for_each(wait);
    // Until all of them wait.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }

    let restrictions_made = PER_SECOND as usize * SECONDS;
    let mut restricted_at = vec![None; WAITING];
    let mut delays = Vec::with_capacity(restrictions_made);
    let mut pace = interval(Duration::from_secs(1) / PER_SECOND);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut made = 0;
    let start = Instant::now();
    while delays.len() < restrictions_made {
        tokio::select! {
            _ = pace.tick(), if made < restrictions_made => {
                // Accounts that lie far apart.
                let number = made * 7919 % WAITING;
                restricted_at[number] = Some(Instant::now());
                restrictions.restrict(user(number), Locked);
                made += 1;
                if made == restrictions_made {
                    let rate = made as f64 / start.elapsed().as_secs_f64();
                    println!("  {made} restrictions, {rate:.0} a second");
                }
            }
            Some((number, at)) = endings.recv() => {
                let from: Instant = restricted_at[number].take().expect("it was restricted");
                delays.push(at.duration_since(from));
                // The account is unlocked, and its client waits again.
                restrictions.lift(user(number), Locked);
                wait(number);
            }
        }
    }
    delays
}
