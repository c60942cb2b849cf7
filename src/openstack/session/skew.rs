//! How far a service's clock is ahead of the operator's, also after the operator's clock was set to another time.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

/// A difference of two clocks, and when it was measured by the operator's clock and by a monotonic one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Skew {
    ahead: SignedDuration,
    wall: Timestamp,
    at: Instant,
}

impl Skew {
    /// The service's clock shows `date` at these times.
    pub(super) fn new(date: Timestamp, wall: Timestamp, at: Instant) -> Self {
        Self { ahead: date.duration_since(wall), wall, at }
    }

    /// The difference when it was measured.
    pub(super) const fn measured(&self) -> SignedDuration {
        self.ahead
    }

    /// The difference at these times. If the operator's clock has been set since, that is no change of the service's.
    pub(super) fn at(&self, wall: Timestamp, now: Instant) -> SignedDuration {
        let passed = SignedDuration::try_from(now.saturating_duration_since(self.at)).unwrap_or_default();
        let set_by = wall.duration_since(self.wall).saturating_sub(passed);
        self.ahead.saturating_sub(set_by)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Each line: how far the service is ahead | seconds that pass by the operator's clock, and by a monotonic one | how
    /// far it is ahead then.
    #[test]
    fn a_clock_that_is_set_changes_the_difference_and_not_the_services_time() {
        let (wall, at) = (Timestamp::from_second(1_795_320_000).unwrap(), Instant::now());
        let seconds = SignedDuration::from_secs;
        for (ahead, wall_passed, passed, expected) in [
            (0, 60, 60, 0),
            (600, 60, 60, 600),
            (0, 60 + 7200, 60, -7200),
            (0, 60 - 7200, 60, 7200),
            (-600, -3600, 0, 3000),
        ] {
            let skew = Skew::new(wall + seconds(ahead), wall, at);
            let then = skew.at(wall + seconds(wall_passed), at + Duration::from_secs(passed));
            assert_eq!(then, seconds(expected), "{ahead} {wall_passed} {passed}");
        }
    }
}
