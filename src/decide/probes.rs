//! The memory of each probe between two passes.

use jiff::{SignedDuration, Timestamp};

use super::{Answer, EnginesAnswer, Shared};
use crate::{
    api::CloudTenantStatus,
    decide::{
        schedule::ProbeSchedule,
        status::{Engines, Observation},
    },
    observation::{Data, Outcome, engine_answers::shift},
};

/// Number of consecutive unhealthy observations. Each counts once, although a pass is repeated if its write failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Streak(u32);

impl Streak {
    /// Counts an observation and returns the length of the streak. `None` means that there is no observation.
    pub(super) const fn count(&mut self, is_new: bool, unhealthy: Option<bool>) -> u32 {
        match unhealthy {
            Some(true) if is_new => self.0 = self.0.saturating_add(1),
            Some(false) => self.0 = 0,
            Some(true) | None => {}
        }
        self.0
    }
}

/// The time since which something is missing, and the number of consecutive passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Absence {
    pub(super) since: Timestamp,
    pub(super) times: u32,
}

impl Absence {
    pub(super) fn again(before: Option<Self>, now: Timestamp) -> Self {
        let before = before.unwrap_or(Self { since: now, times: 0 });
        Self { times: before.times.saturating_add(1), ..before }
    }
}

/// The memory of one probe. The engines' queries are not the tenant's own: they have no due time and no observation
/// here, and [`EnginesProbe`] remembers the rest.
#[derive(Debug, Clone)]
pub struct ProbeMemory {
    /// When the next query is due, and the time of the last verdict.
    pub(super) turn: ProbeSchedule,
    /// The observation that the status does not contain yet. Boxed, since most of the time there is none.
    found: Option<Box<Observation<Data>>>,
    /// The streak includes the latest observation.
    is_counted: bool,
    pub(super) streak: Streak,
}

impl ProbeMemory {
    pub(super) fn new(turn: ProbeSchedule) -> Self {
        Self { turn, found: None, is_counted: true, streak: Streak::default() }
    }

    /// Stores the answer and returns the current observation. `next` sets when the next query is due.
    pub(super) fn observe(
        &mut self,
        answer: Answer,
        next: &impl Fn(&mut ProbeSchedule, &Outcome<Data>),
    ) -> Observation<Data> {
        let outcome = match answer {
            Answer::Nothing => return self.found.as_deref().cloned().unwrap_or(Observation::NotDue),
            Answer::UnderWay => return Observation::UnderWay,
            Answer::Came(outcome) => outcome,
        };
        next(&mut self.turn, &outcome);
        let found = match outcome {
            Outcome::Seen(seen) => {
                self.is_counted = false;
                Observation::Seen(seen)
            }
            Outcome::NotOffered(elsewhere) => Observation::NotOffered(elsewhere),
            Outcome::Failed(failure) => Observation::Failed(failure, self.turn.failures),
        };
        self.found = Some(Box::new(found.clone()));
        found
    }

    /// Counts the latest observation once.
    pub(super) const fn count(&mut self, unhealthy: Option<bool>) -> u32 {
        let is_new = !std::mem::replace(&mut self.is_counted, true);
        self.streak.count(is_new, unhealthy)
    }

    /// Call this once the status contains the observation.
    pub(super) fn commit(&mut self) {
        self.found = None;
    }

    /// Drops the observation and makes a query due now.
    pub(super) fn reset(&mut self, now: Timestamp) {
        self.found = None;
        self.turn = ProbeSchedule { next: now, failures: 0, not_before: None, ..self.turn.clone() };
    }
}

/// What is remembered of the engines' probe besides its [`ProbeMemory`].
#[derive(Debug, Clone, Default)]
pub struct EnginesProbe {
    /// The subscription that the numbers below belong to.
    subscription: u64,
    /// Number of the answer that the status contains.
    judged: u64,
    /// Number of the latest answer in the streak.
    counted: u64,
    /// The time since which the engines' own entry of clouds.yaml has been missing.
    pub(super) missing: Option<Absence>,
}

impl EnginesProbe {
    /// Stores Heat's answers. Returns the observation for this tenant and whether it serves the tenant's latest
    /// request.
    pub(super) fn observe(
        &mut self,
        answer: EnginesAnswer,
        old: &CloudTenantStatus,
        now: Timestamp,
    ) -> (Observation<Engines>, bool) {
        match answer {
            EnginesAnswer::NotAsked => self.missing = None,
            EnginesAnswer::NotOffered(elsewhere) => {
                self.missing = None;
                return (Observation::NotOffered(elsewhere), true);
            }
            EnginesAnswer::Shared(shared) => {
                self.missing = None;
                return (self.read(&shared, old), shared.serves_request);
            }
            EnginesAnswer::Missing(failure, shared) => {
                let missing = Absence::again(self.missing, now);
                self.missing = Some(missing);
                return match shared {
                    Some(shared) => (self.read(&shared, old), shared.serves_request),
                    None => {
                        // The first failure may pass by itself. The second one is in the status, and answers the request.
                        let serves_request = !failure.transient || missing.times > 1;
                        (Observation::Failed(failure, missing.times), serves_request)
                    }
                };
            }
        }
        (Observation::NotDue, true)
    }

    fn read(&mut self, shared: &Shared, old: &CloudTenantStatus) -> Observation<Engines> {
        if shared.subscription != self.subscription {
            (self.subscription, self.judged, self.counted) = (shared.subscription, 0, 0);
        }
        if !shared.is_current {
            return Observation::UnderWay;
        }
        Observation::at(shared.answers.clone(), self.judged, old)
    }

    /// Counts the answer with this number once.
    pub(super) fn count(&mut self, streak: &mut Streak, number: u64, unhealthy: Option<bool>) -> u32 {
        let is_new = number > self.counted;
        self.counted = self.counted.max(number);
        streak.count(is_new, unhealthy)
    }

    /// Call this once the status contains the answer with this number.
    pub(super) fn commit(&mut self, number: Option<u64>) {
        self.judged = number.unwrap_or(self.judged);
    }

    /// Moves all times by this duration after the local clock was set.
    pub(super) fn shift(&mut self, by: SignedDuration) {
        let since = self.missing.iter_mut().map(|missing| &mut missing.since);
        since.for_each(|at| shift(at, by));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        api::Reason,
        observation::{Caches, ProbeFailure},
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_795_320_000 + second).unwrap()
    }

    /// A pass whose write failed is repeated with the same answers. They do not count again.
    #[test]
    fn an_answer_of_heat_counts_once() {
        let (mut engines, mut streak) = (EnginesProbe::default(), Streak::default());
        for (name, number, unhealthy, counted) in [
            ("the first", 1, Some(true), 1),
            ("the same once more", 1, Some(true), 1),
            ("another", 2, Some(true), 2),
            ("nothing new", 2, None, 2),
            ("could not see", 0, None, 2),
            ("under way", 0, None, 2),
            ("another", 3, Some(true), 3),
            ("a good one", 4, Some(false), 0),
            ("a bad one", 5, Some(true), 1),
        ] {
            assert_eq!(engines.count(&mut streak, number, unhealthy), counted, "{name}");
        }
    }

    #[test]
    fn an_answer_of_dcs_counts_once() {
        let mut caches = ProbeMemory::new(ProbeSchedule::first(None, std::time::Duration::ZERO, 0.0, at(0)));
        for (name, comes, unhealthy, counted) in [
            ("the first", true, Some(true), 1),
            ("the same once more", false, Some(true), 1),
            ("another", true, Some(true), 2),
            ("a good one", true, Some(false), 0),
            ("a bad one", true, Some(true), 1),
        ] {
            let answer =
                if comes { Answer::Came(Outcome::Seen(Data::Caches(Caches::default()))) } else { Answer::Nothing };
            let observation = caches.observe(answer, &|_, _| {});
            assert!(matches!(observation, Observation::Seen(_)), "{name}");
            assert_eq!(caches.count(unhealthy), counted, "{name}");
        }
    }

    /// The entry for the engines alone may be missing while the main entry is usable.
    #[test]
    fn the_engines_own_entry() {
        let mut engines = EnginesProbe::default();
        let old = CloudTenantStatus::default();
        let failure = |reason, transient| ProbeFailure { reason, message: String::new(), retry_after: None, transient };
        let passing = || failure(Reason::ConnectionFailed, true);
        let missing = || failure(Reason::CloudNotFound, false);
        let shared = || Shared { subscription: 1, answers: Arc::default(), is_current: true, serves_request: true };
        let words = |(observation, _): (Observation<Engines>, bool)| match observation {
            Observation::Failed(failure, times) => format!("{} {times}", failure.reason),
            other => format!("{other:?}"),
        };
        let mut miss = |failure, shared, second| {
            let answer = EnginesAnswer::Missing(failure, shared);
            (words(engines.observe(answer, &old, at(second))), engines.missing.map(|missing| missing.since))
        };
        assert_eq!(miss(passing(), None, 0), ("ConnectionFailed 1".to_owned(), Some(at(0))), "one is no verdict");
        let since = Some(at(0));
        assert_eq!(miss(passing(), None, 15), ("ConnectionFailed 2".to_owned(), since), "since the first");
        let _ = engines.observe(EnginesAnswer::Shared(shared()), &old, at(20));
        assert_eq!(engines.missing, None);
        let mut miss =
            |failure, shared, second| words(engines.observe(EnginesAnswer::Missing(failure, shared), &old, at(second)));
        assert_eq!(miss(passing(), Some(shared()), 30), "UnderWay", "what is known stays in use");
        assert_eq!(miss(missing(), None, 40), "CloudNotFound 2");
    }
}
