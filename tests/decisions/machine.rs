//! The state machine under random observations, restarts and steps of the clock. Each invariant is a function.

use cloudtenant_operator::{
    api::{CloudTenantStatus, Reason, condition_type as ty, reason::Class},
    decide::{
        condition,
        event::{EventReason, Notice},
        status::differs,
    },
    observation::{ByProbe, ProbeKind},
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use proptest::{collection::vec, prelude::*, sample::select, test_runner::TestCaseError};
use serde_json::Value;

use crate::{
    words::later,
    world::{World, reason_of},
};

type Checked = Result<(), TestCaseError>;

/// What happens before a pass.
#[derive(Debug, Clone, Copy)]
enum Between {
    /// Time passes.
    Seconds(i64),
    /// The operator's clock steps back.
    StepBack(i64),
    /// The operator starts again.
    Restart,
    /// The tenant is suspended, or no longer.
    Suspend(bool),
}

/// What the probes return in a pass, as in the tables of passes.
type Words = [&'static str; 3];

fn between() -> impl Strategy<Value = Between> {
    prop_oneof![
        8 => (5_i64..400).prop_map(Between::Seconds),
        2 => (400_i64..20_000).prop_map(Between::Seconds),
        1 => (1_i64..8_000).prop_map(Between::StepBack),
        1 => Just(Between::Restart),
        1 => prop::bool::weighted(0.3).prop_map(Between::Suspend),
    ]
}

fn words() -> impl Strategy<Value = Words> {
    let failures = ["-", "-", "...", "absent", "?ServerError", "?RateLimited", "!Timeout", "!Forbidden"];
    let with = |own: &[&'static str]| select([own, own, &failures[..]].concat());
    let one = (
        with(&["up", "up", "down", "503", "none"]),
        with(&["ok", "ok", "err", "err9", "create"]),
        with(&["full", "full9", "cut", "unpaged"]),
    );
    let missing = select(vec!["!SecretNotFound", "!AuthenticationFailed"]).prop_map(|word| [word; 3]);
    prop_oneof![9 => one.prop_map(|(engines, caches, usage)| [engines, caches, usage]), 1 => missing]
}

/// Whether the word is an answer of the service.
fn is_answer(word: &str) -> bool {
    !word.starts_with(['!', '?', '-', '.']) && word != "absent"
}

fn is_unhealthy(word: &str) -> bool {
    word == "down" || word == "503" || word.starts_with("err") || word == "create"
}

/// A pass, and what was known before it.
struct Step<'a> {
    before: &'a CloudTenantStatus,
    after: &'a CloudTenantStatus,
    notices: &'a [Notice],
    words: Words,
    now: Timestamp,
    /// The clock has stepped back in this story.
    stepped_back: bool,
    /// When each probe last answered, or since when the operator asks.
    answered: ByProbe<Option<Timestamp>>,
    world: &'a World,
}

impl Step<'_> {
    fn condition(status: &CloudTenantStatus, kind: ProbeKind) -> Option<&Condition> {
        condition::find(&status.conditions, kind.condition_type())
    }

    fn is(status: &CloudTenantStatus, kind: ProbeKind, word: &str) -> bool {
        Self::condition(status, kind).is_some_and(|condition| condition.status == word)
    }

    fn reason(status: &CloudTenantStatus, kind: ProbeKind) -> Option<Reason> {
        condition::reason(&status.conditions, kind.condition_type())
    }

    fn word(&self, kind: ProbeKind) -> &'static str {
        self.words[kind as usize]
    }

    /// A condition is True only if the probe has answered, and not too long ago.
    fn true_needs_an_observation(&self) -> Checked {
        for kind in ProbeKind::ALL {
            if !Self::is(self.after, kind, "True") {
                continue;
            }
            let Some(answered) = self.answered[kind] else {
                return Err(TestCaseError::fail(format!("{kind} is True and has never answered")));
            };
            let age = self.now.duration_since(answered);
            let valid = self.world.target.valid_for(kind);
            prop_assert!(age <= jiff::SignedDuration::try_from(valid).unwrap(), "{} is True after {}", kind, age);
        }
        Ok(())
    }

    /// A condition becomes False only by an unhealthy answer. Heat's answer may also confirm what the data still say:
    /// after a 503, several lists are needed.
    fn false_needs_an_unhealthy_answer(&self) -> Checked {
        for kind in ProbeKind::ALL {
            let becomes = Self::is(self.after, kind, "False") && !Self::is(self.before, kind, "False");
            let word = self.word(kind);
            let block = self.before.engines.as_ref().filter(|_| kind == ProbeKind::Engines && is_answer(word));
            let confirms = block.is_some_and(|block| block.unanswered > 0 || block.down > 0);
            prop_assert!(!becomes || is_unhealthy(word) || confirms, "{} is False by {}", kind, word);
        }
        Ok(())
    }

    /// A transition time changes exactly with the status of its condition.
    fn transition_times_change_with_the_status(&self) -> Checked {
        for now in &self.after.conditions {
            let Some(before) = condition::find(&self.before.conditions, &now.type_) else { continue };
            let moved = before.last_transition_time != now.last_transition_time;
            // A clock that stepped back may read the same second again.
            let may_agree = self.stepped_back && before.status != now.status;
            prop_assert!(moved == (before.status != now.status) || may_agree, "{before:?} {now:?}");
        }
        Ok(())
    }

    /// Data come from an answer of this pass, or are those of before.
    fn data_are_never_invented(&self) -> Checked {
        let data = |status: &CloudTenantStatus| {
            let mut blocks = serde_json::to_value(status).unwrap();
            blocks["engines"].as_object_mut().into_iter().for_each(|block| block.retain(|name, _| name != "summary"));
            blocks
        };
        let (before, after) = (data(self.before), data(self.after));
        for (kind, block) in
            [(ProbeKind::Engines, "engines"), (ProbeKind::Caches, "caches"), (ProbeKind::Usage, "usage")]
        {
            let same = before[block] == after[block] || after[block] == Value::Null;
            // Heat's last answer may be judged again.
            let may_change = is_answer(self.word(kind)) || kind == ProbeKind::Engines;
            prop_assert!(same || may_change, "{} became {} by {}", before[block], after[block], self.word(kind));
        }
        let hours = after.pointer("/usage/serverHours").and_then(Value::as_str);
        prop_assert!(hours.is_none_or(|hours| ["1.5", "18"].contains(&hours)), "{hours:?}");
        Ok(())
    }

    /// The time of an observation moves back only if the clock did: the time before is in the future.
    fn observation_times_move_forward(&self) -> Checked {
        for kind in ProbeKind::ALL {
            let observed = |status: &CloudTenantStatus| status.block_observed_at(kind).map(|at| at.0);
            let (before, after) = (observed(self.before), observed(self.after));
            let was_ahead = before.is_some_and(|before| before > self.now);
            prop_assert!(was_ahead || after.is_none() || before <= after, "{} {:?} {:?}", kind, before, after);
        }
        Ok(())
    }

    /// A probe that begins to fail has an event, and a status that does not change has none.
    fn events_are_those_of_transitions(&self) -> Checked {
        prop_assert!(differs(self.before, self.after) || self.notices.is_empty(), "{:?}", self.notices);
        let fails = |status: &CloudTenantStatus, kind| {
            let reason = Self::reason(status, kind).filter(|reason| !reason.may_still_arrive());
            reason.is_some_and(|reason| matches!(reason.class(), Class::Passing | Class::Stalled))
        };
        let begins = ProbeKind::ALL.into_iter().any(|kind| {
            let was_missing = Self::reason(self.before, kind).is_some_and(Reason::may_still_arrive);
            fails(self.after, kind) && !fails(self.before, kind) && !was_missing
        });
        let told = self
            .notices
            .iter()
            .any(|notice| matches!(notice.reason, EventReason::ObservationFailed | EventReason::AuthenticationFailed));
        let refused = |status: &CloudTenantStatus| {
            ProbeKind::ALL.into_iter().any(|kind| Self::reason(status, kind) == Some(Reason::AuthenticationFailed))
        };
        // A refused login explains the failures that follow from it.
        prop_assert!(told || !begins || refused(self.before), "{:?}", self.notices);
        Ok(())
    }

    /// Ready is the worst of the conditions that count.
    fn ready_is_the_worst(&self) -> Checked {
        let counted: Vec<_> = ProbeKind::ALL
            .into_iter()
            .filter(|kind| Self::reason(self.after, *kind) != Some(Reason::ServiceNotOffered))
            .filter_map(|kind| Self::condition(self.after, kind))
            .map(|condition| condition.status.as_str())
            .collect();
        let worst = ["False", "Unknown"].into_iter().find(|word| counted.contains(word));
        let expected = if counted.is_empty() { "Unknown" } else { worst.unwrap_or("True") };
        let ready = condition::find(&self.after.conditions, ty::READY).unwrap();
        prop_assert_eq!(&ready.status, expected, "{:?}", counted);
        Ok(())
    }

    /// Stalled is present exactly if a person has to act, once the first pass has ended.
    fn stalled_needs_a_person(&self) -> Checked {
        let reasons: Vec<_> = ProbeKind::ALL.into_iter().filter_map(|kind| Self::reason(self.after, kind)).collect();
        if reasons.iter().any(|reason| reason.may_still_arrive()) {
            return Ok(());
        }
        let needs = reasons.iter().any(|reason| reason.class() == Class::Stalled)
            || reason_of(self.after, ty::READY) == Reason::NothingObserved.as_str();
        let has = |type_| condition::find(&self.after.conditions, type_).is_some();
        prop_assert_eq!(has(ty::STALLED), needs && !has(ty::RECONCILING), "{:?}", reasons);
        Ok(())
    }

    /// While the tenant is suspended, conditions and data stay.
    fn suspended_changes_nothing(&self) -> Checked {
        prop_assert_eq!(self.notices.len(), 0);
        for kind in ProbeKind::ALL {
            let reasons = (Self::reason(self.before, kind), Self::reason(self.after, kind));
            prop_assert!(reasons.0.is_none() || reasons.0 == reasons.1, "{:?}", reasons);
        }
        Ok(())
    }

    fn holds(&self) -> Checked {
        self.transition_times_change_with_the_status()?;
        self.data_are_never_invented()?;
        self.observation_times_move_forward()?;
        if self.world.target.suspend {
            return self.suspended_changes_nothing();
        }
        self.true_needs_an_observation()?;
        self.false_needs_an_unhealthy_answer()?;
        self.events_are_those_of_transitions()?;
        self.ready_is_the_worst()?;
        self.stalled_needs_a_person()
    }
}

fn run(steps: Vec<(Between, Words)>, threshold: u32) -> Checked {
    let mut world = World::new();
    world.set_thresholds(threshold);
    let mut answered = ByProbe::<Option<Timestamp>>::default();
    let (mut is_new, mut stepped_back, mut events) = (true, false, 0);
    for (between, words) in steps {
        stepped_back |= matches!(between, Between::StepBack(_));
        match between {
            Between::Seconds(seconds) => world.now = later(world.now, seconds),
            Between::StepBack(seconds) => {
                world.now = later(world.now, -seconds);
                // Deadlines move with the clock.
                answered.values_mut().flatten().for_each(|at| *at = later(*at, -seconds));
            }
            Between::Restart => {
                world.restart();
                (is_new, world.now) = (true, later(world.now, 5));
            }
            Between::Suspend(suspend) => {
                world.target.suspend = suspend;
                world.now = later(world.now, 5);
            }
        }
        let words = if world.target.suspend { ["-"; 3] } else { words };
        let is_missing = words[0] == words[1] && words[0].starts_with("!Secret");
        let before = world.stored.clone();
        let [engines, caches, usage] = words;
        let (after, notices) = world.pass_in_words(engines, caches, usage);
        for kind in ProbeKind::ALL {
            if is_answer(words[kind as usize]) {
                answered[kind] = Some(world.now);
            } else if is_new && answered[kind].is_some() {
                // The age of a verdict is counted from the start of the process, or of the cloud's use, at the earliest.
                answered[kind] = answered[kind].max(Some(world.now));
            }
        }
        is_new = is_missing || world.target.suspend;
        events += notices.len();
        if events >= 25 {
            // From here on the number of events is limited.
            return Ok(());
        }
        let now = world.now;
        let step = Step {
            before: &before,
            after: &after,
            notices: &notices,
            words,
            now,
            stepped_back,
            answered,
            world: &world,
        };
        step.holds()?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_invariants_hold_in_every_story(steps in vec((between(), words()), 1..30), threshold in 1_u32..4) {
        run(steps, threshold)?;
    }
}
