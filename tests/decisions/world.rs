//! One tenant and its cloud, pass by pass, as `reconcile` leads them. The status between two passes is all that a
//! restart of the operator leaves.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use cloudtenant_operator::{
    api::{CloudTenantStatus, Policy, Reason, Source, condition_type as ty},
    condition,
    event::{self, EventReason, Notice},
    observation::{Caches, EngineAnswers, Outcome, Periods, Previous, ProbeKind, engines::EngineAnswer},
    status::{self, Engines, Look, Pass, condition_of},
    target::Target,
};
use jiff::Timestamp;
use serde_json::json;

use crate::{
    kstatus::said as said_by_tools,
    words::{START, caches, failure, later, list, usage},
};

#[derive(Clone)]
pub struct World {
    pub target: Target,
    pub generation: i64,
    pub now: Timestamp,
    pub stored: CloudTenantStatus,
    pub waited: bool,
    pub source: Option<Source>,
    pub answers: EngineAnswers,
    /// How far the cloud's clock is ahead of ours.
    pub ahead: i64,
    seen: u64,
    counted: u64,
    bad_in_row: [u32; 2],
    verdict_at: [Timestamp; 2],
    failures: [u32; 2],
    met_at: Timestamp,
    beats: BTreeMap<String, Timestamp>,
    told: BTreeSet<String>,
}

impl World {
    pub fn new() -> Self {
        let spec = json!({ "projectID": "p1", "cloudCredentialsRef": { "secretName": "cloud" } });
        Self {
            target: Target::new(&serde_json::from_value(spec).unwrap()).unwrap(),
            generation: 1,
            now: START,
            stored: serde_json::from_value(json!({ "observedGeneration": -1 })).unwrap(),
            waited: false,
            source: Some(source("a")),
            answers: EngineAnswers::default(),
            ahead: 0,
            seen: 0,
            counted: 0,
            bad_in_row: [0; 2],
            verdict_at: [START; 2],
            failures: [0; 2],
            met_at: START,
            beats: BTreeMap::new(),
            told: BTreeSet::new(),
        }
    }

    /// One that only looks at engines, every ten seconds.
    pub fn of_engines() -> Self {
        let mut world = Self::new();
        world.target.interval = Duration::from_secs(10);
        (world.target.caches.policy, world.target.usage.policy) = (Policy::Disabled, Policy::Disabled);
        world
    }

    /// The operator starts anew.
    pub fn restart(&mut self) {
        (self.answers, self.seen, self.failures) = (EngineAnswers::default(), 0, [0; 2]);
        (self.counted, self.bad_in_row) = (0, [0; 2]);
        (self.verdict_at, self.met_at) = ([self.now; 2], self.now);
    }

    /// Heat's answer in words: `200` and a list, `503`, `absent`, or a reason why there was none.
    pub fn hear(&mut self, words: &str) {
        let cloud_now = later(self.now, self.ahead);
        let outcome = if let Some(rows) = words.strip_prefix("200") {
            Outcome::Seen(EngineAnswer::Listed(Arc::new(list(rows, cloud_now, &mut self.beats))))
        } else {
            match words {
                words if words.starts_with("503") => {
                    // As long as Heat's RPC time-out is here.
                    let took = words.strip_prefix("503 took=").map_or(10, |took| took.parse().unwrap());
                    Outcome::Seen(EngineAnswer::Unanswered { sent: later(cloud_now, -took) })
                }
                "absent" => Outcome::NotOffered(None),
                "timeout" => Outcome::Failed(failure("Timeout", false)),
                other => Outcome::Failed(failure(&other[1..], other.starts_with('?'))),
            }
        };
        self.answers = std::mem::take(&mut self.answers).and(outcome, self.now);
    }

    /// What the tenant reads of Heat's answers.
    pub fn engines(&self) -> Look<Engines> {
        Look::at(Arc::new(self.answers.clone()), self.seen, 0, &self.stored)
    }

    /// What came of caches (0) or usage (1).
    fn look<T>(&mut self, probe: usize, word: &str, seen: impl Fn(&str) -> Option<T>) -> Look<T> {
        match word {
            "-" => return Look::NotDue,
            "..." => return Look::UnderWay,
            _ => {}
        }
        if let Some(reason) = word.strip_prefix(['!', '?']) {
            self.failures[probe] += 1;
            return Look::Failed(failure(reason, word.starts_with('?')), self.failures[probe]);
        }
        (self.failures[probe], self.verdict_at[probe]) = (0, self.now);
        if word == "absent" { Look::NotOffered(None) } else { Look::Seen(seen(word).unwrap()) }
    }

    /// A pass in words for engines, caches and usage.
    pub fn pass_in_words(&mut self, engines: &str, caches_: &str, usage_: &str) -> (CloudTenantStatus, Vec<Notice>) {
        let engines = match engines {
            "-" => Look::NotDue,
            "..." => Look::UnderWay,
            // The last answer, once more.
            "same" => self.engines(),
            words => {
                let words = match words {
                    "up" => "200 h1; h2",
                    "down" => "200 h1; h2 down",
                    "none" => "200",
                    other => other,
                };
                self.hear(words);
                self.engines()
            }
        };
        let now = self.now;
        let caches = self.look(0, caches_, caches);
        let usage = self.look(1, usage_, |word| Some(Periods { current: usage(word, now)?, previous: Previous::Kept }));
        self.pass(engines, caches, usage)
    }

    /// A pass of a tenant that only looks at engines.
    pub fn pass_in_words_of_engines(&mut self, words: &str) -> (CloudTenantStatus, Vec<Notice>) {
        self.hear(words);
        self.pass(self.engines(), Look::NotDue, Look::NotDue)
    }

    /// The same, from what Heat answered.
    pub fn pass_after(&mut self, outcome: Outcome<EngineAnswer>) -> (CloudTenantStatus, Vec<Notice>) {
        self.answers = std::mem::take(&mut self.answers).and(outcome, self.now);
        self.pass(self.engines(), Look::NotDue, Look::NotDue)
    }

    /// A pass: the new status, and what was told. What is told is told once.
    pub fn pass(
        &mut self,
        engines: Look<Engines>,
        caches: Look<Caches>,
        usage: Look<Periods>,
    ) -> (CloudTenantStatus, Vec<Notice>) {
        let target = self.target.clone();
        let mut pass = self.in_pass(&target, engines, caches, usage);
        if let Look::Seen(engines) = &pass.engines {
            self.seen = engines.answers.number;
        }
        if matches!(pass.usage, Look::Seen(_)) {
            self.verdict_at[1] = self.now;
            pass.verdict_at[2] = self.now;
        }
        let old = status::about(&self.stored, self.source.as_ref());
        self.count(&pass.engines, status::bad_verdicts(&pass, &old));
        pass.bad_in_row = self.bad_in_row;
        let new = status::compute(&pass, &old);
        // Whatever is computed here, kstatus, Flux and Argo CD have to understand.
        said_by_tools(self.generation, self.target.suspend, &new);
        let notices = event::transitions(&self.target, &self.stored, &new);
        if status::differs(&self.stored, &new) {
            for notice in &notices {
                let first = self.told.insert(notice.name("t", "uid"));
                // One name for ten minutes.
                let limited = notice.reason == EventReason::CacheErrorsIncreased;
                assert!(first || limited || self.saw_nothing_between(notice.reason), "told twice: {notice:?}");
            }
        } else {
            assert_eq!(notices, [], "told without a write");
        }
        if status::differs(&self.stored, &new) || status::is_heartbeat_due(&self.target, &self.stored, &new) {
            self.stored = serde_json::from_value(serde_json::to_value(&new).unwrap()).unwrap();
        }
        (new, notices)
    }

    /// A failure that follows another, with no verdict between, may have the other's name: it is no news.
    fn saw_nothing_between(&self, reason: EventReason) -> bool {
        let unknown = |kind: ProbeKind| {
            condition::find(&self.stored.conditions, condition_of(kind)).is_some_and(|found| found.status == "Unknown")
        };
        matches!(
            reason,
            EventReason::AuthenticationFailed | EventReason::ObservationFailed | EventReason::ObservationRecovered
        ) && ProbeKind::ALL.into_iter().any(unknown)
    }

    /// As `Tenant::count_bad`, whose own test is in `memory`.
    fn count(&mut self, engines: &Look<Engines>, verdicts: [Option<bool>; 2]) {
        let number = if let Look::Seen(seen) = engines { seen.answers.number } else { 0 };
        let news = [number > self.counted, true];
        self.counted = self.counted.max(number);
        for ((count, bad), new) in self.bad_in_row.iter_mut().zip(verdicts).zip(news) {
            *count = if bad == Some(false) { 0 } else { *count + u32::from(new && bad == Some(true)) };
        }
    }

    pub fn compute(&self, engines: Look<Engines>, caches: Look<Caches>, usage: Look<Periods>) -> CloudTenantStatus {
        let pass = self.in_pass(&self.target, engines, caches, usage);
        status::compute(&pass, &status::about(&self.stored, self.source.as_ref()))
    }

    fn in_pass<'a>(
        &self,
        target: &'a Target,
        engines: Look<Engines>,
        caches: Look<Caches>,
        usage: Look<Periods>,
    ) -> Pass<'a> {
        let answered = self.answers.answered_at.unwrap_or(self.met_at);
        let mut pass = Pass {
            target,
            generation: self.generation,
            engines,
            caches,
            usage,
            source: self.source.clone(),
            verdict_at: [answered, self.verdict_at[0], self.verdict_at[1]],
            bad_in_row: self.bad_in_row,
            waited: self.waited,
            handled: None,
            now: self.now,
        };
        pass.handled = pass.has_ended().then(|| "now".to_owned());
        pass
    }
}

pub fn source(host: &str) -> Source {
    Source { host: host.to_owned(), region: Some("R".to_owned()), ..Source::default() }
}

/// `reason summary up down forgotten unanswered`; without a block, the reason alone.
pub fn said(status: &CloudTenantStatus) -> String {
    let reason = reason_of(status, ty::ENGINES_HEALTHY);
    match &status.engines {
        None => reason,
        Some(block) => {
            assert_eq!(block.up + block.down, block.total);
            format!("{reason} {} {} {} {} {}", block.summary, block.up, block.down, block.forgotten, block.unanswered)
        }
    }
}

pub fn reason_of(status: &CloudTenantStatus, type_: &str) -> String {
    condition::reason(&status.conditions, type_).map_or("-", Reason::as_str).to_owned()
}

/// What was told, as `EngineDown h2, EngineRecovered`.
pub fn told(notices: &[Notice]) -> String {
    let words = notices.iter().map(|notice| format!("{} {}", notice.reason, notice.about).trim().to_owned());
    words.collect::<Vec<_>>().join(", ")
}

/// The cells of a table's lines, and the table with single blanks.
pub fn lines(table: &str) -> Vec<Vec<String>> {
    let clean = |cell: &str| cell.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines = table.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split('|').map(clean).collect()).collect()
}

/// Compares what came with what the table says, whole tables at once.
pub fn compare(name: &str, expected: &[Vec<String>], actual: &[Vec<String>]) {
    let text = |lines: &[Vec<String>]| lines.iter().map(|cells| cells.join(" | ")).collect::<Vec<_>>().join("\n");
    let (expected, actual) = (text(expected), text(actual));
    assert!(expected == actual, "{name}\nexpected:\n{expected}\nbut:\n{actual}\n");
}
