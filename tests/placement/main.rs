//! Every place that `docs/placement.md` names, served over TCP as its reader would. Refusals arrive
//! with their status, headers and body, and other requests pass.
#![cfg(feature = "axum")]
#![allow(clippy::unwrap_used)] // a test fails by panicking

#[path = "../support/mod.rs"]
mod support;

mod bodies;
mod places;
mod served;
mod stacks;
