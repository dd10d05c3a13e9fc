//! Durations on the wire: tokio-postgres maps no Rust type to `interval`.

use std::error::Error;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

/// A duration as an `interval` in microseconds. Saturates at 292,000 years.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Interval(pub(crate) Duration);

impl ToSql for Interval {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_i64(i64::try_from(self.0.as_micros()).unwrap_or(i64::MAX));
        let (days, months) = (0, 0);
        out.put_i32(days);
        out.put_i32(months);
        Ok(IsNull::No)
    }

    accepts!(INTERVAL);
    to_sql_checked!();
}

/// An `interval` as the shortest time it can stand for.
///
/// A lease of `1 day` is 23 hours when the clocks go forward, so the holder must not rely on the 24th.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ShortestInterval(pub(crate) Duration);

const SHORTEST_DAY: Duration = Duration::from_secs(23 * 3600);
const SHORTEST_MONTH: Duration = Duration::from_secs(28 * 24 * 3600 - 3600);

impl<'a> FromSql<'a> for ShortestInterval {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let raw: &[u8; 16] = raw.try_into()?;
        let (time, date) = raw.split_at(8);
        let (days, months) = date.split_at(4);
        let micros = u64::try_from(i64::from_be_bytes(time.try_into()?))?;
        let days = u32::try_from(i32::from_be_bytes(days.try_into()?))?;
        let months = u32::try_from(i32::from_be_bytes(months.try_into()?))?;
        Ok(ShortestInterval(Duration::from_micros(micros) + SHORTEST_DAY * days + SHORTEST_MONTH * months))
    }

    accepts!(INTERVAL);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(micros: i64, days: i32, months: i32) -> Option<Duration> {
        let mut raw = Vec::new();
        raw.extend(micros.to_be_bytes());
        raw.extend(days.to_be_bytes());
        raw.extend(months.to_be_bytes());
        ShortestInterval::from_sql(&Type::INTERVAL, &raw).ok().map(|interval| interval.0)
    }

    #[test]
    fn keeps_microseconds() {
        assert_eq!(read(1_500_001, 0, 0), Some(Duration::from_micros(1_500_001)));
    }

    #[test]
    fn writes_what_it_reads() {
        let wrote = |duration| {
            let mut raw = BytesMut::new();
            let written = Interval(duration).to_sql(&Type::INTERVAL, &mut raw);
            assert!(matches!(written, Ok(IsNull::No)));
            let read = ShortestInterval::from_sql(&Type::INTERVAL, &raw);
            read.unwrap().0
        };
        let duration = Duration::from_micros(1_500_001);
        assert_eq!(wrote(duration), duration);
        let longest = Duration::from_micros(i64::MAX.cast_unsigned());
        assert_eq!(wrote(Duration::MAX), longest);
    }

    #[test]
    fn a_day_may_lack_an_hour() {
        assert_eq!(read(1, 1, 0), Some(Duration::from_micros(23 * 3_600_000_000 + 1)));
        assert_eq!(read(0, 0, 1), Some(Duration::from_secs((28 * 24 - 1) * 3600)));
    }

    #[test]
    fn refuses_what_is_no_span_forward() {
        assert_eq!(read(-1, 0, 0), None);
        assert_eq!(read(0, -1, 0), None);
        assert!(ShortestInterval::from_sql(&Type::INTERVAL, &[0; 15]).is_err());
    }
}
