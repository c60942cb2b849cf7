//! Computes `Ready`, `Reconciling` and `Stalled` from the verdicts, as kstatus expects them.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{Observation, Pass, StatusRefusal, Verdict};
use crate::{
    api::{CloudTenantStatus, Reason, condition_type as ty, reason::Class},
    decide::condition,
    observation::{ByProbe, ProbeKind},
};

const SUSPENDED: &str = "Suspended: ";
const NOT_YET: &str = "Not observed yet.";
const ALL_HEALTHY: &str = "All enabled probes are healthy.";
const ALL_OBSERVED: &str = "All enabled probes returned a result.";

/// Builds all conditions of a pass.
pub(super) fn conditions(pass: &Pass<'_>, old: &CloudTenantStatus, verdicts: &ByProbe<Verdict>) -> Vec<Condition> {
    let next = |type_: &str, status: &str, reason, message: &str| {
        condition::next(&old.conditions, type_, status, reason, message, pass.generation, pass.now)
    };
    // A new generation is in progress until its first pass has ended. Meanwhile it cannot be Stalled.
    let fresh =
        old.observed_generation != Some(pass.generation) || condition::find(&old.conditions, ty::RECONCILING).is_some();
    let in_progress = fresh && !pass.has_ended();
    let gate = Gate::new(pass, verdicts, in_progress);
    let (reason, message) = gate.ready();
    let mut conditions = vec![next(ty::READY, reason.condition_status(), reason, &message)];
    for verdict in verdicts.values() {
        let status = verdict.reason.condition_status();
        conditions.push(next(verdict.kind.condition_type(), status, verdict.reason, &verdict.message));
    }
    if in_progress {
        conditions.push(next(
            ty::RECONCILING,
            "True",
            Reason::Progressing,
            "The first reconciliation of this generation has not ended yet.",
        ));
    } else if let Some((reason, message)) = gate.stalled(pass.waited || was_stalled(old)) {
        conditions.push(next(ty::STALLED, "True", reason, &message));
    }
    conditions
}

/// A restart must not clear a Stalled condition.
fn was_stalled(old: &CloudTenantStatus) -> bool {
    condition::reason(&old.conditions, ty::STALLED).is_some_and(Reason::may_still_arrive)
}

const fn is_observed(reason: Reason) -> bool {
    !matches!(reason, Reason::ProbeDisabled | Reason::ServiceNotOffered)
}

/// Whether the catalogue of this pass lacks the service.
fn is_not_offered(pass: &Pass<'_>, kind: ProbeKind) -> bool {
    matches!(pass.probes[kind], Observation::NotOffered(_))
}

/// The verdicts that determine `Ready` and `Stalled`. A failure of all probes, such as a missing Secret, is in each of
/// them.
struct Gate<'a> {
    /// The verdicts in `readyOn` except disabled and not offered probes, in the probes' order.
    counted: Vec<&'a Verdict>,
    when_observed: bool,
    /// The spec has `readyOn`.
    is_narrowed: bool,
    /// A probe outside `readyOn` is neither disabled nor not offered.
    leaves_out: bool,
    /// No verdict counts, but the operator may not have read this generation's catalogue yet.
    is_too_early: bool,
}

impl<'a> Gate<'a> {
    fn new(pass: &Pass<'_>, verdicts: &'a ByProbe<Verdict>, in_progress: bool) -> Self {
        let named = |verdict: &&Verdict| pass.target.counts_for_ready(verdict.kind);
        let kept_not_offered =
            |verdict: &Verdict| verdict.reason == Reason::ServiceNotOffered && !is_not_offered(pass, verdict.kind);
        Self {
            counted: verdicts.values().filter(named).filter(|verdict| is_observed(verdict.reason)).collect(),
            when_observed: pass.target.ready_when_observed,
            is_narrowed: !pass.target.ready_on.is_empty(),
            leaves_out: verdicts.values().any(|verdict| !named(&verdict) && is_observed(verdict.reason)),
            is_too_early: in_progress && verdicts.values().filter(named).any(kept_not_offered),
        }
    }

    /// Returns the reason and message of `Ready`.
    fn ready(&self) -> (Reason, String) {
        let (reason, message) = self.worst();
        if !self.when_observed || reason.class() != Class::Bad {
            return (reason, message);
        }
        let unknown = self.counted.iter().find(|verdict| verdict.reason.condition_status() == "Unknown");
        let observed =
            if self.is_narrowed { "All probes that count for Ready returned a result." } else { ALL_OBSERVED };
        unknown
            .map_or_else(|| (Reason::Observed, format!("{observed} {message}")), |verdict| verdict.reason_and_message())
    }

    /// Ranks False before Unknown before True. Equal verdicts keep the probes' order.
    fn worst(&self) -> (Reason, String) {
        let rank = |verdict: &&&Verdict| match verdict.reason.class() {
            Class::Bad => 0,
            Class::NotAsked | Class::Passing | Class::Stalled => 1,
            Class::Well => 2,
        };
        match self.counted.iter().min_by_key(rank) {
            None if self.is_too_early => (Reason::Progressing, NOT_YET.to_owned()),
            None => (Reason::NothingObserved, self.nothing().to_owned()),
            Some(verdict) if verdict.reason.class() == Class::Well => {
                let healthy =
                    if self.is_narrowed { "All probes that count for Ready are healthy." } else { ALL_HEALTHY };
                (Reason::Healthy, healthy.to_owned())
            }
            Some(verdict) => verdict.reason_and_message(),
        }
    }

    const fn nothing(&self) -> &'static str {
        if self.leaves_out {
            "Nothing counts for Ready: every probe in readyOn is disabled or not offered by this cloud, so name another \
             probe in readyOn."
        } else {
            "Nothing is observed: every probe is disabled or not offered by this cloud."
        }
    }

    fn stalled(&self, waited: bool) -> Option<(Reason, String)> {
        if self.counted.is_empty() {
            return Some((Reason::NothingObserved, self.nothing().to_owned()));
        }
        let needs_user = |reason: Reason| reason.class() == Class::Stalled && (waited || !reason.may_still_arrive());
        self.counted.iter().find(|verdict| needs_user(verdict.reason)).map(|verdict| verdict.reason_and_message())
    }
}

/// Keeps conditions and data. `Ready` says that the CloudTenant is suspended.
pub(super) fn suspended(pass: &Pass<'_>, old: &CloudTenantStatus) -> CloudTenantStatus {
    let mut conditions = Vec::new();
    let of_probes = ProbeKind::ALL.map(ProbeKind::condition_type);
    for type_ in std::iter::once(ty::READY).chain(of_probes).chain([ty::STALLED]) {
        let before = condition::find(&old.conditions, type_);
        let mut condition = match before.filter(|before| before.reason != Reason::StatusRefused.as_str()) {
            Some(before) => before.clone(),
            None if type_ == ty::STALLED => continue,
            None => {
                let (generation, now) = (pass.generation, pass.now);
                condition::next(&[], type_, "Unknown", Reason::Progressing, NOT_YET, generation, now)
            }
        };
        if type_ == ty::READY && !condition.message.starts_with(SUSPENDED) {
            condition.message.insert_str(0, SUSPENDED);
        }
        condition.observed_generation = Some(pass.generation);
        conditions.push(condition);
    }
    if let Some((reason, message)) = stalled_in_first_pass(pass, old) {
        let (generation, now) = (pass.generation, pass.now);
        conditions.push(condition::next(&[], ty::STALLED, "True", reason, &message, generation, now));
    }
    CloudTenantStatus { observed_generation: Some(pass.generation), conditions, ..old.clone() }
}

/// The reason for Stalled if the tenant is suspended before its first pass has ended. Until then `Reconciling` stood in
/// its place.
fn stalled_in_first_pass(pass: &Pass<'_>, old: &CloudTenantStatus) -> Option<(Reason, String)> {
    condition::find(&old.conditions, ty::RECONCILING)?;
    let counted = ProbeKind::ALL.into_iter().filter(|kind| pass.target.counts_for_ready(*kind));
    let reasons = counted.filter_map(|kind| {
        let condition = condition::find(&old.conditions, kind.condition_type())?;
        Some((Reason::parse(&condition.reason)?, condition.message.clone()))
    });
    let mut reasons = reasons.filter(|(reason, _)| reason.class() == Class::Stalled && !reason.may_still_arrive());
    reasons.next()
}

/// Makes `Ready` and every enabled probe Unknown after a panic.
pub(super) fn broke_off(generation: i64, old: &CloudTenantStatus, now: Timestamp) -> Vec<Condition> {
    let message = "The operator failed while it computed this status: check its log.";
    let next = |type_: &str| match condition::reason(&old.conditions, type_) {
        Some(Reason::ProbeDisabled | Reason::ServiceNotOffered) => condition::find(&old.conditions, type_).cloned(),
        _ => {
            let reason = Reason::UnexpectedAnswer;
            Some(condition::next(&old.conditions, type_, "Unknown", reason, message, generation, now))
        }
    };
    std::iter::once(ty::READY).chain(ProbeKind::ALL.map(ProbeKind::condition_type)).filter_map(next).collect()
}

/// Makes every condition report the invalid spec.
pub(super) fn invalid(message: &str, generation: i64, old: &CloudTenantStatus, now: Timestamp) -> Vec<Condition> {
    stalled(Reason::InvalidSpec, message, generation, old, now)
}

/// Makes every condition report that the API server refuses the status.
pub(super) fn refused(
    cause: StatusRefusal,
    generation: i64,
    old: &CloudTenantStatus,
    now: Timestamp,
) -> Vec<Condition> {
    let message = match cause {
        StatusRefusal::Invalid => {
            "The Kubernetes API refuses the status of this CloudTenant: ask the administrator of the cluster to \
             install the CRD of the operator's version, and to check admission policies and webhooks."
        }
        StatusRefusal::TooLarge => {
            "The Kubernetes API refuses the status of this CloudTenant, because the object would be too large: remove \
             large annotations."
        }
    };
    stalled(Reason::StatusRefused, message, generation, old, now)
}

/// Gives this reason to every condition.
fn stalled(reason: Reason, message: &str, generation: i64, old: &CloudTenantStatus, now: Timestamp) -> Vec<Condition> {
    let next =
        |type_: &str, status: &str| condition::next(&old.conditions, type_, status, reason, message, generation, now);
    let probes = ProbeKind::ALL.map(|kind| next(kind.condition_type(), "Unknown"));
    let ready = next(ty::READY, "Unknown");
    std::iter::once(ready).chain(probes).chain([next(ty::STALLED, "True")]).collect()
}
