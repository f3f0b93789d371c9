//! What the benches have in common.

// Each bench is a program of its own, and none uses all of it.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    missing_debug_implementations
)]

pub mod accounts;
pub mod callgrind;
pub mod cells;
pub mod expensive;
pub mod peers;
pub mod report;
pub mod rows;
pub mod stacks;
