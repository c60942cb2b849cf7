//! Checks that a CRD on the API server has every field that this version reads and writes.
//!
//! The API server silently drops a field that the CRD lacks, and with it state that the operator needs. Every
//! authenticated account may read the schema from `/openapi/v3`.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::{Client, Resource};
use serde_json::Value;

use crate::{
    api::{
        self, CloudTenant,
        set::{self, CloudTenantSet},
    },
    cluster::readiness::{Readiness, Requirement},
};

/// Longest wait for the API server.
const DEADLINE: Duration = Duration::from_secs(10);

/// Number of missing fields that the message names.
const NAMED: usize = 5;

/// The reasons why the served resource is insufficient.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The API server does not serve the resource.
    #[error(
        "the API server does not serve CloudTenants: install the CRD (kubectl apply --server-side -f \
         crds/cloudtenants.cloudtenant.dev.yaml, or crds.enabled=true in the chart)"
    )]
    NotServed,
    /// The served CRD is older than this version.
    #[error(
        "the CRD on the API server is older than this version and lacks {0}: upgrade it (kubectl apply --server-side \
         --force-conflicts -f crds/cloudtenants.cloudtenant.dev.yaml, or crds.enabled=true in the chart)"
    )]
    Lacks(String),
    /// The API server did not return the schema.
    #[error("the API server did not show its schema of CloudTenants: {0}")]
    Unknown(String),
}

/// The reasons why the served resource of sets is insufficient.
#[derive(Debug, thiserror::Error)]
pub enum SetSchemaError {
    /// The API server does not serve the resource.
    #[error(
        "the API server does not serve CloudTenantSets, which --tenant-sets needs: install the CRD (kubectl apply \
         --server-side -f crds/sets/cloudtenantsets.cloudtenant.dev.yaml, or tenantSets.enabled=true in the chart)"
    )]
    NotServed,
    /// The served CRD is older than this version.
    #[error(
        "the CRD of CloudTenantSets on the API server is older than this version and lacks {0}: upgrade it (kubectl apply \
         --server-side --force-conflicts -f crds/sets/cloudtenantsets.cloudtenant.dev.yaml, or tenantSets.enabled=true in \
         the chart)"
    )]
    Lacks(String),
    /// The API server did not return the schema.
    #[error("the API server did not show its schema of CloudTenantSets: {0}")]
    Unknown(String),
}

/// Checks the CRD of CloudTenants of the API server.
///
/// # Errors
/// The CRD lacks a field, or could not be read.
pub async fn check(client: &Client) -> Result<(), SchemaError> {
    inspect::<CloudTenant>(client, &api::crd()).await
}

/// Checks the CRD of CloudTenantSets of the API server.
///
/// # Errors
/// The CRD lacks a field, or could not be read.
pub async fn check_sets(client: &Client) -> Result<(), SetSchemaError> {
    inspect::<CloudTenantSet>(client, &set::crd()).await.map_err(|error| match error {
        SchemaError::NotServed => SetSchemaError::NotServed,
        SchemaError::Lacks(fields) => SetSchemaError::Lacks(fields),
        SchemaError::Unknown(why) => SetSchemaError::Unknown(why),
    })
}

/// Waits until a check succeeds, and repeats it after each `retry`. Until then the process is not ready, and the log says
/// why each time that the reason changes.
pub async fn until_sufficient<E: std::fmt::Display, F: Future<Output = Result<(), E>>>(
    readiness: &Readiness,
    requirement: Requirement,
    retry: Duration,
    check: impl Fn() -> F,
) {
    let mut logged = String::new();
    while let Err(error) = check().await {
        let lacks = error.to_string();
        if lacks != logged {
            tracing::error!("{lacks}");
        }
        readiness.lacks(requirement, &lacks);
        logged = lacks;
        tokio::time::sleep(retry).await;
    }
}

async fn inspect<K: Resource<DynamicType = ()>>(
    client: &Client,
    crd: &CustomResourceDefinition,
) -> Result<(), SchemaError> {
    let unknown = |error: &dyn std::fmt::Display| SchemaError::Unknown(error.to_string());
    let path = format!("/openapi/v3/apis/{}", K::api_version(&()));
    let request = http::Request::get(path).body(Vec::new()).map_err(|error| unknown(&error))?;
    let answer = tokio::time::timeout(DEADLINE, client.request::<Value>(request)).await;
    let document = match answer {
        Ok(Ok(document)) => document,
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => return Err(SchemaError::NotServed),
        Ok(Err(error)) => return Err(unknown(&error)),
        Err(error) => return Err(unknown(&error)),
    };
    let served = served(&document, &K::kind(&())).ok_or(SchemaError::NotServed)?;
    let missing = missing(crd, served);
    if missing.is_empty() {
        return Ok(());
    }
    let more = missing.len().saturating_sub(NAMED);
    let named = missing.into_iter().take(NAMED).collect::<Vec<_>>().join(", ");
    Err(SchemaError::Lacks(if more == 0 { named } else { format!("{named} and {more} more") }))
}

fn served<'a>(document: &'a Value, wanted: &str) -> Option<&'a Value> {
    let is_ours = |schema: &&Value| {
        let kinds = schema["x-kubernetes-group-version-kind"].as_array();
        kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"] == *wanted))
    };
    document["components"]["schemas"].as_object()?.values().find(is_ours)
}

/// Returns the fields of spec and status that this schema lacks, such as `spec.probes.usage`.
#[must_use]
pub fn missing(crd: &CustomResourceDefinition, served: &Value) -> Vec<String> {
    let mut missing = Vec::new();
    let ours = crd.spec.versions.iter().filter_map(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref());
    for schema in ours {
        for field in ["spec", "status"] {
            if let Some(wanted) = schema.properties.as_ref().and_then(|fields| fields.get(field)) {
                compare(field, wanted, &served["properties"][field], &mut missing);
            }
        }
    }
    missing
}

fn compare(path: &str, wanted: &JSONSchemaProps, served: &Value, missing: &mut Vec<String>) {
    if served.is_null() {
        missing.push(path.to_owned());
        return;
    }
    for (name, field) in wanted.properties.iter().flatten() {
        compare(&format!("{path}.{name}"), field, &served["properties"][name], missing);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &wanted.items {
        compare(&format!("{path}[]"), items, &served["items"], missing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Value {
        serde_json::to_value(api::crd().spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap())
            .unwrap()
    }

    #[test]
    fn missing_fields_are_named() {
        assert!(missing(&api::crd(), &full()).is_empty());
        let mut newer = full();
        newer["properties"]["spec"]["properties"]["later"] = serde_json::json!({ "type": "string" });
        assert!(missing(&api::crd(), &newer).is_empty(), "a newer CRD will do");
        for (path, parent, field) in [
            (
                "spec.probes.engines.cloudName",
                "/properties/spec/properties/probes/properties/engines/properties",
                "cloudName",
            ),
            (
                "status.engines.hosts[].lastHeartbeat",
                "/properties/status/properties/engines/properties/hosts/items/properties",
                "lastHeartbeat",
            ),
            ("status.usage", "/properties/status/properties", "usage"),
            ("status", "/properties", "status"),
        ] {
            let mut older = full();
            older.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(field).unwrap();
            assert_eq!(missing(&api::crd(), &older), [path]);
        }
    }
}
