//! What grows with the number of accounts, of restrictions and of threads, and what does not.
//!
//! `cargo bench --bench growth` goes up to a million accounts. `-- 10000000` names other numbers. (Ten
//! million take about three gigabytes.)

mod support;

use std::{env, hint::black_box, thread, time::Instant};

use support::{
    accounts::{token, user},
    cells::{COLUMNS, STACKS, each_row},
};
use tower_account_status::{AccountStateStore, Credential, MemoryStore, RestrictionKind};

const LOOK_UPS: usize = 400_000;
const ROUNDS: usize = 5;

fn main() {
    // `cargo test` checks only that it runs.
    let is_bench = env::args().any(|argument| argument == "--bench");
    let named: Vec<usize> = env::args()
        .filter_map(|argument| argument.parse().ok())
        .collect();
    let sizes: &[usize] = match (is_bench, named.is_empty()) {
        (true, true) => &[1_000, 100_000, 1_000_000],
        (true, false) => &named,
        (false, _) => &[1_000],
    };
    println!("\n### Accounts in a `MemoryStore`, each with one token\n");
    println!(
        "| accounts | ns a hit, any of them | ns a hit, 1,000 of them | bytes an entry beyond its key, tokens | the same, users |"
    );
    println!("|---:|---:|---:|---:|---:|");
    for &size in sizes {
        assert!(size > 0, "a number of accounts");
        let (store, [tokens, users]) = filled(size);
        let everyone = nanoseconds(&store, &sample(size));
        let few = nanoseconds(&store, &sample(size.min(1_000)));
        println!("| {size} | {everyone:.0} | {few:.0} | {tokens:.1} | {users:.1} |");
    }
    let usual = sizes[sizes.len().min(2) - 1].max(10);
    restricted(usual);
    threads(usual);
    refusals();
}

/// A store, and how many bytes the allocator was asked for beyond those of the keys: per token,
/// and per user.
fn filled(size: usize) -> (MemoryStore, [f64; 2]) {
    let store = MemoryStore::new();
    let mut keys = [0, 0];
    let users = allocation_counter::measure(|| {
        for number in 0..size {
            keys[0] += user(number).len();
            // Makes the account known, and nothing else.
            store.lift(user(number), RestrictionKind::Locked);
        }
    });
    let tokens = allocation_counter::measure(|| {
        for number in 0..size {
            keys[1] += token(number).len();
            store.insert_access_token(token(number), user(number));
        }
    });
    let beyond = |bytes: i64, keys: usize| (bytes as f64 - keys as f64) / size as f64;
    let each = [
        beyond(tokens.bytes_current, keys[1]),
        beyond(users.bytes_current, keys[0]),
    ];
    (store, each)
}

/// Tokens of accounts all over the store, in no order.
fn sample(size: usize) -> Vec<String> {
    let mut state = 1_u64;
    let numbers = (0..20_000).map(|_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % size
    });
    numbers.map(token).collect()
}

fn hit(store: &MemoryStore, token: &str) -> bool {
    store
        .glance(Credential::AccessToken(token.into()))
        .is_none()
}

/// The best of some rounds.
fn nanoseconds(store: &MemoryStore, tokens: &[String]) -> f64 {
    let round = || {
        let started = Instant::now();
        for token in tokens.iter().cycle().take(LOOK_UPS) {
            assert!(black_box(hit(store, token)), "an active account");
        }
        started.elapsed().as_secs_f64() * 1e9 / LOOK_UPS as f64
    };
    (0..ROUNDS).map(|_| round()).fold(f64::INFINITY, f64::min)
}

fn restricted(size: usize) {
    println!("\n### Restricted accounts among {size}\n");
    println!("| restricted | ns a hit of an active one |\n|---:|---:|");
    let (store, _) = filled(size);
    let active = sample(size / 10);
    let mut done = size / 10;
    for percent in [0, 10, 50] {
        let until = size / 10 + size * percent / 100;
        while done < until.min(size) {
            store.restrict(user(done), RestrictionKind::Locked);
            done += 1;
        }
        println!(
            "| {} | {:.0} |",
            done - size / 10,
            nanoseconds(&store, &active)
        );
    }
}

fn threads(size: usize) {
    println!("\n### Threads that ask one store\n");
    println!("| threads | million look-ups a second, together |\n|---:|---:|");
    let (store, _) = filled(size);
    let tokens = sample(size);
    for count in [1, 2] {
        let best = (0..ROUNDS).map(|_| {
            let started = Instant::now();
            thread::scope(|scope| {
                for _ in 0..count {
                    scope.spawn(|| {
                        for token in tokens.iter().cycle().take(LOOK_UPS) {
                            black_box(hit(&store, token));
                        }
                    });
                }
            });
            (count * LOOK_UPS) as f64 / started.elapsed().as_secs_f64() / 1e6
        });
        println!("| {count} | {:.1} |", best.fold(0.0, f64::max));
    }
}

/// Through the whole layer, requests made beforehand, responses kept.
fn refusals() {
    println!("\n### Refusals a second, one core\n\n| row | thousand a second |\n|---|---:|");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let runtime = runtime.expect("a runtime");
    let _entered = runtime.enter();
    let rows = ["locked", "deactivated", "suspended, refused"];
    let wanted = |place: support::cells::Place| {
        (place.stack, place.column) == (STACKS[0], COLUMNS[3]) && rows.contains(&place.row)
    };
    each_row(&wanted, &mut |cells| {
        for (place, cell) in cells {
            let best = (0..20).map(|_| {
                cell.prepare(2_000);
                let started = Instant::now();
                cell.run_keeping();
                let elapsed = started.elapsed();
                drop(cell.statuses());
                2.0 / elapsed.as_secs_f64()
            });
            println!("| {} | {:.0} |", place.row, best.fold(0.0, f64::max));
        }
    });
}
