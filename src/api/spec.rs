//! What a user wishes to be observed.

#![allow(clippy::duplicated_attributes, reason = "printer columns repeat their types")]

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{GoDuration, status::CloudTenantStatus};

/// One tenant (project) of an OpenStack cloud, observed: whether the cloud's orchestration engines and the
/// tenant's caches are well, and what its servers have used.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "cloudtenant.dev",
    version = "v1alpha1",
    kind = "CloudTenant",
    plural = "cloudtenants",
    namespaced,
    status = "CloudTenantStatus",
    shortname = "ct",
    category = "cloud",
    derive = "PartialEq",
    selectable = ".spec.projectID",
    doc = "One tenant (project) of an OpenStack cloud, observed: whether the cloud's orchestration engines and the tenant's caches are well, and what its servers have used.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(
        name = "Engines",
        type_ = "string",
        json_path = ".status.engines.summary",
        description = "Engines up / engines that count"
    ),
    printcolumn(
        name = "Caches",
        type_ = "integer",
        json_path = ".status.caches.all.running",
        description = "Running cache instances"
    ),
    printcolumn(
        name = "vCPU-hours",
        type_ = "string",
        json_path = ".status.usage.vcpuHours",
        description = "vCPU-hours in the current period"
    ),
    printcolumn(
        name = "Since",
        type_ = "date",
        json_path = ".status.conditions[?(@.type==\"Ready\")].lastTransitionTime"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Suspended", type_ = "boolean", json_path = ".spec.suspend", priority = 1),
    printcolumn(
        name = "Observed",
        type_ = "date",
        json_path = ".status.observedAt",
        description = "Time since the oldest of the observations that count for Ready",
        priority = 1
    ),
    printcolumn(name = "Project", type_ = "string", json_path = ".spec.projectID", priority = 1),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct CloudTenantSpec {
    /// The ID of the project (tenant) that is observed. It cannot be changed: make another CloudTenant instead.
    #[serde(rename = "projectID")]
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"), length(max = 64))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("projectID is immutable: create another CloudTenant for another project"))]
    pub project_id: String,

    /// Where the credential for the cloud is found.
    pub cloud_credentials_ref: CloudCredentialsRef,

    /// The region to look at. Overrides `region_name` in clouds.yaml.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub region: Option<String>,

    /// How often engines and caches are looked at, from 10s to 24h, as Go writes durations (`90s`, `5m`, `1h30m`).
    #[serde(default = "default_interval")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('10s') && duration(self) <= duration('24h')").message("interval must be between 10s and 24h"))]
    pub interval: GoDuration,

    /// The deadline of one call to the cloud, from 1s to 10m. The engines' call gets at least 75s, since Heat
    /// says that engines are down only after 60.
    #[serde(default = "default_timeout")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('10m')").message("timeout must be between 1s and 10m"))]
    pub timeout: GoDuration,

    /// What Ready means. Healthy: Ready is the verdict. Observed: Ready is True as soon as everything could be
    /// looked at, sick or not, and never False; for pipelines that must not wait for a cloud to get well.
    #[serde(default)]
    pub ready_when: ReadyWhen,

    /// The probes that count for Ready, for observedAt and for Stalled: one to three of Engines, Caches and Usage.
    /// All of them when absent. The other probes keep their conditions, events and data.
    // No default: a stored one could not be narrowed by server-side apply.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 3))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    #[x_kube(validation = Rule::new("self.all(x, self.exists_one(y, x == y))").message("readyOn must not name a probe twice"))]
    pub ready_on: Vec<ProbeName>,

    /// While true, nothing is asked, and conditions and data stay as they are.
    #[serde(default)]
    pub suspend: bool,

    /// What is looked at, and how it is judged.
    #[serde(default)]
    pub probes: Probes,
}

/// The clouds.yaml Secret, and which of its clouds is meant.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CloudCredentialsRef {
    /// The name of a Secret in this namespace with the key `clouds.yaml`, and `cacert` (PEM) where the cloud's
    /// certificates are signed by a private authority.
    #[schemars(regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"), length(min = 1, max = 253))]
    pub secret_name: String,

    /// The name of the entry under `clouds:` in clouds.yaml.
    #[serde(default = "default_cloud_name")]
    #[schemars(length(min = 1, max = 253))]
    pub cloud_name: String,
}

/// The three things that are looked at.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Probes {
    /// Heat's orchestration engines.
    #[serde(default)]
    pub engines: EnginesProbe,
    /// The project's cache instances (DCS).
    #[serde(default)]
    pub caches: CachesProbe,
    /// What the project's servers have used (Nova).
    #[serde(default)]
    pub usage: UsageProbe,
}

/// What `Ready` means.
#[derive(JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReadyWhen {
    /// All that was looked at is well.
    #[default]
    Healthy,
    /// All could be looked at.
    Observed,
}

/// A probe, as `readyOn` names it.
#[derive(JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeName {
    /// Heat's orchestration engines.
    Engines,
    /// The project's cache instances.
    Caches,
    /// The usage of the project's servers.
    Usage,
}

/// The calendar periods, in UTC, that usage is summed over.
#[derive(JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Period {
    /// A calendar month.
    #[default]
    Month,
    /// A calendar day.
    Day,
}

/// Whether a service is asked.
#[derive(JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Policy {
    /// Asked, where the cloud's catalogue offers the service.
    #[default]
    Auto,
    /// Asked, and its absence from the catalogue is an error.
    Required,
    /// Not asked.
    Disabled,
}

/// How Heat's orchestration engines are judged.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnginesProbe {
    /// Auto: ask where the catalogue offers orchestration. Required: its absence is an error. Disabled: do not ask.
    #[serde(default)]
    pub policy: Policy,

    /// So many bad verdicts in a row turn the condition False, from 1 to 100. What could not be seen does not count.
    #[serde(default = "default_threshold")]
    #[schemars(range(min = 1, max = 100))]
    pub failure_threshold: u32,

    /// An engine that is down is no longer counted when its last report is older by more than this than the newest
    /// report in Heat's list, from 1m to 8760h. Heat lists engines for ever that were scaled down on purpose.
    #[serde(default = "default_forget_after")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1m') && duration(self) <= duration('8760h')").message("forgetAfter must be between 1m and 8760h"))]
    pub forget_after: GoDuration,

    /// Hosts, as Heat names them, whose engines are not counted; at most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 253)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub ignore_hosts: Vec<String>,

    /// Another entry of the same clouds.yaml for the engines alone, where they need another credential: newer
    /// Heats show their engines only to a system-scoped one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub cloud_name: Option<String>,
}

/// How the project's cache instances are judged.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CachesProbe {
    /// Auto: ask where the catalogue offers DCS. Required: its absence is an error. Disabled: do not ask.
    #[serde(default)]
    pub policy: Policy,

    /// So many bad verdicts in a row turn the condition False, from 1 to 100. What could not be seen does not count.
    #[serde(default = "default_threshold")]
    #[schemars(range(min = 1, max = 100))]
    pub failure_threshold: u32,

    /// Whether instances that failed to be created are counted, and make the caches unhealthy.
    #[serde(default = "default_true")]
    pub include_failure: bool,

    /// States that make the caches unhealthy besides `error`, which always does; at most 14, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 14))]
    #[x_kube(
        merge_strategy = ListMerge::Atomic,
        validation = Rule::new("self.all(state, self.exists_one(other, other == state))").message("unhealthyStates must name each state once")
    )]
    pub unhealthy_states: Vec<CacheState>,
}

/// A state of cache instances that a spec may call unhealthy. Not among them are `running`, `error`, which always is
/// unhealthy, and `createFailed`, which `includeFailure` is for.
#[derive(JsonSchema, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CacheState {
    /// Being created.
    Creating,
    /// Being deleted.
    Deleting,
    /// Being restarted.
    Restarting,
    /// Being scaled up.
    Extending,
    /// Being upgraded.
    Upgrading,
    /// Payment in progress.
    Paying,
    /// Data migration in progress.
    Migrating,
    /// Data being cleared.
    Flushing,
    /// Stopped.
    Closed,
    /// Being started.
    Starting,
    /// Being stopped.
    Closing,
    /// Data restoration in progress.
    Restoring,
    /// Being frozen (newer regions).
    Freezing,
    /// Frozen (newer regions).
    Frozen,
}

impl CacheState {
    /// The name of the count in [`CacheCounts`](super::CacheCounts), which is the state's name in the spec.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Deleting => "deleting",
            Self::Restarting => "restarting",
            Self::Extending => "extending",
            Self::Upgrading => "upgrading",
            Self::Paying => "paying",
            Self::Migrating => "migrating",
            Self::Flushing => "flushing",
            Self::Closed => "closed",
            Self::Starting => "starting",
            Self::Closing => "closing",
            Self::Restoring => "restoring",
            Self::Freezing => "freezing",
            Self::Frozen => "frozen",
        }
    }
}

/// How the project's usage is read.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageProbe {
    /// Auto: ask where the catalogue offers compute. Required: its absence is an error. Disabled: do not ask.
    #[serde(default)]
    pub policy: Policy,

    /// How often the usage is read, from 1m to 24h. It is heavy work for Nova.
    #[serde(default = "default_usage_interval")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1m') && duration(self) <= duration('24h')").message("usage.interval must be between 1m and 24h"))]
    pub interval: GoDuration,

    /// The calendar period, in UTC, that is summed over; Month when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Period>,
}

impl Default for EnginesProbe {
    fn default() -> Self {
        Self {
            policy: Policy::Auto,
            failure_threshold: default_threshold(),
            forget_after: default_forget_after(),
            ignore_hosts: Vec::new(),
            cloud_name: None,
        }
    }
}

impl Default for CachesProbe {
    fn default() -> Self {
        Self {
            policy: Policy::Auto,
            failure_threshold: default_threshold(),
            include_failure: true,
            unhealthy_states: Vec::new(),
        }
    }
}

impl Default for UsageProbe {
    fn default() -> Self {
        Self { policy: Policy::Auto, interval: default_usage_interval(), period: None }
    }
}

const fn default_threshold() -> u32 {
    1
}

fn default_interval() -> GoDuration {
    "5m".into()
}

fn default_timeout() -> GoDuration {
    "90s".into()
}

fn default_forget_after() -> GoDuration {
    "24h".into()
}

fn default_usage_interval() -> GoDuration {
    "1h".into()
}

fn default_cloud_name() -> String {
    "openstack".to_owned()
}

const fn default_true() -> bool {
    true
}
