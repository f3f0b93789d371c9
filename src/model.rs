//! What the models of this crate's concurrency have in common. A model runs the crate's own code in
//! many interleavings of its locks and counters; a schedule in which somebody waits forever fails.
//!
//! `RUSTFLAGS="--cfg shuttle" cargo test --lib --features cache model::`
//!
//! The checker's locks and counters replace std's, by [`crate::locks`]. What tokio brings
//! (`Notify`, `OnceCell`) is itself: all threads of a model are one of the machine's, so each call
//! of it is one step. That it keeps its own promises is left to tokio's models. Every atomic access
//! is taken for sequentially consistent, as nearly all in this crate that matter are.

use std::sync::Arc;

use shuttle::{
    Config, Runner,
    scheduler::{PctScheduler, RandomScheduler},
    thread::JoinHandle,
};

/// How many interleavings each scheduler tries.
pub(crate) const SCHEDULES: usize = 2_000;

/// Runs `schedule` in many interleavings: random ones, and those in which few switches happen at
/// awkward places.
pub(crate) fn check(schedule: impl Fn() + Send + Sync + 'static) {
    let schedule = Arc::new(schedule);
    let run = || {
        let schedule = Arc::clone(&schedule);
        move || schedule()
    };
    let mut config = Config::new();
    config.stack_size = 1 << 19; // unoptimised code keeps much on the stack
    Runner::new(RandomScheduler::new(SCHEDULES), config.clone()).run(run());
    Runner::new(PctScheduler::new(3, SCHEDULES), config).run(run());
}

pub(crate) fn join<const N: usize>(threads: [JoinHandle<()>; N]) {
    for thread in threads {
        thread.join().unwrap();
    }
}
