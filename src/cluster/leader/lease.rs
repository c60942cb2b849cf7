//! Reads and writes the Lease. Malformed metadata must not end the leader's term, so unused metadata are written back
//! unchanged.

use std::{borrow::Cow, collections::BTreeMap};

use k8s_openapi::{
    NamespaceResourceScope,
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::Resource;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::SerializeMap as _};
use serde_json::value::{RawValue, to_raw_value};

use crate::watched::object::{Text, members, metadata, value};

#[derive(Debug, Clone, Default)]
pub(super) struct Held {
    pub(super) spec: LeaseSpec,
    metadata: ObjectMeta,
    written_back: BTreeMap<String, Box<RawValue>>,
}

impl Held {
    /// Creates a Lease that does not exist yet.
    pub(super) fn new(name: &str, spec: LeaseSpec) -> Self {
        let name = to_raw_value(name).ok().map(|name| ("name".to_owned(), name));
        Self { spec, metadata: ObjectMeta::default(), written_back: name.into_iter().collect() }
    }

    pub(super) fn with(self, spec: LeaseSpec) -> Self {
        Self { spec, ..self }
    }

    pub(super) fn read(text: &str) -> Self {
        let object = members(text);
        let spec = object.get("spec").map(|text| members(text.get())).unwrap_or_default();
        let mut all = object.get("metadata").map(|text| members(text.get())).unwrap_or_default();
        // The API server keeps its own value of this field.
        all.remove("managedFields");
        Self {
            spec: LeaseSpec {
                holder_identity: value(&spec, "holderIdentity"),
                lease_duration_seconds: value(&spec, "leaseDurationSeconds"),
                lease_transitions: value(&spec, "leaseTransitions"),
                acquire_time: value(&spec, "acquireTime"),
                renew_time: value(&spec, "renewTime"),
                ..LeaseSpec::default()
            },
            metadata: metadata(&object).0,
            written_back: all.into_iter().map(|(name, text)| (name, text.to_owned())).collect(),
        }
    }
}

impl<'de> Deserialize<'de> for Held {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let lease = Self::read(Text::deserialize(deserializer)?.get());
        // Without a resource version, the candidate can neither tell whether the Lease is free nor take it safely.
        let is_whole = lease.metadata.resource_version.is_some();
        is_whole.then_some(lease).ok_or_else(|| D::Error::custom("a Lease without a resource version"))
    }
}

impl Serialize for Held {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(4))?;
        object.serialize_entry("apiVersion", &Lease::api_version(&()))?;
        object.serialize_entry("kind", &Lease::kind(&()))?;
        object.serialize_entry("metadata", &self.written_back)?;
        object.serialize_entry("spec", &self.spec)?;
        object.end()
    }
}

impl Resource for Held {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        Lease::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        Lease::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        Lease::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        Lease::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_with_odd_metadata_is_read_and_written_back_without_loss() {
        let deep = format!("{}1{}", "{\"a\":".repeat(200), "}".repeat(200));
        let text = format!(
            r#"{{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{{"name":"lease",
            "resourceVersion":"7","creationTimestamp":"+20000-01-01T00:00:00Z","labels":{{"a":"b"}},"odd":{deep},
            "managedFields":[{{"fieldsV1":{deep}}}]}},
            "spec":{{"holderIdentity":"other","leaseDurationSeconds":15,"renewTime":"9999-12-31T23:59:59Z"}}}}"#
        );
        let read: Held = serde_json::from_str(&text).unwrap();
        assert_eq!(read.meta().resource_version.as_deref(), Some("7"));
        assert_eq!(read.spec.holder_identity.as_deref(), Some("other"));
        assert_eq!((read.spec.lease_duration_seconds, &read.spec.renew_time), (Some(15), &None));
        let written = serde_json::to_string(&read).unwrap();
        for kept in
            [r#""name":"lease""#, r#""resourceVersion":"7""#, r#""labels":{"a":"b"}"#, &format!(r#""odd":{deep}"#)]
        {
            assert!(written.contains(kept), "{kept}");
        }
        assert!(!written.contains("managedFields"));
        for text in ["null", "{}", r#"{"metadata":{"resourceVersion":7}}"#] {
            assert!(serde_json::from_str::<Held>(text).is_err(), "{text}");
        }
    }
}
