//! Validates a CloudTenant against the CRD's schema, as the API server does when it creates the object.

mod rules;
mod schema;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource as _;
use schemars::{JsonSchema as _, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::api::{self, CloudTenant, CloudTenantSpec};

/// Maximum length of a name, from RFC 1123.
const LONGEST_NAME: usize = 253;

/// Returns the spec of an object that the API server would accept.
///
/// # Errors
/// What the API server would refuse, one line per fault.
pub(super) fn admit(mut object: Value) -> anyhow::Result<CloudTenantSpec> {
    let version = CloudTenant::api_version(&());
    let given = object["apiVersion"].as_str().unwrap_or_default();
    anyhow::ensure!(given == version, "no matches for kind \"CloudTenant\" in version {given:?}: use {version}");
    let mut faults = Vec::new();
    schema::check(&whole()?, "", &mut object, &mut faults);
    // The API server drops the status of a new object, but still refuses its unknown fields.
    faults.retain(|fault| !fault.starts_with("status."));
    name(&object["metadata"], &mut faults);
    anyhow::ensure!(faults.is_empty(), "the API server would refuse it:\n{}", faults.join("\n"));
    Ok(serde_json::from_value(object["spec"].take())?)
}

/// Returns the CRD's schema with the fields that every object has.
fn whole() -> anyhow::Result<Value> {
    let version = api::crd().spec.versions.into_iter().next().and_then(|version| version.schema);
    let mut schema = serde_json::to_value(version.and_then(|version| version.open_api_v3_schema))?;
    let text = || json!({ "type": "string" });
    schema["properties"]["apiVersion"] = text();
    schema["properties"]["kind"] = text();
    schema["properties"]["metadata"] = ObjectMeta::json_schema(&mut SchemaGenerator::default()).to_value();
    Ok(schema)
}

fn name(metadata: &Value, faults: &mut Vec<String>) {
    let none = Map::new();
    let fields = metadata.as_object().unwrap_or(&none);
    let is_given = |field: &str| fields.get(field).is_some_and(|name| !matches!(name.as_str(), Some("")));
    if !is_given("name") && !is_given("generateName") {
        faults.push("metadata.name: Required value: name or generateName is required".to_owned());
    }
    let Some(name) = fields.get("name").and_then(Value::as_str).filter(|name| !name.is_empty()) else { return };
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let label =
        |label: &str| label.starts_with(inner) && label.ends_with(inner) && label.chars().all(|c| inner(c) || c == '-');
    if name.len() > LONGEST_NAME || !name.split('.').all(label) {
        faults.push(format!(
            "metadata.name: Invalid value: {}: use at most {LONGEST_NAME} lower-case letters, digits, '-' and '.', \
             with a letter or digit at both ends and beside each '.'",
            schema::shown(name)
        ));
    }
}
