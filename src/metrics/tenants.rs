//! The metrics of each CloudTenant. A scrape reads them from the watches' stores, so that no series outlives its object
//! and only the leader has any. A CloudTenant that is being deleted has none. A foreign finalizer may keep it for long,
//! with an outdated status.

use std::{fmt, sync::Arc};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder, metrics::MetricType};

use crate::{
    api::{CloudTenantSpec, CloudTenantStatus, Reason, UsageFigures, bound, condition_type as ty},
    decide::status::observed_at,
    identity::TenantName,
    observation::ProbeKind,
    target::Target,
    watched::{
        kept::{
            Kept,
            Part::{self, CacheKinds, Caches, Conditions, Engines, Source, Usage},
        },
        roster::Roster,
    },
};

/// Labels besides namespace and name, and the value.
type Sample<'a> = (Vec<(&'static str, &'a str)>, f64);

/// A metric: its name without the prefix, its help text, and where its samples are from.
#[derive(Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    samples: Samples,
}

/// The function that returns a tenant's samples, and what it reads. Only that is decompressed.
#[derive(Debug)]
enum Samples {
    Spec(for<'a> fn(&'a CloudTenantSpec) -> Vec<Sample<'a>>),
    Status(&'static [Part], for<'a> fn(&'a CloudTenantStatus) -> Vec<Sample<'a>>),
}

const HOUR: f64 = 3600.0;
/// Nova's `memory_mb_usage` and `local_gb_usage` use binary units.
const MIB: f64 = 1_048_576.0;
const GIB: f64 = 1_073_741_824.0;

const FAMILIES: &[Family] = &[
    Family {
        name: "info",
        help: "Where the tenant's cloud was last found: Keystone's host, and the region",
        samples: Samples::Status(&[Source], |status| {
            let source = status.source.as_ref();
            let cloud = source.map_or("", |source| &source.host);
            let region = source.and_then(|source| source.region.as_deref()).unwrap_or_default();
            vec![(vec![("cloud", cloud), ("region", region)], 1.0)]
        }),
    },
    Family {
        name: "suspended",
        help: "Whether spec.suspend is set, 1 or 0",
        samples: Samples::Spec(|spec| vec![(vec![], f64::from(u8::from(spec.suspend)))]),
    },
    Family {
        name: "status_condition",
        help: "The conditions with their status and reason, always 1",
        samples: Samples::Status(&[Conditions], |status| {
            let labels = own_conditions(status).map(|condition| {
                vec![("type", &*condition.type_), ("status", &*condition.status), ("reason", &*condition.reason)]
            });
            labels.map(|labels| (labels, 1.0)).collect()
        }),
    },
    Family {
        name: "status_condition_last_transition_timestamp_seconds",
        help: "When a condition's status last changed",
        samples: Samples::Status(&[Conditions], |status| {
            let since = |at: &Condition| at.last_transition_time.0.as_second() as f64;
            own_conditions(status).map(|condition| (vec![("type", &*condition.type_)], since(condition))).collect()
        }),
    },
    Family {
        name: "observed_timestamp_seconds",
        help: "When a probe's verdict was last reached, to within ten minutes or the probe's interval",
        samples: Samples::Status(&[Engines, Caches, Usage], |status| {
            let seen = ProbeKind::ALL.into_iter().filter_map(|kind| Some((kind, observed_at(status, kind)?)));
            seen.map(|(kind, at)| (vec![("probe", kind.as_str())], at.as_second() as f64)).collect()
        }),
    },
    Family {
        name: "probe_interval_seconds",
        help: "How often a probe is asked that is not disabled",
        samples: Samples::Spec(|spec| match Target::new(spec) {
            Ok(target) => ProbeKind::ALL
                .into_iter()
                .filter(|kind| target.is_enabled(*kind))
                .map(|kind| (vec![("probe", kind.as_str())], target.interval_of(kind).as_secs_f64()))
                .collect(),
            Err(_) => Vec::new(),
        }),
    },
    Family {
        name: "engines",
        help: "Heat's engines as last seen, by state",
        samples: Samples::Status(&[Engines], |status| {
            let counts = status
                .engines
                .iter()
                .flat_map(|engines| [("up", engines.up), ("down", engines.down), ("forgotten", engines.forgotten)]);
            counts.map(|(state, count)| (vec![("state", state)], f64::from(count))).collect()
        }),
    },
    Family {
        name: "engine_host_down",
        help: "Heat's engines that are down on a host, as last seen; only of hosts that have some, at most 50",
        samples: Samples::Status(&[Engines], |status| {
            let hosts = status.engines.iter().flat_map(|engines| &engines.hosts).filter(|host| host.down > 0);
            hosts.take(bound::HOSTS).map(|host| (vec![("host", &*host.host)], f64::from(host.down))).collect()
        }),
    },
    Family {
        name: "cache_instances",
        help: "DCS instances as last seen, by state",
        samples: Samples::Status(&[Caches], |status| {
            let counts = status.caches.iter().flat_map(|caches| caches.all.counts());
            counts.map(|(state, count)| (vec![("state", state)], count as f64)).collect()
        }),
    },
    Family {
        name: "cache_instances_by_kind",
        help: "DCS instances as last seen, by kind of cache and state",
        samples: Samples::Status(&[Caches, CacheKinds], |status| {
            let kinds = status.caches.iter().flat_map(|caches| caches.by_kind.iter().take(bound::CACHE_KINDS));
            let counts =
                kinds.flat_map(|kind| kind.counts.counts().into_iter().map(|count| (kind.kind.as_str(), count)));
            counts.map(|(kind, (state, count))| (vec![("kind", kind), ("state", state)], count as f64)).collect()
        }),
    },
    Family {
        name: "usage_server_seconds",
        help: "Time that servers existed in the current period",
        samples: Samples::Status(&[Usage], |status| usage(status, |usage| &usage.server_hours, HOUR)),
    },
    Family {
        name: "usage_vcpu_seconds",
        help: "vCPUs times the time that servers existed in the current period",
        samples: Samples::Status(&[Usage], |status| usage(status, |usage| &usage.vcpu_hours, HOUR)),
    },
    Family {
        name: "usage_memory_byte_seconds",
        help: "Memory times the time that servers existed in the current period",
        samples: Samples::Status(&[Usage], |status| usage(status, |usage| &usage.memory_mb_hours, HOUR * MIB)),
    },
    Family {
        name: "usage_disk_byte_seconds",
        help: "Local disk times the time that servers existed in the current period",
        samples: Samples::Status(&[Usage], |status| usage(status, |usage| &usage.disk_gb_hours, HOUR * GIB)),
    },
    Family {
        name: "usage_complete",
        help: "Whether the current period's usage is complete, 1 or 0; absent where nobody can know",
        samples: Samples::Status(&[Usage], |status| {
            let complete = status.usage.as_ref().and_then(|usage| usage.figures.complete);
            complete.map(|complete| (vec![], f64::from(u8::from(complete)))).into_iter().collect()
        }),
    },
];

fn own_conditions(status: &CloudTenantStatus) -> impl Iterator<Item = &Condition> {
    status.conditions.iter().filter(|condition| ty::ALL.contains(&condition.type_.as_str()))
}

fn usage(status: &CloudTenantStatus, hours: impl Fn(&UsageFigures) -> &String, unit: f64) -> Vec<Sample<'_>> {
    let hours = status.usage.as_ref().and_then(|usage| hours(&usage.figures).parse::<f64>().ok());
    hours.map(|hours| (vec![], hours * unit)).into_iter().collect()
}

/// Whether the series of a tenant have a label `project` with `spec.projectID`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProjectLabel {
    /// The series have no such label.
    Off,
    /// The series have the label.
    On,
}

/// Reads one family's series from the roster at each scrape.
#[derive(Debug)]
pub(super) struct OfTenants {
    family: &'static Family,
    roster: Roster,
    project: ProjectLabel,
}

impl OfTenants {
    /// Returns a collector for each family.
    pub(super) fn all(roster: &Roster, project: ProjectLabel) -> impl Iterator<Item = Self> {
        FAMILIES.iter().map(move |family| Self { family, roster: roster.clone(), project })
    }
}

/// Returns the tenants that have series.
pub(super) fn current(roster: &Roster) -> Vec<Arc<Kept>> {
    let mut tenants = roster.followed();
    tenants.retain(|tenant| !tenant.is_deleted);
    tenants
}

impl Collector for OfTenants {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let tenants = current(&self.roster);
        if tenants.is_empty() {
            return Ok(());
        }
        let family = self.family;
        let mut metric = encoder.encode_descriptor(family.name, family.help, None, MetricType::Gauge)?;
        for tenant in &tenants {
            let mut add = |samples: Vec<Sample<'_>>| {
                samples.into_iter().try_for_each(|(labels, value)| {
                    let labels: Vec<_> = identity(tenant, self.project).chain(labels).collect();
                    metric.encode_family(&labels)?.encode_gauge(&value)
                })
            };
            match &family.samples {
                _ if tenant.project_id().is_none() => add(unreadable(family))?,
                Samples::Spec(samples) => tenant.spec().map_or(Ok(()), |spec| add(samples(&spec)))?,
                Samples::Status(parts, samples) => add(samples(&tenant.status(parts)))?,
            }
        }
        Ok(())
    }
}

/// Returns the first labels of all series of a tenant. An unreadable spec has an empty project.
///
/// Some installations of Prometheus overwrite `namespace` with that of the operator's Pod, so `tenant_namespace`
/// repeats it.
pub(super) fn identity(tenant: &Kept, project: ProjectLabel) -> impl Iterator<Item = (&'static str, &str)> {
    let TenantName { namespace, name } = &*tenant.name;
    let names = [("namespace", &**namespace), ("name", name), ("tenant_namespace", namespace)];
    let project = (project == ProjectLabel::On).then(|| ("project", tenant.project_id().unwrap_or_default()));
    names.into_iter().chain(project)
}

/// Returns the samples of an unreadable CloudTenant, which are the same as in its status.
fn unreadable(family: &Family) -> Vec<Sample<'static>> {
    let invalid = Reason::InvalidSpec.as_str();
    let of = |type_, status| (vec![("type", type_), ("status", status), ("reason", invalid)], 1.0);
    match family.name {
        "info" => vec![(vec![("cloud", ""), ("region", "")], 1.0)],
        "status_condition" => {
            let unknown = [ty::READY].into_iter().chain(ProbeKind::ALL.map(ProbeKind::condition_type));
            unknown.map(|type_| of(type_, "Unknown")).chain([of(ty::STALLED, "True")]).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::watcher::Event;
    use serde_json::json;

    use super::*;
    use crate::{
        metrics::{Format, Metrics},
        watched::{object::Watched, store::Writer},
    };

    #[test]
    fn caches_by_kind_are_a_metric_of_their_own() {
        let mut writer = Writer::default();
        let kinds: Vec<_> = (0..25).map(|kind| json!({ "kind": format!("kind-{kind:02}"), "running": 1 })).collect();
        let tenant = json!({
            "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenant",
            "metadata": { "namespace": "shop", "name": "here" },
            "spec": { "projectID": "p", "cloudCredentialsRef": { "secretName": "s" } },
            "status": { "caches": { "all": { "running": 25, "createFailed": 0 }, "byKind": kinds } },
        });
        writer.apply(&Event::Apply(serde_json::from_value(tenant).unwrap()));
        let roster = Roster::default();
        roster.add(None, writer.store());
        let text = Metrics::with_tenants(roster, ProjectLabel::Off).encode();
        let of = |name: &str| -> Vec<_> {
            text.lines().filter_map(|line| line.strip_prefix(name)).filter(|rest| rest.starts_with('{')).collect()
        };
        let all = [
            r#"{namespace="shop",name="here",tenant_namespace="shop",state="create_failed"} 0.0"#,
            r#"{namespace="shop",name="here",tenant_namespace="shop",state="running"} 25.0"#,
        ];
        assert_eq!(of("cloudtenant_cache_instances"), all);
        let kinds = of("cloudtenant_cache_instances_by_kind");
        assert_eq!(
            kinds[0],
            r#"{namespace="shop",name="here",tenant_namespace="shop",kind="kind-00",state="running"} 1.0"#
        );
        assert_eq!(kinds.len(), bound::CACHE_KINDS);
    }

    #[test]
    fn a_tenant_that_is_being_deleted_has_no_series() {
        let mut writer = Writer::default();
        for (name, deleted, spec) in [
            ("here", None, "p"),
            ("leaving", Some("2026-11-22T05:09:46Z"), "p"),
            ("unreadable", None, ""),
            ("unreadable-leaving", Some("2026-11-22T05:09:46Z"), ""),
        ] {
            let mut tenant = json!({
                "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenant",
                "metadata": { "namespace": "shop", "name": name, "deletionTimestamp": deleted },
            });
            if !spec.is_empty() {
                tenant["spec"] = json!({ "projectID": spec, "cloudCredentialsRef": { "secretName": "s" } });
            }
            let tenant: Watched = serde_json::from_value(tenant).unwrap();
            assert_eq!(tenant.0.is_err(), spec.is_empty(), "{name}");
            writer.apply(&Event::Apply(tenant));
        }
        let roster = Roster::default();
        roster.add(None, writer.store());
        let text = Metrics::with_tenants(roster, ProjectLabel::Off).encode();
        let mut named: Vec<_> =
            text.lines().filter_map(|line| line.split(",name=\"").nth(1)?.split('"').next()).collect();
        named.sort_unstable();
        named.dedup();
        assert_eq!(named, ["here", "unreadable"], "{text}");
    }

    fn watched(tenant: serde_json::Value) -> Roster {
        let mut writer = Writer::default();
        writer.apply(&Event::Apply(serde_json::from_value(tenant).unwrap()));
        let roster = Roster::default();
        roster.add(None, writer.store());
        roster
    }

    #[derive(Default)]
    struct Pieces {
        text: String,
        longest: usize,
    }

    impl fmt::Write for Pieces {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.text.push_str(text);
            self.longest = self.longest.max(text.len());
            Ok(())
        }
    }

    #[test]
    fn a_scrape_writes_its_text_in_small_pieces() {
        let mut writer = Writer::default();
        let kinds = [ty::READY, ty::STALLED, "EnginesHealthy", "CachesHealthy", "UsageReported", "Reconciling"];
        let conditions = kinds.map(|kind| {
            json!({ "type": kind, "status": "True", "reason": "Healthy", "message": "Well.",
                "lastTransitionTime": "2026-11-22T05:09:46Z" })
        });
        for number in 0..1000 {
            let tenant = json!({
                "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenant",
                "metadata": { "namespace": "shop", "name": format!("tenant-{number}") },
                "spec": { "projectID": "p", "cloudCredentialsRef": { "secretName": "s" } },
                "status": { "conditions": conditions, "caches": { "all": { "running": 1, "error": 2 } } },
            });
            writer.apply(&Event::Apply(serde_json::from_value(tenant).unwrap()));
        }
        let roster = Roster::default();
        roster.add(None, writer.store());
        let metrics = Metrics::with_tenants(roster, ProjectLabel::Off);
        let whole = metrics.encode();
        for (format, end) in [(Format::OpenMetrics, "# EOF\n"), (Format::Plain, "")] {
            let mut pieces = Pieces::default();
            metrics.write(format, &mut pieces).unwrap();
            assert!(pieces.longest < 1000, "{format:?}: {} bytes", pieces.longest);
            let text = pieces.text;
            let series = |text: &str| text.lines().filter(|line| line.contains("name=\"tenant-")).count();
            assert_eq!(series(&text), series(&whole), "{format:?}");
            assert!(text.ends_with(end) && text.matches("# EOF").count() == usize::from(!end.is_empty()), "{format:?}");
            let types: Vec<_> = text.lines().filter(|line| line.starts_with("# TYPE ")).collect();
            let distinct: std::collections::BTreeSet<_> = types.iter().collect();
            assert_eq!(types.len(), distinct.len(), "{format:?}: a family is in two parts");
        }
    }

    #[test]
    fn hosts_with_down_engines_have_at_most_50_series() {
        let host = |name: &str, up: u32, down: u32| json!({ "host": name, "up": up, "down": down });
        let mut hosts = vec![host("h1", 0, 4), host("h2", 1, 3), host("a\"b\\c\nd", 0, 1), host("well", 4, 0)];
        let text = |hosts: &[serde_json::Value]| {
            let roster = watched(json!({
                "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenant",
                "metadata": { "namespace": "shop", "name": "a" },
                "spec": { "projectID": "p", "cloudCredentialsRef": { "secretName": "s" } },
                "status": { "engines": { "hosts": hosts } },
            }));
            Metrics::with_tenants(roster, ProjectLabel::Off).encode()
        };
        let prefix = "cloudtenant_engine_host_down{namespace=\"shop\",name=\"a\",tenant_namespace=\"shop\",host=";
        let found: Vec<_> =
            text(&hosts).lines().filter_map(|line| line.strip_prefix(prefix)).map(str::to_owned).collect();
        assert_eq!(found, ["\"h1\"} 4.0", "\"h2\"} 3.0", "\"a\\\"b\\\\c\\nd\"} 1.0"]);
        hosts.extend((0..100).map(|number| host(&format!("more-{number}"), 0, 1)));
        assert_eq!(text(&hosts).lines().filter(|line| line.starts_with(prefix)).count(), 50);
    }

    #[test]
    fn all_series_have_the_project_label_if_enabled() {
        let condition = json!({ "type": "Ready", "status": "True", "reason": "Healthy", "message": "Well.",
            "lastTransitionTime": "2026-11-22T05:09:46Z" });
        let status = json!({
            "conditions": [condition], "source": { "secretName": "s", "cloudName": "c", "host": "k" },
            "engines": { "observedAt": "2026-11-22T05:09:46Z", "hosts": [{ "host": "h", "up": 0, "down": 1 }] },
            "caches": { "all": { "running": 1 }, "byKind": [{ "kind": "redis", "running": 1 }] },
            "usage": { "complete": true, "serverHours": "1", "vcpuHours": "1", "memoryMBHours": "1", "diskGBHours": "1" },
        });
        let spec = json!({ "projectID": "p-1", "cloudCredentialsRef": { "secretName": "s" } });
        for (spec, label, begins) in [
            (&spec, ProjectLabel::On, "{namespace=\"shop\",name=\"a\",tenant_namespace=\"shop\",project=\"p-1\""),
            (&spec, ProjectLabel::Off, "{namespace=\"shop\",name=\"a\""),
            (&json!({}), ProjectLabel::On, "{namespace=\"shop\",name=\"a\",tenant_namespace=\"shop\",project=\"\""),
        ] {
            let roster = watched(json!({
                "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenant",
                "metadata": { "namespace": "shop", "name": "a" }, "spec": spec, "status": status,
            }));
            let text = Metrics::with_tenants(roster, label).encode();
            let series: Vec<_> = text.lines().filter(|line| line.contains("name=\"a\"")).collect();
            let families = FAMILIES.iter().filter(|family| text.contains(&format!("cloudtenant_{}{{", family.name)));
            let readable = spec.get("projectID").is_some();
            assert_eq!(families.count(), if readable { FAMILIES.len() } else { 2 }, "{text}");
            for line in series {
                assert!(line.contains(begins), "{line}");
                assert_eq!(line.contains("project="), label == ProjectLabel::On, "{line}");
            }
        }
    }
}
