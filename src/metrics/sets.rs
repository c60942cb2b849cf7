//! The metrics of each CloudTenantSet. A scrape reads them from the watches' stores, as those of CloudTenants.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use kube::Resource as _;
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder, metrics::MetricType};

use crate::{
    api::{
        Reason,
        set::{CloudTenantSet, CloudTenantSetStatus, SkipReason, condition_type as ty},
    },
    watched::roster::{Sets, WatchedSet},
};

/// Labels besides namespace and name, and the value.
type Sample<'a> = (Vec<(&'static str, &'a str)>, f64);

/// A metric: its name without the prefix, its help text, and the function that returns a set's samples.
#[derive(Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    samples: for<'a> fn(&'a CloudTenantSet, &'a CloudTenantSetStatus) -> Vec<Sample<'a>>,
}

fn count(count: Option<u32>) -> Vec<Sample<'static>> {
    count.map(|count| (vec![], f64::from(count))).into_iter().collect()
}

const FAMILIES: &[Family] = &[
    Family {
        name: "set_status_condition",
        help: "The conditions of a CloudTenantSet with their status and reason, always 1",
        samples: |_, status| {
            let own = status.conditions.iter().filter(|condition| ty::ALL.contains(&condition.type_.as_str()));
            let labels = own.map(|condition| {
                vec![("type", &*condition.type_), ("status", &*condition.status), ("reason", &*condition.reason)]
            });
            labels.map(|labels| (labels, 1.0)).collect()
        },
    },
    Family {
        name: "set_suspended",
        help: "Whether spec.suspend of a CloudTenantSet is set, 1 or 0",
        samples: |set, _| vec![(vec![], f64::from(u8::from(set.spec.suspend)))],
    },
    Family {
        name: "set_interval_seconds",
        help: "How often the projects of a CloudTenantSet are listed",
        samples: |set, _| {
            let interval = set.spec.interval.parse();
            interval.map(|interval| (vec![], interval.as_secs_f64())).into_iter().collect()
        },
    },
    Family {
        name: "set_observed_timestamp_seconds",
        help: "When the projects of a CloudTenantSet were last listed, to within ten minutes or its interval",
        samples: |_, status| {
            let at = status.observed_at.as_ref();
            at.map(|at| (vec![], at.0.as_second() as f64)).into_iter().collect()
        },
    },
    Family {
        name: "set_projects",
        help: "Listed projects that the filter of a CloudTenantSet selects",
        samples: |_, status| count(status.projects),
    },
    Family {
        name: "set_tenants",
        help: "CloudTenants of a CloudTenantSet",
        samples: |_, status| count(status.tenants),
    },
    Family {
        name: "set_ready_tenants",
        help: "CloudTenants of a CloudTenantSet that are Ready",
        samples: |_, status| count(status.ready),
    },
    Family {
        name: "set_held",
        help: "CloudTenants of a CloudTenantSet whose projects are gone and that are not deleted, as the list may be wrong",
        samples: |_, status| count(status.held),
    },
    Family {
        name: "set_skipped",
        help: "Selected projects without a CloudTenant of the CloudTenantSet, by reason",
        samples: |_, status| skipped(status),
    },
];

/// A sample for each reason. There is none before the first list, nor while the status has the total alone, as that of
/// an earlier version.
fn skipped(status: &CloudTenantSetStatus) -> Vec<Sample<'static>> {
    let is_known = status.skipped_total.is_some_and(|total| total == 0 || !status.skipped_by_reason.is_empty());
    let of = |reason: SkipReason| {
        let projects = status.skipped_by_reason.iter().filter(|one| one.reason == reason).map(|one| one.projects);
        (vec![("reason", reason.as_str())], f64::from(projects.sum::<u32>()))
    };
    SkipReason::ALL.into_iter().filter(|_| is_known).map(of).collect()
}

/// The sets that have series. There are none until [`OfSets::set`].
#[derive(Debug, Clone, Default)]
pub(super) struct OfSets(Arc<Mutex<Sets>>);

impl OfSets {
    pub(super) fn set(&self, sets: Sets) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = sets;
    }

    /// Returns the sets that have series. One that is being deleted has none.
    fn current(&self) -> Vec<Arc<WatchedSet>> {
        let mut sets = self.0.lock().unwrap_or_else(PoisonError::into_inner).followed();
        sets.retain(|set| set.meta().deletion_timestamp.is_none());
        sets
    }
}

impl Collector for OfSets {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let sets = self.current();
        if sets.is_empty() {
            return Ok(());
        }
        let nothing = CloudTenantSetStatus::default();
        for family in FAMILIES {
            let mut metric = encoder.encode_descriptor(family.name, family.help, None, MetricType::Gauge)?;
            for set in &sets {
                let meta = set.meta();
                let namespace = meta.namespace.as_deref().unwrap_or_default();
                let name = meta.name.as_deref().unwrap_or_default();
                let identity = [("namespace", namespace), ("name", name), ("tenant_namespace", namespace)];
                let samples = match &set.0 {
                    Ok(object) => (family.samples)(object, object.status.as_ref().unwrap_or(&nothing)),
                    Err(_) => unreadable(family),
                };
                for (labels, value) in samples {
                    let labels: Vec<_> = identity.into_iter().chain(labels).collect();
                    metric.encode_family(&labels)?.encode_gauge(&value)?;
                }
            }
        }
        Ok(())
    }
}

/// Returns the samples of an unreadable set, which are the same as in its status.
fn unreadable(family: &Family) -> Vec<Sample<'static>> {
    if family.name != "set_status_condition" {
        return Vec::new();
    }
    let invalid = Reason::InvalidSpec.as_str();
    let of = |(type_, status)| (vec![("type", type_), ("status", status), ("reason", invalid)], 1.0);
    [(ty::READY, "Unknown"), (ty::PROJECTS_LISTED, "Unknown"), (ty::IN_SYNC, "Unknown"), (ty::STALLED, "True")]
        .map(of)
        .into()
}

#[cfg(test)]
mod tests {
    use kube::runtime::watcher::Event;
    use serde_json::json;

    use super::*;
    use crate::{metrics::Metrics, watched::store::Writer};

    #[test]
    fn a_set_has_series_until_it_is_being_deleted() {
        let mut writer = Writer::default();
        let condition = json!({
            "type": "InSync", "status": "False", "reason": "PruneHeld", "message": "m",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        for (name, deleted, spec) in [
            ("here", None, json!({ "cloudCredentialsRef": { "secretName": "s" }, "suspend": true })),
            ("leaving", Some("2026-11-22T05:09:46Z"), json!({ "cloudCredentialsRef": { "secretName": "s" } })),
            ("unreadable", None, json!({})),
        ] {
            let set = json!({
                "metadata": { "namespace": "shop", "name": name, "deletionTimestamp": deleted },
                "spec": spec,
                "status": {
                    "observedAt": "2026-01-01T00:00:00Z", "projects": 7, "tenants": 5, "ready": 4, "held": 3,
                    "skippedTotal": 2, "skippedByReason": [{ "reason": "Covered", "projects": 2 }], "conditions": [condition],
                },
            });
            writer.apply(&Event::Apply(WatchedSet::read(&set.to_string())));
        }
        let sets = Sets::default();
        sets.add(None, writer.store());
        let metrics = Metrics::new();
        assert!(!metrics.encode().contains("cloudtenant_set_"), "without the flag there are no series");
        metrics.show_sets(sets.clone());
        let text = metrics.encode();
        let of = |name: &str| -> Vec<_> {
            let lines = text.lines().filter_map(|line| line.strip_prefix("cloudtenant_set_"));
            let own = lines.filter(|line| line.contains(&format!("name=\"{name}\"")));
            own.map(|line| line.replace(&format!(r#"namespace="shop",name="{name}",tenant_namespace="shop""#), ""))
                .collect()
        };
        let expected = [
            r#"status_condition{,type="InSync",status="False",reason="PruneHeld"} 1.0"#,
            "suspended{} 1.0",
            "interval_seconds{} 600.0",
            "observed_timestamp_seconds{} 1767225600.0",
            "projects{} 7.0",
            "tenants{} 5.0",
            "ready_tenants{} 4.0",
            "held{} 3.0",
            r#"skipped{,reason="Covered"} 2.0"#,
            r#"skipped{,reason="OtherSet"} 0.0"#,
            r#"skipped{,reason="NameTaken"} 0.0"#,
            r#"skipped{,reason="InvalidProjectID"} 0.0"#,
        ];
        assert_eq!(of("here"), expected);
        assert_eq!(of("leaving"), Vec::<String>::new());
        assert_eq!(of("unreadable").len(), 4);
        assert!(of("unreadable").iter().all(|line| line.contains("InvalidSpec")));
        for reason in SkipReason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
        sets.clear();
        assert!(!metrics.encode().contains("cloudtenant_set_"), "it leads no more");
    }
}
