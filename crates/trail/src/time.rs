//! Times: microseconds since 1970-01-01T00:00:00Z in events, RFC 3339 for people.

use time::format_description::well_known::Rfc3339;
use time::{Date, Month, OffsetDateTime};

/// Microseconds in the minute to which annotation times are rounded down.
pub const MINUTE: u64 = 60_000_000;

/// The time in RFC 3339, UTC; years beyond 9999 as the plain number of microseconds.
pub fn to_rfc3339(micros: u64) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{micros} µs"))
}

/// How many days lie between a time and a day written `YYYY-MM-DD`; none when the day is the earlier one.
pub fn days_until(micros: u64, day: &str) -> Option<u64> {
    let then = OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000).ok()?.date();
    let mut parts = day.split('-').map(|part| part.parse::<u16>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let (month, day) = (u8::try_from(month).ok()?, u8::try_from(day).ok()?);
    let day = Date::from_calendar_date(year.into(), Month::try_from(month).ok()?, day).ok()?;
    Some(u64::try_from((day - then).whole_days()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        assert_eq!(to_rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(to_rfc3339(1_700_000_000_123_456), "2023-11-14T22:13:20.123456Z");
        assert_eq!(to_rfc3339(u64::MAX), "18446744073709551615 µs");
    }

    #[test]
    fn days_are_counted_from_date_to_date() {
        assert_eq!(days_until(1_700_000_000_000_000, "2023-11-14"), Some(0));
        assert_eq!(days_until(1_700_000_000_000_000, "2024-11-14"), Some(366));
        assert_eq!(days_until(1_700_000_000_000_000, "2020-01-01"), Some(0));
        assert_eq!(days_until(0, "soon"), None);
    }
}
