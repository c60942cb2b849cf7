//! The status of a set: what the operator listed, and what it made of it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator listed for the set, and which CloudTenants the set has.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CloudTenantSetStatus {
    /// The generation of the spec that this status was computed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// The last value of the annotation `reconcile.fluxcd.io/requestedAt` that the operator has handled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,

    /// Ready, ProjectsListed and InSync, and Reconciling and Stalled while they are True.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,

    /// When the operator last listed the projects, by its own clock. Updated at least every ten minutes, or every
    /// interval if that is longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_at: Option<Time>,

    /// The number of listed projects that the filter selects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projects: Option<u32>,

    /// The number of CloudTenants of this set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenants: Option<u32>,

    /// The number of CloudTenants of this set that are Ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<u32>,

    /// With prune Delete, the number of CloudTenants of this set whose project seems to be gone and that the operator does
    /// not delete. The condition InSync says why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<u32>,

    /// Selected projects without a CloudTenant of this set, at most 20, sorted by their IDs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["projectID".into()]))]
    pub skipped: Vec<SkippedProject>,

    /// The number of skipped projects that the list omits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped_omitted: Option<u32>,

    /// The number of all skipped projects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped_total: Option<u32>,

    /// The numbers of all skipped projects by their reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["reason".into()]))]
    pub skipped_by_reason: Vec<SkippedCount>,

    /// What the operator has to know about deleted CloudTenants after a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pruning: Option<Pruning>,
}

/// A selected project without a CloudTenant of this set.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SkippedProject {
    /// The project's ID.
    #[serde(rename = "projectID")]
    #[schemars(length(min = 1, max = 64))]
    pub project_id: String,

    /// Why. Covered: another CloudTenant has the project. OtherSet: an older set has it, or a CloudTenant of another set.
    /// NameTaken: another CloudTenant has the name. InvalidProjectID: no CloudTenant accepts the ID.
    pub reason: SkipReason,

    /// The CloudTenant or the set that has the project or the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub by: Option<String>,
}

/// The number of skipped projects with a reason.
#[derive(KubeSchema, Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SkippedCount {
    /// The reason, as in `skipped`.
    pub reason: SkipReason,
    /// How many.
    pub projects: u32,
}

/// Why a selected project has no CloudTenant of this set.
#[derive(JsonSchema, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SkipReason {
    /// Another CloudTenant, of no set, has the project.
    Covered,
    /// Another set has the project.
    OtherSet,
    /// Another CloudTenant has the name that the CloudTenant would have.
    NameTaken,
    /// The ID is not one that a CloudTenant accepts.
    #[serde(rename = "InvalidProjectID")]
    InvalidProjectId,
}

impl SkipReason {
    /// Every reason there is.
    pub const ALL: [Self; 4] = [Self::Covered, Self::OtherSet, Self::NameTaken, Self::InvalidProjectId];

    /// The word that stands in the status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Covered => "Covered",
            Self::OtherSet => "OtherSet",
            Self::NameTaken => "NameTaken",
            Self::InvalidProjectId => "InvalidProjectID",
        }
    }
}

/// What the operator has to know about deleted CloudTenants after a restart.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pruning {
    /// The CloudTenants that the operator has deleted in the last 24 hours because their projects were gone, by hour.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 25))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["hour".into()]))]
    pub deleted: Vec<PrunedHour>,

    /// The last confirmation that the operator accepted, by the annotation `cloudtenant.dev/confirm-prune`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<ConfirmedPrune>,
}

/// The CloudTenants that the operator deleted in an hour.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PrunedHour {
    /// When the hour began, by the operator's clock.
    pub hour: Time,
    /// How many. Counted before they are deleted.
    pub tenants: u32,
}

/// A confirmation that the operator accepted.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfirmedPrune {
    /// The annotation's value.
    pub generation: i64,
    /// When the operator first saw it. It counts for 24 hours.
    pub at: Time,
}
