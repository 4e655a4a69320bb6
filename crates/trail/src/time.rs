//! Times: microseconds since 1970-01-01T00:00:00Z in events, RFC 3339 for people.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Microseconds in the minute to which annotation times are rounded down.
pub const MINUTE: u64 = 60_000_000;

/// The time in RFC 3339, UTC; years beyond 9999 as the plain number of microseconds.
pub fn to_rfc3339(micros: u64) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{micros} µs"))
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
}
