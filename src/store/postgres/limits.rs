//! Time limits, and the random part that spreads attempts out.

use std::{
    future::Future,
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use tokio::time::timeout;

use super::error::Cause;

/// How long the server has for a look-up or a change. A request waits for its store for 5 seconds,
/// unless a setting says otherwise: this is less, with another attempt.
pub(super) const LOOK_UP: Duration = Duration::from_secs(2);

/// How long a look-up or a change may take at the server, which then says that it was not made. It is
/// less than [`LOOK_UP`], so that the connection goes on and no server has a statement that nobody waits
/// for.
pub(super) const AT_THE_SERVER: Duration = Duration::from_millis(1800);

/// How long a statement of the listener may take, and a proof until it arrives.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// How long a statement of the listener may take at the server, a page of all accounts among them.
pub(super) const LISTENER_AT_THE_SERVER: Duration = Duration::from_secs(10);

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

/// The interval, or up to a quarter less. Several processes that began at the same time must not do the
/// same at the same moments.
pub(super) fn spread(interval: Duration) -> Duration {
    interval.mul_f64(0.75 + random_fraction() / 4.0)
}

#[cfg(test)]
mod tests {
    use super::{Duration, spread};

    #[test]
    fn rule_20_an_interval_is_spread_and_never_longer() {
        let interval = Duration::from_secs(60);
        let spread: Vec<_> = (0..100).map(|_| spread(interval)).collect();
        assert!(
            spread
                .iter()
                .all(|one| *one <= interval && *one >= interval * 3 / 4)
        );
        assert!(spread.iter().any(|one| *one != spread[0]));
    }
}
