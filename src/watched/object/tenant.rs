//! A CloudTenant as the API server returns it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Kind, Members, Object};
use crate::api::{CloudTenant, CloudTenantSpec, CloudTenantStatus, REQUESTED_AT, condition_type};

/// A CloudTenant. An unreadable one stops neither a list nor a watch.
pub type Watched = Object<CloudTenant>;

impl Kind for CloudTenant {
    type Spec = CloudTenantSpec;
    type Status = CloudTenantStatus;

    const ANNOTATIONS: &'static [&'static str] = &[REQUESTED_AT];
    const CONDITIONS: &'static [&'static str] = &condition_type::ALL;

    fn new(metadata: ObjectMeta, _: &Members<'_>, spec: CloudTenantSpec, status: Option<CloudTenantStatus>) -> Self {
        Self { metadata, spec, status }
    }

    fn into_status(self) -> Option<CloudTenantStatus> {
        self.status
    }
}

#[cfg(test)]
mod tests {
    use kube::Resource as _;
    use serde_json::{Value, json};

    use super::{super::read::LONGEST, *};

    fn read(metadata: Value, spec: Value, status: Value) -> Watched {
        Watched::read(&json!({ "metadata": metadata, "spec": spec, "status": status }).to_string())
    }

    fn good() -> Value {
        json!({ "projectID": "p", "cloudCredentialsRef": { "secretName": "s" } })
    }

    #[test]
    fn only_used_metadata_are_read() {
        let odd = json!({
            "name": "shop", "namespace": "n", "uid": "u", "resourceVersion": "7", "generation": 3,
            "creationTimestamp": 5, "deletionTimestamp": "+20000-01-01T00:00:00Z", "labels": [], "finalizers": {},
            "ownerReferences": [{}], "managedFields": [{ "time": "9999-12-31T23:59:59Z" }],
            "annotations": { "reconcile.fluxcd.io/requestedAt": "now", "other": "x", "odd": 5 },
        });
        let watched = read(odd, good(), Value::Null);
        assert!(watched.0.is_ok());
        let wanted = ObjectMeta {
            name: Some("shop".to_owned()),
            namespace: Some("n".to_owned()),
            uid: Some("u".to_owned()),
            resource_version: Some("7".to_owned()),
            generation: Some(3),
            deletion_timestamp: watched.meta().deletion_timestamp.clone(),
            annotations: Some([("reconcile.fluxcd.io/requestedAt".to_owned(), "now".to_owned())].into()),
            ..ObjectMeta::default()
        };
        assert!(wanted.deletion_timestamp.is_some());
        assert_eq!(*watched.meta(), wanted);
    }

    /// A value of 250 KB was kept several times and written into the status in the past. Each line: value | bytes kept.
    #[test]
    fn a_long_requested_at_is_truncated_on_read() {
        for (value, kept) in [
            ("2026-11-22T05:09:46Z".to_owned(), 20),
            ("a".repeat(255), 255),
            ("a".repeat(250_000), 255),
            ("ü".repeat(125_000), 254),
            (format!("a{}", "ü".repeat(125_000)), 255),
            (format!("ab{}", "\u{1F600}".repeat(60_000)), 254),
        ] {
            let metadata = json!({ "name": "shop", "annotations": { REQUESTED_AT: value } });
            let watched = read(metadata, good(), Value::Null);
            let requested = &watched.meta().annotations.as_ref().unwrap()[REQUESTED_AT];
            assert_eq!((requested.len(), value.starts_with(requested.as_str())), (kept, true));
            assert!(requested.capacity() <= 255, "the rest is not kept either");
        }
    }

    /// Each line: object | message.
    #[test]
    fn an_unreadable_field_is_named() {
        let with = |field: &str, value: Value| {
            let mut spec = good();
            spec[field] = value;
            spec
        };
        let name = || json!({ "name": "shop" });
        let long = "x".repeat(100_000);
        for (metadata, spec, why) in [
            (
                json!({ "name": "shop", "generation": "3" }),
                good(),
                "The object cannot be read: metadata.generation has an odd value.",
            ),
            (json!({ "name": "shop", "uid": {} }), good(), "The object cannot be read: metadata.uid has an odd value."),
            (name(), json!({}), "The spec cannot be read: missing field `projectID`."),
            (name(), json!(5), "The spec cannot be read: invalid type: integer `5`, expected struct CloudTenantSpec."),
            (
                name(),
                with("region", json!({ "a": 1 })),
                "The spec cannot be read: spec.region: invalid type: map, expected a string.",
            ),
            (
                name(),
                with("suspend", json!(1)),
                "The spec cannot be read: spec.suspend: invalid type: integer `1`, expected a boolean.",
            ),
            (
                name(),
                with("projectID", json!(5)),
                "The spec cannot be read: spec.projectID: invalid type: integer `5`, expected a string.",
            ),
            (
                name(),
                json!({ "projectID": "p", "cloudCredentialsRef": { "secretName": "s", "scope": "Everything" } }),
                "The spec cannot be read: spec.cloudCredentialsRef.scope: unknown variant `Everything`, expected `Entry` \
                 or `ObservedProject`.",
            ),
            (
                name(),
                with("probes", json!({ "caches": { "failureThreshold": "x" } })),
                "The spec cannot be read: spec.probes.caches.failureThreshold: invalid type: string \"x\", expected u32.",
            ),
        ] {
            let unreadable = read(metadata, spec, Value::Null).0.unwrap_err();
            assert_eq!(unreadable.why, why);
            assert_eq!(unreadable.metadata.name.as_deref(), Some("shop"), "{why}");
        }
        let unreadable = read(name(), with("suspend", json!(long)), Value::Null).0.unwrap_err();
        assert!(unreadable.why.len() < 2 * LONGEST, "{}", unreadable.why);
        for text in ["", "null", "[]", "{\"metadata\":5}"] {
            assert!(Watched::read(text).0.is_err(), "{text}");
        }
    }

    #[test]
    fn a_part_of_the_status_that_cannot_be_read_is_left_out() {
        let condition = |type_: &str, time: &str| {
            let mut condition = json!({ "type": type_, "status": "True", "reason": "R", "message": "" });
            condition["lastTransitionTime"] = json!(time);
            condition
        };
        let conditions =
            json!([condition("Ready", "2026-01-01T00:00:00Z"), condition("Odd", "9999-12-31T23:59:59Z"), 5]);
        let status = json!({ "observedGeneration": 3, "conditions": conditions, "observedAt": "never", "usage": [] });
        for spec in [good(), json!({})] {
            let status = read(json!({ "name": "shop" }), spec, status.clone()).into_status();
            assert_eq!((status.observed_at, status.usage), (None, None));
            let types: Vec<_> = status.conditions.iter().map(|condition| &*condition.type_).collect();
            assert_eq!(types, ["Ready"]);
        }
    }

    /// Each line: the stored conditions | whether some of others are left out.
    #[test]
    fn conditions_of_others_that_cannot_be_read_are_noticed() {
        let condition = |type_: Value, since: &str| json!({ "type": type_, "status": "True", "reason": "R", "message": "", "lastTransitionTime": since });
        let (good_time, odd_time) = ("2026-01-01T00:00:00Z", "9999-12-31T23:59:59Z");
        for (conditions, omits) in [
            (json!([]), false),
            (json!([condition(json!("Ready"), good_time), condition(json!("Backup"), good_time)]), false),
            (json!([condition(json!("Ready"), odd_time)]), false),
            (json!([condition(json!("Ready"), odd_time), condition(json!("Backup"), odd_time)]), true),
            (json!([condition(json!("Backup"), odd_time)]), true),
            (json!([{ "type": "Backup" }]), true),
            (json!([condition(json!(5), good_time)]), false),
            (json!("x"), false),
        ] {
            for spec in [good(), json!({})] {
                let watched = read(json!({ "name": "shop" }), spec, json!({ "conditions": conditions }));
                assert_eq!(watched.omits_conditions_of_others(), omits, "{conditions}");
            }
        }
    }

    /// Each line: the stored status | whether the next pass writes its own, whatever it concludes.
    #[test]
    fn a_status_that_cannot_be_read_is_as_that_of_a_tenant_that_has_not_been_reconciled() {
        let condition = |type_: Value, since: &str| {
            let mut condition = json!({ "type": type_, "status": "True", "reason": "R", "message": "" });
            condition["lastTransitionTime"] = json!(since);
            condition
        };
        let (good_time, odd_time) = ("2026-01-01T00:00:00Z", "9999-12-31T23:59:59Z");
        for (status, is_written) in [
            (json!({}), false),
            (json!({ "volumes": [1], "engines": { "racks": "x" } }), false),
            (json!({ "conditions": [condition(json!("Ready"), good_time)] }), false),
            (json!({ "conditions": [condition(json!("Backup"), odd_time)] }), false),
            (json!({ "conditions": [condition(json!("Ready"), odd_time)] }), true),
            (json!({ "conditions": [condition(json!(5), good_time)] }), true),
            (json!({ "conditions": [{ "type": "Ready" }] }), true),
            (json!({ "conditions": [null] }), true),
            (json!({ "conditions": "x" }), true),
            (json!({ "conditions": { "Ready": "True" } }), true),
            (json!({ "observedAt": 5 }), true),
            (json!({ "lastHandledReconcileAt": {} }), true),
            (json!({ "engines": [1] }), true),
            (json!({ "engines": { "total": "2" } }), true),
            (json!({ "engines": { "total": -1 } }), true),
            (json!({ "engines": { "hosts": { "a": 1 } } }), true),
            (json!({ "usage": { "servers": 1.5 } }), true),
        ] {
            let mut status = status;
            status["observedGeneration"] = json!(3);
            let read = read(json!({ "name": "shop" }), good(), status.clone()).into_status();
            assert_eq!(read.observed_generation.is_none(), is_written, "{status}");
        }
        for status in [json!(null), json!("x"), json!([1]), json!(5), json!(true), json!({ "observedGeneration": "3" })]
        {
            let read = read(json!({ "name": "shop" }), good(), status.clone()).into_status();
            assert_eq!(read, CloudTenantStatus::default(), "{status}");
        }
    }
}
