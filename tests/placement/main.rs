//! Every place that `docs/placement.md` names, served over TCP as its reader would: what is refused
//! arrives with its status, headers and body, and what passes passes.
#![cfg(feature = "axum")]
#![allow(clippy::unwrap_used)] // a test fails by panicking

#[path = "../support/mod.rs"]
mod support;

mod bodies;
mod places;
mod served;
mod stacks;
