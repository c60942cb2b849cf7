//! Limits how often the operator writes a tenant's status. The cloud controls how often its answers differ.

use std::time::Duration;

use jiff::Timestamp;

use crate::observation::{ProbeKind, engine_answers::age};

/// Shortest time between two writes.
const PAUSE: Duration = Duration::from_secs(5);

/// Number of writes without a pause until the first pass after a user's change has ended. It covers the first write and
/// one for each probe that answers later. A user, or `helm --wait`, waits for them.
const AT_ONCE: usize = 1 + ProbeKind::ALL.len();

/// The latest writes of a tenant's status. This is kept in memory only, so a new leader may write at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Writes {
    /// Generation and hash of requestedAt of the latest writes.
    request: Option<(i64, u64)>,
    at_once: usize,
    last: Option<Timestamp>,
}

impl Writes {
    /// Notes a user's change. `requested` is a hash of requestedAt.
    pub fn note_request(&mut self, generation: i64, requested: u64) {
        if self.request.replace((generation, requested)) != Some((generation, requested)) {
            self.at_once = AT_ONCE;
        }
    }

    /// Returns how long a write has to wait, or `None` if it may happen now. `in_progress` means that the status lacks
    /// the result of the first pass after a user's change.
    #[must_use]
    pub fn wait(&self, in_progress: bool, now: Timestamp) -> Option<Duration> {
        if in_progress && self.at_once > 0 {
            return None;
        }
        // A clock that stepped back must not delay the write.
        let last = self.last.filter(|last| *last <= now)?;
        PAUSE.checked_sub(age(last, now)).filter(|left| !left.is_zero())
    }

    /// Call this after a write.
    pub fn wrote(&mut self, now: Timestamp) {
        self.last = Some(now);
        self.at_once = self.at_once.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Line = (i64, i64, u64, bool, u64);

    /// Each line: milliseconds | generation | requestedAt | whether the first pass has not ended | wait in
    /// milliseconds. The test writes if no wait is needed.
    #[test]
    fn one_write_in_five_seconds_after_those_that_a_user_waits_for() {
        let stories: [(&str, &[Line]); 5] = [
            (
                "one pass, and then answers that differ all the time",
                &[
                    (0, 1, 0, true, 0),
                    (100, 1, 0, false, 4900),
                    (4999, 1, 0, false, 1),
                    (5000, 1, 0, false, 0),
                    (5001, 1, 0, false, 4999),
                ],
            ),
            (
                "a first pass whose probes answer one after the other",
                &[(0, 1, 0, true, 0), (10, 1, 0, true, 0), (20, 1, 0, true, 0), (30, 1, 0, true, 0)],
            ),
            (
                "a first pass that a cloud does not let end",
                &[
                    (0, 1, 0, true, 0),
                    (1, 1, 0, true, 0),
                    (2, 1, 0, true, 0),
                    (3, 1, 0, true, 0),
                    (4, 1, 0, true, 4999),
                    (5003, 1, 0, true, 0),
                    (5004, 1, 0, true, 4999),
                ],
            ),
            (
                "a new generation, and a new requestedAt",
                &[
                    (0, 1, 0, true, 0),
                    (1, 2, 0, true, 0),
                    (2, 2, 0, false, 4999),
                    (3, 2, 7, true, 0),
                    (4, 2, 7, false, 4999),
                ],
            ),
            (
                "a clock that is put back",
                &[(90_000, 1, 0, true, 0), (90_001, 1, 0, false, 4999), (80_000, 1, 0, false, 0)],
            ),
        ];
        for (name, lines) in stories {
            let mut writes = Writes::default();
            for (millisecond, generation, requested, in_progress, wait) in lines {
                let now = Timestamp::from_millisecond(1_795_320_000_000 + millisecond).unwrap();
                writes.note_request(*generation, *requested);
                let waits = writes.wait(*in_progress, now);
                assert_eq!(waits.unwrap_or_default(), Duration::from_millis(*wait), "{name}: {millisecond}");
                if waits.is_none() {
                    writes.wrote(now);
                }
            }
        }
    }
}
