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
    /// The spec as it was read. `None` once it is changed.
    unchanged: Option<Box<RawValue>>,
    metadata: ObjectMeta,
    written_back: BTreeMap<String, Box<RawValue>>,
}

impl Held {
    /// Creates a Lease that does not exist yet.
    pub(super) fn new(name: &str, spec: LeaseSpec) -> Self {
        let name = to_raw_value(name).ok().map(|name| ("name".to_owned(), name));
        Self { spec, unchanged: None, metadata: ObjectMeta::default(), written_back: name.into_iter().collect() }
    }

    pub(super) fn with(self, spec: LeaseSpec) -> Self {
        Self { spec, unchanged: None, ..self }
    }

    /// The text of the spec, which differs after each renewal. A changed annotation does not change it.
    pub(super) fn spec_text(&self) -> &str {
        self.unchanged.as_ref().map_or("", |text| text.get())
    }

    /// Returns an annotation. `None` if it is missing, empty or unreadable.
    pub(super) fn annotation(&self, name: &str) -> Option<String> {
        let annotations = members(self.written_back.get("annotations")?.get());
        value(&annotations, name).filter(|value: &String| !value.is_empty())
    }

    /// Sets an annotation, or removes it. The others stay.
    pub(super) fn annotated(mut self, name: &str, value: Option<&str>) -> Self {
        let annotations = self.written_back.remove("annotations");
        let mut all: BTreeMap<String, Box<RawValue>> = annotations
            .iter()
            .flat_map(|text| members(text.get()))
            .map(|(name, text)| (name, text.to_owned()))
            .collect();
        all.remove(name);
        all.extend(value.and_then(|value| Some((name.to_owned(), to_raw_value(value).ok()?))));
        if !all.is_empty() {
            self.written_back.extend(to_raw_value(&all).ok().map(|text| ("annotations".to_owned(), text)));
        }
        self
    }

    pub(super) fn read(text: &str) -> Self {
        let object = members(text);
        let unchanged = object.get("spec").map(|text| (*text).to_owned());
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
            unchanged,
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
        match &self.unchanged {
            Some(spec) => object.serialize_entry("spec", spec)?,
            None => object.serialize_entry("spec", &self.spec)?,
        }
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

    /// Each line: annotations | the annotation `a` | annotations once it is "2" | annotations without it.
    #[test]
    fn one_annotation_changes_and_the_others_and_the_spec_stay() {
        for (before, found, set, removed) in [
            ("null", None, r#"{"a":"2"}"#, ""),
            ("{}", None, r#"{"a":"2"}"#, ""),
            (r#"{"a":"1"}"#, Some("1"), r#"{"a":"2"}"#, ""),
            (r#"{"a":""}"#, None, r#"{"a":"2"}"#, ""),
            (r#"{"a":1,"b":[2]}"#, None, r#"{"a":"2","b":[2]}"#, r#"{"b":[2]}"#),
            (r#"{"b":"x"}"#, None, r#"{"a":"2","b":"x"}"#, r#"{"b":"x"}"#),
        ] {
            let spec = r#"{"holderIdentity":"other","renewTime":"9999-12-31T23:59:59Z","odd":1}"#;
            let text = format!(r#"{{"metadata":{{"resourceVersion":"7","annotations":{before}}},"spec":{spec}}}"#);
            let read = Held::read(&text);
            assert_eq!(read.annotation("a").as_deref(), found, "{before}");
            for (value, annotations) in [(Some("2"), set), (None, removed)] {
                let written = serde_json::to_string(&read.clone().annotated("a", value)).unwrap();
                assert!(written.contains(&format!(r#""spec":{spec}"#)), "{written}");
                let shown = format!(r#""annotations":{annotations}"#);
                assert_eq!(written.contains(&shown), !annotations.is_empty(), "{before}: {written}");
                assert_eq!(written.contains("annotations"), !annotations.is_empty(), "{before}: {written}");
            }
            let claimed = serde_json::to_string(&read.with(LeaseSpec::default())).unwrap();
            assert!(claimed.contains(r#""spec":{}"#), "{claimed}");
        }
    }
}
