//! Failures of a store are logged once and then counted. Otherwise a lasting failure would write a line for
//! every request, and for every look at the database.

use std::{
    error::Error,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::causes::chain;

/// For how long a cause is only counted after it was logged.
const INTERVAL: Duration = Duration::from_secs(60);
/// How many causes are distinguished. Others are counted with the last one.
const MOST_CAUSES: usize = 8;

/// What has been logged.
#[derive(Debug, Default)]
pub(crate) struct Failures(Mutex<Vec<Cause>>);

#[derive(Debug)]
struct Cause {
    text: String,
    told_at: Instant,
    untold: u64,
}

impl Failures {
    /// Whether to log this failure. If so, how many failures with the same cause were not logged since the
    /// last one that was.
    pub(crate) fn is_told(&self, error: &(dyn Error + 'static)) -> Option<u64> {
        self.is_told_at(error, Instant::now())
    }

    fn is_told_at(&self, error: &(dyn Error + 'static), now: Instant) -> Option<u64> {
        // The errors above the cause may name the account.
        let text = match error.source() {
            Some(cause) => chain(cause),
            None => error.to_string(),
        };
        let mut causes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = causes.iter().position(|known| known.text == text);
        let Some(place) = known.or((causes.len() == MOST_CAUSES).then_some(MOST_CAUSES - 1)) else {
            causes.push(Cause {
                text,
                told_at: now,
                untold: 0,
            });
            return Some(0);
        };
        let cause = &mut causes[place];
        if now.saturating_duration_since(cause.told_at) < INTERVAL {
            cause.untold += 1;
            return None;
        }
        let untold = std::mem::take(&mut cause.untold);
        cause.told_at = now;
        cause.text = text;
        Some(untold)
    }
}

/// Tells why changes of other processes are not heard of. No caller waits for that, and look-ups may go on:
/// the database is asked each time.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) fn tell_unheard(failures: &Failures, error: &(dyn Error + 'static)) {
    if let Some(untold) = failures.is_told(error) {
        let error = chain(error);
        tracing::warn!(
            error,
            untold,
            "changes of restrictions by other processes are not heard of"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        time::{Duration, Instant},
    };

    use super::{Failures, INTERVAL, MOST_CAUSES};

    #[test]
    fn rule_12_a_cause_is_told_once_and_then_counted() {
        let failures = Failures::default();
        let now = Instant::now();
        let away = io::Error::other("the database is away");
        assert_eq!(failures.is_told_at(&away, now), Some(0));
        for _ in 0..1000 {
            assert_eq!(failures.is_told_at(&away, now), None);
        }
        let full = io::Error::other("the disk is full");
        assert_eq!(failures.is_told_at(&full, now), Some(0), "another cause");
        let later = now + INTERVAL;
        assert_eq!(failures.is_told_at(&away, later), Some(1000));
        assert_eq!(failures.is_told_at(&away, later), None);
    }

    #[test]
    fn rule_12_causes_without_end_are_told_a_few_times() {
        let failures = Failures::default();
        let now = Instant::now();
        let told = (0..1000_u64).filter(|number| {
            let error = io::Error::other(number.to_string());
            let at = now + Duration::from_millis(*number);
            failures.is_told_at(&error, at).is_some()
        });
        assert_eq!(told.count(), MOST_CAUSES);
    }
}
