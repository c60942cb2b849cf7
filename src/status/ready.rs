//! Pure: `Ready`, `Reconciling` and `Stalled`, from the three verdicts, as kstatus reads them.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{Pass, Verdict, condition_of};
use crate::{
    api::{CloudTenantStatus, Reason, condition_type as ty, reason::Class},
    condition,
    observation::ProbeKind,
};

const SUSPENDED: &str = "Suspended: ";

/// All conditions of a pass.
pub(super) fn conditions(pass: &Pass<'_>, old: &CloudTenantStatus, verdicts: &[Verdict]) -> Vec<Condition> {
    let next = |type_: &str, status: &str, reason, message: &str| {
        condition::next(&old.conditions, type_, status, reason, message, pass.generation, pass.now)
    };
    let (reason, message) = match worst(verdicts) {
        (reason, message) if pass.target.ready_when_observed && reason.class() == Class::Bad => {
            unseen(verdicts).unwrap_or_else(|| (Reason::Observed, format!("All could be looked at. {message}")))
        }
        worst => worst,
    };
    let mut conditions = vec![next(ty::READY, reason.condition_status(), reason, &message)];
    for verdict in verdicts {
        let status = verdict.reason.condition_status();
        conditions.push(next(condition_of(verdict.kind), status, verdict.reason, &verdict.message));
    }
    // A new generation is in progress until its first pass has ended; what is in progress is not stalled.
    let fresh =
        old.observed_generation != Some(pass.generation) || condition::find(&old.conditions, ty::RECONCILING).is_some();
    if fresh && !pass.has_ended() {
        conditions.push(next(ty::RECONCILING, "True", Reason::Progressing, "The first look has not ended yet."));
    } else if let Some((reason, message)) = stalled(verdicts, pass.waited || was_stalled(old)) {
        conditions.push(next(ty::STALLED, "True", reason, &message));
    }
    conditions
}

/// A restart must not take back what took a person before.
fn was_stalled(old: &CloudTenantStatus) -> bool {
    condition::reason(&old.conditions, ty::STALLED).is_some_and(Reason::may_still_arrive)
}

const fn counts(reason: Reason) -> bool {
    !matches!(reason, Reason::ProbeDisabled | Reason::ServiceNotOffered)
}

/// False before Unknown before True; among equals, the probes' order.
fn worst(verdicts: &[Verdict]) -> (Reason, String) {
    let rank = |verdict: &&Verdict| match verdict.reason.class() {
        Class::Bad => 0,
        Class::NotAsked | Class::Passing | Class::Stalled => 1,
        Class::Well => 2,
    };
    match verdicts.iter().filter(|verdict| counts(verdict.reason)).min_by_key(rank) {
        None => (
            Reason::NothingObserved,
            "Nothing is observed: every probe is disabled or not offered by this cloud.".to_owned(),
        ),
        Some(verdict) if verdict.reason.class() == Class::Well => {
            (Reason::Healthy, "All that was looked at is well.".to_owned())
        }
        Some(verdict) => (verdict.reason, verdict.message.clone()),
    }
}

/// The first of the counted ones that could not be seen.
fn unseen(verdicts: &[Verdict]) -> Option<(Reason, String)> {
    let unknown = |verdict: &&Verdict| counts(verdict.reason) && verdict.reason.condition_status() == "Unknown";
    verdicts.iter().find(unknown).map(|verdict| (verdict.reason, verdict.message.clone()))
}

fn stalled(verdicts: &[Verdict], waited: bool) -> Option<(Reason, String)> {
    let (ready, message) = worst(verdicts);
    if ready == Reason::NothingObserved {
        return Some((ready, message));
    }
    let takes_a_person = |reason: Reason| reason.class() == Class::Stalled && (waited || !reason.may_still_arrive());
    let verdict = verdicts.iter().find(|verdict| takes_a_person(verdict.reason))?;
    Some((verdict.reason, verdict.message.clone()))
}

/// Conditions and data stay; `Ready` says that nobody is looking.
pub(super) fn suspended(pass: &Pass<'_>, old: &CloudTenantStatus) -> CloudTenantStatus {
    let mut conditions = Vec::new();
    for type_ in [ty::READY, ty::ENGINES_HEALTHY, ty::CACHES_HEALTHY, ty::USAGE_REPORTED, ty::STALLED] {
        let mut condition = match condition::find(&old.conditions, type_) {
            Some(before) => before.clone(),
            None if type_ == ty::STALLED => continue,
            None => {
                let message = "Not looked at yet.";
                let (generation, now) = (pass.generation, pass.now);
                condition::next(&[], type_, "Unknown", Reason::Progressing, message, generation, now)
            }
        };
        if type_ == ty::READY && !condition.message.starts_with(SUSPENDED) {
            condition.message.insert_str(0, SUSPENDED);
        }
        condition.observed_generation = Some(pass.generation);
        conditions.push(condition);
    }
    CloudTenantStatus { observed_generation: Some(pass.generation), conditions, ..old.clone() }
}

/// Every condition says that the spec cannot be read.
pub(super) fn invalid(message: &str, generation: i64, old: &CloudTenantStatus, now: Timestamp) -> Vec<Condition> {
    let next = |type_: &str, status: &str| {
        condition::next(&old.conditions, type_, status, Reason::InvalidSpec, message, generation, now)
    };
    let probes = ProbeKind::ALL.map(|kind| next(condition_of(kind), "Unknown"));
    let ready = next(ty::READY, "Unknown");
    std::iter::once(ready).chain(probes).chain([next(ty::STALLED, "True")]).collect()
}
