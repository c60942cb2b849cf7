//! The status: what the operator observed, and its verdicts.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, MapAccess},
};

use super::flat::{self, Beside};

/// What the operator observed of the tenant's cloud, when, and its verdicts.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CloudTenantStatus {
    /// The generation of the spec that this status was computed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// The last value of the annotation `reconcile.fluxcd.io/requestedAt` that the operator has handled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,

    /// Ready, EnginesHealthy, CachesHealthy and UsageReported, and Reconciling and Stalled while they are True.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,

    /// The oldest `observedAt` of the probes that count for Ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_at: Option<Time>,

    /// The cloud that the data below come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,

    /// Heat's orchestration engines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engines: Option<EnginesStatus>,

    /// The project's cache instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caches: Option<CachesStatus>,

    /// The usage of the project's servers in the current period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<UsageStatus>,
}

/// The cloud that the data come from, as last used.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// The Secret's name.
    pub secret_name: String,
    /// The entry in clouds.yaml.
    pub cloud_name: String,
    /// Keystone's host, with its port if `auth_url` has one.
    pub host: String,
    /// The region that the spec or clouds.yaml names, or the one that the operator chose from the catalogue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The ID of the project that the token is scoped to.
    #[serde(rename = "tokenProjectID", default, skip_serializing_if = "Option::is_none")]
    pub token_project_id: Option<String>,
    /// The name of the project that the token is scoped to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_project_name: Option<String>,
    /// When the credential expires. Present only in the last seven days before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_expire_at: Option<Time>,
}

/// Heat's orchestration engines, by host.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnginesStatus {
    /// When the probe last returned a verdict, by the operator's clock. Updated at least every ten minutes, or every
    /// interval if that is longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_at: Option<Time>,
    /// Engines up / engines that count, such as `2/2`; `?/2` while the current state is unknown.
    #[serde(default)]
    pub summary: String,
    /// Engines that count.
    #[serde(default)]
    pub total: u32,
    /// Engines that report in time.
    #[serde(default)]
    pub up: u32,
    /// Engines that have stopped reporting.
    #[serde(default)]
    pub down: u32,
    /// Engines that no longer count, because they have not reported for longer than forgetAfter.
    #[serde(default)]
    pub forgotten: u32,
    /// The longest streak of requests that no engine answered, since the last verdict AllEnginesUp or EnginesDown; at
    /// most 4.
    #[serde(default)]
    pub unanswered: u32,
    /// The engines' hosts, at most 50: those with engines down first, then by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["host".into()]))]
    pub hosts: Vec<EngineHost>,
    /// The number of hosts that the list omits.
    #[serde(default)]
    pub hosts_omitted: u32,
    /// The engines that count and are down, at most 20, sorted by host, binary, topic and ID. Absent under
    /// AllEnginesDown, because Heat cannot list them then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub down_engines: Vec<DownEngine>,
    /// When Heat first answered after AllEnginesDown, by the operator's clock. Engines that are still down count until
    /// Heat has answered for longer than forgetAfter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answering_since: Option<Time>,
}

/// One engine that has stopped reporting, as Heat lists it.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DownEngine {
    /// The engine's ID, as in its log.
    #[serde(rename = "engineID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub engine_id: Option<String>,
    /// The host as Heat names it.
    #[schemars(length(max = 255))]
    pub host: String,
    /// The program, such as `heat-engine`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub binary: Option<String>,
    /// The topic of the message queue that the engine reads, such as `engine`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub topic: Option<String>,
    /// The engine's last report, by the cloud's clock. Absent if Heat gives no readable time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_heartbeat: Option<Time>,
}

/// One host that runs engines, or did run engines.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EngineHost {
    /// The host as Heat names it.
    pub host: String,
    /// Its engines that report in time.
    pub up: u32,
    /// Its engines that have stopped reporting.
    pub down: u32,
    /// The newest report of any of its engines, by the cloud's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_heartbeat: Option<Time>,
}

/// The project's cache instances, counted by state.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CachesStatus {
    /// When the probe last returned a verdict, by the operator's clock. Updated at least every ten minutes, or every
    /// interval if that is longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_at: Option<Time>,
    /// The counts over all instances.
    #[serde(default)]
    pub all: CacheCounts,
    /// The counts by kind of cache.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["kind".into()]))]
    pub by_kind: Vec<KindCounts>,
}

/// The counts of one kind of cache.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KindCounts {
    /// `redis`, `memcached`, or another kind that the region offers.
    pub kind: String,
    /// The counts of this kind.
    #[serde(flatten)]
    pub counts: CacheCounts,
}

/// What a kind has beside its counts.
#[derive(Default)]
struct Kind {
    kind: Option<String>,
}

impl Beside for Kind {
    const NAMES: &'static [&'static str] = &["kind"];

    fn read<'de, A: MapAccess<'de>>(&mut self, _: usize, map: &mut A) -> Result<(), A::Error> {
        self.kind = Some(map.next_value()?);
        Ok(())
    }
}

impl<'de> Deserialize<'de> for KindCounts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (Kind { kind }, counts) = flat::read(deserializer)?;
        Ok(Self { kind: kind.ok_or_else(|| D::Error::missing_field("kind"))?, counts })
    }
}

macro_rules! cache_counts {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// The number of instances in each state. A count that the region did not send is absent.
        #[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub struct CacheCounts {
            $($(#[$doc])* #[serde(default, skip_serializing_if = "Option::is_none")] pub $name: Option<i64>,)*
            /// Counts that DCS's documentation does not name, at most 20.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
            pub other: Vec<OtherCount>,
        }

        impl CacheCounts {
            /// The documented counts' names, in snake case.
            pub const NAMES: [&str; [$(stringify!($name)),*].len()] = [$(stringify!($name)),*];

            /// Sets the documented count with this name, in snake case; `false` where there is none.
            pub fn set(&mut self, name: &str, count: i64) -> bool {
                $(if name == stringify!($name) {
                    self.$name = Some(count);
                    return true;
                })*
                false
            }

            /// The documented count with this name, in snake case.
            #[must_use]
            pub fn get(&self, name: &str) -> Option<i64> {
                $(if name == stringify!($name) {
                    return self.$name;
                })*
                None
            }

            /// The documented counts that were sent, in snake case.
            #[must_use]
            pub fn counts(&self) -> Vec<(&'static str, i64)> {
                let all = [$((stringify!($name), self.$name)),*];
                all.into_iter().filter_map(|(name, count)| Some((name, count?))).collect()
            }

            /// Adds the counts of others to these; a count that neither has stays absent.
            pub fn add(&mut self, others: &Self) {
                $(if let Some(count) = others.$name {
                    self.$name = Some(self.$name.unwrap_or_default().saturating_add(count));
                })*
                for other in &others.other {
                    match self.other.iter_mut().find(|own| own.name == other.name) {
                        Some(own) => own.count = own.count.saturating_add(other.count),
                        None => self.other.push(other.clone()),
                    }
                }
            }

            /// Whether no count was sent at all.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                *self == Self::default()
            }
        }
    };
}

cache_counts! {
    /// Being created.
    creating,
    /// Failed to be created.
    create_failed,
    /// Being deleted.
    deleting,
    /// Running.
    running,
    /// Abnormal.
    error,
    /// Being restarted.
    restarting,
    /// Being scaled up.
    extending,
    /// Being upgraded.
    upgrading,
    /// Payment in progress.
    paying,
    /// Data migration in progress.
    migrating,
    /// Data being cleared.
    flushing,
    /// Stopped.
    closed,
    /// Being started.
    starting,
    /// Being stopped.
    closing,
    /// Data restoration in progress.
    restoring,
    /// Being frozen (newer regions).
    freezing,
    /// Frozen (newer regions).
    frozen,
}

/// A count that DCS's documentation does not name.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherCount {
    /// The name that the region sent, without `_count`.
    pub name: String,
    /// The count.
    pub count: i64,
}

/// The usage of the project's servers in the current period.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageStatus {
    /// When the usage was last read, by the operator's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_at: Option<Time>,
    /// Servers that still exist.
    #[serde(default)]
    pub active_servers: u64,
    /// The figures of the period until now.
    #[serde(flatten)]
    pub figures: UsageFigures,
    /// The previous, closed period. The operator reads it once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousUsage>,
}

/// What a usage has beside its figures.
#[derive(Default)]
struct Usage {
    observed_at: Option<Time>,
    active_servers: u64,
    previous: Option<PreviousUsage>,
}

impl Beside for Usage {
    const NAMES: &'static [&'static str] = &["observedAt", "activeServers", "previous"];

    fn read<'de, A: MapAccess<'de>>(&mut self, index: usize, map: &mut A) -> Result<(), A::Error> {
        match index {
            0 => self.observed_at = map.next_value()?,
            1 => self.active_servers = map.next_value()?,
            _ => self.previous = map.next_value()?,
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for UsageStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (Usage { observed_at, active_servers, previous }, figures) = flat::read(deserializer)?;
        Ok(Self { observed_at, active_servers, figures, previous })
    }
}

/// The usage of the previous, closed period. It does not change any more.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PreviousUsage {
    /// The figures of the whole period.
    #[serde(flatten)]
    pub figures: UsageFigures,
}

impl<'de> Deserialize<'de> for PreviousUsage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        flat::read(deserializer).map(|((), figures)| Self { figures })
    }
}

/// The usage of the project's servers in a window of time. Hours are decimals with at most three places.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageFigures {
    /// The start of the period, as Nova returned it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Time>,
    /// The end of the window, as Nova returned it. For a closed period, the end of the period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Time>,
    /// Whether the sums include all servers. Absent if Nova does not allow to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete: Option<bool>,
    /// Servers that existed in the period.
    #[serde(default)]
    pub servers: u64,
    /// The hours that servers existed, including stopped servers.
    #[serde(default)]
    pub server_hours: String,
    /// vCPUs multiplied by hours.
    #[serde(default)]
    pub vcpu_hours: String,
    /// Memory in MB multiplied by hours.
    #[serde(rename = "memoryMBHours", default)]
    pub memory_mb_hours: String,
    /// Disk in GB multiplied by hours.
    #[serde(rename = "diskGBHours", default)]
    pub disk_gb_hours: String,
    /// The usage by flavor, at most 20 flavors: those with the most vCPU-hours first, then by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["flavor".into()]))]
    pub by_flavor: Vec<FlavorUsage>,
    /// The number of flavors that the list omits. Absent if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flavors_omitted: Option<u32>,
}

/// The usage of the servers of one flavor.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlavorUsage {
    /// The flavor's name; `(none)` for servers that Nova lists without one.
    #[schemars(length(min = 1, max = 255))]
    pub flavor: String,
    /// Servers of the flavor that existed in the period.
    #[serde(default)]
    pub servers: u64,
    /// The hours that they existed, including stopped servers.
    #[serde(default)]
    pub server_hours: String,
    /// vCPUs multiplied by hours, of the servers whose vCPUs Nova lists.
    #[serde(default)]
    pub vcpu_hours: String,
    /// Memory in MB multiplied by hours, of the servers whose memory Nova lists.
    #[serde(rename = "memoryMBHours", default)]
    pub memory_mb_hours: String,
    /// Disk in GB multiplied by hours, of the servers whose disk Nova lists.
    #[serde(rename = "diskGBHours", default)]
    pub disk_gb_hours: String,
}
