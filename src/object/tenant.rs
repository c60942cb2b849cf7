//! A CloudTenant as the API server gives it out.

use std::borrow::Cow;

use k8s_openapi::{NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::Resource;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, value::RawValue};

use super::{Members, Text, members, metadata};
use crate::api::{CloudTenant, CloudTenantSpec, CloudTenantStatus};

/// The longest that is said of a value that cannot be read: it may hold a long text.
const LONGEST: usize = 300;

/// A CloudTenant. One that cannot be read stops neither a list nor a watch.
#[derive(Debug, Clone)]
pub struct Watched(pub Result<CloudTenant, Unreadable>);

/// What is known of a CloudTenant that cannot be read.
#[derive(Debug, Clone, Default)]
pub struct Unreadable {
    /// A sentence that names the field.
    pub why: String,
    /// The metadata, as far as they can be read.
    pub metadata: ObjectMeta,
    /// The status, as far as it can be read.
    pub status: CloudTenantStatus,
}

impl Watched {
    /// Reads the object. Text that is no object gives an unreadable one without a name.
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
}

fn spec(object: &Members<'_>) -> Result<CloudTenantSpec, String> {
    let text = object.get("spec").map_or("{}", |text| text.get());
    serde_json::from_str(text).map_err(|error| {
        let said = error.to_string();
        // The place in a text that nobody sees says nothing.
        let said = said.rsplit_once(" at line ").map_or(&*said, |(said, _)| said);
        let field = if error.line() == 1 { field_at(text, error.column()) } else { None };
        let field = field.map(|name| format!("spec.{name}: ")).unwrap_or_default();
        let said: String = format!("{field}{said}").chars().filter(|c| !c.is_control()).take(LONGEST).collect();
        format!("The spec cannot be read: {}.", said.trim_end_matches('.'))
    })
}

/// The member whose text has this column.
fn field_at(text: &str, column: usize) -> Option<String> {
    let found = members(text).into_iter().find(|(_, value)| {
        let start = (value.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
        (start..=start + value.get().len()).contains(&column)
    });
    found.map(|(name, _)| name)
}

/// The status without the fields and the conditions that cannot be read: the next pass writes its own again.
fn status(text: &RawValue, metadata: &ObjectMeta) -> CloudTenantStatus {
    let error = match serde_json::from_str::<Option<CloudTenantStatus>>(text.get()) {
        Ok(status) => return status.unwrap_or_default(),
        Err(error) => error,
    };
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let name = metadata.name.as_deref().unwrap_or_default();
    let field = field_at(text.get(), error.column()).unwrap_or_default();
    tracing::warn!(namespace, name, field, "a part of the status cannot be read and is left out");
    let is_read = |name: &str, value: &Value| {
        let alone = Map::from_iter([(name.to_owned(), value.clone())]);
        serde_json::from_value::<CloudTenantStatus>(Value::Object(alone)).is_ok()
    };
    let mut kept = Map::new();
    for (name, text) in members(text.get()) {
        let Ok(mut value) = serde_json::from_str::<Value>(text.get()) else { continue };
        if let (Value::Array(conditions), "conditions") = (&mut value, &*name) {
            conditions.retain(|condition| is_read("conditions", &Value::Array(vec![condition.clone()])));
        }
        if is_read(&name, &value) {
            kept.insert(name, value);
        }
    }
    serde_json::from_value(Value::Object(kept)).unwrap_or_default()
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
