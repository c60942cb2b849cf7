//! Notices that the operator's clock was set to another time.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};

/// A smaller difference of the two clocks is no step, in milliseconds: the clock is slewed, and the two are not read at
/// one moment.
const SMALLEST_STEP: u64 = 1000;

/// The start of the monotonic clock.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// How far the operator's clock was ahead of a monotonic clock at one moment. It is small, since each tenant has one.
#[derive(Debug, Clone, Copy)]
pub struct ClockReading {
    /// In milliseconds.
    ahead: i64,
}

impl Default for ClockReading {
    fn default() -> Self {
        Self::now()
    }
}

impl ClockReading {
    /// Reads both clocks.
    #[must_use]
    pub fn now() -> Self {
        Self::new(Timestamp::now(), START.elapsed())
    }

    fn new(wall: Timestamp, monotonic: Duration) -> Self {
        let monotonic = i64::try_from(monotonic.as_millis()).unwrap_or(i64::MAX);
        Self { ahead: wall.as_millisecond().saturating_sub(monotonic) }
    }

    /// Returns by how much the operator's clock was set between this reading and a later one. Zero if it was not set.
    #[must_use]
    pub fn set_until(self, later: Self) -> SignedDuration {
        let set_by = later.ahead.saturating_sub(self.ahead);
        if set_by.unsigned_abs() < SMALLEST_STEP { SignedDuration::ZERO } else { SignedDuration::from_millis(set_by) }
    }

    /// Replaces this reading by one of now. Returns by how much the clock was set since.
    pub fn renew(&mut self) -> SignedDuration {
        let now = Self::now();
        let set_by = self.set_until(now);
        *self = now;
        set_by
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line: milliseconds that pass by the operator's clock, and by a monotonic one | the step in milliseconds.
    #[test]
    fn a_step_is_what_the_monotonic_clock_does_not_show() {
        let (wall, monotonic) = (1_795_320_000_000, 5_000_000);
        let reading = |wall_passed: i64, passed: i64| {
            let monotonic = u64::try_from(monotonic + passed).unwrap();
            ClockReading::new(
                Timestamp::from_millisecond(wall + wall_passed).unwrap(),
                Duration::from_millis(monotonic),
            )
        };
        for (wall_passed, passed, step) in [
            (60_000, 60_000, 0),
            (60_900, 60_000, 0),
            (59_100, 60_000, 0),
            (3_660_000, 60_000, 3_600_000),
            (-3_540_000, 60_000, -3_600_000),
            (-7_200_000, 0, -7_200_000),
        ] {
            let set_by = reading(0, 0).set_until(reading(wall_passed, passed));
            assert_eq!(set_by, SignedDuration::from_millis(step), "{wall_passed} {passed}");
        }
    }
}
