//! The `CloudTenantSet` resource: a CloudTenant for each project that Keystone lists.
//!
//! Types and constants only. [`crate::decide::set`] decides what a field's value leads to.

#![allow(clippy::duplicated_attributes, reason = "printer columns repeat their types")]

mod reason;
mod schema;
mod status;
mod template;

use kube::{CustomResource, KubeSchema};
pub use reason::{SetClass, SetReason};
pub use schema::{crd, crd_yaml};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
pub use status::{CloudTenantSetStatus, ConfirmedPrune, PrunedHour, Pruning, SkipReason, SkippedCount, SkippedProject};
pub use template::{TemplateAnnotations, TemplateLabels, TemplateMetadata, TemplateSpec, TenantTemplate};

use super::{CloudCredentialsRef, GoDuration};

/// The condition types of a set, besides those that CloudTenants have too.
pub mod condition_type {
    pub use crate::api::condition_type::{READY, RECONCILING, STALLED};
    /// Whether the operator could list the projects. Never False.
    pub const PROJECTS_LISTED: &str = "ProjectsListed";
    /// Whether the CloudTenants are those that the projects and the template require.
    pub const IN_SYNC: &str = "InSync";
    /// All of them, in the order in which they are written.
    pub const ALL: [&str; 5] = [READY, PROJECTS_LISTED, IN_SYNC, RECONCILING, STALLED];
}

/// The field manager of what a set applies to its CloudTenants.
pub const SETS_FIELD_MANAGER: &str = "cloudtenant-operator-sets";

/// The label of a CloudTenant with the name of the set that it belongs to.
pub const SET_LABEL: &str = "cloudtenant.dev/set";

/// The annotation of a CloudTenant with the UID of the set that it belongs to.
pub const SET_UID: &str = "cloudtenant.dev/set-uid";

/// The annotation of a CloudTenant with the name of its project.
pub const PROJECT_NAME: &str = "cloudtenant.dev/project-name";

/// The annotation of a CloudTenant with the name of its project's domain.
pub const DOMAIN_NAME: &str = "cloudtenant.dev/domain-name";

/// The annotation of a set whose value, the set's generation, confirms a prune that the operator holds back.
pub const CONFIRM_PRUNE: &str = "cloudtenant.dev/confirm-prune";

/// Projects without a CloudTenant of the set that the status names.
pub const SKIPPED: usize = 20;

/// CloudTenantSet makes a CloudTenant for each project that Keystone lists and the filter selects.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "cloudtenant.dev",
    version = "v1alpha1",
    kind = "CloudTenantSet",
    plural = "cloudtenantsets",
    namespaced,
    status = "CloudTenantSetStatus",
    shortname = "cts",
    category = "cloud",
    derive = "PartialEq",
    doc = "CloudTenantSet makes a CloudTenant for each project that Keystone lists and the filter selects.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(
        name = "Projects",
        type_ = "integer",
        json_path = ".status.projects",
        description = "Projects that the filter selects"
    ),
    printcolumn(
        name = "Tenants",
        type_ = "integer",
        json_path = ".status.tenants",
        description = "CloudTenants of this set"
    ),
    printcolumn(
        name = "Healthy",
        type_ = "integer",
        json_path = ".status.ready",
        description = "CloudTenants of this set that are Ready"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Prune", type_ = "string", json_path = ".spec.prune", priority = 1),
    printcolumn(
        name = "Skipped",
        type_ = "integer",
        json_path = ".status.skippedTotal",
        description = "Selected projects without a CloudTenant of this set",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct CloudTenantSetSpec {
    /// The Secret and the entry of its clouds.yaml that hold the credential for the list of projects. Each CloudTenant of
    /// the set uses them too.
    // The schema leaves out `scope`: the operator lists with what the entry names.
    pub cloud_credentials_ref: CloudCredentialsRef,

    /// The interval between two lists of projects, from 1m to 24h, as a Go duration (`90s`, `10m`, `1h30m`).
    #[serde(default = "default_interval")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1m') && duration(self) <= duration('24h')").message("interval must be between 1m and 24h"))]
    pub interval: GoDuration,

    /// If true, the operator lists no projects and changes no CloudTenant of the set. They go on being observed.
    #[serde(default)]
    pub suspend: bool,

    /// Where the projects come from. AccessibleProjects: those that the user has a role in (`GET /v3/auth/projects`).
    /// Projects: all that the user may list (`GET /v3/projects`), which usually needs an administrator.
    #[serde(default)]
    pub source: ProjectSource,

    /// Which of the listed projects get a CloudTenant. Disabled projects and projects that stand for a domain never do.
    #[serde(default)]
    pub filter: ProjectFilter,

    /// The parts of each CloudTenant that are the same in the whole set.
    #[serde(default)]
    pub template: TenantTemplate,

    /// What becomes of the CloudTenant of a project that is gone, and of all of them if the set is deleted. Keep: they
    /// stay, with the usage of the closed month. Delete: the operator deletes them.
    #[serde(default)]
    pub prune: Prune,

    /// The share of the set's CloudTenants that the operator deletes within 24 hours, in percent from 0 to 100; at least
    /// one. It deletes none if more projects than that are gone.
    #[serde(default = "default_max_loss_percent")]
    #[schemars(range(min = 0, max = 100))]
    pub max_loss_percent: u32,

    /// The number of CloudTenants from which on the operator makes no further ones, from 1 to 5000.
    #[serde(default = "default_max_tenants")]
    #[schemars(range(min = 1, max = 5000))]
    pub max_tenants: u32,
}

/// Where the projects come from.
#[derive(JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ProjectSource {
    /// The projects that the user has a role in.
    #[default]
    AccessibleProjects,
    /// All projects that the user may list.
    Projects,
}

/// What becomes of CloudTenants whose project is gone.
#[derive(JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Prune {
    /// They stay.
    #[default]
    Keep,
    /// The operator deletes them.
    Delete,
}

/// Which projects get a CloudTenant: those that meet all of it.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProjectFilter {
    /// The project is in one of these domains, by their IDs; at most 50. If absent, in any.
    #[serde(rename = "domainIDs", default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 64)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub domain_ids: Vec<String>,

    /// The ID of the project or domain right above the project. If absent, any.
    #[serde(rename = "parentID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub parent_id: Option<String>,

    /// The project has all of these tags; at most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 255)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub tags: Vec<String>,

    /// The project's name matches this regular expression (RE2) somewhere: `^` and `$` stand for its ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub name_pattern: Option<String>,

    /// The project has none of these IDs; at most 500.
    #[serde(rename = "excludeIDs", default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 500), inner(length(min = 1, max = 64)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub exclude_ids: Vec<String>,
}

fn default_interval() -> GoDuration {
    "10m".into()
}

const fn default_max_loss_percent() -> u32 {
    20
}

const fn default_max_tenants() -> u32 {
    500
}
