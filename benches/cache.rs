//! What the cache costs and what it saves, in one process and without a harness:
//! `cargo bench --features cache --bench cache`. `-- NUMBER…` measures only its growth to these
//! numbers of accounts. (Ten million take about three gigabytes.)
//!
//! It prints every figure and asserts nothing. The store answers after one turn of the scheduler, so
//! that look-ups overlap as they do with a database.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a benchmark's numbers are small, and its panics are seen by who runs it"
)]

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use siphasher::sip128::{SipHasher13, SipHasher24};
use tower_account_status::{AccountStateStore, CachedStore, Credential, Peek};
use tower_account_status::{store::Answer, without};

/// Tokens of the form `syt_USER_DEVICE_…` belong to `@USER:example.org`. All others are unknown.
#[derive(Default)]
struct Server {
    loads: AtomicUsize,
}

impl AccountStateStore for Server {
    async fn access_token(&self, token: &str) -> Answer {
        self.loads.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        let user = token.strip_prefix("syt_").and_then(|it| it.split_once('_'));
        Ok(user.map(|(user, _)| format!("@{user}:example.org").into()))
    }

    without! {
        application_service, login_name, third_party, login_token, refresh_token, event_sender, state, changes
    }
}

/// As long as Synapse's tokens are.
fn token(user: u64, device: u64) -> String {
    format!("syt_{user:08}_{device:02}AbCdEfGhIjKlMnOpQr_1a2b3c")
}

fn access(token: &str) -> Credential<'_> {
    Credential::AccessToken(token.into())
}

/// Asks as the layer does, and returns whether the store had to be awaited.
async fn ask(cache: &CachedStore<Server>, token: &str) -> bool {
    let credential = access(token);
    if cache.glance(credential) != Some(Peek::Ask) {
        return false;
    }
    black_box(cache.access_token_and_state(token).await).expect("the store never fails");
    true
}

/// A small generator of pseudo-random numbers, the same in every run (`SplitMix64`).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// Below `end`, small numbers far more often than large ones: the density falls as 1/x.
    fn skewed(&mut self, end: u64) -> u64 {
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        ((end as f64).powf(unit) - 1.0) as u64
    }
}

/// The fastest of many rounds, in nanoseconds for each call.
fn fastest(calls: usize, mut round: impl FnMut()) -> f64 {
    let rounds = (0..200).map(|_| {
        let start = Instant::now();
        round();
        start.elapsed().as_nanos() as f64 / calls as f64
    });
    rounds.fold(f64::INFINITY, f64::min)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // `cargo test --benches` runs this too, and checks only that it runs.
    let small = std::env::args().any(|argument| argument == "--test");
    let sizes: Vec<u64> = std::env::args()
        .filter_map(|argument| argument.parse().ok())
        .collect();
    if !sizes.is_empty() {
        return sizes.into_iter().for_each(grow);
    }
    hit().await;
    hashes();
    mix(if small { 10_000 } else { 1_000_000 }).await;
    flood(if small { 10_000 } else { 1_000_000 }).await;
    let sizes: &[u64] = match small {
        true => &[10_000],
        false => &[1_000, 100_000, 1_000_000],
    };
    sizes.iter().copied().for_each(grow);
}

async fn hit() {
    let cache = Arc::new(CachedStore::new(Server::default()));
    let tokens: Vec<String> = (0..10_000).map(|user| token(user, 0)).collect();
    for token in &tokens {
        ask(&cache, token).await;
    }
    let is_active = |cache: &CachedStore<Server>| {
        for token in &tokens {
            assert!(black_box(cache.glance(access(token)).is_none()));
        }
    };
    println!("a hit, 10,000 tokens of {} bytes", tokens[0].len());
    let clock = fastest(1000, || {
        for _ in 0..1000 {
            black_box(tokio::time::Instant::now());
        }
    });
    println!("  the clock alone            {clock:>8.1} ns");
    let one = fastest(tokens.len(), || is_active(&cache));
    println!("  glance                     {one:>8.1} ns");
    let peek = fastest(tokens.len(), || {
        for token in &tokens {
            black_box(cache.peek(access(token)));
        }
    });
    println!("  peek                       {peek:>8.1} ns");
    let same = fastest(10_000, || {
        for _ in 0..10_000 {
            black_box(cache.glance(access(&tokens[0])).is_none());
        }
    });
    println!("  glance, one   token       {same:>8.1} ns");
    let two = std::thread::scope(|scope| {
        let threads = [(); 2].map(|()| scope.spawn(|| fastest(tokens.len(), || is_active(&cache))));
        threads.map(|thread| thread.join().unwrap())
    });
    println!(
        "  is_active, two threads     {:>8.1} ns",
        f64::max(two[0], two[1])
    );
}

fn hashes() {
    let token = token(1, 0);
    let sip13 = SipHasher13::new_with_keys(1, 2);
    let sip24 = SipHasher24::new_with_keys(1, 2);
    let hash = |name: &str, hash: &dyn Fn(&[u8]) -> u64| {
        let each = fastest(1000, || {
            for _ in 0..1000 {
                black_box(hash(black_box(token.as_bytes())));
            }
        });
        println!("  {name:<26} {each:>8.1} ns");
    };
    println!("128 bits of a keyed hash, {} bytes", token.len());
    hash("SipHash-1-3", &|bytes| sip13.hash(bytes).h1);
    hash("SipHash-2-4 (ours)", &|bytes| sip24.hash(bytes).h1);
}

/// 100,000 people with one to four devices, a few of whom make most of the requests.
async fn mix(requests: u64) {
    for capacity in [400_000, 100_000, 20_000] {
        let cache = CachedStore::new(Server::default()).with_capacity(capacity);
        let mut random = Random(1);
        let start = Instant::now();
        let mut waited = 0;
        for _ in 0..requests {
            let user = random.skewed(100_000);
            let device = random.next() % (1 + user % 4);
            waited += usize::from(ask(&cache, &token(user, device)).await);
        }
        let saved = 100.0 * (1.0 - waited as f64 / requests as f64);
        println!(
            "{requests} requests of 100,000 people, capacity {capacity}: {saved:.1} % answered from \
             memory, {} look-ups, {:.0} ns a request",
            cache.get_ref().loads.load(Ordering::Relaxed),
            start.elapsed().as_nanos() as f64 / requests as f64,
        );
    }
}

/// A thousand people send requests while somebody tries tokens.
async fn flood(tokens: u64) {
    let cache = CachedStore::new(Server::default()).with_capacity(10_000);
    let hot: Vec<String> = (0..1_000).map(|user| token(user, 0)).collect();
    for token in hot.iter().chain(&hot) {
        ask(&cache, token).await;
    }
    let before = cache.get_ref().loads.load(Ordering::Relaxed);
    let mut random = Random(2);
    for _ in 0..tokens {
        let made_up = format!("mas_{:016x}{:016x}", random.next(), random.next());
        ask(&cache, &made_up).await;
    }
    let loads = cache.get_ref().loads.load(Ordering::Relaxed) - before;
    let survived = hot
        .iter()
        .filter(|token| cache.glance(access(token)).is_none())
        .count();
    println!(
        "{tokens} made-up tokens against a capacity of 10,000: {survived} of 1,000 hot entries \
         survive, {:.3} look-ups a token, {} entries",
        loads as f64 / tokens as f64,
        cache.stats().entries,
    );
}

/// The memory of an account, and the time of a hit, when there are so many.
fn grow(accounts: u64) {
    let capacity = usize::try_from(accounts + accounts / 8).unwrap();
    let mut entries = 0;
    let mut cache = None;
    let start = allocation_counter::measure(|| {
        cache = Some(CachedStore::new(Server::default()).with_capacity(capacity));
    });
    let mut bytes = start.bytes_current;
    let cache = cache.unwrap();
    for user in 0..accounts {
        let token = token(user, 0);
        let counted = allocation_counter::measure(|| {
            // The store yields once: the second turn has the answer. Polled by hand, and so without
            // the runtime's budget.
            let mut asked = std::pin::pin!(tokio::task::unconstrained(ask(&cache, &token)));
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            while asked.as_mut().poll(&mut context).is_pending() {}
        });
        bytes += counted.bytes_current;
        entries += 1;
    }
    let mut random = Random(3);
    let sample: Vec<String> = (0..accounts.min(200_000))
        .map(|_| token(random.next() % accounts, 0))
        .collect();
    let rounds = (0..5).map(|_| {
        let start = Instant::now();
        let hits = sample
            .iter()
            .filter(|token| cache.glance(access(token)).is_none());
        let hits = black_box(hits.count());
        assert_eq!(hits, sample.len(), "each is there");
        start.elapsed().as_nanos() as f64 / hits as f64
    });
    let hit = rounds.fold(f64::INFINITY, f64::min);
    println!(
        "{accounts} accounts with a token each: {:.0} bytes an account, its name included; {} entries; \
         {hit:.0} ns a hit of any of them",
        bytes as f64 / f64::from(entries),
        cache.stats().entries,
    );
}
