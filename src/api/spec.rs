//! The spec: which tenant the operator observes, and how.

#![allow(clippy::duplicated_attributes, reason = "printer columns repeat their types")]

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{GoDuration, ProbeKind, status::CloudTenantStatus};

/// CloudTenant observes one tenant (project) of an OpenStack cloud: the health of the cloud's orchestration engines and
/// of the tenant's caches, and the usage of the tenant's servers.
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
    doc = "CloudTenant observes one tenant (project) of an OpenStack cloud: the health of the cloud's orchestration engines and of the tenant's caches, and the usage of the tenant's servers.",
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

    /// The Secret and the entry of its clouds.yaml that hold the credential for the cloud.
    pub cloud_credentials_ref: CloudCredentialsRef,

    /// The region that the operator observes. Overrides `region_name` in clouds.yaml.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub region: Option<String>,

    /// The interval between two observations of engines and caches, from 10s to 24h, as a Go duration (`90s`, `5m`,
    /// `1h30m`).
    #[serde(default = "default_interval")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('10s') && duration(self) <= duration('24h')").message("interval must be between 10s and 24h"))]
    pub interval: GoDuration,

    /// The deadline of one call to the cloud, from 1s to 10m. The call for engines has at least 75s, because Heat
    /// reports unresponsive engines only after 60s.
    #[serde(default = "default_timeout")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('10m')").message("timeout must be between 1s and 10m"))]
    pub timeout: GoDuration,

    /// What Ready means. Healthy: Ready is True if the counted probes are healthy. Observed: Ready is True as soon as
    /// all counted probes return a result, healthy or unhealthy, and it is never False. Use Observed for pipelines that
    /// must not wait for a healthy cloud.
    #[serde(default)]
    pub ready_when: ReadyWhen,

    /// The probes that count for Ready, for Stalled and for observedAt: one to three of Engines, Caches and Usage. If
    /// absent, all probes count. The other probes keep their conditions, events and data.
    // No default: a stored one could not be narrowed by server-side apply.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 3))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    #[x_kube(validation = Rule::new("self.all(x, self.exists_one(y, x == y))").message("readyOn must not name a probe twice"))]
    pub ready_on: Vec<ProbeKind>,

    /// If true, the operator runs no probes. Conditions and data do not change.
    #[serde(default)]
    pub suspend: bool,

    /// The probes and their rules.
    #[serde(default)]
    pub probes: Probes,
}

/// The Secret with clouds.yaml, and the entry of it that the operator uses.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CloudCredentialsRef {
    /// The name of a Secret in this namespace. Its key `clouds.yaml` holds the credential. Add the key `cacert` (PEM)
    /// if the cloud's certificates come from a private authority or are self-signed.
    #[schemars(regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"), length(min = 1, max = 253))]
    pub secret_name: String,

    /// The name of the entry under `clouds:` in clouds.yaml.
    #[serde(default = "default_cloud_name")]
    #[schemars(length(min = 1, max = 253))]
    pub cloud_name: String,

    /// What the operator logs in for.
    // No default: a stored one could not be distinguished from the user's choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<CredentialScope>,
}

// The field's description in the CRD, because the field is optional.
/// What the operator logs in for. Entry: for what the entry names. ObservedProject: for `projectID`, with the user of the
/// entry, so that one Secret serves any number of projects; the entry needs a password, a token or an access key. If
/// absent, Entry.
#[derive(JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CredentialScope {
    /// What the entry of clouds.yaml names.
    #[default]
    Entry,
    /// The observed project, with the user of the entry.
    ObservedProject,
}

/// The three probes.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Probes {
    /// Heat's orchestration engines.
    #[serde(default)]
    pub engines: EnginesProbe,
    /// The project's cache instances (DCS).
    #[serde(default)]
    pub caches: CachesProbe,
    /// The usage of the project's servers (Nova).
    #[serde(default)]
    pub usage: UsageProbe,
}

/// The rules that every probe has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeRules {
    /// Whether the operator runs the probe.
    pub policy: Policy,
    /// Number of consecutive unhealthy observations before the condition becomes False.
    pub failure_threshold: u32,
}

impl Probes {
    /// The rules of this probe that every probe has.
    #[must_use]
    pub const fn rules(&self, kind: ProbeKind) -> ProbeRules {
        let Self { engines, caches, usage } = self;
        let (policy, failure_threshold) = match kind {
            ProbeKind::Engines => (engines.policy, engines.failure_threshold),
            ProbeKind::Caches => (caches.policy, caches.failure_threshold),
            // The usage is never unhealthy.
            ProbeKind::Usage => (usage.policy, default_threshold()),
        };
        ProbeRules { policy, failure_threshold }
    }
}

/// What `Ready` means.
#[derive(JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReadyWhen {
    /// Ready is True if the counted probes are healthy.
    #[default]
    Healthy,
    /// Ready is True if the counted probes returned a result.
    Observed,
}

/// The calendar period, in UTC, that the usage is summed over.
#[derive(JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Period {
    /// A calendar month.
    #[default]
    Month,
    /// A calendar day.
    Day,
}

/// Whether the operator runs a probe.
#[derive(JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Policy {
    /// Probe the service if the cloud's catalogue offers it.
    #[default]
    Auto,
    /// Probe the service. Its absence from the catalogue is an error.
    Required,
    /// Do not probe the service.
    Disabled,
}

/// The rules for Heat's orchestration engines.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnginesProbe {
    /// Auto: probe Heat if the catalogue offers it. Required: its absence is an error. Disabled: do not probe it.
    #[serde(default)]
    pub policy: Policy,

    /// The number of consecutive unhealthy observations before the condition becomes False, from 1 to 100. Failed
    /// probes do not count.
    #[serde(default = "default_threshold")]
    #[schemars(range(min = 1, max = 100))]
    pub failure_threshold: u32,

    /// How long an engine that is down still counts, from 1m to 8760h. It stops counting when its last report is older
    /// than the newest report in Heat's list by more than this. Heat lists removed engines for ever.
    #[serde(default = "default_forget_after")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1m') && duration(self) <= duration('8760h')").message("forgetAfter must be between 1m and 8760h"))]
    pub forget_after: GoDuration,

    /// Hosts whose engines do not count, by the name that Heat shows; at most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 253)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub ignore_hosts: Vec<String>,

    /// Another entry of the same clouds.yaml, for this probe only. Set it if Heat shows its engines only to another
    /// credential, such as a system-scoped one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub cloud_name: Option<String>,
}

/// The rules for the project's cache instances.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CachesProbe {
    /// Auto: probe DCS if the catalogue offers it. Required: its absence is an error. Disabled: do not probe it.
    #[serde(default)]
    pub policy: Policy,

    /// The number of consecutive unhealthy observations before the condition becomes False, from 1 to 100. Failed
    /// probes do not count.
    #[serde(default = "default_threshold")]
    #[schemars(range(min = 1, max = 100))]
    pub failure_threshold: u32,

    /// If true, instances whose creation failed make the caches unhealthy.
    #[serde(default = "default_true")]
    pub include_failure: bool,

    /// States that make the caches unhealthy, in addition to `error`, which always does; at most 14, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 14))]
    #[x_kube(
        merge_strategy = ListMerge::Atomic,
        validation = Rule::new("self.all(state, self.exists_one(other, other == state))").message("unhealthyStates must name each state once")
    )]
    pub unhealthy_states: Vec<CacheState>,
}

/// A state of cache instances that a spec can declare unhealthy. `running` is not in the list. `error` is always
/// unhealthy, and `includeFailure` controls `createFailed`.
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

/// The rules for the project's usage.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageProbe {
    /// Auto: probe Nova if the catalogue offers it. Required: its absence is an error. Disabled: do not probe it.
    #[serde(default)]
    pub policy: Policy,

    /// The interval between two readings of the usage, from 1m to 24h. Each reading is expensive for Nova.
    #[serde(default = "default_usage_interval")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1m') && duration(self) <= duration('24h')").message("usage.interval must be between 1m and 24h"))]
    pub interval: GoDuration,

    /// The calendar period, in UTC, that the usage is summed over: Month or Day. If absent, Month.
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
