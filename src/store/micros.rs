//! Times as a store keeps them: in microseconds since 1970.

use std::time::{Duration, SystemTime};

/// A time outside the 292,000 years around 1970 is stored as the nearest time inside.
pub(super) fn to_micros(time: SystemTime) -> i64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        // Rounded down, like times after 1970.
        Err(before) => {
            let nanos = i128::try_from(before.duration().as_nanos()).unwrap_or(i128::MAX);
            i64::try_from((-nanos).div_euclid(1000)).unwrap_or(i64::MIN)
        }
    }
}

/// A time that the platform's clock cannot express becomes the farthest time that it can. So the end of a
/// restriction is far away, and never in the past.
pub(super) fn from_micros(micros: i64) -> SystemTime {
    let distance = Duration::from_micros(micros.unsigned_abs());
    match micros {
        0.. => farthest(distance, |distance| {
            SystemTime::UNIX_EPOCH.checked_add(distance)
        }),
        _ => farthest(distance, |distance| {
            SystemTime::UNIX_EPOCH.checked_sub(distance)
        }),
    }
}

fn farthest(distance: Duration, at: impl Fn(Duration) -> Option<SystemTime>) -> SystemTime {
    if let Some(time) = at(distance) {
        return time;
    }
    let (mut farthest, mut near, mut far) = (None, 0, distance.as_secs());
    while near < far {
        let middle = far - (far - near) / 2;
        match at(Duration::from_secs(middle)) {
            Some(time) => (farthest, near) = (Some(time), middle),
            None => far = middle - 1,
        }
    }
    farthest.unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{farthest, from_micros, to_micros};

    #[test]
    fn times_before_and_after_1970_come_back_to_the_microsecond() {
        for micros in [0, 1, -1, 1_700_000_000_123_456, -62_000_000_000_000_000] {
            assert_eq!(to_micros(from_micros(micros)), micros);
        }
        let odd = SystemTime::UNIX_EPOCH - Duration::from_nanos(1500);
        assert_eq!(to_micros(odd), -2);
        let odd = SystemTime::UNIX_EPOCH + Duration::from_nanos(1500);
        assert_eq!(to_micros(odd), 1);
    }

    #[test]
    fn the_farthest_times_are_stored_as_the_nearest_possible() {
        for micros in [i64::MAX, i64::MIN] {
            assert_eq!(to_micros(from_micros(micros)), micros);
        }
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::MAX >> 1);
        assert_eq!(to_micros(far), i64::MAX);
    }

    #[test]
    fn rule_2_a_time_beyond_the_platforms_clock_is_far_away_and_not_1970() {
        let century = 100 * 365 * 24 * 3600;
        // A clock that ends after a century.
        let short = |distance: Duration| {
            let time = SystemTime::UNIX_EPOCH.checked_add(distance)?;
            (distance.as_secs() <= century).then_some(time)
        };
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(century);
        for distance in [
            Duration::MAX,
            Duration::from_micros(i64::MAX as u64),
            Duration::from_secs(century + 1),
        ] {
            assert_eq!(farthest(distance, short), end, "{distance:?}");
        }
        let near = Duration::from_micros(1_500_000);
        assert_eq!(farthest(near, short), SystemTime::UNIX_EPOCH + near);
    }
}
