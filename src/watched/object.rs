//! Reads objects of the API server. Anyone who may write an object may put malformed values into it, for example in
//! `managedFields`. Therefore only used fields are read, and everything else is skipped at any depth.

mod read;
mod set;
mod tenant;
mod text;

use std::{borrow::Cow, collections::BTreeMap, marker::PhantomData};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
pub use read::{Kind, Object, Unreadable};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::value::RawValue;
pub use set::WatchedSet;
pub use tenant::Watched;
pub use text::Text;

use crate::{api::REQUESTED_AT, words::word};

/// The members of a JSON object, each as its unparsed text. serde_json checks that text without recursion.
pub type Members<'a> = BTreeMap<String, &'a RawValue>;

/// Returns the members of a JSON object. The result is empty for any other text.
#[must_use]
pub fn members(text: &str) -> Members<'_> {
    serde_json::from_str(text).unwrap_or_default()
}

/// Returns a member's value. `None` if it is null, missing or unreadable.
#[must_use]
pub fn value<T: DeserializeOwned>(members: &Members<'_>, name: &str) -> Option<T> {
    members.get(name).and_then(|text| serde_json::from_str(text.get()).ok())
}

/// Returns the members of an object's metadata.
#[must_use]
pub fn fields<'a>(object: &Members<'a>) -> Members<'a> {
    object.get("metadata").map(|text| members(text.get())).unwrap_or_default()
}

/// Returns the metadata that the operator uses, and the first unreadable field. Only the presence of
/// `deletionTimestamp` is read. Of the annotations only `requestedAt` is kept, as a [`word`].
#[must_use]
pub fn metadata(object: &Members<'_>) -> (ObjectMeta, Option<&'static str>) {
    metadata_of(&fields(object), &[REQUESTED_AT])
}

/// [`metadata`] of these [`fields`], with these annotations.
fn metadata_of(fields: &Members<'_>, kept: &[&'static str]) -> (ObjectMeta, Option<&'static str>) {
    let mut odd = None;
    let annotations = fields.get("annotations").map(|text| members(text.get())).unwrap_or_default();
    let kept: BTreeMap<_, _> = kept
        .iter()
        .filter_map(|name| {
            let value: String = field(&annotations, name, &mut odd)?;
            Some(((*name).to_owned(), word(&value)))
        })
        .collect();
    let deleted = fields.get("deletionTimestamp").is_some_and(|text| text.get() != "null");
    let metadata = ObjectMeta {
        name: field(fields, "name", &mut odd),
        namespace: field(fields, "namespace", &mut odd),
        uid: field(fields, "uid", &mut odd),
        resource_version: field(fields, "resourceVersion", &mut odd),
        generation: field(fields, "generation", &mut odd),
        deletion_timestamp: deleted.then_some(Time(Timestamp::UNIX_EPOCH)),
        annotations: Some(kept).filter(|kept| !kept.is_empty()),
        ..ObjectMeta::default()
    };
    (metadata, odd)
}

fn field<T: DeserializeOwned>(fields: &Members<'_>, name: &'static str, odd: &mut Option<&'static str>) -> Option<T> {
    let read = serde_json::from_str::<Option<T>>(fields.get(name)?.get());
    read.unwrap_or_else(|_| {
        odd.get_or_insert(name);
        None
    })
}

/// An object of which only the metadata are read.
#[derive(Debug, Clone)]
pub struct Outline<K> {
    metadata: ObjectMeta,
    kind: PhantomData<K>,
}

impl<'de, K> Deserialize<'de> for Outline<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer)?;
        Ok(Self { metadata: metadata(&members(text.get())).0, kind: PhantomData })
    }
}

impl<K: Resource> Resource for Outline<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(of: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(of)
    }

    fn group(of: &Self::DynamicType) -> Cow<'_, str> {
        K::group(of)
    }

    fn version(of: &Self::DynamicType) -> Cow<'_, str> {
        K::version(of)
    }

    fn plural(of: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(of)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
