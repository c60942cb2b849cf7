//! The operator's memory of a tenant between two passes. Losing it is safe: the status holds what must last.

use std::{borrow::Cow, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::{
    Access, Decision, Writes,
    probes::{Absence, EnginesProbe, ProbeMemory, Streak},
};
use crate::{
    api::{CloudTenant, CloudTenantStatus, REQUESTED_AT, condition_type},
    decide::{
        condition,
        event::{Notice, fnv1a, limit::Limit},
        schedule::{ProbeSchedule, after, backoff},
        status::observed_at,
    },
    observation::{ByProbe, ProbeKind, engine_answers::shift},
    target::Target,
};

/// Wait until the next pass after a write conflict.
pub const CONFLICT_RETRY: Duration = Duration::from_secs(1);

/// Wait until the operator tries again to write a status that the API server refused. Only an administrator can change
/// that, and each attempt takes two or three requests.
pub const REFUSED_RETRY: Duration = Duration::from_secs(300);

/// After this many consecutive conflicts, the watch has stopped delivering the writes of others.
const CONFLICTS: u32 = 10;

/// The memory of one tenant. A pass consists of [`begin`](Self::begin), [`decide`](super::decide) and
/// [`commit`](Self::commit).
#[derive(Debug, Clone)]
pub struct Memory {
    /// A stable fraction from 0 to 1 that spreads the tenants over their intervals.
    pub(super) share: f64,
    /// Start of the latest pass.
    began_at: Timestamp,
    pub(super) probes: ByProbe<ProbeMemory>,
    pub(super) engines: EnginesProbe,
    generation: Option<i64>,
    /// The value of requestedAt that no pass has handled yet.
    pub(super) requested: Option<String>,
    /// Since when, and in how many passes, the tenant has had no usable cloud.
    pub(super) missing: Option<Absence>,
    pub(super) events: Limit,
    /// Events of the last pass whose status was not written. They may exist.
    pub(super) unwritten: Vec<Notice>,
    pub(super) writes: Writes,
    /// Number of consecutive failed writes to the API server.
    pub(super) failed_writes: u32,
    /// Number of consecutive write conflicts.
    conflicts: u32,
    /// The status that the API server refused last.
    pub(super) refused: Option<RefusedStatus>,
    /// The status that was written last, with the resource version that it got.
    written: Option<(u64, Arc<CloudTenantStatus>)>,
}

/// The queries that a pass has to start or stop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Plan {
    /// The operator stops all queries and subscriptions.
    pub stop: bool,
    /// The operator restarts queries under way: they belong to an earlier spec, or began before a request.
    pub restart: bool,
    /// A request is open. A new subscription needs an answer to a query that begins after the request.
    pub is_requested: bool,
    /// A query of the tenant's own is due, unless one is under way. There is none for the engines.
    pub due: ByProbe<bool>,
}

/// A status that the API server refused. While a minimal one is stored in its place, decisions start from this one, so
/// that no event is emitted twice.
#[derive(Debug, Clone)]
pub(super) struct RefusedStatus {
    status: Arc<CloudTenantStatus>,
    /// Resource version of the minimal status.
    version: Option<u64>,
    retry_at: Timestamp,
}

impl RefusedStatus {
    /// Returns the wait until the operator tries again to write the whole status.
    pub(super) fn wait(&self, now: Timestamp) -> Duration {
        // A clock that stepped back must not delay the write.
        Duration::try_from(self.retry_at.duration_since(now)).unwrap_or_default().min(REFUSED_RETRY)
    }
}

/// A pass that has begun. Only [`Memory::begin`] creates it, and [`decide`](super::decide) consumes it.
#[derive(Debug)]
pub struct Start<'a> {
    /// The queries to start or stop.
    pub plan: Plan,
    /// The stored status. The watch may not have delivered the operator's own last write yet.
    pub stored: Cow<'a, CloudTenantStatus>,
    pub(super) version: Option<String>,
    pub(super) generation: i64,
    /// The stored status lacks the result of the first pass after a user's change.
    pub(super) in_progress: bool,
    pub(super) access: Access,
}

/// The result of the decision's write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// Nothing had to be written now.
    Skipped,
    /// The status is written and has this resource version.
    As(Option<String>),
    /// The API server refused the status. A minimal one is stored in its place and has this resource version.
    Refused(Option<String>),
    /// The object changed before the write.
    Conflict,
    /// The API server did not accept the write.
    Failed,
}

/// What follows a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The next pass starts after this duration. `None` means that only a change starts one.
    Pass(Option<Duration>),
    /// The operator repeats the pass after this duration because it could not write the status.
    Retry(Duration),
}

impl Memory {
    /// Creates the memory of a tenant that is new to this process.
    #[must_use]
    pub fn new(uid: &str, target: &Target, stored: &CloudTenantStatus, now: Timestamp) -> Self {
        let share = (fnv1a(uid.as_bytes()) % 1000) as f64 / 1000.0;
        let turn = |kind| ProbeSchedule::first(observed_at(stored, kind), target.interval_of(kind), share, now);
        Self {
            share,
            began_at: now,
            probes: ByProbe::from_fn(|kind| ProbeMemory::new(turn(kind))),
            engines: EnginesProbe::default(),
            generation: stored.observed_generation,
            requested: None,
            missing: None,
            events: Limit::default(),
            unwritten: Vec::new(),
            writes: Writes::default(),
            failed_writes: 0,
            conflicts: 0,
            refused: None,
            written: None,
        }
    }

    /// Begins a pass: notes what has changed since the last one and plans the queries.
    pub fn begin<'a>(&mut self, target: &Target, object: &'a CloudTenant, access: Access, now: Timestamp) -> Start<'a> {
        self.keep_time(target, now);
        let (stored, version) = self.current(object);
        let mut plan = Plan::default();
        if access != Access::Suspended {
            self.note_request(object, &stored, &mut plan, now);
        }
        self.note_access(&access, &mut plan, now);
        if matches!(access, Access::First | Access::Same | Access::Other) {
            plan.due = ByProbe::from_fn(|kind| has_own_query(target, kind) && self.probes[kind].turn.is_due(now));
        }
        let requested = requested_at(object);
        let generation = object.metadata.generation;
        self.writes.note_request(generation.unwrap_or_default(), requested.map_or(0, |at| fnv1a(at.as_bytes())));
        let in_progress = stored.observed_generation != generation
            || condition::find(&stored.conditions, condition_type::RECONCILING).is_some()
            || requested.is_some() && stored.last_handled_reconcile_at.as_ref() != requested;
        Start { plan, stored, version, generation: generation.unwrap_or_default(), in_progress, access }
    }

    /// Whether a pass restarts the queries, because the spec or a request is new. A status that the watch has not brought
    /// yet may have handled the request, so this may also be true without need.
    #[must_use]
    pub fn restarts(&self, object: &CloudTenant) -> bool {
        self.is_new(object, unhandled(object, object.status.as_ref()))
    }

    /// Whether the spec or the request is another one than at the last pass.
    fn is_new(&self, object: &CloudTenant, requested: Option<&String>) -> bool {
        self.generation != object.metadata.generation || requested.is_some() && requested != self.requested.as_ref()
    }

    /// Whether the tenant's own query of this service is due.
    #[must_use]
    pub fn is_due(&self, kind: ProbeKind, now: Timestamp) -> bool {
        self.probes[kind].turn.is_due(now)
    }

    /// The operator's clock was set by so much since the last call: deadlines and ages move with it.
    pub fn clock_was_set(&mut self, by: SignedDuration) {
        self.probes.values_mut().for_each(|probe| probe.turn.shift(by));
        self.engines.shift(by);
        let since = self.missing.iter_mut().map(|missing| &mut missing.since);
        since.chain([&mut self.began_at]).for_each(|at| shift(at, by));
    }

    /// Disabled probes never become stale. If the clock steps back, deadlines move with it.
    fn keep_time(&mut self, target: &Target, now: Timestamp) {
        if now < self.began_at {
            self.clock_was_set(now.duration_since(self.began_at));
        }
        self.began_at = now;
        for kind in ProbeKind::ALL.into_iter().filter(|kind| !target.is_enabled(*kind)) {
            self.probes[kind].turn.verdict_at = now;
        }
    }

    /// Time of each probe's last verdict, or of its first query.
    #[must_use]
    pub fn verdict_at(&self) -> ByProbe<Timestamp> {
        ByProbe::from_fn(|kind| self.probes[kind].turn.verdict_at)
    }

    /// A new spec or a new request makes all probes due.
    fn note_request(&mut self, object: &CloudTenant, stored: &CloudTenantStatus, plan: &mut Plan, now: Timestamp) {
        let requested = unhandled(object, Some(stored));
        plan.is_requested = requested.is_some();
        plan.restart = self.is_new(object, requested);
        if plan.restart {
            self.probes.values_mut().for_each(|probe| probe.turn.hurry(now));
            self.refused.iter_mut().for_each(|refused| refused.retry_at = now);
        }
        self.requested = requested.cloned();
        self.generation = object.metadata.generation;
    }

    fn note_access(&mut self, access: &Access, plan: &mut Plan, now: Timestamp) {
        if matches!(access, Access::First | Access::Other) {
            self.probes.values_mut().for_each(|probe| probe.streak = Streak::default());
        }
        match access {
            Access::Suspended => self.stop(plan, now),
            Access::Missing(failure) => {
                // A transient failure changes nothing.
                if !failure.transient {
                    self.stop(plan, now);
                }
                self.missing = Some(Absence::again(self.missing, now));
            }
            Access::First => self.probes.values_mut().for_each(|probe| probe.turn.verdict_at = now),
            Access::Other => self.reset(now),
            Access::Same => {}
        }
        if matches!(access, Access::First | Access::Same | Access::Other) {
            self.missing = None;
        }
    }

    fn stop(&mut self, plan: &mut Plan, now: Timestamp) {
        plan.stop = true;
        self.reset(now);
    }

    fn reset(&mut self, now: Timestamp) {
        self.engines.missing = None;
        self.probes.values_mut().for_each(|probe| probe.reset(now));
    }

    /// The watch has brought the object with this resource version. The operator's own last write is needed only until
    /// then.
    pub fn brought(&mut self, resource_version: &str) {
        let brought: Option<u64> = resource_version.parse().ok();
        self.written.take_if(|(version, _)| brought.is_some_and(|brought| brought >= *version));
    }

    /// The status as it is now, with its resource version.
    fn current<'a>(&self, object: &'a CloudTenant) -> (Cow<'a, CloudTenantStatus>, Option<String>) {
        let brought = object.metadata.resource_version.clone();
        let number: Option<u64> = brought.as_ref().and_then(|version| version.parse().ok());
        if let Some(RefusedStatus { status, version, .. }) = &self.refused {
            let newer = version.filter(|version| number.is_some_and(|brought| brought < *version));
            return (Cow::Owned(status.as_ref().clone()), newer.map(|version| version.to_string()).or(brought));
        }
        match &self.written {
            Some((version, status)) if number.is_some_and(|brought| brought < *version) => {
                (Cow::Owned(status.as_ref().clone()), Some(version.to_string()))
            }
            _ => (object.status.as_ref().map_or_else(Cow::default, Cow::Borrowed), brought),
        }
    }

    /// A pass ends: what the decision has changed is remembered. What was observed counts as written only if it is.
    pub fn commit(&mut self, decision: Decision, written: Written) -> Next {
        let Decision { memory, status, write, notices, mut next, engines_number, decided_at, interval, .. } = decision;
        *self = memory;
        match &written {
            Written::Conflict | Written::Failed => self.unwritten = notices,
            Written::Skipped if write != super::Write::Nothing => {}
            Written::Skipped | Written::As(_) | Written::Refused(_) => self.unwritten = Vec::new(),
        }
        match written {
            Written::Conflict if self.conflicts < CONFLICTS => {
                // Others were faster: nothing is wrong, and the watch brings what they wrote.
                self.conflicts += 1;
                return Next::Pass(Some(CONFLICT_RETRY));
            }
            Written::Conflict | Written::Failed => {
                self.failed_writes = self.failed_writes.saturating_add(1);
                return Next::Retry(backoff(self.failed_writes).min(interval));
            }
            Written::As(version) => {
                self.events.wrote();
                self.writes.wrote(decided_at);
                self.refused = None;
                let version = version.and_then(|version| version.parse().ok());
                self.written = version.map(|version| (version, Arc::new(status)));
            }
            Written::Refused(version) => {
                self.events.wrote();
                self.writes.wrote(decided_at);
                self.written = None;
                let version = version.and_then(|version| version.parse().ok());
                let retry_at = after(decided_at, REFUSED_RETRY);
                self.refused = Some(RefusedStatus { status: Arc::new(status), version, retry_at });
                next = Some(next.map_or(REFUSED_RETRY, |next| next.min(REFUSED_RETRY)));
            }
            Written::Skipped => {}
        }
        (self.failed_writes, self.conflicts) = (0, 0);
        if !matches!(write, super::Write::After(_)) {
            self.engines.commit(engines_number);
            self.probes.values_mut().for_each(ProbeMemory::commit);
        }
        Next::Pass(next)
    }
}

/// Whether the tenant queries the service itself. The engines' answers come from their subscription.
#[must_use]
pub fn has_own_query(target: &Target, kind: ProbeKind) -> bool {
    kind != ProbeKind::Engines && target.is_enabled(kind)
}

/// The request that the status has not handled yet.
fn unhandled<'a>(object: &'a CloudTenant, stored: Option<&CloudTenantStatus>) -> Option<&'a String> {
    let handled = stored.and_then(|stored| stored.last_handled_reconcile_at.as_ref());
    requested_at(object).filter(|value| handled != Some(*value))
}

fn requested_at(object: &CloudTenant) -> Option<&String> {
    object.metadata.annotations.as_ref()?.get(REQUESTED_AT)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        api::{Policy, Reason},
        decide,
        observation::{Caches, Data, Outcome, ProbeFailure},
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_795_320_000 + second).unwrap()
    }

    fn target() -> Target {
        let spec = json!({ "projectID": "p1", "cloudCredentialsRef": { "secretName": "cloud" } });
        Target::new(&serde_json::from_value(spec).unwrap()).unwrap()
    }

    fn object() -> CloudTenant {
        serde_json::from_value(json!({
            "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenant", "metadata": { "name": "t" },
            "spec": { "projectID": "p1", "cloudCredentialsRef": { "secretName": "cloud" } },
        }))
        .unwrap()
    }

    fn missing() -> Access {
        let message = String::new();
        Access::Missing(ProbeFailure { reason: Reason::SecretNotFound, message, retry_after: None, transient: false })
    }

    /// If the clock steps back, deadlines move with it. Disabled probes never become stale.
    #[test]
    fn deadlines_move_with_a_clock_that_steps_back() {
        let mut target = target();
        let start = at(7200);
        let mut memory = Memory::new("uid", &target, &CloudTenantStatus::default(), start);
        let _ = memory.begin(&target, &object(), missing(), start);
        memory.probes[ProbeKind::Caches].turn.seen(target.interval, 0.0, start);
        memory.keep_time(&target, at(3600));
        assert_eq!(memory.probes[ProbeKind::Caches].turn.next, at(3900), "an hour back");
        assert_eq!(memory.missing, Some(Absence { since: at(3600), times: 1 }));
        assert_eq!(memory.verdict_at(), ByProbe::from_fn(|_| at(3600)));
        memory.keep_time(&target, at(3900));
        assert_eq!(memory.verdict_at(), ByProbe::from_fn(|_| at(3600)), "time that passes");
        for kind in [ProbeKind::Engines, ProbeKind::Usage] {
            target.probes[kind].policy = Policy::Disabled;
        }
        memory.keep_time(&target, at(9000));
        let expected = |kind| at(if kind == ProbeKind::Caches { 3600 } else { 9000 });
        assert_eq!(memory.verdict_at(), ByProbe::from_fn(expected), "what is disabled");
    }

    /// The resource version that the watch has brought, and whether the operator's own last write is still kept.
    #[test]
    fn a_written_status_is_dropped_once_the_watch_has_brought_it() {
        let mut memory = Memory::new("uid", &target(), &CloudTenantStatus::default(), at(0));
        memory.written = Some((100, Arc::default()));
        for (version, kept) in [("99", true), ("odd", true), ("100", false), ("101", false)] {
            memory.brought(version);
            assert_eq!(memory.written.is_some(), kept, "{version}");
        }
    }

    /// Verdicts on another cloud do not count for the streak.
    #[test]
    fn a_streak_belongs_to_one_cloud() {
        let target = target();
        let mut memory = Memory::new("uid", &target, &CloudTenantStatus::default(), at(0));
        let mut number = 0;
        for (name, access, streak) in [
            ("the first", Access::First, 1),
            ("the same", Access::Same, 2),
            ("another", Access::Other, 1),
            ("after none", Access::First, 1),
        ] {
            let _ = memory.begin(&target, &object(), access, at(0));
            let answer = super::super::Answer::Came(Outcome::Seen(Data::Caches(Caches::default())));
            let Memory { probes, engines, .. } = &mut memory;
            let _ = probes[ProbeKind::Caches].observe(answer, &|_, _| {});
            number += 1;
            let engines = engines.count(&mut probes[ProbeKind::Engines].streak, number, Some(true));
            let streaks = [engines, probes[ProbeKind::Caches].count(Some(true))];
            assert_eq!(streaks, [streak; 2], "{name}");
        }
    }

    /// A tenant whose login is refused, while the API server refuses its status. Each line: what happens, and when |
    /// whether the operator writes, the events, and how the API server answers.
    #[test]
    fn a_refused_status_is_tried_again_after_a_pause_and_repeats_no_event() {
        let (target, mut object) = (target(), object());
        object.metadata.generation = Some(1);
        object.metadata.resource_version = Some("9".to_owned());
        let mut memory = Memory::new("uid", &target, &CloudTenantStatus::default(), at(0));
        let refused = || Written::Refused(Some("10".to_owned()));
        for (name, second, generation, reason, writes, events, written) in [
            ("the first pass", 0, 1, Reason::AuthenticationFailed, true, 1, refused()),
            ("the same", 10, 1, Reason::AuthenticationFailed, false, 0, Written::Skipped),
            ("something else", 20, 1, Reason::CloudNotFound, false, 0, Written::Skipped),
            ("the same again", 30, 1, Reason::AuthenticationFailed, false, 0, Written::Skipped),
            ("after the pause", 300, 1, Reason::AuthenticationFailed, true, 0, refused()),
            ("a new spec", 310, 2, Reason::AuthenticationFailed, true, 0, refused()),
            ("the same", 320, 2, Reason::AuthenticationFailed, false, 0, Written::Skipped),
            ("accepted", 610, 2, Reason::AuthenticationFailed, true, 0, Written::As(Some("11".to_owned()))),
            ("nothing new", 620, 2, Reason::AuthenticationFailed, false, 0, Written::Skipped),
        ] {
            object.metadata.generation = Some(generation);
            let failure = ProbeFailure { reason, message: String::new(), retry_after: None, transient: false };
            let start = memory.begin(&target, &object, Access::Missing(failure), at(second));
            let version = if second == 0 {
                "9"
            } else if second < 620 {
                "10"
            } else {
                "11"
            };
            assert_eq!(start.version.as_deref(), Some(version), "{name}");
            let decision = decide::decide(&memory, &target, start, decide::Observed::nothing(), at(second));
            assert_eq!((decision.write == decide::Write::Now, decision.notices.len()), (writes, events), "{name}");
            let next = memory.commit(decision, written);
            assert!(matches!(next, Next::Pass(Some(wait)) if wait <= REFUSED_RETRY && !wait.is_zero()), "{name}");
            // The watch brings the minimal status.
            object.status = Some(CloudTenantStatus { observed_generation: Some(1), ..CloudTenantStatus::default() });
        }
    }

    /// A write that the API server took late, after its client had given up, changes the stored times between two
    /// attempts. Each line: how the write of a refused login ended, and what the API server then has | whether the next
    /// pass gives its event the same name.
    #[test]
    fn an_event_whose_status_was_not_written_keeps_its_name() {
        let target = target();
        let stored = |second| {
            let since = at(second).to_string();
            let condition = json!({
                "type": "CachesHealthy", "status": "True", "reason": "AllCachesHealthy", "message": "",
                "lastTransitionTime": since,
            });
            serde_json::from_value(json!({ "conditions": [condition] })).unwrap()
        };
        for (name, written, second, same) in [
            ("not written, and nothing came late", Written::Failed, 0, true),
            ("not written, and another write came late", Written::Failed, 5, true),
            ("somebody else was faster", Written::Conflict, 5, true),
            ("written, and the probe has worked since", Written::As(Some("11".to_owned())), 5, false),
        ] {
            let mut memory = Memory::new("uid", &target, &CloudTenantStatus::default(), at(0));
            let mut object = object();
            object.metadata.generation = Some(1);
            let mut pass = |second: i64, status: CloudTenantStatus, written| {
                object.status = Some(status);
                object.metadata.resource_version = Some((10 + second).to_string());
                let reason = Reason::AuthenticationFailed;
                let failure = ProbeFailure { reason, message: String::new(), retry_after: None, transient: false };
                let start = memory.begin(&target, &object, Access::Missing(failure), at(second));
                let decision = decide::decide(&memory, &target, start, decide::Observed::nothing(), at(second));
                let notices = decision.notices.clone();
                let _ = memory.commit(decision, written);
                notices
            };
            let first = pass(1, stored(0), written);
            let second = pass(60, stored(second), Written::Failed);
            let name_of = |notices: &[Notice]| notices.iter().map(|notice| notice.name("t", "u")).collect::<Vec<_>>();
            assert_eq!((first.len(), second.len()), (1, 1), "{name}");
            assert_eq!(name_of(&first) == name_of(&second), same, "{name}");
        }
    }
}
