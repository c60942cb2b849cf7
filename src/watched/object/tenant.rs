//! A CloudTenant as the API server returns it.

use std::borrow::Cow;

use k8s_openapi::{NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::Resource;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, value::RawValue};

use super::{Members, Text, members, metadata};
use crate::{
    api::{CloudTenant, CloudTenantSpec, CloudTenantStatus, condition_type},
    words::{escaped, word},
};

/// Length in bytes of the description of an unreadable value, which may contain a long text.
const LONGEST: usize = 300;

/// A CloudTenant. An unreadable one stops neither a list nor a watch.
#[derive(Debug, Clone)]
pub struct Watched(pub Result<CloudTenant, Unreadable>);

/// The readable parts of an unreadable CloudTenant.
#[derive(Debug, Clone, Default)]
pub struct Unreadable {
    /// A sentence that names the field.
    pub why: String,
    /// The readable metadata.
    pub metadata: ObjectMeta,
    /// The readable status.
    pub status: CloudTenantStatus,
}

impl Watched {
    /// Reads the object. A text that is not an object results in an unreadable CloudTenant without a name.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let object = members(text);
        let (metadata, odd) = metadata(&object);
        let status = object.get("status").map(|text| status(text, &metadata));
        let spec = match odd {
            Some(field) => Err(format!("The object cannot be read: metadata.{field} has an odd value.")),
            None => spec(&object),
        };
        Self(match spec {
            Ok(spec) => Ok(CloudTenant { metadata, spec, status }),
            Err(why) => Err(Unreadable { why, metadata, status: status.unwrap_or_default() }),
        })
    }

    /// Returns the readable status.
    #[must_use]
    pub fn into_status(self) -> CloudTenantStatus {
        match self.0 {
            Ok(tenant) => tenant.status.unwrap_or_default(),
            Err(unreadable) => unreadable.status,
        }
    }
}

fn spec(object: &Members<'_>) -> Result<CloudTenantSpec, String> {
    let text = object.get("spec").map_or("{}", |text| text.get());
    serde_json::from_str(text).map_err(|error| {
        let said = error.to_string();
        // The user does not see the text, so a position in it does not help.
        let said = said.rsplit_once(" at line ").map_or(&*said, |(said, _)| said);
        let field = if error.line() == 1 { path_at(text, error.column()) } else { None };
        let field = field.map(|path| format!("spec.{path}: ")).unwrap_or_default();
        let said = escaped(&format!("{field}{said}"), LONGEST);
        format!("The spec cannot be read: {}.", said.trim_end_matches('.'))
    })
}

/// Returns the name of the member whose text contains this column.
fn field_at(text: &str, column: usize) -> Option<String> {
    member_at(text, column).map(|(name, ..)| name)
}

/// Returns the names of the members whose texts contain this column, from the outermost to the innermost.
fn path_at(text: &str, column: usize) -> Option<String> {
    // The deepest field of a spec.
    const DEEPEST: usize = 3;
    let (mut path, mut inner) = (Vec::new(), (text, column));
    while let Some((name, value, column)) = member_at(inner.0, inner.1).filter(|_| path.len() < DEEPEST) {
        path.push(name);
        inner = (value, column);
    }
    (!path.is_empty()).then(|| path.join("."))
}

/// Returns the member whose text contains this column: its name, its text, and the column in that text.
fn member_at(text: &str, column: usize) -> Option<(String, &str, usize)> {
    members(text).into_iter().find_map(|(name, value)| {
        let start = (value.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
        let is_inside = (start..=start + value.get().len()).contains(&column);
        is_inside.then(|| (name, value.get(), column - start))
    })
}

/// Returns the status without unreadable fields and conditions. It then also lacks `observedGeneration`, as the status
/// of a CloudTenant that has not been reconciled, so that the next pass writes its own in its place. An unreadable
/// condition of another controller does not count: the operator leaves it alone.
fn status(text: &RawValue, metadata: &ObjectMeta) -> CloudTenantStatus {
    // serde also reads a list as the fields in their order.
    if text.get().trim_start().starts_with('[') {
        return CloudTenantStatus::default();
    }
    let error = match serde_json::from_str::<Option<CloudTenantStatus>>(text.get()) {
        Ok(status) => return status.unwrap_or_default(),
        Err(error) => error,
    };
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let name = metadata.name.as_deref().unwrap_or_default();
    let field = word(&field_at(text.get(), error.column()).unwrap_or_default());
    tracing::warn!(namespace, name, field, "a part of the status cannot be read and is left out");
    let is_read = |name: &str, value: &Value| {
        let alone = Map::from_iter([(name.to_owned(), value.clone())]);
        serde_json::from_value::<CloudTenantStatus>(Value::Object(alone)).is_ok()
    };
    let mut kept = Map::new();
    let mut is_whole = true;
    for (name, text) in members(text.get()) {
        let Ok(mut value) = serde_json::from_str::<Value>(text.get()) else {
            is_whole = false;
            continue;
        };
        if let (Value::Array(conditions), "conditions") = (&mut value, &*name) {
            conditions.retain(|condition| {
                let is_read = is_read("conditions", &Value::Array(vec![condition.clone()]));
                is_whole &= is_read || is_foreign(condition);
                is_read
            });
        }
        if is_read(&name, &value) {
            kept.insert(name, value);
        } else {
            is_whole = false;
        }
    }
    if !is_whole {
        kept.remove("observedGeneration");
    }
    serde_json::from_value(Value::Object(kept)).unwrap_or_default()
}

/// Whether the condition is of another controller's type.
fn is_foreign(condition: &Value) -> bool {
    condition["type"].as_str().is_some_and(|type_| !condition_type::ALL.contains(&type_))
}

impl<'de> Deserialize<'de> for Watched {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::read(Text::deserialize(deserializer)?.get()))
    }
}

impl Resource for Watched {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        CloudTenant::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        CloudTenant::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        CloudTenant::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        CloudTenant::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.as_ref().map_or_else(|unreadable| &unreadable.metadata, |tenant| &tenant.metadata)
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.as_mut().map_or_else(|unreadable| &mut unreadable.metadata, |tenant| &mut tenant.metadata)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::REQUESTED_AT;

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
