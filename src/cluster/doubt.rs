//! Doubts refusals until they have lasted. A kube-apiserver that has just started answers 403 to everything until it
//! knows the rights.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// Time from the first refusal until another one is a verdict.
pub(super) const DOUBTED: Duration = Duration::from_secs(15);

/// A time that some clock shows.
pub(super) trait Moment: Copy {
    /// The time since an earlier moment. `None` if the clock has stepped back since.
    fn since(self, earlier: Self) -> Option<Duration>;
}

impl Moment for Instant {
    fn since(self, earlier: Self) -> Option<Duration> {
        self.checked_duration_since(earlier)
    }
}

impl Moment for Timestamp {
    fn since(self, earlier: Self) -> Option<Duration> {
        self.duration_since(earlier).try_into().ok()
    }
}

/// When the API server first refused something, without another answer since then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Doubt<T>(Option<T>);

impl<T> Default for Doubt<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Moment> Doubt<T> {
    /// Notes a refusal. Returns whether it is a verdict.
    pub(super) fn refused(&mut self, now: T) -> bool {
        let since = *self.0.get_or_insert(now);
        let lasted = now.since(since);
        if lasted.is_none() {
            self.0 = Some(now);
        }
        lasted.is_some_and(|lasted| lasted >= DOUBTED)
    }

    /// Notes that there was another answer, or none at all.
    pub(super) fn ended(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line: seconds at which there is a refusal, or another answer | which refusals are verdicts.
    #[test]
    fn a_refusal_counts_once_it_has_lasted() {
        const ENDED: bool = false;
        const REFUSED: bool = true;
        for (name, answers, verdicts) in [
            ("a start", vec![(0, REFUSED), (5, REFUSED), (14, REFUSED)], ""),
            ("a missing right", vec![(0, REFUSED), (15, REFUSED), (60, REFUSED)], "15 60"),
            ("two starts", vec![(0, REFUSED), (1, ENDED), (60, REFUSED), (74, REFUSED)], ""),
            ("the clock steps back", vec![(100, REFUSED), (10, REFUSED), (24, REFUSED), (25, REFUSED)], "25"),
        ] {
            let mut doubt = Doubt::default();
            let mut found = Vec::new();
            for (second, answer) in answers {
                let now = Timestamp::from_second(second).unwrap();
                if answer == ENDED {
                    doubt.ended();
                } else if doubt.refused(now) {
                    found.push(second.to_string());
                }
            }
            assert_eq!(found.join(" "), verdicts, "{name}");
        }
    }
}
