//! Computes the new status from the old one, the observations and the time, as pure functions.

pub mod caches;
pub mod engine_count;
pub mod engines;
mod ready;
pub mod usage;
mod write;

use std::{borrow::Cow, sync::Arc};

use engines::{Said, said};
use jiff::Timestamp;
pub use write::{differs, is_heartbeat_due};

use crate::{
    api::{self, Block, CloudTenantStatus, Policy, Reason, Source, condition_type as ty, reason::Class},
    decide::condition,
    observation::{ByProbe, Data, Elsewhere, EngineAnswers, Outcome, ProbeFailure, ProbeKind, engine_answers::age},
    target::Target,
};

/// The verdict on an observation.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged<B = Block> {
    /// The condition's reason, which determines the condition's status.
    pub reason: Reason,
    /// The condition's message.
    pub message: String,
    /// The most important figures of the block, for the report of `check`.
    pub figures: String,
    /// The data block that belongs to the verdict.
    pub block: B,
}

impl<B> Judged<B> {
    /// Applies `change` to the block.
    #[must_use]
    pub fn map<U>(self, change: impl FnOnce(B) -> U) -> Judged<U> {
        let Self { reason, message, figures, block } = self;
        Judged { reason, message, figures, block: change(block) }
    }
}

/// The result of a probe.
#[derive(Debug, Clone, PartialEq)]
pub enum Observation<T> {
    /// No query was due.
    NotDue,
    /// The query has not ended.
    UnderWay,
    /// The catalogue does not offer the service, or only in other regions.
    NotOffered(Option<Elsewhere>),
    /// The query succeeded.
    Seen(T),
    /// The query failed, with the number of consecutive failures.
    Failed(ProbeFailure, u32),
}

impl<T> Observation<T> {
    /// Applies `judge` to the data of a successful query.
    #[must_use]
    pub fn map<U>(self, judge: impl FnOnce(T) -> U) -> Observation<U> {
        match self {
            Self::NotDue => Observation::NotDue,
            Self::UnderWay => Observation::UnderWay,
            Self::NotOffered(elsewhere) => Observation::NotOffered(elsewhere),
            Self::Seen(seen) => Observation::Seen(judge(seen)),
            Self::Failed(failure, times) => Observation::Failed(failure, times),
        }
    }
}

/// Heat's answers for one tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct Engines {
    /// The answers that all tenants of the credential share.
    pub answers: Arc<EngineAnswers>,
    /// Number of the answer that this tenant judged last.
    pub seen: u64,
    /// The latest answer is a single 503 that a second one must confirm.
    pub waits: bool,
}

impl Observation<Engines> {
    /// Returns the observation for a tenant with this status.
    #[must_use]
    pub fn at(answers: Arc<EngineAnswers>, seen: u64, old: &CloudTenantStatus) -> Self {
        let reason = condition::reason(&old.conditions, ty::ENGINES_HEALTHY);
        let told = reason == Some(Reason::ServerError);
        // After a restart of the message broker, one request fails with a 503. A reported outage needs no confirmation.
        let confirmed = matches!(said(old.engines.as_ref()), Said::Unresponsive | Said::AllDown);
        let timed_out = reason == Some(Reason::Timeout);
        let single = answers.silence.filter(|silence| !confirmed && silence.needs_confirmation(timed_out));
        if answers.number == 0 {
            Self::UnderWay
        } else if answers.not_offered {
            Self::NotOffered(answers.elsewhere.clone())
        } else if let Some((failure, times)) = answers.failed.clone() {
            Self::Failed(failure, times)
        } else if answers.answered_at.is_none() || answers.unanswered().is_none() && !answers.is_settled(told) {
            Self::UnderWay
        } else {
            let waits = single.is_some() && answers.unanswered().is_some();
            // A list after the 503 ends the wait.
            let seen = single.filter(|_| !waits).map_or(seen, |silence| silence.number.max(seen));
            Self::Seen(Engines { answers, seen, waits })
        }
    }
}

/// All input of a status.
#[derive(Debug, Clone)]
pub struct Pass<'a> {
    /// The parsed spec.
    pub target: &'a Target,
    /// The spec's generation.
    pub generation: i64,
    /// The result of each probe. An answer of Heat that a second one must confirm is `UnderWay`.
    pub probes: ByProbe<Observation<Judged>>,
    /// The cloud that was used, once known.
    pub source: Option<Source>,
    /// Time of each probe's last verdict, or of its first query.
    pub verdict_at: ByProbe<Timestamp>,
    /// Number of each probe's consecutive unhealthy observations including this pass.
    pub streaks: ByProbe<u32>,
    /// The grace period of a missing Secret has ended, so that a user has to act.
    pub waited: bool,
    /// The value of requestedAt that this pass has handled.
    pub handled: Option<String>,
    /// The operator's clock.
    pub now: Timestamp,
}

impl Pass<'_> {
    /// Whether no query is under way.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.probes.values().all(|observation| *observation != Observation::UnderWay)
    }
}

/// Why the API server refuses a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusRefusal {
    /// The CRD's schema, an admission policy or a webhook does not accept it.
    Invalid,
    /// The object would be too large.
    TooLarge,
}

/// The data from which a condition is built.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Verdict {
    kind: ProbeKind,
    reason: Reason,
    message: String,
}

impl Verdict {
    /// The reason and message for a condition that repeats this verdict.
    fn reason_and_message(&self) -> (Reason, String) {
        (self.reason, self.message.clone())
    }
}

/// Judges the data of a query. `old` is the status until now.
#[must_use]
pub fn judge(data: &Data, target: &Target, old: &CloudTenantStatus, now: Timestamp) -> Judged {
    match data {
        Data::Engines(answer) => {
            let answers = EngineAnswers::default().and(Outcome::Seen(answer.clone()), now);
            engines::judge(old.engines.as_ref(), &answers, 0, &target.engines).map(Block::Engines)
        }
        Data::Caches(caches) => caches::judge(caches, &target.caches, now).map(Block::Caches),
        Data::Usage(usage) => usage::judge(usage, old.usage.as_ref(), now).map(Block::Usage),
    }
}

/// The reason for the stored data of this probe, if the data alone determine it.
fn reason_of(status: &CloudTenantStatus, kind: ProbeKind, target: &Target) -> Option<Reason> {
    match kind {
        ProbeKind::Engines | ProbeKind::Usage => None,
        ProbeKind::Caches => Some(caches::reason(status.caches.as_ref()?, &target.caches)),
    }
}

/// Whether the cloud and the region are the same as before.
///
/// The operator learns an unnamed region only at login, and older versions never stored it. Therefore an absent region
/// matches any other.
#[must_use]
pub fn is_same_place(before: &Source, host: &str, region: Option<&str>) -> bool {
    let same_region = before.region.as_deref().zip(region).is_none_or(|(before, now)| before == now);
    before.host == host && same_region
}

/// Returns the time at which this probe's data were observed.
pub(crate) fn observed_at(status: &CloudTenantStatus, kind: ProbeKind) -> Option<Timestamp> {
    status.block_observed_at(kind).map(|at| at.0)
}

/// Returns the part of the old status that concerns this cloud. Data and verdicts of another cloud are dropped.
#[must_use]
pub fn about<'a>(old: &'a CloudTenantStatus, source: Option<&Source>) -> Cow<'a, CloudTenantStatus> {
    match (&old.source, source) {
        (Some(before), Some(now)) if !is_same_place(before, &now.host, now.region.as_deref()) => {
            Cow::Owned(CloudTenantStatus {
                observed_generation: old.observed_generation,
                last_handled_reconcile_at: old.last_handled_reconcile_at.clone(),
                ..CloudTenantStatus::default()
            })
        }
        _ => Cow::Borrowed(old),
    }
}

/// Computes the new status. `old` is the result of [`about`] for the stored one.
#[must_use]
pub fn compute(pass: &Pass<'_>, old: &CloudTenantStatus) -> CloudTenantStatus {
    if pass.target.suspend {
        return ready::suspended(pass, old);
    }
    let mut new = CloudTenantStatus {
        observed_generation: Some(pass.generation),
        last_handled_reconcile_at: pass.handled.clone().or_else(|| old.last_handled_reconcile_at.clone()),
        source: pass.source.clone().or_else(|| old.source.clone()),
        ..CloudTenantStatus::default()
    };
    let verdicts = ByProbe::from_fn(|kind| {
        let (verdict, block) = settle(pass, old, kind);
        block.into_iter().for_each(|block| new.set_block(block));
        verdict
    });
    if let Some(block) = &mut new.engines {
        let reason = verdicts[ProbeKind::Engines].reason;
        let succeeded = !matches!(reason.class(), Class::Passing | Class::Stalled);
        block.summary = engines::summary(block, succeeded && reason != Reason::EngineUnresponsive);
    }
    new.conditions = ready::conditions(pass, old, &verdicts);
    let counted = ProbeKind::ALL.into_iter().filter(|kind| pass.target.counts_for_ready(*kind));
    new.observed_at = counted.filter_map(|kind| observed_at(&new, kind)).min().map(api::time);
    new
}

/// The reason of the probe's condition, if it is a verdict.
pub(crate) fn observed_verdict(status: &CloudTenantStatus, kind: ProbeKind) -> Option<Reason> {
    let reason = condition::reason(&status.conditions, kind.condition_type());
    reason.filter(|reason| matches!(reason.class(), Class::Well | Class::Bad))
}

/// The reason of the probe's last verdict. The condition decides, because the spec may have changed since. If it is
/// Unknown, the stored data decide.
pub(crate) fn last_verdict(target: &Target, status: &CloudTenantStatus, kind: ProbeKind) -> Option<Reason> {
    observed_verdict(status, kind).or_else(|| reason_of(status, kind, target))
}

/// Whether the probe's last verdict was unhealthy.
fn was_unhealthy(target: &Target, old: &CloudTenantStatus, kind: ProbeKind) -> bool {
    match kind {
        ProbeKind::Engines => engines::is_bad(old.engines.as_ref()),
        own => last_verdict(target, old, own).is_some_and(is_bad),
    }
}

/// Whether this reason makes a condition False.
#[must_use]
pub fn is_bad(reason: Reason) -> bool {
    reason.class() == Class::Bad
}

/// Returns the status of an object with an invalid spec. Data and source stay.
#[must_use]
pub fn invalid(message: &str, generation: i64, old: &CloudTenantStatus, now: Timestamp) -> CloudTenantStatus {
    CloudTenantStatus {
        observed_generation: Some(generation),
        conditions: ready::invalid(message, generation, old, now),
        ..old.clone()
    }
}

/// Returns the status in the place of one that the API server refused. It contains no data, because the data may be the
/// cause. `old` is the stored status.
#[must_use]
pub fn refused(
    cause: StatusRefusal,
    status: &CloudTenantStatus,
    old: &CloudTenantStatus,
    now: Timestamp,
) -> CloudTenantStatus {
    let generation = status.observed_generation.unwrap_or_default();
    CloudTenantStatus {
        observed_generation: status.observed_generation,
        last_handled_reconcile_at: status.last_handled_reconcile_at.clone(),
        conditions: ready::refused(cause, generation, old, now),
        ..CloudTenantStatus::default()
    }
}

/// Returns the status of an object whose pass panicked. Data and source stay. The computation is minimal because the
/// cause of the panic is unknown.
#[must_use]
pub fn broke_off(generation: i64, old: &CloudTenantStatus, now: Timestamp) -> CloudTenantStatus {
    CloudTenantStatus {
        observed_generation: Some(generation),
        conditions: ready::broke_off(generation, old, now),
        ..old.clone()
    }
}

/// Returns the verdict and the block of one probe.
fn settle(pass: &Pass<'_>, old: &CloudTenantStatus, kind: ProbeKind) -> (Verdict, Option<Block>) {
    let verdict = |reason, message: String| Verdict { kind, reason, message };
    let block = || old.block(kind);
    let policy = pass.target.policy(kind);
    if policy == Policy::Disabled {
        let message = format!("Not probed: probes.{kind}.policy is Disabled.");
        return (verdict(Reason::ProbeDisabled, message), None);
    }
    let stale = age(pass.verdict_at[kind], pass.now) > pass.target.valid_for(kind);
    match &pass.probes[kind] {
        // An old answer of Heat stays available while the next one is missing.
        Observation::Seen(_) if stale && kind == ProbeKind::Engines => (kept(old, kind, stale), block()),
        Observation::Seen(judged) => {
            let is_confirmed = || {
                was_unhealthy(pass.target, old, kind)
                    || pass.streaks[kind] >= pass.target.probes[kind].failure_threshold
            };
            if is_bad(judged.reason) && !is_confirmed() {
                // The data stay, but the time of the observation moves.
                let block = block().map(|mut block| {
                    *block.observed_at_mut() = judged.block.observed_at().cloned();
                    block
                });
                let kept = kept(old, kind, stale);
                if matches!(kept.reason.class(), Class::Passing | Class::Stalled) {
                    let message = "Unhealthy, but for fewer consecutive observations than failureThreshold.".to_owned();
                    return (verdict(Reason::Progressing, message), block);
                }
                return (kept, block);
            }
            (verdict(judged.reason, judged.message.clone()), Some(judged.block.clone()))
        }
        Observation::NotOffered(elsewhere) if policy == Policy::Required || old.has_block(kind) => {
            (verdict(Reason::EndpointNotFound, absent(kind, elsewhere.as_ref())), block())
        }
        Observation::NotOffered(elsewhere) => {
            (verdict(Reason::ServiceNotOffered, not_offered(elsewhere.as_ref())), None)
        }
        Observation::Failed(failure, times) if !failure.transient || *times > 1 || stale || needed_user(old, kind) => {
            (verdict(failure.reason, failure.message.clone()), block())
        }
        Observation::NotDue | Observation::UnderWay | Observation::Failed(..) => (kept(old, kind, stale), block()),
    }
}

/// The message for a service that the operator does not probe.
#[must_use]
pub fn not_offered(elsewhere: Option<&Elsewhere>) -> String {
    match elsewhere {
        None => "Not probed: the cloud's catalogue does not offer the service.".to_owned(),
        Some(Elsewhere { service, region, offered_in }) => format!(
            "Not probed: {service} is not offered in region {region}, only in {offered_in}: set spec.region to use one of these."
        ),
    }
}

/// The message for a required service that the catalogue lacks.
#[must_use]
pub fn absent(kind: ProbeKind, elsewhere: Option<&Elsewhere>) -> String {
    match elsewhere {
        None => format!(
            "The cloud's catalogue does not offer the service: add it there, set its endpoint override in \
             clouds.yaml, or set probes.{kind}.policy to Disabled."
        ),
        Some(Elsewhere { service, region, offered_in }) => format!(
            "{service} is not offered in region {region}, only in {offered_in}: set spec.region to one of these, set \
             its endpoint override in clouds.yaml, or set probes.{kind}.policy to Disabled."
        ),
    }
}

/// Whether a user had to act and apparently has: the query now fails with a transient error.
fn needed_user(old: &CloudTenantStatus, kind: ProbeKind) -> bool {
    let before = condition::reason(&old.conditions, kind.condition_type());
    before.is_some_and(|reason| reason.class() == Class::Stalled && !reason.is_about_object())
}

/// Returns the verdict that remains while there is no new one.
fn kept(old: &CloudTenantStatus, kind: ProbeKind, stale: bool) -> Verdict {
    let before = condition::find(&old.conditions, kind.condition_type());
    let stands = before.and_then(|before| Some((Reason::parse(&before.reason)?, before.message.clone())));
    // At this point the spec is valid and the probe is enabled.
    let stands = stands.filter(|(reason, _)| !reason.is_about_object() && *reason != Reason::ProbeDisabled);
    let (reason, message) = match stands {
        Some((reason, message)) if matches!(reason.class(), Class::Passing | Class::Stalled) => (reason, message),
        _ if stale => (
            Reason::ObservationStale,
            "The last observation is too old: check the operator's log and metrics.".to_owned(),
        ),
        Some((reason, message)) => (reason, message),
        None => (Reason::Progressing, "Not observed yet.".to_owned()),
    };
    Verdict { kind, reason, message }
}
