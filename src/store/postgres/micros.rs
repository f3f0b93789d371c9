//! Times as the database stores them.

use std::error::Error;

use bytes::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

/// Microseconds since 1970, which a `timestamptz` holds as microseconds since 2000.
///
/// The driver's own conversion from and to a [`SystemTime`](std::time::SystemTime) overflows at
/// the farthest times, `infinity` among them, which an operator may write into the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Micros(pub(super) i64);

/// From 1970 to 2000.
const EPOCH: i64 = 946_684_800_000_000;
/// Noon of the last year that the database knows, 294276; beyond is `infinity`.
const LAST: i64 = 9_223_371_331_200_000_000 - 1;
/// The first year of the database is 4713 BC.
const FIRST: i64 = -211_813_488_000_000_000;

impl FromSql<'_> for Micros {
    fn from_sql(_: &Type, raw: &[u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let since_2000 = i64::from_be_bytes(raw.try_into()?);
        Ok(Self(since_2000.saturating_add(EPOCH)))
    }

    accepts!(TIMESTAMPTZ);
}

impl ToSql for Micros {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let since_2000 = match self.0.saturating_sub(EPOCH) {
            late if late > LAST => i64::MAX,
            since => since.max(FIRST),
        };
        out.extend_from_slice(&since_2000.to_be_bytes());
        Ok(IsNull::No)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::{BytesMut, EPOCH, FromSql as _, LAST, Micros, ToSql as _, Type};

    #[test]
    fn the_farthest_times_do_not_overflow() {
        for (given, stored) in [
            (0, 0),
            (-1, -1),
            (EPOCH, EPOCH),
            (LAST, LAST),
            (i64::MAX, i64::MAX),
            (i64::MIN, super::FIRST + EPOCH),
        ] {
            let mut raw = BytesMut::new();
            Micros(given).to_sql(&Type::TIMESTAMPTZ, &mut raw).unwrap();
            let read = Micros::from_sql(&Type::TIMESTAMPTZ, &raw).unwrap();
            assert_eq!(read, Micros(stored), "{given}");
        }
        let minus_infinity = i64::MIN.to_be_bytes();
        Micros::from_sql(&Type::TIMESTAMPTZ, &minus_infinity).unwrap();
    }
}
