//! The status of a set that the operator cannot observe, for a reason that is the object's or the operator's own.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::{
    api::{
        Reason,
        set::{CloudTenantSetStatus, SetReason, condition_type as ty},
    },
    decide::{condition, status::StatusRefusal},
};

/// Why the operator does not serve a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// It serves as many sets of the namespace as it may, with their number.
    Namespace(usize),
    /// It serves as many sets as it may, with their number.
    All(usize),
}

/// Gives this reason to every condition, and Stalled.
fn stalled(reason: Reason, message: &str, generation: i64, old: &[Condition], now: Timestamp) -> Vec<Condition> {
    let next = |type_: &str, status| condition::next(old, type_, status, reason, message, generation, now);
    let main = [ty::READY, ty::PROJECTS_LISTED, ty::IN_SYNC].map(|type_| next(type_, "Unknown"));
    main.into_iter().chain([next(ty::STALLED, "True")]).collect()
}

/// Returns the status of a set with an invalid spec. Data stay.
#[must_use]
pub fn invalid(message: &str, generation: i64, stored: &CloudTenantSetStatus, now: Timestamp) -> CloudTenantSetStatus {
    let conditions = stalled(Reason::InvalidSpec, message, generation, &stored.conditions, now);
    CloudTenantSetStatus { observed_generation: Some(generation), conditions, ..stored.clone() }
}

/// Returns the status in the place of one that the API server refused. It keeps the count of deletions, and no other
/// data, because these may be the cause.
#[must_use]
pub fn refused(
    cause: StatusRefusal,
    status: &CloudTenantSetStatus,
    stored: &CloudTenantSetStatus,
    now: Timestamp,
) -> CloudTenantSetStatus {
    let message = match cause {
        StatusRefusal::Invalid => {
            "The Kubernetes API refuses the status of this CloudTenantSet: ask the administrator of the cluster to \
             install the CRD of the operator's version, and to check admission policies and webhooks."
        }
        StatusRefusal::TooLarge => {
            "The Kubernetes API refuses the status of this CloudTenantSet, because the object would be too large: \
             remove large annotations."
        }
    };
    let generation = status.observed_generation.unwrap_or_default();
    CloudTenantSetStatus {
        observed_generation: status.observed_generation,
        last_handled_reconcile_at: status.last_handled_reconcile_at.clone(),
        conditions: stalled(Reason::StatusRefused, message, generation, &stored.conditions, now),
        pruning: stored.pruning.clone(),
        ..CloudTenantSetStatus::default()
    }
}

/// Returns the status of a set whose pass panicked. Data stay.
#[must_use]
pub fn broke_off(generation: i64, stored: &CloudTenantSetStatus, now: Timestamp) -> CloudTenantSetStatus {
    let message = "The operator failed while it computed this status: check its log.";
    let reason = Reason::UnexpectedAnswer;
    let next = |type_: &str| condition::next(&stored.conditions, type_, "Unknown", reason, message, generation, now);
    let conditions = [ty::READY, ty::PROJECTS_LISTED, ty::IN_SYNC].map(next).to_vec();
    CloudTenantSetStatus { observed_generation: Some(generation), conditions, ..stored.clone() }
}

/// Returns the status of a set that the operator does not serve, because it serves as many as it may. Data stay.
#[must_use]
pub fn not_served(full: Full, generation: i64, stored: &CloudTenantSetStatus, now: Timestamp) -> CloudTenantSetStatus {
    let message = match full {
        Full::Namespace(most) => format!(
            "The operator serves {most} CloudTenantSets of a namespace, and this is one more: delete others, or use \
             another namespace."
        ),
        Full::All(most) => {
            format!("The operator serves {most} CloudTenantSets, and this is one more: delete others.")
        }
    };
    let own = |type_: &str, status: &str| {
        let reason = SetReason::NotServed.as_str();
        condition::named(&stored.conditions, type_, status, reason, &message, generation, now)
    };
    let unknown = Reason::Progressing;
    let listed =
        condition::next(&stored.conditions, ty::PROJECTS_LISTED, "Unknown", unknown, super::NOT_YET, generation, now);
    let conditions = vec![own(ty::READY, "False"), listed, own(ty::IN_SYNC, "False"), own(ty::STALLED, "True")];
    CloudTenantSetStatus { observed_generation: Some(generation), conditions, ..stored.clone() }
}
