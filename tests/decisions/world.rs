//! One tenant and its cloud, pass by pass. All rules are `decide`'s: the world gives it what happens, and stores what it
//! writes. The status between two passes is all that a restart of the operator leaves.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use cloudtenant_operator::{
    api::{CloudTenant, CloudTenantStatus, Policy, REQUESTED_AT, Reason, Source, condition_type as ty},
    decide::{
        Access, Answer, Decision, EnginesAnswer, Memory, Observed, Shared, Write, Written, condition, decide,
        event::{EventReason, Notice},
        status::{self, Engines, Observation},
    },
    observation::{
        ByProbe, Data, EngineAnswers, Outcome, Periods, Previous, ProbeFailure, ProbeKind, engine_answers::EngineAnswer,
    },
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
    /// The Secret has been missing for two minutes when the next pass finds that it is.
    pub waited: bool,
    pub source: Option<Source>,
    pub answers: EngineAnswers,
    /// How far the cloud's clock is ahead of ours.
    pub ahead: i64,
    memory: Memory,
    /// The cloud that the world has now, and its number.
    cloud: (Option<Source>, u64),
    /// What the last pass concluded besides status and events.
    pub concluded: String,
    /// Why the last pass had no cloud.
    missing: Option<ProbeFailure>,
    /// The number of the cloud of the last pass.
    reached: Option<u64>,
    beats: BTreeMap<String, Timestamp>,
    told: BTreeSet<String>,
}

impl World {
    pub fn new() -> Self {
        let spec = json!({ "projectID": "p1", "cloudCredentialsRef": { "secretName": "cloud" } });
        let target = Target::new(&serde_json::from_value(spec).unwrap()).unwrap();
        let stored = serde_json::from_value(json!({ "observedGeneration": -1 })).unwrap();
        Self {
            memory: Memory::new("uid", &target, &stored, START),
            target,
            generation: 1,
            now: START,
            stored,
            waited: false,
            source: Some(source("a")),
            answers: EngineAnswers::default(),
            ahead: 0,
            cloud: (None, 0),
            concluded: String::new(),
            missing: None,
            reached: None,
            beats: BTreeMap::new(),
            told: BTreeSet::new(),
        }
    }

    /// One that only looks at engines, every ten seconds.
    pub fn of_engines() -> Self {
        let mut world = Self::new();
        world.target.interval = Duration::from_secs(10);
        for kind in [ProbeKind::Caches, ProbeKind::Usage] {
            world.target.probes[kind].policy = Policy::Disabled;
        }
        world
    }

    /// Sets failureThreshold for every probe.
    pub fn set_thresholds(&mut self, times: u32) {
        self.target.probes.values_mut().for_each(|probe| probe.failure_threshold = times);
    }

    /// The operator starts anew.
    pub fn restart(&mut self) {
        (self.answers, self.reached) = (EngineAnswers::default(), None);
        self.memory = Memory::new("uid", &self.target, &self.stored, self.now);
    }

    /// The operator's clock is set.
    pub fn clock_was_set(&mut self, seconds: i64) {
        self.memory.clock_was_set(jiff::SignedDuration::from_secs(seconds));
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
        self.heard(outcome);
    }

    fn heard(&mut self, outcome: Outcome<EngineAnswer>) {
        self.turn_to_cloud();
        self.answers = std::mem::take(&mut self.answers).and(outcome, self.now);
    }

    /// What the tenant reads of Heat's answers.
    pub fn engines(&self) -> Observation<Engines> {
        Observation::at(Arc::new(self.answers.clone()), 0, &self.stored)
    }

    /// Heat's answers up to now.
    fn shared(&self, is_current: bool) -> EnginesAnswer {
        let answers = Arc::new(self.answers.clone());
        EnginesAnswer::Shared(Shared { subscription: self.cloud.1, answers, is_current, serves_request: is_current })
    }

    /// A pass in words for engines, caches and usage.
    pub fn pass_in_words(&mut self, engines: &str, caches_: &str, usage_: &str) -> (CloudTenantStatus, Vec<Notice>) {
        if engines == caches_ && caches_ == usage_ && missing(engines).is_some() {
            return self.pass_without_cloud(missing(engines).unwrap());
        }
        let engines = match engines {
            "-" => EnginesAnswer::NotAsked,
            "..." => self.shared(false),
            // The last answer, once more.
            "same" => self.shared(true),
            word if self.target.engines.cloud_name.is_some() && missing(word).is_some() => {
                EnginesAnswer::Missing(missing(word).unwrap(), None)
            }
            words => {
                let words = match words {
                    "up" => "200 h1; h2",
                    "down" => "200 h1; h2 down",
                    "none" => "200",
                    other => other,
                };
                self.hear(words);
                self.shared(true)
            }
        };
        let now = self.now;
        let caches = answer(caches_, |word| caches(word).map(Data::Caches));
        let usage =
            answer(usage_, |word| Some(Data::Usage(Periods { current: usage(word, now)?, previous: Previous::Kept })));
        self.pass(engines, caches, usage)
    }

    /// A pass of a tenant that only looks at engines.
    pub fn pass_in_words_of_engines(&mut self, words: &str) -> (CloudTenantStatus, Vec<Notice>) {
        self.hear(words);
        self.pass(self.shared(true), Answer::Nothing, Answer::Nothing)
    }

    /// The same, from what Heat answered.
    pub fn pass_after(&mut self, outcome: Outcome<EngineAnswer>) -> (CloudTenantStatus, Vec<Notice>) {
        self.heard(outcome);
        self.pass(self.shared(true), Answer::Nothing, Answer::Nothing)
    }

    /// A pass whose cloud cannot be reached by its Secret.
    pub fn pass_without_cloud(&mut self, failure: ProbeFailure) -> (CloudTenantStatus, Vec<Notice>) {
        self.pass_by(Some(failure), Observed::nothing())
    }

    /// A pass: the new status, and what was told. What is told is told once.
    pub fn pass(&mut self, engines: EnginesAnswer, caches: Answer, usage: Answer) -> (CloudTenantStatus, Vec<Notice>) {
        let mut own = ByProbe::default();
        (own[ProbeKind::Caches], own[ProbeKind::Usage]) = (caches, usage);
        self.pass_by(None, Observed { engines, own, source: self.source.clone() })
    }

    fn pass_by(&mut self, missing: Option<ProbeFailure>, observed: Observed) -> (CloudTenantStatus, Vec<Notice>) {
        let access = self.access(missing);
        if std::mem::take(&mut self.waited) {
            self.memory.begin(&self.target, &self.object(), access.clone(), later(self.now, -120));
        }
        let mut now = self.now;
        let mut decision = self.decide(access, observed.clone(), now);
        self.concluded = in_words(&decision);
        if let Write::After(pause) = decision.write {
            // The pass is repeated when the status may be written.
            self.memory.commit(decision, Written::Skipped);
            now += pause;
            let engines = observed.engines;
            let observed = Observed { engines, own: ByProbe::default(), source: observed.source };
            let access = if self.target.suspend { Access::Suspended } else { Access::Same };
            decision = self.decide(access, observed, now);
        }
        let (new, notices) = (decision.status.clone(), decision.notices.clone());
        // Whatever is computed here, kstatus, Flux and Argo CD have to understand.
        said_by_tools(self.generation, self.target.suspend, &new);
        self.told_once(&new, &notices);
        let written = decision.write == Write::Now;
        self.memory.commit(decision, if written { Written::As(None) } else { Written::Skipped });
        if written {
            self.stored = serde_json::from_value(serde_json::to_value(&new).unwrap()).unwrap();
        }
        (new, notices)
    }

    fn told_once(&mut self, new: &CloudTenantStatus, notices: &[Notice]) {
        for notice in notices {
            assert!(status::differs(&self.stored, new), "told without a write: {notice:?}");
            let first = self.told.insert(notice.name("t", "uid"));
            // One name for ten minutes.
            let limited = notice.reason == EventReason::CacheErrorsIncreased;
            assert!(first || limited || self.saw_nothing_between(notice.reason), "told twice: {notice:?}");
        }
    }

    /// A failure that follows another, with no verdict between, may have the other's name: it is no news.
    fn saw_nothing_between(&self, reason: EventReason) -> bool {
        let unknown = |kind: ProbeKind| {
            condition::find(&self.stored.conditions, kind.condition_type())
                .is_some_and(|found| found.status == "Unknown")
        };
        matches!(
            reason,
            EventReason::AuthenticationFailed | EventReason::ObservationFailed | EventReason::ObservationRecovered
        ) && ProbeKind::ALL.into_iter().any(unknown)
    }

    /// What a pass without any news concludes, by the world as it is.
    pub fn compute(&self) -> CloudTenantStatus {
        let mut world = self.clone();
        let source = world.source.clone().filter(|_| world.missing.is_none());
        let observed = Observed { source, ..Observed::nothing() };
        let access = world.access(self.missing.clone());
        world.decide(access, observed, world.now).status
    }

    fn decide(&mut self, access: Access, observed: Observed, now: Timestamp) -> Decision {
        let object = self.object();
        let start = self.memory.begin(&self.target, &object, access, now);
        decide(&self.memory, &self.target, start, observed, now)
    }

    fn object(&self) -> CloudTenant {
        serde_json::from_value(json!({
            "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenant",
            "metadata": { "name": "t", "generation": self.generation, "annotations": { REQUESTED_AT: "now" } },
            "spec": { "projectID": "p1", "cloudCredentialsRef": { "secretName": "cloud" } },
            "status": self.stored,
        }))
        .unwrap()
    }

    /// Another cloud has another Heat.
    fn turn_to_cloud(&mut self) {
        let (before, number) = &self.cloud;
        let is_same = |before: &Source, now: &Source| status::is_same_place(before, &now.host, now.region.as_deref());
        if before.as_ref().zip(self.source.as_ref()).is_some_and(|(before, now)| !is_same(before, now)) {
            (self.answers, self.cloud.1) = (EngineAnswers::default(), number + 1);
        }
        self.cloud.0.clone_from(&self.source);
    }

    fn access(&mut self, missing: Option<ProbeFailure>) -> Access {
        self.turn_to_cloud();
        let before = self.reached.take();
        self.missing.clone_from(&missing);
        if self.target.suspend {
            return Access::Suspended;
        }
        if let Some(failure) = missing {
            return Access::Missing(failure);
        }
        self.reached = Some(self.cloud.1);
        match before {
            None => Access::First,
            before if before == self.reached => Access::Same,
            Some(_) => Access::Other,
        }
    }
}

/// `write next=5 secret tokens`: whether the status is written now or later, after how many seconds the next pass is, and
/// what is renewed.
fn in_words(decision: &Decision) -> String {
    let write = match decision.write {
        Write::Nothing => "nothing".to_owned(),
        Write::Now => "write".to_owned(),
        Write::After(pause) => format!("write after {}", pause.as_secs()),
    };
    let next = decision.next.map_or_else(|| "-".to_owned(), |next| next.as_secs().to_string());
    let renewed = [(decision.expires_secret, " secret"), (decision.doubts_tokens, " tokens")];
    let renewed = renewed.map(|(is_renewed, what)| if is_renewed { what } else { "" });
    format!("{write} next={next}{}", renewed.concat())
}

/// What came of caches or usage.
fn answer(word: &str, seen: impl Fn(&str) -> Option<Data>) -> Answer {
    Answer::Came(match word {
        "-" => return Answer::Nothing,
        "..." => return Answer::UnderWay,
        "absent" => Outcome::NotOffered(None),
        word => match word.strip_prefix(['!', '?']) {
            Some(reason) => Outcome::Failed(failure(reason, word.starts_with('?'))),
            None => Outcome::Seen(seen(word).unwrap()),
        },
    })
}

/// Why there is no Secret or no entry in it, if that is what the word says.
fn missing(word: &str) -> Option<ProbeFailure> {
    let reason = Reason::parse(word.strip_prefix('!')?)?;
    reason.may_still_arrive().then(|| failure(reason.as_str(), false))
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
