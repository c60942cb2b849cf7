//! The CRD of sets: what the types say, and the template's fields from the CRD of CloudTenants.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, ValidationRule,
};
use kube::CustomResourceExt as _;
use serde_json::json;

use super::CloudTenantSet;
use crate::api;

/// The CRD that `cloudtenant-operator crd --sets` prints.
#[must_use]
pub fn crd() -> CustomResourceDefinition {
    let mut crd = api::finished(CloudTenantSet::crd());
    let template = template();
    for version in &mut crd.spec.versions {
        let schema = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
        let Some(schema) = schema else { continue };
        // A label holds the name, so it must fit into a label's value.
        schema.x_kubernetes_validations = Some(vec![ValidationRule {
            rule: "size(self.metadata.name) <= 63".to_owned(),
            message: Some("the name of a CloudTenantSet has at most 63 characters".to_owned()),
            ..ValidationRule::default()
        }]);
        if let Some(reference) = field(schema, &["spec", "cloudCredentialsRef"]) {
            reference.properties.iter_mut().for_each(|fields| fields.retain(|name, _| name != "scope"));
        }
        if let Some(place) = field(schema, &["spec", "template", "spec"]) {
            place.properties.clone_from(&template.properties);
        }
    }
    crd
}

/// The CRD as YAML, as `crds/sets/` has it.
///
/// # Errors
/// It cannot be written as YAML, which would be a defect.
pub fn crd_yaml() -> Result<String, serde_saphyr::ser::Error> {
    serde_saphyr::to_string(&crd())
}

/// The spec of CloudTenants as a template: without what differs by project, and without defaults.
fn template() -> JSONSchemaProps {
    let mut crd = api::crd();
    let schema = crd.spec.versions.pop().and_then(|version| version.schema?.open_api_v3_schema);
    let mut spec = schema.and_then(|mut schema| field(&mut schema, &["spec"]).cloned()).unwrap_or_default();
    without_defaults(&mut spec);
    spec.properties.iter_mut().for_each(|fields| {
        fields.remove("projectID");
    });
    if let Some(reference) = field(&mut spec, &["cloudCredentialsRef"]) {
        reference.description =
            Some("How the operator logs in. The set's own spec names the Secret and the entry.".into());
        reference.required = None;
        reference.properties.iter_mut().for_each(|fields| fields.retain(|name, _| name == "scope"));
        reference.default = Some(JSON(json!({})));
    }
    if let Some(scope) = field(&mut spec, &["cloudCredentialsRef", "scope"]) {
        scope.description = Some(
            "What the operator logs in for. Entry: for what the entry names. ObservedProject: for the CloudTenant's \
             project, with the user of the entry."
                .into(),
        );
        scope.nullable = None;
        scope.default = Some(JSON(json!("ObservedProject")));
    }
    spec
}

/// The schema of a field.
fn field<'a>(schema: &'a mut JSONSchemaProps, path: &[&str]) -> Option<&'a mut JSONSchemaProps> {
    path.iter().try_fold(schema, |schema, name| schema.properties.as_mut()?.get_mut(*name))
}

fn without_defaults(schema: &mut JSONSchemaProps) {
    schema.default = None;
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        without_defaults(items);
    }
    schema.properties.iter_mut().flatten().for_each(|(_, field)| without_defaults(field));
}
