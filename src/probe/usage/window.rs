//! The time windows of a usage query, by the cloud's clock.

use std::time::Duration;

use jiff::{Timestamp, civil, tz::TimeZone};

use crate::api::Period;

/// The operator still reads the closed period for this time after its end, because Nova's rows may lag behind.
const GRACE: Duration = Duration::from_secs(600);

/// The margin for a Nova whose clock is behind. A window must not end in its future.
const MARGIN: Duration = Duration::from_secs(5);

/// A window of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The period's start.
    pub start: Timestamp,
    /// The period's end, or a time shortly before the cloud's current time.
    pub end: Timestamp,
}

/// The two windows of a usage probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// The window that begins with the current period.
    pub current: Window,
    /// The complete period before the current one.
    pub previous: Window,
}

/// The calendar periods (UTC) to read at this time of the cloud's clock.
#[must_use]
pub fn windows(period: Period, cloud_now: Timestamp) -> Windows {
    let back = |span: Duration| cloud_now.saturating_sub(span).unwrap_or(cloud_now);
    let today = back(GRACE).to_zoned(TimeZone::UTC).date();
    let midnight = |date: civil::Date| date.to_zoned(TimeZone::UTC).map_or(cloud_now, |zoned| zoned.timestamp());
    let begins = |date: civil::Date| if period == Period::Month { date.first_of_month() } else { date };
    let start = begins(today);
    let last = if period == Period::Month { today.last_of_month() } else { today };
    let before = begins(start.yesterday().unwrap_or(start));
    let next = last.tomorrow().map_or(cloud_now, midnight);
    Windows {
        current: Window { start: midnight(start), end: back(MARGIN).min(next) },
        previous: Window { start: midnight(before), end: midnight(start) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_and_their_boundaries() {
        use Period::{Day, Month};
        for (period, now, previous, start, end) in [
            (Month, "2026-11-22T05:00:00Z", "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z", "2026-11-22T04:59:55Z"),
            (Month, "2026-12-01T00:00:01Z", "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z", "2026-11-30T23:59:56Z"),
            (Month, "2026-12-01T00:09:59Z", "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"),
            (Month, "2026-12-01T00:10:00Z", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", "2026-12-01T00:09:55Z"),
            (Month, "2024-02-29T12:00:00Z", "2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", "2024-02-29T11:59:55Z"),
            (Month, "2027-01-01T00:10:00Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z", "2027-01-01T00:09:55Z"),
            (Day, "2026-11-22T05:00:00Z", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z", "2026-11-22T04:59:55Z"),
            (Day, "2026-12-01T00:09:59Z", "2026-11-29T00:00:00Z", "2026-11-30T00:00:00Z", "2026-12-01T00:00:00Z"),
            (Day, "2027-01-01T00:10:00Z", "2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z", "2027-01-01T00:09:55Z"),
        ] {
            let time = |text: &str| text.parse::<Timestamp>().unwrap();
            let Windows { current, previous: before } = windows(period, time(now));
            assert_eq!(current, Window { start: time(start), end: time(end) }, "{period:?} {now}");
            assert_eq!(before, Window { start: time(previous), end: time(start) }, "{period:?} {now}");
        }
    }
}
