//! When passes begin that have waited: several together, so that a processor wakes once for all of them and has the
//! program in its caches (docs/decisions/0068).

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

/// Passes begin together at multiples of this time. It is far below any interval, so it delays no pass by much.
const TICK: Duration = Duration::from_millis(TICK_MILLIS);
const TICK_MILLIS: u64 = 20;

/// The passes that begin together. Each needs a connection for its call. If they were more than the idle connections
/// that a client keeps for a host, some would be opened and closed again at each tick.
const TOGETHER: u8 = 8;

/// Ticks at which passes begin together, at most. Those whose passes begin earlier, because of a trigger, stay until
/// their time.
const MOST: usize = 100_000;

/// The ticks to come.
#[derive(Debug)]
pub(super) struct Ticks {
    epoch: Instant,
    /// How many passes begin at each tick.
    taken: BTreeMap<u64, u8>,
}

impl Ticks {
    /// Counts ticks from this time.
    pub(super) const fn since(epoch: Instant) -> Self {
        Self { epoch, taken: BTreeMap::new() }
    }

    /// When a pass begins that waits so long: at the next tick if that has room, or else exactly at its time. So no
    /// number of passes delays one by more than a tick.
    pub(super) fn begin(&mut self, now: Instant, wait: Duration) -> Instant {
        let current = tick_at(now.duration_since(self.epoch));
        while self.taken.first_key_value().is_some_and(|(tick, _)| *tick < current) {
            self.taken.pop_first();
        }
        let at = now + wait;
        let tick = tick_at(at.duration_since(self.epoch));
        if self.taken.len() >= MOST {
            return at;
        }
        if self.takes(tick) { self.epoch + Duration::from_millis(tick.saturating_mul(TICK_MILLIS)) } else { at }
    }

    /// Takes a place at this tick, if one is free.
    fn takes(&mut self, tick: u64) -> bool {
        let taken = self.taken.entry(tick).or_default();
        let has_room = *taken < TOGETHER;
        *taken += u8::from(has_room);
        has_room
    }
}

/// The first tick that is not before this time since the epoch.
fn tick_at(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line: the time in microseconds since the epoch, the wait in milliseconds, how many passes wait so long |
    /// when the first and the last of them begin, in microseconds.
    #[test]
    fn passes_begin_together_and_none_early_or_much_later() {
        for (now, wait, passes, first, last) in [
            (0, 1000, 1, 1_000_000, 1_000_000),
            (1, 1000, 1, 1_020_000, 1_020_000),
            (19_999, 1000, 1, 1_020_000, 1_020_000),
            (20_000, 1000, 1, 1_020_000, 1_020_000),
            (20_001, 1000, 1, 1_040_000, 1_040_000),
            (5, 0, 1, 20_000, 20_000),
            (3, 30_000, 8, 30_020_000, 30_020_000),
            (3, 30_000, 9, 30_020_000, 30_000_003),
            (3, 30_000, 1000, 30_020_000, 30_000_003),
            (3, 366 * 24 * 3_600_000, 1, 31_622_400_020_000, 31_622_400_020_000),
        ] {
            let epoch = Instant::now();
            let at = |micros| epoch + Duration::from_micros(micros);
            let mut ticks = Ticks::since(epoch);
            let begin: Vec<_> = (0..passes).map(|_| ticks.begin(at(now), Duration::from_millis(wait))).collect();
            assert_eq!((begin.first(), begin.last()), (Some(&at(first)), Some(&at(last))), "{now} {wait} {passes}");
        }
    }

    #[test]
    fn ticks_that_are_over_are_forgotten() {
        let epoch = Instant::now();
        let mut ticks = Ticks::since(epoch);
        for pass in 0..1000 {
            ticks.begin(epoch + TICK * pass, TICK * 10);
        }
        assert_eq!(ticks.taken.len(), 11, "{ticks:?}");
    }

    /// Triggers can end the waits of many passes early, and their ticks stay taken.
    #[test]
    fn few_ticks_are_kept() {
        let epoch = Instant::now();
        let mut ticks = Ticks::since(epoch);
        for tick in 1..=u32::try_from(MOST).unwrap() + 10 {
            ticks.begin(epoch, TICK * tick);
        }
        assert_eq!(ticks.taken.len(), MOST);
    }
}
