//! What each CloudTenant of a set has.

use std::{borrow::Cow, collections::BTreeMap};

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The parts of each CloudTenant that are the same in the whole set.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantTemplate {
    /// Labels and annotations of each CloudTenant.
    #[serde(default)]
    pub metadata: TemplateMetadata,

    /// The spec of each CloudTenant, without `projectID` and without the names in `cloudCredentialsRef`. The operator
    /// applies only the fields that stand here, and leaves all others of a CloudTenant alone.
    #[serde(default)]
    pub spec: TemplateSpec,
}

/// Labels and annotations of each CloudTenant.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplateMetadata {
    /// Labels, at most 20, without the prefixes kubernetes.io and cloudtenant.dev.
    #[serde(default, skip_serializing_if = "TemplateLabels::is_empty")]
    pub labels: TemplateLabels,

    /// Annotations, at most 20 of at most 2048 characters, without the prefixes kubernetes.io and cloudtenant.dev.
    #[serde(default, skip_serializing_if = "TemplateAnnotations::is_empty")]
    pub annotations: TemplateAnnotations,
}

/// The stated fields of a CloudTenant's spec.
///
/// The schema is that of `CloudTenantSpec` without its defaults: a stored default would be applied to each CloudTenant as
/// if the user had stated it, and others could no longer change the field there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TemplateSpec(pub Map<String, Value>);

impl JsonSchema for TemplateSpec {
    fn schema_name() -> Cow<'static, str> {
        "TemplateSpec".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // `schema::crd` fills in the fields.
        json_schema!({ "type": "object" })
    }
}

/// Kubernetes' rule for the names of labels and annotations: an optional DNS subdomain, and at most 63 characters.
const NAME_RULE: &str = "self.all(key, key.matches(r'^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?\
                         ([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]$') && size(key) <= 317)";

/// Kubernetes and the operator keep these prefixes for themselves.
const PREFIX_RULE: &str = "self.all(key, !key.matches(r'^([^/]*\\.)?(kubernetes\\.io|cloudtenant\\.dev)/'))";

macro_rules! texts {
    ($(#[$doc:meta])* $name:ident, $schema_name:literal, $value:tt) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub BTreeMap<String, String>);

        impl $name {
            /// Whether there are none.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                self.0.is_empty()
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                $schema_name.into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "object",
                    "maxProperties": 20,
                    "additionalProperties": $value,
                    "x-kubernetes-validations": [
                        { "rule": NAME_RULE, "message": "the names must be those that Kubernetes allows" },
                        { "rule": PREFIX_RULE, "message": "the prefixes kubernetes.io and cloudtenant.dev are reserved" },
                    ],
                })
            }
        }
    };
}

texts!(
    /// Labels by their names.
    TemplateLabels,
    "TemplateLabels",
    { "type": "string", "maxLength": 63, "pattern": "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$" }
);

texts!(
    /// Annotations by their names.
    TemplateAnnotations,
    "TemplateAnnotations",
    { "type": "string", "maxLength": 2048 }
);
