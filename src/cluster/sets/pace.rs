//! Limits how many CloudTenants a set writes a minute.

use std::{collections::VecDeque, time::Duration};

use jiff::Timestamp;

use crate::observation::engine_answers::age;

/// The time in which the number of writes is limited.
const WINDOW: Duration = Duration::from_secs(60);

/// The writes of one set in the last minute. This is kept in memory only, so a new leader may write at once.
#[derive(Debug, Default)]
pub(super) struct Pace(VecDeque<Timestamp>);

impl Pace {
    /// Takes one of `most` writes a minute.
    ///
    /// # Errors
    /// Returns the wait until the next write if there is none left.
    pub(super) fn take(&mut self, most: u32, now: Timestamp) -> Result<(), Duration> {
        match self.wait(most, now) {
            Some(wait) => Err(wait),
            None => {
                self.0.push_back(now);
                Ok(())
            }
        }
    }

    /// The number of writes that are left of `most` a minute.
    pub(super) fn left(&mut self, most: u32, now: Timestamp) -> usize {
        self.forget(now);
        (most as usize).saturating_sub(self.0.len())
    }

    /// The wait until the next write. `None` if there is one left.
    pub(super) fn wait(&mut self, most: u32, now: Timestamp) -> Option<Duration> {
        self.forget(now);
        let first = self.0.front().filter(|_| self.0.len() >= most as usize);
        first.map(|first| WINDOW.saturating_sub(age(*first, now)))
    }

    fn forget(&mut self, now: Timestamp) {
        // A clock that stepped back must not delay writes.
        while self.0.front().is_some_and(|first| *first > now || age(*first, now) >= WINDOW) {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line: seconds | the wait in seconds, of three writes a minute.
    #[test]
    fn no_minute_has_more_writes_than_allowed() {
        let mut pace = Pace::default();
        for (second, wait) in [
            (1000, 0),
            (1010, 0),
            (1010, 0),
            (1010, 50),
            (1059, 1),
            (1060, 0),
            (1060, 10),
            (1070, 0),
            (1070, 0),
            (1070, 50),
            (900, 0),
        ] {
            let taken = pace.take(3, Timestamp::from_second(second).unwrap());
            assert_eq!(taken.err().unwrap_or_default(), Duration::from_secs(wait), "{second}");
        }
    }
}
