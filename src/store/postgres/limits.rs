//! Time limits, and the random part that spreads attempts out.

use std::{
    future::Future,
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use tokio::time::timeout;

use super::error::Cause;

/// How long a statement of the listener may take, and a proof until it arrives.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// The output of `answer`, if it comes within `limit`.
pub(super) async fn limited<T>(
    what: &'static str,
    limit: Duration,
    answer: impl Future<Output = Result<T, Cause>>,
) -> Result<T, Cause> {
    match timeout(limit, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(Cause::Timeout(what, limit)),
    }
}

pub(super) fn random() -> u64 {
    RandomState::new().hash_one(0)
}

/// Between 0 and 1.
pub(super) fn random_fraction() -> f64 {
    f64::from(u32::try_from(random() >> 32).unwrap_or_default()) / f64::from(u32::MAX)
}
