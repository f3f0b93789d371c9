//! The layer in front of routers that read a request in every way that a server might, compared with
//! models of the rules that share no code with it.
//!
//! Each property draws [`cases`] requests. `PROPTEST_CASES` in the environment raises the number.

mod credentials;
mod endpoints;
mod harness;
mod long_polls;
mod model;
mod named_accounts;
mod paths;
mod requests;
mod routers;

use proptest::test_runner::Config;

/// At least `least` cases, and no files: what is found becomes a test of its own.
fn cases(least: u32) -> Config {
    let asked = std::env::var("PROPTEST_CASES").ok();
    let asked = asked.and_then(|text| text.parse().ok()).unwrap_or(0);
    Config {
        cases: least.max(asked),
        failure_persistence: None,
        max_shrink_iters: 20_000,
        // Much of what is drawn is no URI.
        max_local_rejects: u32::MAX,
        max_global_rejects: u32::MAX,
        ..Config::default()
    }
}
