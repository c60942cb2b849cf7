//! Which window of time the usage is read for, by the cloud's clock.

use std::time::Duration;

use jiff::{Timestamp, civil, tz::TimeZone};

use crate::schedule::after;

/// So long after the turn of a month the closed one is still read: Nova's rows may lag behind.
const GRACE: Duration = Duration::from_secs(600);

/// Nova's clock may be a little behind ours, and must not see an end in its future.
const MARGIN: Duration = Duration::from_secs(5);

/// A window of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The period's start.
    pub start: Timestamp,
    /// The period's end, or a little before the cloud's clock.
    pub end: Timestamp,
}

/// The calendar month, in UTC, that is read at this time of the cloud's clock.
#[must_use]
pub fn window(cloud_now: Timestamp) -> Window {
    let back = |span: Duration| cloud_now.saturating_sub(span).unwrap_or(cloud_now);
    let month = back(GRACE).to_zoned(TimeZone::UTC).date().first_of_month();
    let midnight = |date: civil::Date| date.to_zoned(TimeZone::UTC).map_or(cloud_now, |zoned| zoned.timestamp());
    let next = after(midnight(month.last_of_month()), Duration::from_secs(24 * 3600));
    Window { start: midnight(month), end: back(MARGIN).min(next) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_month_and_its_turn() {
        for (now, start, end) in [
            ("2026-11-22T05:00:00Z", "2026-11-01T00:00:00Z", "2026-11-22T04:59:55Z"),
            ("2026-12-01T00:00:01Z", "2026-11-01T00:00:00Z", "2026-11-30T23:59:56Z"),
            ("2026-12-01T00:09:59Z", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"),
            ("2026-12-01T00:10:00Z", "2026-12-01T00:00:00Z", "2026-12-01T00:09:55Z"),
            ("2024-02-29T12:00:00Z", "2024-02-01T00:00:00Z", "2024-02-29T11:59:55Z"),
            ("2027-01-01T00:10:00Z", "2027-01-01T00:00:00Z", "2027-01-01T00:09:55Z"),
        ] {
            let window = window(now.parse().unwrap());
            assert_eq!((window.start, window.end), (start.parse().unwrap(), end.parse().unwrap()), "{now}");
        }
    }
}
