//! Computes when each probe's next query is due.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::{
    api::Reason,
    observation::{
        Outcome, ProbeFailure,
        engine_answers::{EngineAnswer, shift},
    },
};

/// Wait after the first failure, unless the cloud's Retry-After is longer.
pub const FIRST_RETRY: Duration = Duration::from_secs(15);

/// Shortest scheduled wait after an answer or a failure, whatever Retry-After the cloud sends.
pub const LEAST_PAUSE: Duration = Duration::from_secs(5);

/// Time over which a started operator spreads the first queries of its tenants.
const START_SPREAD: Duration = Duration::from_secs(30);

/// The schedule of one probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeSchedule {
    /// When the next query is due.
    pub next: Timestamp,
    /// Number of consecutive failures.
    pub failures: u32,
    /// Time of the last verdict, or of the first query.
    pub verdict_at: Timestamp,
    /// Earliest time of the next query after the cloud sent Retry-After, or after a refused login.
    pub not_before: Option<Timestamp>,
}

impl ProbeSchedule {
    /// Returns the first schedule. A probe without an observation is due at once. Otherwise the query is due one
    /// interval after the observation; overdue queries are spread over `START_SPREAD`. `share` is the tenant's stable
    /// fraction from 0 to 1.
    #[must_use]
    pub fn first(observed_at: Option<Timestamp>, interval: Duration, share: f64, now: Timestamp) -> Self {
        let next = match observed_at {
            None => now,
            Some(at) => after(at, shortened(interval, share))
                .max(after(now, interval.min(START_SPREAD).mul_f64(share)))
                .min(after(now, interval)),
        };
        Self { next, failures: 0, verdict_at: now, not_before: None }
    }

    /// Schedules the next query after a verdict. The jitter only shortens the interval.
    pub fn seen(&mut self, interval: Duration, share: f64, now: Timestamp) {
        let wait = shortened(interval, share).max(LEAST_PAUSE);
        *self = Self { next: after(now, wait), failures: 0, verdict_at: now, not_before: None };
    }

    /// Schedules the next query after a failure, with exponential backoff of at most the interval. Retry-After takes
    /// precedence.
    pub fn failed(&mut self, failure: &ProbeFailure, interval: Duration, share: f64, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        let wait = backoff(self.failures).min(shortened(interval, share)).max(LEAST_PAUSE);
        self.not_before = failure.retry_after.map(|wait| after(now, wait.max(LEAST_PAUSE)));
        self.next = after(now, wait).max(self.not_before.unwrap_or(now));
    }

    /// Schedules the next call to Heat after its answer. Returns whether the call was given up: Heat may still be busy
    /// with it, so the next one waits for the interval.
    pub fn heard(&mut self, outcome: &Outcome<EngineAnswer>, interval: Duration, now: Timestamp) -> bool {
        match outcome {
            Outcome::Seen(EngineAnswer::Listed(_)) | Outcome::NotOffered(_) => self.seen(interval, 0.0, now),
            // Another engine may contradict a 503 of Heat's own.
            Outcome::Seen(EngineAnswer::Unanswered { .. }) => self.seen(LEAST_PAUSE, 0.0, now),
            Outcome::Failed(failure) => {
                self.failed(failure, interval, 0.0, now);
                // A transient time-out belongs to another service, for example at login.
                let gave_up = failure.reason == Reason::Timeout && !failure.transient;
                if gave_up {
                    self.next = after(now, interval);
                }
                return gave_up;
            }
        }
        false
    }

    /// Makes the probe due now because a user requested it. The wait of Retry-After still applies.
    pub fn hurry(&mut self, now: Timestamp) {
        self.next = self.not_before.unwrap_or(now).max(now);
    }

    /// Moves all times by this duration after the local clock was set.
    pub fn shift(&mut self, by: SignedDuration) {
        let others = [&mut self.next, &mut self.verdict_at].into_iter();
        others.chain(&mut self.not_before).for_each(|at| shift(at, by));
    }

    /// Whether a query is due.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.next <= now
    }
}

/// Returns the wait after this number of consecutive failures.
#[must_use]
pub fn backoff(failures: u32) -> Duration {
    FIRST_RETRY * 2_u32.saturating_pow(failures.saturating_sub(1).min(12))
}

/// Returns the interval, reduced by up to a tenth.
#[must_use]
pub fn shortened(interval: Duration, share: f64) -> Duration {
    interval.mul_f64(1.0 - 0.1 * share.clamp(0.0, 1.0))
}

/// Returns the time `wait` later.
#[must_use]
pub fn after(at: Timestamp, wait: Duration) -> Timestamp {
    at.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn failure(retry_after: Option<u64>) -> ProbeFailure {
        ProbeFailure {
            reason: Reason::RateLimited,
            message: String::new(),
            retry_after: retry_after.map(Duration::from_secs),
            transient: true,
        }
    }

    #[test]
    fn the_first_turn() {
        let interval = Duration::from_secs(300);
        for (name, observed, share, next) in [
            ("never visited: at once", None, 0.5, 1000),
            ("not due yet: when it would have been", Some(900), 0.0, 1200),
            ("long due: spread over half a minute", Some(0), 0.5, 1015),
            ("a clock that was ahead: within the interval", Some(9000), 0.0, 1300),
        ] {
            assert_eq!(ProbeSchedule::first(observed.map(at), interval, share, at(1000)).next, at(next), "{name}");
        }
    }

    #[test]
    fn failures_wait_longer_and_longer_up_to_the_interval() {
        let mut schedule = ProbeSchedule::first(None, Duration::from_secs(300), 0.0, at(0));
        let mut waits = Vec::new();
        for _ in 0..7 {
            schedule.failed(&failure(None), Duration::from_secs(300), 0.0, at(0));
            waits.push(schedule.next.as_second());
        }
        assert_eq!(waits, [15, 30, 60, 120, 240, 300, 300]);
        schedule.seen(Duration::from_secs(300), 1.0, at(0));
        assert_eq!((schedule.next, schedule.failures), (at(270), 0));
    }

    #[test]
    fn retry_after_takes_precedence_over_interval_and_request() {
        let mut schedule = ProbeSchedule::first(None, Duration::from_secs(10), 0.0, at(0));
        schedule.failed(&failure(Some(120)), Duration::from_secs(10), 0.0, at(0));
        assert_eq!(schedule.next, at(120));
        schedule.hurry(at(5));
        assert_eq!(schedule.next, at(120));
        schedule.failed(&failure(None), Duration::from_secs(10), 0.0, at(130));
        schedule.hurry(at(131));
        assert_eq!(schedule.next, at(131));
    }

    /// Each line: the interval, the cloud's Retry-After, whether a user requests a query now; the wait.
    #[test]
    fn no_pause_that_a_cloud_can_influence_is_below_five_seconds() {
        for (name, interval, retry_after, hurry, pause) in [
            ("Retry-After: 0", 10, Some(0), false, 9),
            ("Retry-After: 0, and a person asks for it", 10, Some(0), true, 5),
            ("Retry-After: 1, and a person asks for it", 10, Some(1), true, 5),
            ("Retry-After: 7, and a person asks for it", 10, Some(7), true, 7),
            ("no Retry-After, and a person asks for it", 10, None, true, 0),
            ("an interval of nothing", 0, Some(0), false, 5),
        ] {
            let interval = Duration::from_secs(interval);
            let mut schedule = ProbeSchedule::first(None, interval, 1.0, at(0));
            for _ in 0..3 {
                schedule.seen(interval, 1.0, at(0));
                assert!(schedule.next >= at(5), "{name}: after an answer");
                schedule.failed(&failure(retry_after), interval, 1.0, at(0));
            }
            if hurry {
                schedule.hurry(at(0));
            }
            assert_eq!(schedule.next, at(pause), "{name}");
        }
    }

    #[test]
    fn a_clock_that_steps_back_moves_all_times() {
        let mut schedule = ProbeSchedule::first(None, Duration::from_secs(300), 0.0, at(7200));
        schedule.failed(&failure(Some(60)), Duration::from_secs(300), 0.0, at(7210));
        schedule.shift(SignedDuration::from_hours(-1));
        assert_eq!((schedule.next, schedule.not_before, schedule.verdict_at), (at(3670), Some(at(3670)), at(3600)));
    }
}
