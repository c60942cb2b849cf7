//! An object of one of the operator's kinds as the API server returns it.

use std::{borrow::Cow, fmt::Debug};

use k8s_openapi::{NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::Resource;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Map, Value, value::RawValue};

use super::{Members, Text, fields, members, metadata_of};
use crate::words::{escaped, word};

/// Length in bytes of the description of an unreadable value, which may contain a long text.
pub(super) const LONGEST: usize = 300;

/// A kind of object that the operator serves.
pub trait Kind: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug {
    /// The kind's spec.
    type Spec: DeserializeOwned;
    /// The kind's status.
    type Status: DeserializeOwned + Clone + Debug + Default;

    /// The annotations that are kept, as words.
    const ANNOTATIONS: &'static [&'static str];
    /// The types of the conditions that the operator sets.
    const CONDITIONS: &'static [&'static str];

    /// Puts an object together. `fields` are all members of its metadata.
    fn new(metadata: ObjectMeta, fields: &Members<'_>, spec: Self::Spec, status: Option<Self::Status>) -> Self;

    /// Returns the status.
    fn into_status(self) -> Option<Self::Status>;
}

/// An object. An unreadable one stops neither a list nor a watch.
#[derive(Debug, Clone)]
pub struct Object<K: Kind>(pub Result<K, Unreadable<K::Status>>, Omitted);

/// Whether conditions of other controllers were left out, because they cannot be read.
type Omitted = bool;

/// The readable parts of an unreadable object.
#[derive(Debug, Clone, Default)]
pub struct Unreadable<S> {
    /// A sentence that names the field.
    pub why: String,
    /// The readable metadata.
    pub metadata: ObjectMeta,
    /// The readable status.
    pub status: S,
}

impl<K: Kind> Object<K> {
    /// Reads the object. A text that is not an object results in an unreadable one without a name.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let object = members(text);
        let fields = fields(&object);
        let (metadata, odd) = metadata_of(&fields, K::ANNOTATIONS);
        let read = object.get("status").map(|text| status::<K>(text, &metadata));
        let (status, omits) = read.map_or((None, false), |(status, omits)| (Some(status), omits));
        let spec = match odd {
            Some(field) => Err(format!("The object cannot be read: metadata.{field} has an odd value.")),
            None => spec::<K::Spec>(&object),
        };
        let object = match spec {
            Ok(spec) => Ok(K::new(metadata, &fields, spec, status)),
            Err(why) => Err(Unreadable { why, metadata, status: status.unwrap_or_default() }),
        };
        Self(object, omits)
    }

    /// Whether the status has conditions of other controllers that are left out here, because they cannot be read.
    #[must_use]
    pub fn omits_conditions_of_others(&self) -> bool {
        self.1
    }

    /// Returns the readable status.
    #[must_use]
    pub fn into_status(self) -> K::Status {
        match self.0 {
            Ok(object) => object.into_status().unwrap_or_default(),
            Err(unreadable) => unreadable.status,
        }
    }
}

fn spec<S: DeserializeOwned>(object: &Members<'_>) -> Result<S, String> {
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
/// of an object that has not been reconciled, so that the next pass writes its own in its place. An unreadable
/// condition of another controller does not count: the operator leaves it alone.
fn status<K: Kind>(text: &RawValue, metadata: &ObjectMeta) -> (K::Status, Omitted) {
    // serde also reads a list as the fields in their order.
    if text.get().trim_start().starts_with('[') {
        return (K::Status::default(), false);
    }
    let error = match serde_json::from_str::<Option<K::Status>>(text.get()) {
        Ok(status) => return (status.unwrap_or_default(), false),
        Err(error) => error,
    };
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let name = metadata.name.as_deref().unwrap_or_default();
    let field = word(&field_at(text.get(), error.column()).unwrap_or_default());
    tracing::warn!(namespace, name, field, "a part of the status cannot be read and is left out");
    let is_read = |name: &str, value: &Value| {
        let alone = Map::from_iter([(name.to_owned(), value.clone())]);
        serde_json::from_value::<K::Status>(Value::Object(alone)).is_ok()
    };
    let mut kept = Map::new();
    let (mut is_whole, mut omits) = (true, false);
    for (name, text) in members(text.get()) {
        let Ok(mut value) = serde_json::from_str::<Value>(text.get()) else {
            is_whole = false;
            continue;
        };
        if let (Value::Array(conditions), "conditions") = (&mut value, &*name) {
            conditions.retain(|condition| {
                let is_read = is_read("conditions", &Value::Array(vec![condition.clone()]));
                let is_foreign = is_foreign::<K>(condition);
                is_whole &= is_read || is_foreign;
                omits |= !is_read && is_foreign;
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
    (serde_json::from_value(Value::Object(kept)).unwrap_or_default(), omits)
}

/// Whether the condition is of another controller's type.
fn is_foreign<K: Kind>(condition: &Value) -> bool {
    condition["type"].as_str().is_some_and(|type_| !K::CONDITIONS.contains(&type_))
}

impl<'de, K: Kind> Deserialize<'de> for Object<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::read(Text::deserialize(deserializer)?.get()))
    }
}

impl<K: Kind> Resource for Object<K> {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        match &self.0 {
            Ok(object) => object.meta(),
            Err(unreadable) => &unreadable.metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match &mut self.0 {
            Ok(object) => object.meta_mut(),
            Err(unreadable) => &mut unreadable.metadata,
        }
    }
}
