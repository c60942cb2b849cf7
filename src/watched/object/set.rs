//! A CloudTenantSet as the API server returns it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Kind, Members, Object, value};
use crate::api::{
    REQUESTED_AT,
    set::{CONFIRM_PRUNE, CloudTenantSet, CloudTenantSetSpec, CloudTenantSetStatus, condition_type},
};

/// A CloudTenantSet. An unreadable one stops neither a list nor a watch.
pub type WatchedSet = Object<CloudTenantSet>;

impl Kind for CloudTenantSet {
    type Spec = CloudTenantSetSpec;
    type Status = CloudTenantSetStatus;

    const ANNOTATIONS: &'static [&'static str] = &[REQUESTED_AT, CONFIRM_PRUNE];
    const CONDITIONS: &'static [&'static str] = &condition_type::ALL;

    fn new(
        mut metadata: ObjectMeta,
        fields: &Members<'_>,
        spec: CloudTenantSetSpec,
        status: Option<CloudTenantSetStatus>,
    ) -> Self {
        // Of two sets, the older one has a project that both select.
        metadata.creation_timestamp = value(fields, "creationTimestamp");
        Self { metadata, spec, status }
    }

    fn into_status(self) -> Option<CloudTenantSetStatus> {
        self.status
    }
}

#[cfg(test)]
mod tests {
    use kube::Resource as _;
    use serde_json::json;

    use super::*;

    fn read(metadata: &serde_json::Value, spec: &serde_json::Value, status: &serde_json::Value) -> WatchedSet {
        WatchedSet::read(&json!({ "metadata": metadata, "spec": spec, "status": status }).to_string())
    }

    fn good() -> serde_json::Value {
        json!({ "cloudCredentialsRef": { "secretName": "s" } })
    }

    #[test]
    fn only_used_metadata_are_read() {
        let metadata = json!({
            "name": "fleet", "namespace": "n", "uid": "u", "resourceVersion": "7", "generation": 3,
            "creationTimestamp": "2026-01-01T00:00:00Z", "labels": [], "finalizers": {}, "managedFields": 5,
            "annotations": { "reconcile.fluxcd.io/requestedAt": "now", "cloudtenant.dev/confirm-prune": "3", "odd": 5 },
        });
        let read = read(&metadata, &good(), &json!(null)).0.unwrap().metadata;
        let annotations = [("cloudtenant.dev/confirm-prune", "3"), ("reconcile.fluxcd.io/requestedAt", "now")];
        let wanted = ObjectMeta {
            name: Some("fleet".to_owned()),
            namespace: Some("n".to_owned()),
            uid: Some("u".to_owned()),
            resource_version: Some("7".to_owned()),
            generation: Some(3),
            creation_timestamp: read.creation_timestamp.clone(),
            annotations: Some(annotations.map(|(name, value)| (name.to_owned(), value.to_owned())).into()),
            ..ObjectMeta::default()
        };
        assert!(read.creation_timestamp.is_some());
        assert_eq!(read, wanted);
    }

    /// Each line: metadata, spec, and what the sentence names.
    #[test]
    fn an_unreadable_set_is_named_and_does_not_end_a_list() {
        let name = || json!({ "name": "fleet" });
        let with = |field: &str, value: serde_json::Value| {
            let mut spec = good();
            spec[field] = value;
            spec
        };
        for (metadata, spec, why) in [
            (name(), json!({}), "missing field `cloudCredentialsRef`"),
            (name(), json!(null), "The spec cannot be read"),
            (name(), with("interval", json!(5)), "spec.interval"),
            (name(), with("filter", json!({ "tags": "x" })), "spec.filter.tags"),
            (name(), with("prune", json!("Sometimes")), "spec.prune"),
            (name(), with("maxTenants", json!(-1)), "spec.maxTenants"),
            (name(), with("template", json!({ "spec": [5] })), "spec.template.spec"),
            (json!({ "name": "fleet", "generation": {} }), good(), "metadata.generation"),
            (
                json!({ "name": "fleet", "annotations": { "cloudtenant.dev/confirm-prune": 3 } }),
                good(),
                "confirm-prune",
            ),
        ] {
            let read = read(&metadata, &spec, &json!({ "tenants": 3 }));
            assert_eq!(read.meta().name.as_deref(), Some("fleet"), "{why}");
            let unreadable = read.0.unwrap_err();
            assert!(unreadable.why.contains(why), "{why}: {}", unreadable.why);
            assert_eq!(unreadable.status.tenants, Some(3), "{why}");
        }
        let odd = read(&name(), &good(), &json!({ "observedGeneration": 3, "tenants": "many", "projects": 2 }));
        let status = odd.into_status();
        assert_eq!((status.observed_generation, status.tenants, status.projects), (None, None, Some(2)));
    }
}
